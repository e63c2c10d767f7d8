//! The local copies of repositories, where a disk has damaged them: set aside and made anew.
//!
//! Only positive evidence counts: git itself finds a local copy broken. A failure that is told of
//! the network, the disk's space or the commit never costs a local copy.

use super::{Ancestry, Head, Pass, StepError};
use crate::host::process::in_words;
use crate::report::repository::ReportsRepository;
use crate::report::repository::sound::Sound;
use crate::source::{SourceError, is_damaged};

impl Pass<'_> {
    /// Looks, at most once a pass, whether the local copy is damaged; if so it is set aside, and
    /// the pass begins again with what it knows of the branch.
    pub(super) async fn mends_local_copy(&mut self) -> bool {
        if std::mem::replace(&mut self.local_copy_looked_at, true) {
            return false;
        }
        match self.source.set_aside_if_damaged().await {
            Ok(None) => false,
            Ok(Some(aside)) => {
                tracing::warn!(
                    "the local copy of the deploy repository is damaged: it is set aside as {} and fetched anew",
                    aside.display()
                );
                self.head_is(Head::Unknown);
                self.ancestry = Ancestry::NotFetched;
                self.verified = None;
                self.built = None;
                true
            }
            Err(error) => {
                tracing::warn!("{}", in_words(&error));
                false
            }
        }
    }
}

impl StepError {
    /// Whether a damaged local copy could be behind it.
    pub(super) fn may_be_local_damage(&self) -> bool {
        matches!(
            self,
            Self::Source(
                SourceError::Fetch { .. } | SourceError::Open { .. } | SourceError::Object { .. }
            )
        )
    }
}

impl Pass<'_> {
    /// Sets damaged reports aside and goes on from those that the remote has. A report is then
    /// lost only where it had not been sent.
    pub(super) async fn mend_reports(&mut self) {
        let reports = ReportsRepository::new(self.paths.reports());
        let sound = Sound::new(self.paths.reports_sound());
        if sound.holds(&reports.reference_file(&self.config.host)) {
            self.sending.all_sent = true;
            return;
        }
        let looking = sound.begin();
        let error = match reports.sound(&self.config.host) {
            Ok(unsent) => {
                self.sending.all_sent = !unsent;
                if self.sending.all_sent {
                    looking.succeeded();
                }
                return;
            }
            Err(error) => error,
        };
        tracing::warn!("{}", in_words(&error));
        if !is_damaged(&self.paths.reports()).await {
            return;
        }
        match reports.set_aside() {
            Ok(aside) => tracing::warn!("the reports are set aside as {}", aside.display()),
            Err(error) => return tracing::warn!("{}", in_words(&error)),
        }
        if let Some(remote) = &self.config.reports
            && let Err(error) = reports.take_over(&self.config.host, remote).await
        {
            tracing::warn!(
                "earlier reports are not continued yet: {}",
                in_words(&error)
            );
        }
    }
}
