//! The decisions of a deployment: `step(phase, event) -> (phase, effect)`. No file, clock,
//! environment or process is touched here.

use crate::phase::{Phase, Revert, Touched};
use crate::protocol::{Cause, Evidence};

/// How often a commit that was interrupted is tried.
pub const COMMIT_ATTEMPTS: u8 = 2;
/// How often the old system is put back before the last resort.
pub const REVERT_ATTEMPTS: u8 = 2;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A request arrived.
    Requested,
    /// The candidate is sound and rooted, and what was there before is known.
    StageDone,
    /// The candidate was turned down.
    StageFailed(Cause),
    /// The phase's watchdog is seen to be armed.
    WatchdogSeen,
    /// The next phase's watchdog could not be armed, or is not seen to be.
    WatchdogFailed(String),
    /// The next phase, or the end of the deployment, could not be made durable.
    StateNotWritten(String),
    /// The candidate runs.
    Activated,
    /// The candidate's activation failed, or ran too long.
    ActivationFailed(Cause),
    /// Somebody else is switching; the candidate's activation did not begin.
    ActivationBusy,
    /// The candidate, or an operator, proved that it works.
    Verified(Evidence),
    /// It did not prove it.
    NotVerified(Cause),
    /// The system profile names the candidate.
    ProfileSet,
    /// The boot loader was told to start the candidate.
    BootInstalled,
    /// All is on disk, and what the boot loader starts was read back.
    CommitChecked,
    /// One of these three failed.
    CommitFailed(String),
    /// One part of the old system was put back; or not quite, and then what is wrong.
    Restored(Restore, Option<String>),
    /// After attempts that failed: whether the boot loader is seen to start the old system.
    BootDefault {
        /// It is seen to.
        old: bool,
    },
    /// The machine is going down.
    Rebooting,
    /// The machine could not be rebooted.
    RebootFailed(String),
    /// The history, the roots and the watchdogs are settled.
    Closed,
    /// The phase's watchdog fired, and all that still ran of the deployment was killed.
    Expired {
        /// The switcher was there, and over its time; else it had died before.
        alive: bool,
        /// The limit of the phase, in seconds.
        limit: u64,
    },
    /// The deployment was found open by somebody new.
    Found(Boot),
    /// An operator wants the old system back.
    OperatorReverts,
}

/// The boot in which an open deployment was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boot {
    /// The boot it began in: the switcher died.
    Same,
    /// A later boot, into the old system: the machine crashed, or was rebooted.
    Old,
    /// A later boot, into the candidate.
    New,
    /// A later boot, into a third system: somebody's rescue.
    Other,
}

/// A part of the way back, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Restore {
    /// `switch-to-configuration test` of the old system.
    System,
    /// The system profile.
    Profile,
    /// `switch-to-configuration boot` of the system that was the default before.
    Boot,
    /// The units that were active before.
    Units,
}

/// What to do next, once the phase that asks for it is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing: the switcher's run ends.
    Nothing,
    /// Inspect and root the candidate, and record what is there now.
    Stage,
    /// See that the watchdog is armed.
    SeeWatchdog,
    /// `switch-to-configuration test` of the candidate.
    Activate,
    /// Start the candidate's `nixus-verify.service` and wait for what it says.
    Verify,
    /// Make the system profile name the candidate.
    SetProfile,
    /// `switch-to-configuration boot` of the candidate.
    InstallBoot,
    /// Sync, and read back the profile and what the boot loader starts.
    CheckCommit,
    /// Put one part of the old system back.
    Restore(Restore),
    /// Read back what the boot loader starts.
    SeeBootDefault,
    /// Reboot the machine.
    Reboot,
    /// Write the history, drop roots, and wake the reconciler.
    Close,
}

/// One decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// The phase that is durable before the effect.
    pub phase: Phase,
    /// What follows.
    pub effect: Effect,
}

fn to(phase: Phase, effect: Effect) -> Step {
    Step { phase, effect }
}

