//! That an operator did not want what runs.

use jiff::Timestamp;
use nixus_switcher::protocol::Toplevel;

use super::{Ledger, quarantined};
use crate::decide::commit_id::CommitId;

impl Ledger {
    /// Quarantines what runs, so that no pass brings it back: a commit that makes another system is
    /// deployed as ever. Nothing happens before this host has accepted a history.
    pub fn roll_back(&mut self, running: &Toplevel, why: &str, now: Timestamp) {
        let kept = self
            .kept
            .as_ref()
            .filter(|kept| kept.toplevel == *running)
            .and_then(|kept| CommitId::try_from(kept.commit.id.clone()).ok());
        let Some(commit) = kept.or_else(|| self.accepted.clone()) else {
            return;
        };
        self.reject(quarantined(commit, running.clone(), why, now));
    }
}
