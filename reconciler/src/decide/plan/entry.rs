//! What CI has built of the head, and what is done where it has not: for hosts that follow manifests.

use std::fmt;
use std::time::Duration;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use super::{Action, Observation, Reason, forbids};
use crate::decide::commit_id::CommitId;

/// What this pass has learned of CI's work on the head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// Nobody is asked: this host builds by itself.
    NotNeeded,
    /// Not looked up yet.
    Unknown,
    /// There is nothing for this host.
    Missing(Gap),
    /// The head can be fetched.
    Found,
    /// Nothing of the head for this host, but this commit before it can be fetched.
    Older(CommitId, Gap),
    /// Nothing for this host, nor of any commit since the one that is kept.
    NoneOlder(Gap),
}

/// What is missing of CI's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gap {
    /// The commit has no manifest.
    NoManifest,
    /// Its manifest does not have this host.
    NoEntry,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoManifest => "the repository has no manifest of it yet",
            Self::NoEntry => "its manifest has no entry for this host",
        })
    }
}

/// What is done about a head that CI has not built, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WithoutEntry {
    /// How long CI is waited for first.
    pub wait: Duration,
    /// What is done then.
    pub then: Then,
}

/// What is done about a head that CI has not built for so long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It is waited for.
    Wait,
    /// This host builds by itself.
    Build,
    /// A commit before it is taken.
    Older,
}

/// The commit to go on with, or what is to be done instead.
pub(super) fn decide<'a>(
    seen: &'a Observation<'_>,
    head: &'a CommitId,
) -> Result<&'a CommitId, Action> {
    let waits = |gap: Gap| {
        Action::Wait(Reason::NoManifest {
            commit: head.clone(),
            gap,
        })
    };
    match seen.entry {
        Entry::NotNeeded => Ok(head),
        Entry::Unknown => Err(Action::LookUp(head.clone())),
        Entry::NoneOlder(gap) => Err(waits(*gap)),
        Entry::Missing(gap) => match seen.without_entry.then {
            Then::Build if is_over(seen) => Ok(head),
            Then::Older if is_over(seen) => Err(Action::LookForOlder(head.clone())),
            _ => Err(waits(*gap)),
        },
        Entry::Found => Ok(head),
        Entry::Older(commit, gap) => {
            // Then there is nothing older that is news.
            let is_kept = seen.ledger.kept.as_ref().is_some_and(|kept| {
                kept.commit.id == commit.as_str() && kept.toplevel == *seen.running
            });
            let toplevel = seen.built.or_else(|| seen.ledger.known_toplevel(commit));
            match forbids(seen.ledger, commit, toplevel) {
                _ if is_kept => Err(waits(*gap)),
                Some(reason) => Err(Action::Wait(reason)),
                None => Ok(commit),
            }
        }
    }
}

/// Whether CI has been waited for long enough.
fn is_over(seen: &Observation<'_>) -> bool {
    let wait = SignedDuration::try_from(seen.without_entry.wait).unwrap_or(SignedDuration::MAX);
    let since = seen.ledger.no_entry_since;
    since.is_some_and(|since| seen.now.duration_since(since) >= wait)
}
