//! Why nothing can be done now: each reason once, in words and for machines.

use std::fmt;

use jiff::Timestamp;
use nixus_switcher::protocol::{DeploymentId, Toplevel};
use nixus_switcher::state::journal::WAY_ON;
use serde::{Deserialize, Serialize};

use super::Gap;
use crate::decide::commit_id::CommitId;

/// Why nothing can be done now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum Reason {
    /// This host is on the head of the branch.
    UpToDate {
        /// The head.
        commit: CommitId,
    },
    /// `nixus adopt` has not been run.
    NotAdopted,
    /// The switcher is at work.
    DeploymentOpen {
        /// On which deployment.
        deployment: DeploymentId,
    },
    /// The deployment that was waited for has ended, and no pass has followed yet. Only whoever looks between
    /// two passes sees this.
    DeploymentEnded {
        /// Which.
        deployment: DeploymentId,
    },
    /// The switcher could not bring either system to work.
    Stuck {
        /// In which deployment.
        deployment: DeploymentId,
    },
    /// The head failed here before.
    Quarantined {
        /// The head.
        commit: CommitId,
        /// How it failed.
        why: String,
    },
    /// Trials of the head's system were inconclusive, again and again.
    Inconclusive {
        /// The head.
        commit: CommitId,
        /// What could not be found out.
        why: String,
    },
    /// The head's system cannot take over from the one that runs.
    RebootNeeded {
        /// The head.
        commit: CommitId,
        /// The head's system.
        toplevel: Toplevel,
        /// What changes.
        #[serde(default)]
        why: String,
    },
    /// CI has not built the head for this host.
    NoManifest {
        /// The head.
        commit: CommitId,
        /// What is missing.
        gap: Gap,
    },
    /// The running system is not fit to be changed.
    Baseline {
        /// The head.
        commit: CommitId,
        /// What is wrong before any change.
        why: String,
    },
    /// Peers are on trial: hosts that look after each other go one after the other.
    PeersOnTrial {
        /// The head.
        commit: CommitId,
        /// Since when this host waits for them.
        since: Timestamp,
    },
    /// The head is not a descendant of the accepted commit.
    HistoryRewritten {
        /// The head.
        commit: CommitId,
        /// The accepted commit.
        accepted: CommitId,
    },
    /// Something failed that may work later.
    BackingOff {
        /// Until when.
        until: Timestamp,
        /// What failed.
        why: String,
    },
    /// The repository does not have the branch.
    NoBranch,
    /// Somebody picked another generation in the boot menu.
    BootedOther,
    /// The next boot would start another system than the one that is kept: somebody changed the system
    /// profile or the boot loader's default by hand.
    Drifted {
        /// The commit that is kept.
        commit: CommitId,
        /// What the next boot would start.
        next_boot: Toplevel,
    },
    /// The next boot starts another system than the one that is kept, whatever a deployment makes the default:
    /// by a variable of the firmware, or by what the boot loader remembers.
    BootPinned {
        /// The commit that is kept.
        commit: CommitId,
        /// What does that, and what undoes it.
        how: String,
    },
    /// A state file is not usable, and with it is lost what must not be activated.
    StateDamaged {
        /// The file, where it is now.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// The switcher's journal is not usable: cannot determine whether a deployment is in progress.
    JournalDamaged {
        /// What is wrong with it.
        why: String,
    },
    /// A pass outlived its limit, or passes are kept out for longer than one may take.
    PassOverdue {
        /// Since when.
        since: Timestamp,
        /// What became of it.
        why: String,
    },
    /// An operator holds this host still.
    Suspended {
        /// Until when; until `nixus resume` where there is none.
        until: Option<Timestamp>,
        /// Why, in the operator's words.
        why: Option<String>,
    },
}

