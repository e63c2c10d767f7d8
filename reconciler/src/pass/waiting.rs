//! A wait as others see it: a commit that a host does not take up yet says so on its page. What is
//! said already is not said again.

use nixus_switcher::protocol::Commit;

use super::{BuiltClosure, CommitId, Head, Pass, PassError, Reason, Report};
use crate::decide::report::unfinished;
use crate::host::process::in_words;
use crate::report::repository::ReportsRepository;

/// In so many reports it is looked for what was said of a commit.
const MOST_LOOKED_AT: usize = 200;

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
            Reason::Quarantined { commit, .. }
            | Reason::Inconclusive { commit, .. }
            | Reason::RebootNeeded { commit, .. }
            | Reason::PeersOnTrial { commit, .. } => self.report_held_back(commit, reason),
            // These say so as they come up, or are about no commit.
            Reason::UpToDate { .. }
            | Reason::NotAdopted
            | Reason::DeploymentOpen { .. }
            | Reason::DeploymentEnded { .. }
            | Reason::Stuck { .. }
            | Reason::HistoryRewritten { .. }
            | Reason::BackingOff { .. }
            | Reason::PassOverdue { .. }
            | Reason::NoBranch => Ok(()),
        }
    }

    /// Reports a wait on the commit that waits, which need not be the one that was tried: another commit may
    /// make the same system.
    fn report_held_back(&mut self, commit: &CommitId, reason: &Reason) -> Result<(), PassError> {
        let Ok(named) = self.source.commit(commit) else {
            return Ok(());
        };
        let reports = ReportsRepository::new(self.paths.reports());
        let said = reports
            .history(&self.config.host, MOST_LOOKED_AT)
            .map_err(PassError::Reports)?;
        let last = said.into_iter().find(|one| one.commit.id == named.id);
        if last.is_some_and(|last| last.state.is_final()) {
            return Ok(());
        }
        let toplevel = self.built.as_ref().map(BuiltClosure::toplevel);
        let toplevel = toplevel.or_else(|| self.ledger.known_toplevel(commit));
        let failed = self.ledger.quarantined(commit, toplevel);
        let failed = failed.map_or_else(|| commit.clone(), |entry| entry.commit.clone());
        self.report(|reporter| match reason {
            Reason::Quarantined { why, .. } => reporter.failed_before(&named, &failed, why),
            Reason::Inconclusive { why, .. } => reporter.gave_up(&named, why),
            _ => reporter.waits(&named, reason),
        })
    }

    /// What is to be said of another commit, which this host said last that it was at work on, before this report.
    pub(super) fn left_before(&self, next: &Report) -> Result<Option<Report>, PassError> {
        let last = self.said_last()?;
        let left = last.filter(|last| last.commit.id != next.commit.id);
        Ok(left.and_then(|last| {
            unfinished::before(self.reporter(), &last, next, self.deployment_is_open())
        }))
    }

    /// Leaves no commit as one that is worked on: the pass ends, with this wait.
    pub(super) fn finish_what_was_said(&mut self, reason: &Reason) -> Result<(), PassError> {
        let last = self.said_last()?.filter(|last| last.state.is_under_way());
        let left = last.and_then(|last| {
            unfinished::at_the_end(self.reporter(), &last, reason, self.deployment_is_open())
        });
        left.map_or(Ok(()), |left| self.keep_report(left))
    }

    fn said_last(&self) -> Result<Option<Report>, PassError> {
        let path = self.paths.reports();
        // A host that never said anything has none.
        if !path.join("HEAD").exists() {
            return Ok(None);
        }
        ReportsRepository::new(path)
            .last(&self.config.host)
            .map_err(PassError::Reports)
    }

    /// Where that cannot be determined, it may be.
    fn deployment_is_open(&self) -> bool {
        !matches!(self.switcher.open(), Ok(None))
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
