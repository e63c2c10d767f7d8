//! The decisions of a deployment: `step(phase, event) -> (phase, effect)`. No file, clock,
//! environment or process is touched here.

use crate::decide::phase::Phase;
use crate::protocol::{Cause, Evidence};

mod back;
mod boot;
mod forward;

use back::{came_back, ended, refuse, revert, reverting, stuck};
use boot::{boot_trial, booted};
use forward::{committing, confirmed, interrupted, staged};

/// How often a commit that was interrupted is tried.
pub const COMMIT_ATTEMPTS: u8 = 2;
/// How often the old system is put back before the last resort.
pub const REVERT_ATTEMPTS: u8 = 2;
/// How often a boot is tried that crashes before it has proved itself.
pub const BOOTS_TRIED: u8 = 2;
/// How often a booted system is asked to prove itself where its switcher dies.
pub const BOOT_TRIAL_ATTEMPTS: u8 = 2;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A request arrived.
    Requested,
    /// The candidate is sound and rooted, and what was there before is known.
    StageDone,
    /// The candidate was turned down, or has itself refused.
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
    /// The boot loader is made to start the candidate.
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
    /// The deployment was found, and in this boot somebody had begun to go back. The journal does
    /// not know of it: it could not be written then.
    FoundGoingBack(Boot),
    /// An operator wants the old system back.
    OperatorReverts,
    /// The machine has booted the default, which was confirmed in place and never booted before.
    BootedUnproven {
        /// Its trial at this boot was inconclusive already.
        late: bool,
    },
    /// Somebody comes back once the units are up.
    UnitsAwaited,
    /// The units are up, as far as they come.
    UnitsUp,
    /// There is a carrier, or it was waited for long enough.
    NetworkAwaited,
    /// What was looked for: what is not as it was before, in words.
    Looked(Option<String>),
    /// Nothing is wrong with the booted system itself, but it could not prove that it works.
    BootInconclusive(Cause),
}

/// The boot in which an open deployment was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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

/// A part of the rollback, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Nothing: the switcher's run ends.
    Nothing,
    /// Inspect and root the candidate, and record what is there now.
    Stage,
    /// See that the watchdog is armed, and that the candidate has nothing against being switched to.
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
    /// Have somebody come back once the units are up; nobody may be kept from booting.
    AwaitUnits,
    /// Wait for a carrier, within its bound.
    AwaitNetwork,
    /// See whether all is again as it was before.
    Look,
    /// Start the booted system's `nixus-verify.service` and wait for what it says.
    VerifyBoot,
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
        (Phase::Idle, Event::BootedUnproven { late }) => {
            to(Phase::Booted { boots: 1, late }, Effect::AwaitUnits)
        }
        (Phase::Idle | Phase::Staged | Phase::Armed, Event::WatchdogFailed(reason)) => {
            refuse(Cause::NotReady { reason })
        }
        (Phase::Staged | Phase::Armed, Event::StateNotWritten(reason)) => {
            refuse(Cause::StateNotWritten { reason })
        }
        (Phase::Staged, event) => staged(event),
        // Nothing has changed yet.
        (Phase::Armed, Event::StageFailed(cause)) => refuse(cause),
        (Phase::Armed, Event::ActivationFailed(cause)) => revert(phase, cause),
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
        (Phase::Booted { boots, late }, event) => booted(phase, *boots, *late, event),
        (
            Phase::BootTrial {
                attempt,
                boots,
                late,
            },
            event,
        ) => boot_trial(phase, *attempt, *boots, *late, event),
        (Phase::Reverting(revert), event) => reverting(revert, event),
        (Phase::CameBack(revert), event) => came_back(phase, revert, event),
        (Phase::BootProven { .. } | Phase::Reverted { .. } | Phase::Refused { .. }, event) => {
            ended(phase, event)
        }
        (Phase::Stuck { .. }, event) => stuck(phase, event),
        (Phase::Idle, _) => to(Phase::Idle, Effect::Nothing),
    }
}

#[cfg(test)]
mod tests;
