//! An operator's hooks in the course of a pass.

use nixus_switcher::protocol::{Ending, Outcome};

use super::{Baseline, Pass, PassError, StopError};
use crate::activation::hooks::{self, Change};
use crate::closure::BuiltClosure;
use crate::decide::report::{Report, State};
use crate::host::process::in_words;
use crate::report::repository::ReportsRepository;

/// How far back the report of a deployment is looked for.
const LOOKED_AT: usize = 100;

impl Pass<'_> {
    /// Runs the hooks before an activation, once in a pass. Whether they ran just now: then the host is looked at
    /// again, as what they did belongs to what was so before.
    pub(super) async fn hooks_before(&mut self, built: &BuiltClosure) -> Result<bool, StopError> {
        if self.config.hooks.before.is_empty() || self.hooks_ran {
            return Ok(false);
        }
        let running = self.switcher.running()?;
        let change = Change {
            host: &self.config.host,
            commit: built.commit().commit(),
            old: &running,
            new: built.toplevel(),
        };
        match hooks::before(&self.config.hooks, self.paths, change).await {
            Ok(()) => {
                self.hooks_ran = true;
                self.baseline = Baseline::Unknown;
                self.before = None;
                Ok(true)
            }
            Err(error) => {
                let why = in_words(&error);
                self.report(|reporter| reporter.held_back(built.commit().commit(), &why))?;
                Err(error.into())
            }
        }
    }

    /// Starts the hooks after a deployment. Whatever comes of it changes nothing.
    pub(super) async fn hooks_after(&self, outcome: &Outcome, report: &Report) {
        let kept = match outcome.ending {
            Ending::Confirmed => true,
            Ending::Reverted => false,
            // Nothing was changed, or an operator is needed first.
            Ending::Refused | Ending::Stuck => return,
        };
        if self.config.hooks.after.is_empty() {
            return;
        }
        let change = Change {
            host: &self.config.host,
            commit: &outcome.commit,
            old: &outcome.old.toplevel,
            new: &outcome.new.toplevel,
        };
        let told = hooks::Outcome {
            deployment: &outcome.deployment,
            kept,
            first_boot: outcome.boot_trial,
            generation: report.generation,
            text: &report.text,
        };
        let hooks = &self.config.hooks;
        if let Err(error) = hooks::start_after(hooks, self.paths, change, told).await {
            tracing::warn!("{}", in_words(&error));
        }
    }

    /// Reports hooks that failed after a deployment: what was said of it before, and that.
    pub(super) fn report_hooks(&mut self) -> Result<(), PassError> {
        for ended in hooks::take_failures(self.paths) {
            let Some((deployment, failure)) = ended.deployment.zip(ended.failure) else {
                continue;
            };
            tracing::warn!(
                deployment = deployment.as_str(),
                "a hook after deployment {deployment} failed: {failure}"
            );
            let history = ReportsRepository::new(self.paths.reports())
                .history(&self.config.host, LOOKED_AT)
                .map_err(PassError::Reports)?;
            let said = history.into_iter().find(|report| {
                report.deployment.as_ref() == Some(&deployment)
                    && matches!(report.state, State::Success | State::Failure)
            });
            if let Some(said) = said {
                self.report(|reporter| reporter.hook_failed(&said, &failure))?;
            }
        }
        Ok(())
    }
}
