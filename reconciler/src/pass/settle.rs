//! What earlier deployments left to be settled, before anything new: how they ended, what they reported,
//! and those that nobody works on any more.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use nixus_switcher::protocol::{Commit, DeploymentId, Ending, Outcome, Toplevel};

use super::{Head, Pass, PassError, StepError, jitter};
use crate::closure;
use crate::decide::ledger::Kept;
use crate::decide::report::{Beside, Unproven};
use crate::health;
use crate::host::process::in_words;
use crate::source::SourceError;

/// How long the network of a system that has just been booted may take.
const ON_ITS_WAY: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_secs(2);

impl Pass<'_> {
    pub(super) async fn absorb(&mut self) -> Result<(), PassError> {
        let outcomes = self
            .switcher
            .ended_after(self.ledger.outcomes_seen)
            .map_err(PassError::Switcher)?;
        for outcome in outcomes {
            let beside = self.beside(&outcome);
            if outcome.ending == Ending::Confirmed {
                self.report_if(|reporter| reporter.verified(&outcome))?;
            }
            // The report first: after a crash in between, it is recognised as said already.
            self.report(|reporter| reporter.ended_beside(&outcome, &beside))?;
            // Before the outcome is absorbed: after a crash in between they run once more, rather than never.
            let report = self.reporter().ended_beside(&outcome, &beside);
            self.hooks_after(&outcome, &report).await;
            self.ledger.absorb(&outcome, Timestamp::now(), jitter());
            if outcome.boot_trial
                && outcome.ending == Ending::Reverted
                && !self.ledger.return_to(&outcome.old.toplevel)
            {
                self.ledger.kept = self.kept_before(&outcome)?;
            }
            self.save()?;
        }
        self.switcher.forget_requests(self.paths);
        Ok(())
    }

    /// What this host knows in addition to what the switcher reports: which commits a return to the boot-proven system
    /// undoes, or would undo.
    fn beside(&self, outcome: &Outcome) -> Beside {
        let commits = |system: &Toplevel| -> Vec<Commit> {
            let since = self.ledger.kept_since(system).into_iter();
            since.map(|kept| kept.commit.clone()).collect()
        };
        if outcome.boot_trial {
            return Beside {
                undone: commits(&outcome.old.toplevel),
                ..Beside::default()
            };
        }
        let proven = self.switcher.boot_proven();
        let unproven = proven
            .filter(|proven| *proven != outcome.new.toplevel)
            .map(|proven| Unproven {
                // The one that is told of is not kept yet.
                commits: commits(&proven).len() + 1,
                generation: self.switcher.number_of(&proven),
            });
        Beside {
            unproven,
            ..Beside::default()
        }
    }

    /// Asks the repository in the place of a trial that it did not answer, right after it.
    pub(super) async fn witness(&mut self) -> Result<(), PassError> {
        let listed = self.list_patiently().await;
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
        let passed = health::passing(self.config, self.paths, &asks).await;
        let witnessed = self.ledger.witnessed(Timestamp::now(), answers, &passed);
        let dark = self
            .ledger
            .network_witnessed(Timestamp::now(), listed.is_ok());
        for (id, reason) in witnessed.into_iter().chain(dark) {
            let commit = self.source.commit(&id).unwrap_or_else(|_| Commit {
                id: id.to_string(),
                subject: String::new(),
            });
            self.report(|reporter| reporter.gave_up(&commit, &reason))?;
        }
        self.save()
    }

    /// Right after a boot the network of the system that came back may be on its way.
    async fn list_patiently(&self) -> Result<Head, SourceError> {
        let begun = Instant::now();
        loop {
            let listed = self.source.list().await;
            let waits = self.ledger.wants_network_witness() && begun.elapsed() < ON_ITS_WAY;
            if listed.is_ok() || !waits {
                return listed;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// The commit of the system that came back at a boot, where an earlier release did not note it.
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
