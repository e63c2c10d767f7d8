//! A wait as others see it: a commit that a host does not take up yet says so on its page. What is
//! said already is not said again.

use nixus_switcher::protocol::Commit;

use super::{Head, Pass, PassError, Reason};
use crate::process::in_words;
use crate::reports_repository::ReportsRepository;

impl Pass<'_> {
    /// Reports a wait that has something to do with a commit and was not reported as its cause
    /// came up.
    pub(super) async fn report_wait(&mut self, reason: &Reason) -> Result<(), PassError> {
        match reason {
            Reason::StateDamaged { .. } | Reason::JournalDamaged { .. } => {
                let kept = self.ledger.kept.as_ref().map(|kept| kept.commit.clone());
                let commit = match kept {
                    Some(commit) => commit,
                    None => match self.head_of_lost().await {
                        Some(commit) => commit,
                        None => return Ok(()),
                    },
                };
                self.report(|reporter| reporter.damaged(&commit, reason))
            }
            Reason::Drifted { .. } | Reason::BootPinned { .. } => {
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

    /// The commit by which a host is told of whose state is lost altogether: the head, which it does not follow.
    async fn head_of_lost(&mut self) -> Option<Commit> {
        if let Some(remote) = &self.config.reports {
            let reports = ReportsRepository::new(self.paths.reports());
            if let Err(error) = reports.take_over(&self.config.host, remote).await {
                tracing::warn!("earlier reports are not continued: {}", in_words(&error));
            }
        }
        let Ok(Head::At(_)) = self.source.list().await else {
            return None;
        };
        let head = self.source.fetch().await.ok()?;
        self.source.commit(&head).ok()
    }
}
