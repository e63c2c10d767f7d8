//! How the switcher goes from one phase to the next: mirrors `Switcher::drive` and `Switcher::enter`.

use super::book::{Book, Happening};
use super::world::{At, Process, Record, Unit, World};
use crate::decide::phase::PhaseName;
use crate::decide::transaction::Effect;

/// What can come next, and what it is called.
pub(super) type Next = Vec<(&'static str, World)>;

/// A process takes the lock, reads the journal and follows from one event.
pub(super) fn start(
    book: &Book<'_>,
    mut world: World,
    unit: Unit,
    happening: Happening,
    seen: u8,
) -> World {
    let mut record = Record {
        seen,
        ..world.journal
    };
    if happening != Happening::Requested && record.watch.is_some_and(|name| !world.timers.has(name))
    {
        record.watch = None;
    }
    world.process = Some(Process {
        record,
        written: world.journal,
        doubtful: false,
        trouble: false,
        next: record,
        effect: Effect::Nothing,
        armed: false,
        at: At::Effect,
        unit,
    });
    decide(book, world, happening)
}

/// What follows from an event, up to where something can be seen from outside.
pub(super) fn decide(book: &Book<'_>, mut world: World, happening: Happening) -> World {
    let Some(process) = world.process.as_mut() else {
        return world;
    };
    let (phase, effect) = book.step(process.record.phase, happening);
    process.effect = effect;
    process.armed = false;
    process.next = Record {
        phase,
        watch: if book.name(phase) == PhaseName::Idle {
            None
        } else {
            process.record.watch
        },
        seen: process.record.seen,
    };
    let arms = book.watch(phase).is_some() && book.watch(phase) != process.record.watch;
    if arms {
        process.at = At::Arm;
        world
    } else {
        write_or_go_on(book, world)
    }
}

pub(super) fn write_or_go_on(book: &Book<'_>, mut world: World) -> World {
    let Some(process) = world.process.as_mut() else {
        return world;
    };
    if process.next != process.written || process.doubtful {
        process.at = At::Write;
        world
    } else {
        entered(book, world)
    }
}

/// The phase is entered; what is left of the last one is its watchdog.
pub(super) fn entered(book: &Book<'_>, mut world: World) -> World {
    let Some(process) = world.process.as_mut() else {
        return world;
    };
    let over = !process.doubtful
        && matches!(
            book.name(process.next.phase),
            PhaseName::Idle | PhaseName::Stuck
        );
    if process
        .record
        .watch
        .is_some_and(|name| world.timers.has(name))
        && (process.armed || over)
    {
        process.at = At::Disarm;
        world
    } else {
        begin_effect(world)
    }
}

pub(super) fn begin_effect(mut world: World) -> World {
    let Some(process) = world.process.as_mut() else {
        return world;
    };
    process.record = process.next;
    process.at = At::Effect;
    if process.effect == Effect::Nothing {
        end(world)
    } else {
        world
    }
}

/// The process ends by itself. A watchdog that could not settle the deployment is started again.
pub(super) fn end(mut world: World) -> World {
    if let Some(process) = world.process.take()
        && process.trouble
    {
        world.unwatched |= process.unit == Unit::Operator;
        restart(&mut world, process.unit);
    }
    world
}

/// A unit whose process did not end well is started again by systemd, where it asks for that.
pub(super) fn restart(world: &mut World, unit: Unit) {
    match unit {
        Unit::Watchdog(name) => world.timers = world.timers.with(name),
        Unit::Recover => {
            world.recover_due = true;
            world.trial_due = true;
        }
        Unit::BootTrial => world.awaits = true,
        Unit::Switch | Unit::Operator => {}
    }
}

/// A step forward that could not be made durable.
pub(super) fn not_entered(book: &Book<'_>, mut world: World, happening: Happening) -> World {
    let Some(process) = world.process.as_mut() else {
        return world;
    };
    if happening == Happening::StateNotWritten
        && (book.name(process.record.phase).is_bookkeeping()
            || matches!(
                book.name(process.record.phase),
                PhaseName::Idle | PhaseName::Booted | PhaseName::BootTrial | PhaseName::Stuck
            ))
    {
        process.trouble = true;
    }
    if process.effect == Effect::Nothing && process.trouble {
        end(world)
    } else {
        decide(book, world, happening)
    }
}