/// Decides what follows from `event` in `phase`. Total: what has no meaning in a phase changes
/// nothing and ends the run.
pub fn step(phase: &Phase, event: Event) -> Step {
    match (phase, event) {
        // Nothing that was decided before can come up again, in whatever order messages arrive.
        (Phase::Idle, Event::Requested) => to(Phase::Staged, Effect::Stage),
        (Phase::Idle | Phase::Staged | Phase::Armed, Event::WatchdogFailed(reason)) => {
            refuse(Cause::NotReady { reason })
        }
        (Phase::Staged | Phase::Armed, Event::StateNotWritten(reason)) => {
            refuse(Cause::StateNotWritten { reason })
        }
        (Phase::Staged, event) => staged(event),
        (Phase::Armed, Event::WatchdogSeen) => to(Phase::Activating, Effect::Activate),
        (Phase::Activating, Event::Activated) => to(Phase::OnTrial, Effect::Verify),
        (Phase::Activating, Event::ActivationFailed(cause)) => revert(phase, cause),
        (Phase::Activating, Event::ActivationBusy) => refuse(Cause::Busy),
        (Phase::OnTrial, Event::Verified(evidence)) => to(
            Phase::Committing {
                evidence,
                attempt: 1,
            },
            Effect::SetProfile,
        ),
        (Phase::OnTrial, Event::NotVerified(cause)) => revert(phase, cause),
        (Phase::Armed | Phase::Activating | Phase::OnTrial, event) => interrupted(phase, event),
        (Phase::Committing { evidence, attempt }, event) => {
            committing(phase, evidence, *attempt, event)
        }
        (Phase::Confirmed { evidence }, event) => confirmed(phase, evidence, event),
        (Phase::Reverting(revert), event) => reverting(revert, event),
        (Phase::Reverted { .. } | Phase::Refused { .. }, event) => ended(phase, event),
        (Phase::Stuck { .. }, event) => stuck(phase, event),
        (Phase::Idle, _) => to(Phase::Idle, Effect::Nothing),
    }
}

fn refuse(cause: Cause) -> Step {
    to(Phase::Refused { cause }, Effect::Close)
}

fn revert(from: &Phase, cause: Cause) -> Step {
    revert_what(cause, from.touched(), false)
}

fn revert_what(cause: Cause, touched: Touched, rebooted: bool) -> Step {
    match first(touched) {
        None => to(Phase::Reverted { cause }, Effect::Close),
        Some(restore) => to(
            Phase::Reverting(Revert {
                cause,
                touched,
                attempt: 1,
                damage: None,
                rebooted,
            }),
            Effect::Restore(restore),
        ),
    }
}

/// Where the way back begins.
fn first(touched: Touched) -> Option<Restore> {
    if touched.system {
        Some(Restore::System)
    } else if touched.persistent {
        Some(Restore::Profile)
    } else {
        None
    }
}

/// What comes after one part of the way back.
fn next(done: Restore, touched: Touched) -> Option<Restore> {
    match done {
        Restore::System if touched.persistent => Some(Restore::Profile),
        Restore::System => Some(Restore::Units),
        Restore::Profile => Some(Restore::Boot),
        // A boot into the old system starts its units itself, and may still be doing so.
        Restore::Boot if touched.system => Some(Restore::Units),
        Restore::Boot | Restore::Units => None,
    }
}

fn staged(event: Event) -> Step {
    match event {
        Event::StageDone => to(Phase::Armed, Effect::SeeWatchdog),
        Event::StageFailed(cause) => refuse(cause),
        Event::Expired { .. } | Event::Found(Boot::Same) => refuse(Cause::SwitcherDied),
        Event::Found(_) => refuse(Cause::Crashed),
        Event::OperatorReverts => refuse(Cause::Operator),
        _ => to(Phase::Staged, Effect::Nothing),
    }
}

