//! Passes that do not end, and those that cannot begin: an error in the status, the reports and the exit code.

use std::time::Duration;

use jiff::Timestamp;
use nix::unistd::alarm;
use nixus_switcher::state::lock_file::Holder;

use super::{Pass, PassError, Reason, Sending, decision};
use crate::activation::Switcher;
use crate::config::Config;
use crate::decide::report::Reporter;
use crate::health::overdue;
use crate::host::files::{Paths, write_durably};
use crate::host::process::in_words;
use crate::pass::ledger_file;
use crate::pass::lock::PassLockError;
use crate::report::repository::ReportsRepository;

/// So much longer a pass may take that cannot even look at the time, or that says that it is late.
const GRACE: Duration = Duration::from_secs(10 * 60);

/// Has the kernel end this process where nothing in it comes to its turn any more.
pub(super) fn end_at_last(limit: Duration) {
    let seconds = limit.saturating_add(GRACE).as_secs();
    alarm::set(u32::try_from(seconds).unwrap_or(u32::MAX));
}

/// What a pass ends with that could not begin: that another one runs, or that this has been so for too long.
pub(super) async fn kept_out(
    config: &Config,
    paths: &Paths,
    switcher: &Switcher,
    holders: Vec<Holder>,
) -> PassError {
    let Some(reason) = overdue::of_holders(paths, config.passes.timeout, &holders) else {
        return PassLockError::Busy { holders }.into();
    };
    decision::waits(&reason);
    if let Err(error) = report(config, paths, switcher, &reason).await {
        tracing::warn!("cannot report that: {}", in_words(&error));
    }
    PassError::Overdue(reason)
}

/// Reports on the commit that is kept. Whoever holds the lock may be reporting as well; then one of the two
/// reports is lost, and this one comes again with the next pass.
async fn report(
    config: &Config,
    paths: &Paths,
    switcher: &Switcher,
    reason: &Reason,
) -> Result<(), PassError> {
    let mut ledger = ledger_file::of_host(paths).map_err(PassError::Ledger)?;
    ledger.rebuild(&switcher.ended_after(0).map_err(PassError::Switcher)?);
    let Some(kept) = &ledger.kept else {
        return Ok(());
    };
    let reporter = Reporter {
        host: &config.host,
        now: Timestamp::now(),
    };
    let report = reporter.damaged(&kept.commit, reason);
    ReportsRepository::new(paths.reports())
        .keep(&report)
        .map_err(PassError::Reports)?;
    mark(paths);
    let mut sending = Sending::default();
    sending.begin(config, paths);
    sending.started().await;
    sending.end().await;
    Ok(())
}

/// The report is taken back by the next pass that ends; without the mark it would stay.
fn mark(paths: &Paths) {
    if let Err(error) = write_durably(&paths.overdue(), b"") {
        tracing::warn!("cannot note that passes were kept out: {error}");
    }
}

impl Pass<'_> {
    /// Ends a pass at its limit.
    pub(super) async fn is_overdue(&mut self, reason: Reason) -> Result<Reason, PassError> {
        decision::waits(&reason);
        self.note(&reason);
        if let Some(kept) = &self.ledger.kept {
            let commit = kept.commit.clone();
            mark(self.paths);
            self.report(|reporter| reporter.damaged(&commit, &reason))?;
        }
        Err(PassError::Overdue(reason))
    }

    /// Takes back what was said on the commit that is kept, now that a pass has ended again.
    pub(super) fn is_not_overdue(&mut self, reason: &Reason) -> Result<(), PassError> {
        let mark = self.paths.overdue();
        if !mark.exists() {
            return Ok(());
        }
        if let (Reason::UpToDate { .. }, Some(kept)) = (reason, self.ledger.kept.clone()) {
            self.report(|reporter| {
                reporter.unchanged(&kept.commit, &kept.toplevel, kept.generation)
            })?;
        }
        let _ = std::fs::remove_file(mark);
        Ok(())
    }
}
