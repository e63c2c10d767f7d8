//! Decides what a pass does next. Pure: an observation goes in, one action comes out.
//!
//! Invariants: nothing quarantined, nothing but a descendant of the accepted commit, and nothing
//! while a deployment is open is ever activated; after a success the answer is `UpToDate`.

use std::fmt;

use jiff::Timestamp;
use nixus_switcher::protocol::{DeploymentId, Toplevel};
use serde::{Deserialize, Serialize};

use crate::commit_id::CommitId;
use crate::ledger::Ledger;
use crate::suspension::Suspension;

/// What this pass has learned of the branch so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Head {
    /// Not asked yet.
    Unknown,
    /// The repository was asked and has no such branch.
    Missing,
    /// The branch is at this commit.
    At(CommitId),
}

/// How the head relates to the accepted commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ancestry {
    /// The head has not been fetched yet.
    NotFetched,
    /// It is the accepted commit or a descendant.
    Descends,
    /// It is neither: somebody rewrote history.
    Rewritten,
}

/// A deployment that the switcher has not ended yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenDeployment {
    /// Which.
    pub deployment: DeploymentId,
    /// Whether only an operator can end it.
    pub stuck: bool,
}

/// Everything that the decision rests on.
#[derive(Debug)]
pub struct Observation<'a> {
    /// The time.
    pub now: Timestamp,
    /// What earlier passes left.
    pub ledger: &'a Ledger,
    /// What runs.
    pub running: &'a Toplevel,
    /// The default of the boot loader, where this boot is of another generation.
    pub booted_other: bool,
    /// That an operator holds this host still.
    pub suspension: Option<&'a Suspension>,
    /// A deployment that has not ended.
    pub open: Option<&'a OpenDeployment>,
    /// Whether the switcher has ended deployments that the ledger does not know.
    pub outcomes_unseen: bool,
    /// The branch.
    pub head: &'a Head,
    /// The head's history.
    pub ancestry: Ancestry,
    /// What this pass has built of the head.
    pub built: Option<&'a Toplevel>,
}

/// The next thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Take into account what the switcher has ended.
    Absorb,
    /// Ask the repository where the branch is.
    List,
    /// Fetch this commit.
    Fetch(CommitId),
    /// Accept this commit into the trusted history.
    Accept(CommitId),
    /// Refuse this head, and say so once.
    Refuse(CommitId),
    /// Build this host's toplevel from this commit.
    Build(CommitId),
    /// Note that this commit is kept: its toplevel runs already.
    Keep(CommitId, Toplevel),
    /// Hand this commit's toplevel to the switcher.
    Activate(CommitId, Toplevel),
    /// Nothing can be done now.
    Wait(Reason),
}

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
    /// The head is no descendant of the accepted commit.
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
    /// A state file is not usable, and with it is lost what must not be activated.
    StateDamaged {
        /// The file, where it is now.
        file: String,
        /// What is wrong with it.
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
            Self::Stuck { .. } => "stuck",
            Self::Quarantined { .. } => "quarantined",
            Self::HistoryRewritten { .. } => "history-rewritten",
            Self::BackingOff { .. } => "backing-off",
            Self::NoBranch => "no-branch",
            Self::BootedOther => "booted-other",
            Self::StateDamaged { .. } => "state-damaged",
            Self::Suspended { .. } => "suspended",
        }
    }

    /// The commit that it is about.
    pub fn commit(&self) -> Option<&CommitId> {
        match self {
            Self::UpToDate { commit }
            | Self::Quarantined { commit, .. }
            | Self::HistoryRewritten { commit, .. } => Some(commit),
            _ => None,
        }
    }

    /// The deployment that it is about.
    pub fn deployment(&self) -> Option<&DeploymentId> {
        match self {
            Self::DeploymentOpen { deployment } | Self::Stuck { deployment } => Some(deployment),
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
            Self::Stuck { deployment } => write!(
                f,
                "stuck in deployment {deployment}: see `nixus-switcher status`, then `nixus-switcher revert`"
            ),
            Self::Quarantined { commit, why } => write!(
                f,
                "{} failed here and is not tried again: {why}",
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
            Self::StateDamaged { file, why } => write!(
                f,
                "{file} {why}: nothing is activated until `nixus adopt --again`"
            ),
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

/// After this many builds in a row that were given up for a newer commit, the next one is not: under
/// pushes every few seconds something still gets deployed.
const MAX_OVERTAKEN: u32 = 2;

/// Whether a build may be given up for a newer commit.
pub fn may_be_overtaken(ledger: &Ledger) -> bool {
    ledger.overtaken < MAX_OVERTAKEN
}

/// The next thing to do.
pub fn plan(seen: &Observation<'_>) -> Action {
    if let Some(open) = seen.open {
        let deployment = open.deployment.clone();
        return Action::Wait(if open.stuck {
            Reason::Stuck { deployment }
        } else {
            Reason::DeploymentOpen { deployment }
        });
    }
    if let Some(damage) = &seen.ledger.damage {
        return Action::Wait(Reason::StateDamaged {
            file: damage.file.clone(),
            why: damage.problem.clone(),
        });
    }
    if seen.outcomes_unseen {
        return Action::Absorb;
    }
    let Some(accepted) = &seen.ledger.accepted else {
        return Action::Wait(Reason::NotAdopted);
    };
    if let Some(backoff) = &seen.ledger.backoff
        && seen.now < backoff.until
    {
        return Action::Wait(Reason::BackingOff {
            until: backoff.until,
            why: backoff.reason.clone(),
        });
    }
    match seen.head {
        Head::Unknown => Action::List,
        Head::Missing => Action::Wait(Reason::NoBranch),
        Head::At(head) => plan_head(seen, accepted, head),
    }
}

fn plan_head(seen: &Observation<'_>, accepted: &CommitId, head: &CommitId) -> Action {
    let ledger = seen.ledger;
    if seen.booted_other {
        return Action::Wait(Reason::BootedOther);
    }
    let rewritten = || {
        Action::Wait(Reason::HistoryRewritten {
            commit: head.clone(),
            accepted: accepted.clone(),
        })
    };
    if ledger.refused.as_ref() == Some(head) {
        return rewritten();
    }
    let toplevel = seen.built.or_else(|| ledger.known_toplevel(head));
    if head == accepted {
        if ledger
            .kept
            .as_ref()
            .is_some_and(|kept| kept.commit.id == head.as_str() && kept.toplevel == *seen.running)
        {
            return Action::Wait(Reason::UpToDate {
                commit: head.clone(),
            });
        }
        if let Some(entry) = ledger.quarantined(head, toplevel) {
            return Action::Wait(Reason::Quarantined {
                commit: head.clone(),
                why: entry.reason.clone(),
            });
        }
    }
    match seen.ancestry {
        Ancestry::NotFetched => return Action::Fetch(head.clone()),
        Ancestry::Rewritten => return Action::Refuse(head.clone()),
        Ancestry::Descends if head != accepted => return Action::Accept(head.clone()),
        Ancestry::Descends => {}
    }
    if let Some(suspension) = seen.suspension.filter(|one| one.holds(seen.now)) {
        return Action::Wait(Reason::Suspended {
            until: suspension.until,
            why: suspension.why.clone(),
        });
    }
    match seen.built {
        None => Action::Build(head.clone()),
        Some(built) if built == seen.running => Action::Keep(head.clone(), built.clone()),
        Some(built) => Action::Activate(head.clone(), built.clone()),
    }
}

#[cfg(test)]
mod tests;
