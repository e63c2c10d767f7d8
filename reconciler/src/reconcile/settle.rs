//! What earlier deployments left to be settled, before anything new: how they ended, what they told,
//! and those that nobody works on any more.

use jiff::Timestamp;
use nixus_switcher::protocol::{Commit, DeploymentId, Ending, Outcome};

use super::{Pass, PassError, StepError, jitter};
use crate::checks;
use crate::closure;
use crate::ledger::Kept;
use crate::process::in_words;

impl Pass<'_> {
    pub(super) fn absorb(&mut self) -> Result<(), PassError> {
        let outcomes = self
            .switcher
            .ended_after(self.ledger.outcomes_seen)
            .map_err(PassError::Switcher)?;
        for outcome in outcomes {
            if outcome.ending == Ending::Confirmed {
                self.report_if(|reporter| reporter.verified(&outcome))?;
            }
            // The report first: after a crash in between, it is recognised as said already.
            self.report(|reporter| reporter.ended(&outcome))?;
            self.ledger.absorb(&outcome, Timestamp::now(), jitter());
            if outcome.boot_trial && outcome.ending == Ending::Reverted {
                self.ledger.kept = self.kept_before(&outcome)?;
            }
            self.save()?;
        }
        Ok(())
    }

    /// Asks the repository in the place of a trial that it did not answer, right after it.
    pub(super) async fn witness(&mut self) -> Result<(), PassError> {
        let listed = self.source.list().await;
        if let Err(error) = &listed {
            tracing::info!(
                "the repository does not answer the system before either: {}",
                in_words(error)
            );
        }
        // What a trial needed beside the repository, where nothing else could have been built from it.
        let needs_cache = self.config.closure.expression().is_none();
        let answers = match &self.ledger.built {
            Some(built) if needs_cache && listed.is_ok() => {
                closure::is_vouched_for(&built.toplevel).await
            }
            _ => listed.is_ok(),
        };
        let asks = self.ledger.witness_asks();
        let passed = checks::passing(self.config, self.paths, &asks).await;
        let witnessed = self.ledger.witnessed(Timestamp::now(), answers, &passed);
        if let Some((id, reason)) = witnessed {
            let commit = self.source.commit(&id).unwrap_or_else(|_| Commit {
                id: id.to_string(),
                subject: String::new(),
            });
            self.report(|reporter| reporter.gave_up(&commit, &reason))?;
        }
        self.save()
    }

    /// The commit of the system that came back at a boot.
    fn kept_before(&self, outcome: &Outcome) -> Result<Option<Kept>, PassError> {
        let history = self.switcher.ended_after(0).map_err(PassError::Switcher)?;
        let before = history.into_iter().rev().find(|one| {
            one.ending == Ending::Confirmed && one.new.toplevel == outcome.old.toplevel
        });
        Ok(before.map(|before| Kept {
            commit: before.commit,
            toplevel: before.new.toplevel,
            generation: outcome.old.generation,
            since: Timestamp::now(),
        }))
    }

    /// Has the switcher judge a first boot once more.
    pub(super) async fn prove_boot(&mut self) -> Result<(), StepError> {
        self.boot_tried = true;
        tracing::info!("the first boot of what runs is judged again");
        self.switcher.prove_boot().await?;
        Ok(())
    }

    /// Has a deployment settled whose switcher and watchdog are both gone.
    pub(super) async fn recover(&mut self, deployment: &DeploymentId) -> Result<(), StepError> {
        self.recovery_tried = true;
        tracing::warn!(
            deployment = deployment.as_str(),
            "nobody works on deployment {deployment} any more: it is looked at"
        );
        self.switcher.recover(deployment).await?;
        Ok(())
    }
}
