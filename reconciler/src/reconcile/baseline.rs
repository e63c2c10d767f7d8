//! The running system before it is changed: what a candidate will be judged by, and whose turn it is.

use std::time::Duration;

use jiff::Timestamp;

use super::{Pass, PassError, jitter};
use crate::checks;
use crate::commit_id::CommitId;

impl Pass<'_> {
    /// Makes all checks of the running system.
    pub(super) async fn look_at_baseline(&mut self) {
        let (baseline, before) = checks::baseline(self.config, self.paths).await;
        for check in &before.checks {
            tracing::debug!("{}: {:?}: {}", check.check, check.outcome, check.reason);
        }
        self.baseline = baseline;
        self.before = Some(before);
    }

    /// Lets peers go first that are on trial.
    pub(super) fn hold(&mut self, head: CommitId) -> Result<(), PassError> {
        let switch = &self.config.switch;
        // None of them takes longer than this host would.
        let bound: Duration =
            switch.activation_timeout + switch.trial_timeout + switch.commit_timeout;
        self.ledger.hold(head, Timestamp::now(), bound, jitter());
        self.save()
    }
}
