//! The phases of a deployment, as they are kept in the journal.

use serde::{Deserialize, Serialize};

use crate::protocol::{Cause, Evidence};

/// Where a deployment is. What a phase says is durable before the effect that it leads to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case")]
pub enum Phase {
    /// No deployment is open.
    Idle,
    /// The candidate is inspected and rooted. Nothing on the host has changed.
    Staged,
    /// What was there before is recorded and the watchdog is started. Nothing has changed yet.
    Armed,
    /// `switch-to-configuration test` of the candidate may be running.
    Activating,
    /// The candidate runs and has to prove itself. Nothing persistent points at it.
    OnTrial,
    /// The candidate has proved itself; the profile and the boot loader are being set.
    Committing {
        /// The proof, with this deployment's id and the trial's boot id.
        evidence: Evidence,
        /// Counts from 1; a commit that was interrupted is tried again.
        attempt: u8,
    },
    /// The candidate is kept. What is left is bookkeeping.
    Confirmed {
        /// The proof.
        evidence: Evidence,
    },
    /// The machine has booted what was only confirmed in place. Its units are coming up.
    Booted {
        /// Counts from 1; a boot that crashed is tried again.
        boots: u8,
        /// A trial at boot was inconclusive; by now a failure need not be the boot's.
        late: bool,
    },
    /// The system that was booted has to prove itself.
    BootTrial {
        /// Counts from 1; a switcher that died on trial is followed by another one.
        attempt: u8,
        /// As in `Booted`.
        boots: u8,
        /// As in `Booted`.
        late: bool,
    },
    /// It has proved that it boots. What is left is bookkeeping.
    BootProven {
        /// The proof.
        evidence: Evidence,
    },
    /// The old system is being put back.
    Reverting(Revert),
    /// The machine was rebooted into the old system because it was damaged. Whether that has helped is
    /// looked at once its units are up.
    CameBack(Revert),
    /// The old system is back. What is left is bookkeeping.
    Reverted {
        /// Why it was put back.
        cause: Cause,
    },
    /// Nothing was changed. What is left is bookkeeping.
    Refused {
        /// Why nothing was changed.
        cause: Cause,
    },
    /// The old system could not be put back. No more activations until an operator, or a boot into
    /// the old system, has ended this.
    Stuck {
        /// Why the old system was to be put back.
        cause: Cause,
        /// What is not as it was.
        touched: Touched,
        /// What could not be put right.
        damage: String,
        /// It is in the history.
        recorded: bool,
    },
}

/// A rollback that is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revert {
    /// Why.
    pub cause: Cause,
    /// What has to be put back.
    pub touched: Touched,
    /// Counts from 1.
    pub attempt: u8,
    /// What this attempt could not put right so far.
    pub damage: Option<String>,
    /// The one reboot that a revert may cause has been asked for.
    pub rebooted: bool,
    /// The machine has come back from it.
    #[serde(default)]
    pub came_back: bool,
    /// The system that is left did not prove that it boots: what runs is put back by a reboot.
    #[serde(default)]
    pub by_reboot: bool,
}

/// What a deployment may have changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touched {
    /// The running system.
    pub system: bool,
    /// The system profile and the boot loader.
    pub persistent: bool,
}

impl Touched {
    /// Nothing has changed.
    pub const NOTHING: Self = Self {
        system: false,
        persistent: false,
    };
    /// Only the running system may have changed.
    pub const SYSTEM: Self = Self {
        system: true,
        persistent: false,
    };
    /// Only the profile and the boot loader may have changed.
    pub const PERSISTENT: Self = Self {
        system: false,
        persistent: true,
    };
    /// Everything may have changed.
    pub const ALL: Self = Self {
        system: true,
        persistent: true,
    };
}

/// A phase without what it carries; the names that people and command lines use. They are in the
/// order in which a deployment can pass through them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "each is documented at the phase of its name")]
pub enum PhaseName {
    Idle,
    Staged,
    Armed,
    Activating,
    OnTrial,
    Committing,
    Confirmed,
    Booted,
    BootTrial,
    BootProven,
    Reverting,
    CameBack,
    Reverted,
    Refused,
    Stuck,
}

