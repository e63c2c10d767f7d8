//! What an operator, or a later commit, wants to have tried once more.

use std::str::FromStr;

use nixus_switcher::protocol::Toplevel;

use super::{Backoff, Ledger, Quarantined};

/// What is to be tried once more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Retry {
    /// Whatever keeps this host from the head of the branch.
    Head,
    /// A commit, by at least seven of its digits.
    Commit(String),
    /// A toplevel.
    Toplevel(Toplevel),
}

impl FromStr for Retry {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with('/') {
            return Toplevel::try_from(std::path::PathBuf::from(text))
                .map(Self::Toplevel)
                .map_err(|error| error.to_string());
        }
        let digits = text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
        if digits && (7..=64).contains(&text.len()) {
            return Ok(Self::Commit(text.to_owned()));
        }
        Err("expected a commit (7 or more digits) or a toplevel in /nix/store".to_owned())
    }
}

/// What is no longer in the way.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Released {
    /// These were quarantined.
    pub quarantined: Vec<Quarantined>,
    /// This was waited for.
    pub backoff: Option<Backoff>,
}

impl Ledger {
    /// Lets what is named, and the wait after failures, be in the way no more.
    pub fn release(&mut self, retry: &Retry) -> Released {
        let head = self.accepted.clone();
        let built = head.as_ref().and_then(|head| self.known_toplevel(head));
        let built = built.cloned();
        let named = |entry: &Quarantined| match retry {
            Retry::Head => {
                head.as_ref() == Some(&entry.commit) || (built.is_some() && built == entry.toplevel)
            }
            Retry::Commit(digits) => entry.commit.as_str().starts_with(digits),
            Retry::Toplevel(toplevel) => entry.toplevel.as_ref() == Some(toplevel),
        };
        let (quarantined, rest) = std::mem::take(&mut self.quarantine)
            .into_iter()
            .partition(named);
        self.quarantine = rest;
        self.builder_failed = None;
        let released: Vec<Quarantined> = quarantined;
        self.doubts.retain(|doubt| match retry {
            Retry::Head => {
                head.as_ref() != Some(&doubt.commit) && built.as_ref() != Some(&doubt.toplevel)
            }
            Retry::Commit(digits) => !doubt.commit.as_str().starts_with(digits),
            Retry::Toplevel(toplevel) => doubt.toplevel != *toplevel,
        });
        for toplevel in released.iter().filter_map(|entry| entry.toplevel.as_ref()) {
            self.interruptions.remove(&toplevel.to_string());
        }
        Released {
            quarantined: released,
            backoff: self.backoff.take(),
        }
    }
}