/// What else can happen between arming and the proof: each of these is a way back.
fn interrupted(phase: &Phase, event: Event) -> Step {
    match event {
        Event::WatchdogFailed(reason) => revert(phase, Cause::NotReady { reason }),
        Event::StateNotWritten(reason) => revert(phase, Cause::StateNotWritten { reason }),
        Event::Expired { alive: false, .. } | Event::Found(Boot::Same) => {
            revert(phase, Cause::SwitcherDied)
        }
        Event::Expired { alive: true, limit } => revert(
            phase,
            match phase {
                Phase::OnTrial => Cause::NotConfirmed { seconds: limit },
                _ => Cause::ActivationTimedOut { seconds: limit },
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

fn committing(phase: &Phase, evidence: &Evidence, attempt: u8, event: Event) -> Step {
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
        Event::OperatorReverts => revert(phase, Cause::Operator),
        _ => to(phase.clone(), Effect::Nothing),
    }
}

fn confirmed(phase: &Phase, evidence: &Evidence, event: Event) -> Step {
    match event {
        Event::Closed => to(Phase::Idle, Effect::Nothing),
        // A write that reported an error may have reached the disk all the same. Then the revert
        // that followed it is what happened.
        Event::Found(Boot::Old) => revert_what(Cause::Crashed, Touched::PERSISTENT, false),
        Event::Found(_) | Event::Expired { .. } => to(
            Phase::Confirmed {
                evidence: evidence.clone(),
            },
            Effect::Close,
        ),
        _ => to(phase.clone(), Effect::Nothing),
    }
}

fn reverting(revert: &Revert, event: Event) -> Step {
    let same = |effect| to(Phase::Reverting(revert.clone()), effect);
    match event {
        Event::Restored(part, damage) => {
            let revert = Revert {
                damage: revert.damage.clone().or(damage),
                ..revert.clone()
            };
            match next(part, revert.touched) {
                Some(part) => to(Phase::Reverting(revert), Effect::Restore(part)),
                None => finish(revert),
            }
        }
        Event::BootDefault { old: true } if !revert.rebooted => to(
            Phase::Reverting(Revert {
                rebooted: true,
                ..revert.clone()
            }),
            Effect::Reboot,
        ),
        Event::BootDefault { .. } => give_up(revert, None),
        Event::RebootFailed(reason) => give_up(revert, Some(reason)),
        // The watchdog found an attempt that died or hung: one attempt less.
        Event::Expired { .. } => finish(Revert {
            damage: Some("putting the old system back did not end in time".to_owned()),
            ..revert.clone()
        }),
        Event::Found(boot) => {
            let touched = match boot {
                Boot::Same => revert.touched,
                Boot::New => Touched::ALL,
                Boot::Old | Boot::Other => Touched {
                    system: false,
                    ..revert.touched
                },
            };
            match first(touched) {
                None => to(
                    Phase::Reverted {
                        cause: revert.cause.clone(),
                    },
                    Effect::Close,
                ),
                Some(part) => to(
                    Phase::Reverting(Revert {
                        touched,
                        damage: None,
                        ..revert.clone()
                    }),
                    Effect::Restore(part),
                ),
            }
        }
        Event::OperatorReverts => match first(revert.touched) {
            Some(part) => same(Effect::Restore(part)),
            None => same(Effect::Nothing),
        },
        _ => same(Effect::Nothing),
    }
}

/// One attempt to put the old system back has ended.
fn finish(revert: Revert) -> Step {
    match (&revert.damage, first(revert.touched)) {
        (None, _) | (_, None) => to(
            Phase::Reverted {
                cause: revert.cause,
            },
            Effect::Close,
        ),
        (Some(_), Some(part)) if revert.attempt < REVERT_ATTEMPTS => to(
            Phase::Reverting(Revert {
                attempt: revert.attempt + 1,
                damage: None,
                ..revert
            }),
            Effect::Restore(part),
        ),
        (Some(_), Some(_)) => to(Phase::Reverting(revert), Effect::SeeBootDefault),
    }
}

fn give_up(revert: &Revert, reason: Option<String>) -> Step {
    let damage = [revert.damage.clone(), reason]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join("; ");
    to(
        Phase::Stuck {
            cause: revert.cause.clone(),
            touched: revert.touched,
            damage,
            recorded: false,
        },
        Effect::Close,
    )
}

fn ended(phase: &Phase, event: Event) -> Step {
    match event {
        Event::Closed => to(Phase::Idle, Effect::Nothing),
        Event::Found(_) | Event::Expired { .. } | Event::OperatorReverts => {
            to(phase.clone(), Effect::Close)
        }
        _ => to(phase.clone(), Effect::Nothing),
    }
}

fn stuck(phase: &Phase, event: Event) -> Step {
    let Phase::Stuck {
        cause,
        touched,
        damage,
        recorded,
    } = phase
    else {
        return to(phase.clone(), Effect::Nothing);
    };
    match event {
        Event::Closed => to(
            Phase::Stuck {
                cause: cause.clone(),
                touched: *touched,
                damage: damage.clone(),
                recorded: true,
            },
            Effect::Nothing,
        ),
        Event::OperatorReverts => revert_what(cause.clone(), *touched, true),
        // A boot into the old system repairs what runs; the rest is put right now.
        Event::Found(Boot::Old) => {
            let touched = Touched {
                system: false,
                ..*touched
            };
            revert_what(cause.clone(), touched, true)
        }
        Event::Found(_) if !recorded => to(phase.clone(), Effect::Close),
        _ => to(phase.clone(), Effect::Nothing),
    }
}

#[cfg(test)]
#[path = "transaction_tests.rs"]
mod tests;
