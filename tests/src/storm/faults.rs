//! What goes wrong in the storm, or is done by an operator, and when.

use std::fmt;
use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::commits::name;

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The switcher is killed.
    KillSwitcher,
    /// The run of `switch-to-configuration`.
    KillSwitch,
    /// The pass.
    KillPass,
    /// The verification.
    KillVerify,
    /// All that is named after Nixus.
    KillAll,
    /// Nix, whatever it does.
    KillNix,
    /// What Nix has started.
    KillBuilders,
    /// The host's processes and `/run` are lost.
    PowerCut,
    /// Again while it boots.
    PowerCutAgain,
    /// The network plug is pulled for a while.
    LinkLoss,
    /// The git server is off for a while.
    ServerAway,
    /// The disk that all hosts and the git server are on is full for a while.
    DiskFull,
    /// An operator holds the host still for a while.
    Suspend,
    Resume,
    Revert,
    Confirm,
    Reboot,
    Retry,
    /// `nixus rollback` to a generation that is not there.
    RollbackWrong,
    Check,
    Status,
}

/// When it happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Moment {
    /// So many milliseconds after the first commit was pushed.
    AfterPush(u64),
    /// So many milliseconds after the host was seen in this phase of a deployment, or after it was waited for that in
    /// vain.
    In(Phase, u64),
}

/// What a deployment goes through, as `nixus-switcher status` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    Activating,
    OnTrial,
    Committing,
    Reverting,
}

/// One thing that goes wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    pub kind: Kind,
    /// Where; what meets the server or the disk meets all.
    pub host: String,
    pub moment: Moment,
    /// How often.
    pub times: u32,
    /// How long it lasts, and how long it takes until it happens again, in milliseconds.
    pub pause: u64,
}

impl Kind {
    /// Its name in tables.
    pub fn name(self) -> String {
        name(self)
    }

    /// Whether it meets what a push needs: then it begins after the last one.
    pub fn meets_pushes(self) -> bool {
        matches!(self, Self::ServerAway | Self::DiskFull)
    }

    /// Whether it may end a deployment in the middle: a host that met two in a row blames the commit.
    pub fn interrupts(self) -> bool {
        matches!(
            self,
            Self::KillSwitcher
                | Self::KillSwitch
                | Self::KillVerify
                | Self::KillAll
                | Self::PowerCut
                | Self::PowerCutAgain
                | Self::Reboot
        )
    }
}

impl Phase {
    /// The word for it.
    pub fn name(self) -> String {
        name(self)
    }
}

impl Fault {
    /// The pause between two times, or how long it lasts.
    pub fn pause(&self) -> Duration {
        Duration::from_millis(self.pause)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.host, self.kind.name())?;
        match self.moment {
            Moment::AfterPush(after) => write!(f, " after {after} ms")?,
            Moment::In(phase, after) => write!(f, " {after} ms after {}", phase.name())?,
        }
        write!(f, " ({} times, {} ms)", self.times, self.pause)
    }
}
