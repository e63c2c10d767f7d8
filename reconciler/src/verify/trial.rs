//! The checks of a trial, round after round: each when it is due, all of a round at once.

use std::cell::RefCell;
use std::time::Duration;

use futures_util::future::join_all;
use nixus_switcher::protocol::{CheckOutcome, CheckResult};
use tokio::time::Instant;

use crate::checks::{self, Scene, peer, repository};
use crate::config::health::Check;
use crate::health::{Finding, REPOSITORY, Rule, SOAK, Verdict, judge, rules};
use crate::local_checks;

/// The pause until peers are asked again whether they reach the repository.
const WITNESSES: Duration = Duration::from_secs(5);

/// The checks of a trial and what they last found.
pub struct Trial<'a> {
    scene: Scene<'a>,
    rules: Vec<Rule>,
    last: RefCell<Vec<Option<Last>>>,
    witnesses: RefCell<Option<(Instant, Vec<String>)>>,
}

/// What a check last found, and when it is made again.
struct Last {
    found: Vec<Finding>,
    due: Option<Instant>,
}

impl<'a> Trial<'a> {
    /// Nothing is found yet.
    pub fn begin(scene: Scene<'a>) -> Self {
        let config = scene.config;
        let none = config.health.checks.iter().map(|_| None);
        Self {
            scene,
            rules: rules(&config.health.checks, config.switch.failed_units),
            last: RefCell::new(none.collect()),
            witnesses: RefCell::new(None),
        }
    }

    /// Makes what is due, and judges what is known.
    pub async fn round(&self) -> Verdict {
        let due = self.scene.config.health.checks.iter().enumerate();
        let made = join_all(due.map(|(number, check)| self.make_if_due(number, check)));
        let (timer, place, _) = tokio::join!(local_checks::timer(), local_checks::place(), made);
        let mut found = vec![timer, place];
        found.extend(self.found());
        self.hear_witnesses(&mut found).await;
        self.judge(&found)
    }

    async fn make_if_due(&self, number: usize, check: &Check) {
        let is_due = match self.last.borrow().get(number).and_then(Option::as_ref) {
            Some(last) => last.due.is_some_and(|due| due <= Instant::now()),
            None => true,
        };
        if !is_due {
            return;
        }
        let found = checks::make(check, &self.scene).await;
        let passed = found.iter().all(|one| one.outcome == CheckOutcome::Pass);
        let due = checks::pause(check, passed).map(|pause| Instant::now() + pause);
        if let Some(last) = self.last.borrow_mut().get_mut(number) {
            *last = Some(Last { found, due });
        }
    }

    fn found(&self) -> Vec<Finding> {
        let last = self.last.borrow();
        let found = last.iter().flatten().flat_map(|last| &last.found);
        found.cloned().collect()
    }

    /// What others reach and this host does not is no outage.
    async fn hear_witnesses(&self, found: &mut [Finding]) {
        let unknown =
            |one: &&mut Finding| one.check == REPOSITORY && one.outcome == CheckOutcome::Unknown;
        let Some(repository) = found.iter_mut().find(unknown) else {
            return;
        };
        let heard = self.witnesses.borrow().clone();
        let witnesses = match heard {
            Some((at, witnesses)) if at.elapsed() < WITNESSES => witnesses,
            _ => {
                let witnesses = peer::witnesses(&self.scene.config.health).await;
                *self.witnesses.borrow_mut() = Some((Instant::now(), witnesses.clone()));
                witnesses
            }
        };
        if !witnesses.is_empty() {
            repository.outcome = CheckOutcome::Fail;
            let reason = format!("; reached by {}", witnesses.join(", "));
            repository.reason.push_str(&reason);
        }
    }

    fn judge(&self, found: &[Finding]) -> Verdict {
        let before = self.scene.before();
        let before = before.map_or(&[][..], |before| &before.checks);
        judge(before, found, &self.rules)
    }

    /// Not even one round has ended: what has, and that the others did not.
    pub async fn cut_off(&self) -> Verdict {
        let mut found = self.found();
        let silent = "it did not answer during the trial";
        for check in &self.scene.config.health.checks {
            if found.iter().any(|one| one.check == check.name) {
                continue;
            }
            if check.name == REPOSITORY {
                let unknown = repository::not_reached(self.scene.config, silent.to_owned());
                found.extend(unknown.await);
            } else {
                found.push(Finding::new(&check.name, CheckOutcome::Unknown, silent));
            }
        }
        let mut verdict = self.judge(&found);
        // The checks of every host are among those that did not end.
        if verdict.outcome == CheckOutcome::Pass {
            verdict.outcome = CheckOutcome::Unknown;
            verdict
                .checks
                .push(CheckResult::new(SOAK, CheckOutcome::Unknown, silent));
        }
        verdict
    }
}
