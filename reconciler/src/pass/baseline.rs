//! The running system before it is changed: what a candidate will be judged by, who is there to look at
//! it, and whose turn it is.

use std::time::Duration;

use jiff::Timestamp;
use nixus_switcher::protocol::Before;

use super::{Pass, PassError, jitter};
use crate::closure::BuiltClosure;
use crate::decide::baseline::Baseline;
use crate::decide::commit_id::CommitId;
use crate::decide::report::Report;
use crate::decide::verdict::Finding;
use crate::decide::verdict::before::{Known, fitness, lost};
use crate::decide::verdict::sightings::{Heard, Noticed};
use crate::health::{self, Looked, peer};
use crate::report::repository::ReportsRepository;

/// How long peers may take to say that they are there.
const PRESENT: Duration = Duration::from_secs(10);

impl Pass<'_> {
    /// Makes all checks of the running system.
    pub(super) async fn look_at_baseline(&mut self) -> Result<(), PassError> {
        let Looked {
            state,
            found,
            before,
        } = health::baseline(self.config, self.paths).await;
        for check in &before.checks {
            tracing::debug!("{}: {:?}: {}", check.check, check.outcome, check.reason);
        }
        let answers = found.iter().filter_map(Finding::heard);
        self.note_presence(answers.collect())?;
        let health = &self.config.health;
        let built = self.built.as_ref().map(BuiltClosure::toplevel);
        let stay = built.and_then(|built| peer::of_candidate(built.path()));
        let known = Known {
            sightings: &self.ledger.sightings,
            lost_after: health.peers_lost_after,
            now: Timestamp::now(),
            stay: stay.as_deref(),
        };
        let required = |name: &str| {
            let mut checks = health.checks.iter();
            checks.any(|check| check.name == name && check.required)
        };
        let lost = lost(&found, &known);
        self.baseline = match state {
            Baseline::Sound => fitness(&found, &known, required),
            state => state,
        };
        self.before = Some(Before {
            lost: Some(lost),
            ..before
        });
        Ok(())
    }

    /// Asks peers for nothing but whether they are there: on trial, a host needs to know who was.
    pub(super) async fn see_peers(&mut self) -> Result<(), PassError> {
        self.peers_seen = true;
        let present = peer::present(&self.config.health, PRESENT).await;
        self.note_presence(present)?;
        self.report_noticed()
    }

    fn note_presence(&mut self, answers: Vec<Heard>) -> Result<(), PassError> {
        if answers.is_empty() {
            return Ok(());
        }
        let health = &self.config.health;
        self.ledger
            .hear_of_peers(&answers, Timestamp::now(), health.peers_lost_after);
        self.save()
    }

    /// What people should know of peers.
    pub(super) fn noticed(&self) -> Vec<Noticed> {
        let lost_after = self.config.health.peers_lost_after;
        self.ledger.sightings.noticed(Timestamp::now(), lost_after)
    }

    /// Says again what this host said last, where it has noticed something of peers since, or what it had
    /// noticed is over.
    fn report_noticed(&mut self) -> Result<(), PassError> {
        let last = ReportsRepository::new(self.paths.reports())
            .last(&self.config.host)
            .map_err(PassError::Reports)?;
        let noticed = self.noticed();
        self.report_if(|reporter| {
            let last = last.filter(|last| last.noticed != noticed)?;
            Some(Report {
                time: reporter.now,
                ..last
            })
        })
    }

    /// Whether peers are to be asked for this alone, as nothing else has asked them for a while.
    pub(super) fn peers_are_due(&self) -> bool {
        let health = &self.config.health;
        let names = health.peers.iter().map(|peer| peer.name.as_str());
        let sightings = &self.ledger.sightings;
        !self.peers_seen && sightings.are_due(names, Timestamp::now(), health.peers_lost_after)
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