impl PhaseName {
    /// The name as it is written in unit names, in JSON and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Staged => "staged",
            Self::Armed => "armed",
            Self::Activating => "activating",
            Self::OnTrial => "on-trial",
            Self::Committing => "committing",
            Self::Confirmed => "confirmed",
            Self::Booted => "booted",
            Self::BootTrial => "boot-trial",
            Self::BootProven => "boot-proven",
            Self::Reverting => "reverting",
            Self::CameBack => "came-back",
            Self::Reverted => "reverted",
            Self::Refused => "refused",
            Self::Stuck => "stuck",
        }
    }

    /// Whether the watchdog of phase `timer` still has a say when the deployment is in this phase.
    /// A timer that outlived its phase must not end the next one; one that was armed early, before
    /// its phase became durable, must not be lost. Bookkeeping may be finished by any of them.
    pub fn is_watched_by(self, timer: Self) -> bool {
        match self {
            Self::Idle | Self::Stuck => false,
            _ if self.is_bookkeeping() => true,
            _ => self <= timer,
        }
    }
}

impl PhaseName {
    /// Whether all is decided, and is only reported and tidied up.
    pub fn is_bookkeeping(self) -> bool {
        matches!(
            self,
            Self::Confirmed | Self::BootProven | Self::Reverted | Self::Refused
        )
    }
}

impl std::fmt::Display for PhaseName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Phase {
    /// The name of this phase.
    pub fn name(&self) -> PhaseName {
        match self {
            Self::Idle => PhaseName::Idle,
            Self::Staged => PhaseName::Staged,
            Self::Armed => PhaseName::Armed,
            Self::Activating => PhaseName::Activating,
            Self::OnTrial => PhaseName::OnTrial,
            Self::Committing { .. } => PhaseName::Committing,
            Self::Confirmed { .. } => PhaseName::Confirmed,
            Self::Booted { .. } => PhaseName::Booted,
            Self::BootTrial { .. } => PhaseName::BootTrial,
            Self::BootProven { .. } => PhaseName::BootProven,
            Self::Reverting(_) => PhaseName::Reverting,
            Self::CameBack(_) => PhaseName::CameBack,
            Self::Reverted { .. } => PhaseName::Reverted,
            Self::Refused { .. } => PhaseName::Refused,
            Self::Stuck { .. } => PhaseName::Stuck,
        }
    }

    /// The phase whose watchdog must be armed before this one becomes durable. Bookkeeping keeps
    /// the watchdog that it finds.
    pub fn watch(&self) -> Option<PhaseName> {
        match self {
            Self::Armed => Some(PhaseName::Activating),
            Self::Staged
            | Self::Activating
            | Self::OnTrial
            | Self::Committing { .. }
            | Self::Booted { .. }
            | Self::BootTrial { .. }
            | Self::CameBack(_)
            | Self::Reverting(_) => Some(self.name()),
            _ => None,
        }
    }

    /// Whether this phase leads to the old system. A state file that cannot be written stops every
    /// step forward, never the rollback.
    pub fn is_way_back(&self) -> bool {
        matches!(
            self,
            Self::Reverting(_)
                | Self::CameBack(_)
                | Self::Reverted { .. }
                | Self::Refused { .. }
                | Self::Stuck { .. }
        )
    }

    /// What may have changed when a deployment in this phase was cut off.
    pub fn touched(&self) -> Touched {
        match self {
            Self::Idle
            | Self::Staged
            | Self::BootProven { .. }
            | Self::CameBack(_)
            | Self::Reverted { .. }
            | Self::Refused { .. } => Touched::NOTHING,
            Self::Armed | Self::Activating | Self::OnTrial => Touched::SYSTEM,
            Self::Committing { .. }
            | Self::Confirmed { .. }
            | Self::Booted { .. }
            | Self::BootTrial { .. } => Touched::ALL,
            Self::Reverting(revert) => revert.touched,
            Self::Stuck { touched, .. } => *touched,
        }
    }
}
