//! One step of the switcher: mirrors `Switcher::drive` and `Switcher::enter`.

use super::book::{Book, Happening};
use super::effects;
use super::world::{At, Process, Record, Unit, World};
use crate::phase::PhaseName;
use crate::transaction::Effect;

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

fn write_or_go_on(book: &Book<'_>, mut world: World) -> World {
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
fn entered(book: &Book<'_>, mut world: World) -> World {
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

fn begin_effect(mut world: World) -> World {
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
fn not_entered(book: &Book<'_>, mut world: World, happening: Happening) -> World {
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

/// The next step of the process that holds the lock, in every way that it can go.
pub(super) fn successors(book: &Book<'_>, world: World) -> Next {
    let Some(process) = world.process else {
        return Vec::new();
    };
    let back = book.is_way_back(process.next.phase);
    match process.at {
        At::Arm => arm(book, world, process, back),
        At::Write => write(book, world, process, back),
        At::Disarm => {
            let mut after = world;
            if let Some(name) = process.record.watch {
                after.timers = after.timers.without(name);
            }
            vec![("the last watchdog is dropped", begin_effect(after))]
        }
        At::Effect | At::Half => effects::outcomes(book, world, process),
    }
}

fn arm(book: &Book<'_>, world: World, process: Process, back: bool) -> Next {
    let Some(name) = book.watch(process.next.phase) else {
        return Vec::new();
    };
    let mut armed = world;
    armed.timers = armed.timers.with(name);
    if let Some(process) = armed.process.as_mut() {
        process.next.watch = Some(name);
        process.armed = true;
    }
    let mut next = vec![("the watchdog is armed", write_or_go_on(book, armed))];
    if world.faults > 0 {
        let mut failed = world;
        failed.faults -= 1;
        // On the way back nobody but the next boot is left; a refusal leaves nothing to protect.
        failed.unwatched = true;
        let failed = if back {
            write_or_go_on(book, failed)
        } else {
            not_entered(book, failed, Happening::WatchdogFailed)
        };
        next.push(("the watchdog cannot be armed", failed));
    }
    next
}

fn write(book: &Book<'_>, world: World, process: Process, back: bool) -> Next {
    let mut written = world;
    written.journal = process.next;
    if let Some(process) = written.process.as_mut() {
        process.written = process.next;
        process.doubtful = false;
    }
    let mut next = vec![("the journal is written", entered(book, written))];
    if world.faults > 0 {
        for (label, durable) in [
            ("the journal cannot be written", false),
            ("writing the journal fails, and it is on the disk", true),
        ] {
            let mut failed = world;
            failed.faults -= 1;
            if durable {
                failed.journal = process.next;
            }
            if let Some(process) = failed.process.as_mut() {
                process.doubtful = true;
            }
            let failed = if back {
                let refused = book.name(process.next.phase) == PhaseName::Refused;
                failed.marked |= !(failed.trial && refused);
                entered(book, failed)
            } else {
                not_entered(book, failed, Happening::StateNotWritten)
            };
            next.push((label, failed));
        }
    }
    next
}
