//! What must be so in every state: the invariants of the design.

use super::book::Book;
use super::world::{At, Ended, Kept, Sys, World};
use crate::decide::phase::PhaseName;
use crate::decide::transaction::Effect;

/// After a crash all is settled within this many boots, the one after the crash included.
const BOOTS: u8 = 2;

/// The promise that a state breaks.
pub(super) fn broken(book: &Book<'_>, world: &World) -> Option<&'static str> {
    let phase = book.name(world.journal.phase);
    let sound = [
        (
            "what the boot loader starts was verified",
            world.proved
                || (world.loader.seen != Sys::New
                    && world.loader.durable != Sys::New
                    && world.profile.seen != Sys::New
                    && world.profile.durable != Sys::New),
        ),
        (
            "confirmed means that evidence came in",
            world.proved || phase != PhaseName::Confirmed,
        ),
        (
            "boot-proven means that evidence came in after a boot",
            world.proved_at_boot || !(world.boot_proven || phase == PhaseName::BootProven),
        ),
        (
            "what is boot-proven is not taken back",
            !world.boot_proven || world.ended == Ended::Confirmed,
        ),
        (
            "going back never turns into confirmed",
            !(world.went_back
                && matches!(
                    phase,
                    PhaseName::Confirmed | PhaseName::Committing | PhaseName::BootProven
                )),
        ),
        (
            "recovery ends within two boots",
            world.boots <= BOOTS || is_settled(phase),
        ),
        (
            "a deployment reboots the machine once at most",
            world.reboots <= 1,
        ),
        (
            "the machine is rebooted only into a default seen to be the old system",
            !world.going_down || world.loader.seen == Sys::Old,
        ),
        (
            "an effect begins under a durable phase",
            is_recorded(book, world),
        ),
        (
            "a watchdog is armed while a deployment is open",
            is_watched(book, world),
        ),
        ("what ended is as its history says", is_as_told(book, world)),
    ];
    sound
        .into_iter()
        .find(|(_, holds)| !holds)
        .map(|(promise, _)| promise)
}

/// The promise that a state breaks where nothing more happens by itself.
pub(super) fn broken_at_rest(book: &Book<'_>, world: &World) -> Option<&'static str> {
    let phase = book.name(world.journal.phase);
    (!is_settled(phase) && !world.unwatched).then_some("what is open is settled without help")
}

/// Whether nothing more has to happen.
pub(super) fn is_settled(phase: PhaseName) -> bool {
    matches!(phase, PhaseName::Idle | PhaseName::Stuck)
}

/// On the way forward the journal says what is being done, before it is.
fn is_recorded(book: &Book<'_>, world: &World) -> bool {
    let Some(process) = world.process.filter(|process| is_effect(process.at)) else {
        return true;
    };
    let needed = match process.effect {
        Effect::Activate => PhaseName::Activating,
        Effect::Verify => PhaseName::OnTrial,
        Effect::VerifyBoot => PhaseName::BootTrial,
        Effect::SetProfile | Effect::InstallBoot | Effect::CheckCommit => PhaseName::Committing,
        _ => return true,
    };
    book.name(world.journal.phase) == needed
}

fn is_effect(at: At) -> bool {
    matches!(at, At::Effect | At::Half)
}

/// Somebody is there who ends the phase if its switcher dies now: a watchdog, the unit of the
/// process itself, or the recovery that is still to come.
fn is_watched(book: &Book<'_>, world: &World) -> bool {
    let phase = book.name(world.journal.phase);
    if is_settled(phase) || world.unwatched || world.recover_due || world.going_down {
        return true;
    }
    if world.timers.watch(phase) {
        return true;
    }
    match world.process {
        // Between taking over and arming its own watchdog a process is started again by its unit.
        // Bookkeeping has nothing to protect: the pass after it finishes it.
        Some(process) => {
            !is_effect(process.at) || matches!(process.effect, Effect::Close | Effect::Nothing)
        }
        None => phase.is_bookkeeping(),
    }
}

/// Once it is settled, what is persistent is what its history says.
fn is_as_told(book: &Book<'_>, world: &World) -> bool {
    if book.name(world.journal.phase) != PhaseName::Idle || !world.asked || world.process.is_some()
    {
        return true;
    }
    let kept = |sys| world.profile == Kept::at(sys) && world.loader == Kept::at(sys);
    let runs = |sys| world.running == sys || world.running == Sys::Other;
    match world.ended {
        Ended::Confirmed => kept(Sys::New) && runs(Sys::New),
        Ended::Reverted | Ended::Refused => kept(Sys::Old) && runs(Sys::Old),
        Ended::Not | Ended::Stuck => kept(Sys::Old) && runs(Sys::Old),
    }
}
