//! The way forward: what follows in each phase up to the confirmation.

use super::back::{refuse, revert, revert_what};
use super::{Boot, COMMIT_ATTEMPTS, Effect, Event, Step, to};
use crate::decide::phase::{Phase, Touched};
use crate::protocol::{Cause, Evidence};

pub(super) fn staged(event: Event) -> Step {
    match event {
        Event::StageDone => to(Phase::Armed, Effect::SeeWatchdog),
        Event::StageFailed(cause) => refuse(cause),
        Event::Expired { .. } | Event::Found(Boot::Same) | Event::FoundGoingBack(_) => {
            refuse(Cause::SwitcherDied)
        }
        Event::Found(_) => refuse(Cause::Crashed),
        Event::OperatorReverts => refuse(Cause::Operator),
        _ => to(Phase::Staged, Effect::Nothing),
    }
}

/// What else can happen between arming and the proof: each of these is a rollback.
pub(super) fn interrupted(phase: &Phase, event: Event) -> Step {
    match event {
        Event::WatchdogFailed(reason) => revert(phase, Cause::NotReady { reason }),
        Event::StateNotWritten(reason) => revert(phase, Cause::StateNotWritten { reason }),
        Event::Expired { alive: false, .. } | Event::Found(Boot::Same) => {
            revert(phase, Cause::SwitcherDied)
        }
        Event::FoundGoingBack(boot) => go_on_back(boot),
        Event::Expired { alive: true, limit } => revert(
            phase,
            match phase {
                Phase::OnTrial => Cause::NotConfirmed { seconds: limit },
                _ => Cause::ActivationTimedOut {
                    seconds: limit,
                    waits_for: Vec::new(),
                },
            },
        ),
        // Nothing persistent pointed at the candidate, so the boot put the old system back.
        Event::Found(Boot::Old) => revert_what(Cause::Crashed, Touched::NOTHING, false),
        // Somebody booted a third system by hand: leave it alone.
        Event::Found(Boot::Other) => revert_what(Cause::Crashed, Touched::NOTHING, false),
        // Nobody of ours made the candidate the default; undo all that could have led here.
        Event::Found(Boot::New) => revert_what(Cause::Crashed, Touched::ALL, false),
        Event::OperatorReverts => revert(phase, Cause::Operator),
        _ => to(phase.clone(), Effect::Nothing),
    }
}

/// A rollback that the journal does not know goes on. How far it had come is not known either, only
/// that a boot into another system than the candidate has put right what runs.
fn go_on_back(boot: Boot) -> Step {
    let touched = match boot {
        Boot::Same | Boot::New => Touched::ALL,
        Boot::Old | Boot::Other => Touched::PERSISTENT,
    };
    revert_what(Cause::SwitcherDied, touched, false)
}

pub(super) fn committing(phase: &Phase, evidence: &Evidence, attempt: u8, event: Event) -> Step {
    match event {
        Event::ProfileSet => to(phase.clone(), Effect::InstallBoot),
        Event::BootInstalled => to(phase.clone(), Effect::CheckCommit),
        Event::CommitChecked => to(
            Phase::Confirmed {
                evidence: evidence.clone(),
            },
            Effect::Close,
        ),
        Event::CommitFailed(reason) => revert(phase, Cause::CommitFailed { reason }),
        Event::WatchdogFailed(reason) => revert(phase, Cause::NotReady { reason }),
        Event::StateNotWritten(reason) => revert(phase, Cause::StateNotWritten { reason }),
        Event::Expired { .. } | Event::Found(Boot::Same | Boot::New)
            if attempt < COMMIT_ATTEMPTS =>
        {
            to(
                Phase::Committing {
                    evidence: evidence.clone(),
                    attempt: attempt + 1,
                },
                Effect::SetProfile,
            )
        }
        Event::Expired { .. } | Event::Found(Boot::Same | Boot::New) => revert(
            phase,
            Cause::CommitFailed {
                reason: format!("interrupted {attempt} times"),
            },
        ),
        Event::Found(Boot::Old | Boot::Other) => {
            revert_what(Cause::Crashed, Touched::PERSISTENT, false)
        }
        Event::FoundGoingBack(boot) => go_on_back(boot),
        Event::OperatorReverts => revert(phase, Cause::Operator),
        _ => to(phase.clone(), Effect::Nothing),
    }
}

pub(super) fn confirmed(phase: &Phase, evidence: &Evidence, event: Event) -> Step {
    match event {
        Event::Closed => to(Phase::Idle, Effect::Nothing),
        // A write that reported an error may have reached the disk all the same. Then the revert
        // that followed it is what happened.
        Event::Found(Boot::Old) => revert_what(Cause::Crashed, Touched::PERSISTENT, false),
        Event::FoundGoingBack(boot) => go_on_back(boot),
        // An operator comes too late to revert it, and has ended whoever did the bookkeeping.
        Event::Found(_) | Event::Expired { .. } | Event::OperatorReverts => to(
            Phase::Confirmed {
                evidence: evidence.clone(),
            },
            Effect::Close,
        ),
        _ => to(phase.clone(), Effect::Nothing),
    }
}
