//! The step of a pass that takes long: building the head, while asking whether it still is the head.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use nixus_switcher::protocol::{Commit, Toplevel};

use super::send::Telling;
use super::{Pass, PassError, StopError};
use crate::closure::progress::Display;
use crate::closure::{self, BuiltClosure, ClosureError, Recipe};
use crate::decide::commit_id::CommitId;
use crate::decide::ledger::{Built, Quarantined};
use crate::decide::plan::{Ancestry, Head, may_be_overtaken};
use crate::host::process::in_words;
use crate::secrets;
use crate::source::Source;
use crate::source::ssh::shared;

impl Pass<'_> {
    /// Makes the toplevel of a commit: the head, or an older one in its place.
    pub(super) async fn build(&mut self, commit: &CommitId) -> Result<(), StopError> {
        let verified = self.verified(commit)?;
        let own_entry = self.own_entry.clone();
        let own_entry = own_entry.filter(|entry| entry.commit().id() == commit);
        let recipe = match (&own_entry, self.config.closure.expression()) {
            (Some(entry), _) => Recipe::Entry(entry),
            (None, Some(expression)) => Recipe::Expression(expression),
            // Nothing else is planned.
            (None, None) => return Ok(()),
        };
        // A further try was announced by the report of the failure before it.
        let announced = self.ledger.not_built_yet.as_ref() == Some(commit);
        if self.ledger.known_toplevel(commit).is_none() && !announced {
            let fetches = matches!(recipe, Recipe::Entry(_));
            self.report(|reporter| match fetches {
                true => reporter.fetching(verified.commit()),
                false => reporter.building(verified.commit()),
            })?;
        }
        let may = may_be_overtaken(&self.ledger);
        let Head::At(head) = self.head.clone() else {
            return Ok(());
        };
        let newer = newer_head(&self.source, &head, self.config.closure.recheck, may);
        let known = self.ledger.known_toplevel(commit);
        let repair = known.is_some_and(|known| self.switcher.is_damaged(known));
        if repair {
            tracing::warn!(
                "the system of {} is damaged in the store: Nix repairs it",
                commit.short()
            );
        }
        let mut display = Display::new();
        let mut telling = Telling {
            config: self.config,
            paths: self.paths,
            commit: verified.commit(),
            sending: &mut self.sending,
            last: Instant::now(),
        };
        let built = closure::build(
            &self.config.closure,
            recipe,
            &self.source,
            &verified,
            repair,
            &mut |progress| {
                display.show(progress);
                telling.tell(progress);
            },
            newer,
        )
        .await;
        display.end();
        match built {
            Ok(built) => self.take(built, commit).await,
            // Nix does not know that its input was damaged on the way.
            Err(error) if error.is_of_the_commit() && self.mends_local_copy().await => Ok(()),
            Err(error) if error.is_of_the_commit() => {
                let reason = in_words(&error);
                if error.is_of_a_builder()
                    && self.ledger.count_builder_failure(commit) <= self.config.closure.retries
                {
                    self.not_built_yet(verified.commit(), commit, &reason)?;
                    // The count is made durable with the back-off.
                    return Err(error.into());
                }
                self.report(|reporter| reporter.not_built(verified.commit(), &reason))?;
                self.reject(commit, None, reason)?;
                Ok(())
            }
            Err(ClosureError::Overtaken { by }) => {
                tracing::info!(
                    "{} was overtaken by {} while it was built",
                    commit.short(),
                    by.short()
                );
                self.ledger.overtake();
                self.save()?;
                self.head_is(Head::At(by));
                self.ancestry = Ancestry::NotFetched;
                Ok(())
            }
            Err(error) => {
                let reason = in_words(&error);
                self.not_built_yet(verified.commit(), commit, &reason)?;
                Err(error.into())
            }
        }
    }

    /// Takes what was built, if this host can open its secrets: nothing is changed yet.
    async fn take(&mut self, built: BuiltClosure, commit: &CommitId) -> Result<(), StopError> {
        let noted = Built {
            commit: commit.clone(),
            toplevel: built.toplevel().clone(),
        };
        if self.ledger.built.as_ref() != Some(&noted) || self.ledger.overtaken > 0 {
            self.ledger.build(noted);
            self.save()?;
        }
        // What runs has opened them, or has said that it cannot.
        let runs = self.switcher.running();
        if runs.is_ok_and(|running| running == *built.toplevel()) {
            self.built = Some(built);
            return Ok(());
        }
        match secrets::candidate::check(built.toplevel()).await {
            Ok(()) => {
                self.built = Some(built);
                Ok(())
            }
            Err(error) if error.is_of_the_commit() => {
                let reason = in_words(&error);
                let named = built.commit().commit();
                self.report(|reporter| reporter.not_opened(named, &reason))?;
                self.reject(commit, Some(built.toplevel().clone()), reason)?;
                Ok(())
            }
            Err(error) => {
                let reason = in_words(&error);
                self.not_built_yet(built.commit().commit(), commit, &reason)?;
                Err(error.into())
            }
        }
    }

    /// Trying this commit again would end the same.
    fn reject(
        &mut self,
        commit: &CommitId,
        toplevel: Option<Toplevel>,
        reason: String,
    ) -> Result<(), PassError> {
        self.ledger.reject(Quarantined {
            commit: commit.clone(),
            toplevel,
            reason,
            since: Timestamp::now(),
            needs_reboot: false,
            by_what_was: false,
        });
        self.save()
    }

    /// Says that a commit is tried again later. Its next tries are not news.
    pub(super) fn not_built_yet(
        &mut self,
        named: &Commit,
        commit: &CommitId,
        reason: &str,
    ) -> Result<(), PassError> {
        self.report(|reporter| reporter.not_built_yet(named, reason))?;
        // Made durable with the back-off that follows.
        self.ledger.not_built_yet = Some(commit.clone());
        Ok(())
    }
}

/// Ends with the commit that the branch has moved on to, asking again and again; never, where the
/// build of `head` may not be given up. What cannot be asked now is asked later.
async fn newer_head(source: &Source, head: &CommitId, every: Duration, may: bool) -> CommitId {
    loop {
        tokio::time::sleep(every).await;
        // A build can take hours: no connection is held for as long.
        shared::end().await;
        if !may {
            return std::future::pending().await;
        }
        match source.list().await {
            Ok(Head::At(newer)) if newer != *head => return newer,
            Ok(_) => {}
            Err(error) => tracing::debug!("{}", in_words(&error)),
        }
    }
}