impl Reason {
    /// The word for machines: the same as in JSON.
    pub fn word(&self) -> &'static str {
        match self {
            Self::UpToDate { .. } => "up-to-date",
            Self::NotAdopted => "not-adopted",
            Self::DeploymentOpen { .. } => "deployment-open",
            Self::DeploymentEnded { .. } => "deployment-ended",
            Self::Stuck { .. } => "stuck",
            Self::Quarantined { .. } => "quarantined",
            Self::Inconclusive { .. } => "inconclusive",
            Self::RebootNeeded { .. } => "reboot-needed",
            Self::NoManifest { .. } => "no-manifest",
            Self::Baseline { .. } => "baseline",
            Self::PeersOnTrial { .. } => "peers-on-trial",
            Self::HistoryRewritten { .. } => "history-rewritten",
            Self::BackingOff { .. } => "backing-off",
            Self::NoBranch => "no-branch",
            Self::BootedOther => "booted-other",
            Self::Drifted { .. } => "drifted",
            Self::BootPinned { .. } => "boot-pinned",
            Self::StateDamaged { .. } => "state-damaged",
            Self::JournalDamaged { .. } => "journal-damaged",
            Self::PassOverdue { .. } => "pass-overdue",
            Self::Suspended { .. } => "suspended",
        }
    }

    /// Whether nothing goes on before an operator has done something on the host, or to the repository's history.
    /// A commit that failed is none of that: the next one is deployed.
    pub fn needs_operator(&self) -> bool {
        match self {
            Self::NotAdopted
            | Self::Stuck { .. }
            | Self::RebootNeeded { .. }
            | Self::HistoryRewritten { .. }
            | Self::BootedOther
            | Self::Drifted { .. }
            | Self::BootPinned { .. }
            | Self::StateDamaged { .. }
            | Self::JournalDamaged { .. }
            | Self::PassOverdue { .. } => true,
            Self::UpToDate { .. }
            | Self::DeploymentOpen { .. }
            | Self::DeploymentEnded { .. }
            | Self::Quarantined { .. }
            | Self::Inconclusive { .. }
            | Self::NoManifest { .. }
            | Self::Baseline { .. }
            | Self::PeersOnTrial { .. }
            | Self::BackingOff { .. }
            | Self::NoBranch
            | Self::Suspended { .. } => false,
        }
    }

    /// The commit that it is about.
    pub fn commit(&self) -> Option<&CommitId> {
        match self {
            Self::UpToDate { commit }
            | Self::Quarantined { commit, .. }
            | Self::Inconclusive { commit, .. }
            | Self::RebootNeeded { commit, .. }
            | Self::NoManifest { commit, .. }
            | Self::Baseline { commit, .. }
            | Self::PeersOnTrial { commit, .. }
            | Self::Drifted { commit, .. }
            | Self::BootPinned { commit, .. }
            | Self::HistoryRewritten { commit, .. } => Some(commit),
            _ => None,
        }
    }

    /// The deployment that it is about.
    pub fn deployment(&self) -> Option<&DeploymentId> {
        match self {
            Self::DeploymentOpen { deployment }
            | Self::DeploymentEnded { deployment }
            | Self::Stuck { deployment } => Some(deployment),
            _ => None,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UpToDate { commit } => write!(f, "up to date with {}", commit.short()),
            Self::NotAdopted => f.write_str("not adopted yet: run `nixus adopt`"),
            Self::DeploymentOpen { deployment } => {
                write!(f, "deployment {deployment} is under way")
            }
            Self::DeploymentEnded { deployment } => {
                write!(
                    f,
                    "deployment {deployment} has ended, and a pass is to follow"
                )
            }
            Self::Stuck { deployment } => write!(
                f,
                "stuck in deployment {deployment}: see `nixus-switcher status`, then `nixus-switcher revert`"
            ),
            Self::Quarantined { commit, why } => write!(
                f,
                "{} failed here and is not tried again: {why}",
                commit.short()
            ),
            Self::Inconclusive { commit, why } => write!(
                f,
                "gave up on {}: every trial was inconclusive: {why}",
                commit.short()
            ),
            Self::RebootNeeded { commit, why, .. } => write!(
                f,
                "{} waits for a reboot, its system cannot take over from the one that runs: {why}",
                commit.short()
            ),
            Self::NoManifest { commit, gap } => {
                write!(f, "{} waits for CI: {gap}", commit.short())
            }
            Self::Baseline { commit, why } => write!(
                f,
                "{} waits, the running system is not fit to be changed: {why}",
                commit.short()
            ),
            Self::PeersOnTrial { commit, since } => write!(
                f,
                "{} waits since {since:.0}: peers are on trial",
                commit.short()
            ),
            Self::HistoryRewritten { commit, accepted } => write!(
                f,
                "{} is refused: it does not descend from {}, which this host accepted",
                commit.short(),
                accepted.short()
            ),
            Self::BackingOff { until, why } => write!(f, "trying again at {until:.0}: {why}"),
            Self::NoBranch => f.write_str("the repository does not have the branch"),
            Self::BootedOther => {
                f.write_str("an older generation was picked in the boot menu and is left alone")
            }
            Self::Drifted { commit, next_boot } => write!(
                f,
                "{} runs, but by hand the next boot was given {next_boot}",
                commit.short()
            ),
            Self::BootPinned { commit, how } => write!(
                f,
                "{} runs, but the next boot starts something else: {how}",
                commit.short()
            ),
            Self::StateDamaged { file, why } => write!(
                f,
                "{file} {why}: nothing is activated until `nixus adopt --again`"
            ),
            Self::JournalDamaged { why } => write!(f, "{why}: {WAY_ON}"),
            Self::PassOverdue { since, why } => write!(f, "{why}, since {since:.0}"),
            Self::Suspended { until, why } => {
                f.write_str("suspended")?;
                match until {
                    Some(until) => write!(f, " until {until:.0}")?,
                    None => f.write_str(" until `nixus resume`")?,
                }
                why.as_ref().map_or(Ok(()), |why| write!(f, ": {why}"))
            }
        }
    }
}
