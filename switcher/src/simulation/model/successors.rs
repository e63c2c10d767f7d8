//! The next step of the process that holds the lock, in every way that it can go.

use super::book::{Book, Happening};
use super::effects;
use super::process::{Next, begin_effect, entered, not_entered, write_or_go_on};
use super::world::{At, Process, World};
use crate::decide::phase::PhaseName;

/// Lists what can come next, with what it is called.
pub(super) fn of_process(book: &Book<'_>, world: World) -> Next {
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
        // During a rollback nobody but the next boot is left; a refusal leaves nothing to protect.
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
