//! A wait as others see it: a commit that a host does not take up yet says so on its page. What is
//! said already is not said again.

use super::{Head, Pass, PassError, Reason};

impl Pass<'_> {
    /// Reports a wait that has something to do with a commit and was not reported as its cause
    /// came up.
    pub(super) fn report_wait(&mut self, reason: &Reason) -> Result<(), PassError> {
        match reason {
            Reason::StateDamaged { .. } | Reason::JournalDamaged { .. } => {
                let Some(kept) = &self.ledger.kept else {
                    return Ok(());
                };
                let commit = kept.commit.clone();
                self.report(|reporter| reporter.damaged(&commit, reason))
            }
            Reason::Drifted { .. } => {
                let Some(kept) = &self.ledger.kept else {
                    return Ok(());
                };
                let commit = kept.commit.clone();
                self.report(|reporter| reporter.waits(&commit, reason))
            }
            Reason::Suspended { .. }
            | Reason::Baseline { .. }
            | Reason::NoManifest { .. }
            | Reason::BootedOther => {
                let Head::At(head) = &self.head else {
                    return Ok(());
                };
                // A head that was not fetched yet has no subject to be told by.
                let Ok(commit) = self.source.commit(head) else {
                    return Ok(());
                };
                self.report(|reporter| reporter.waits(&commit, reason))
            }
            _ => Ok(()),
        }
    }
}
