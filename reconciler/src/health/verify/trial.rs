//! The checks of a trial, round after round: each when it is due, all of a round at once.

use std::cell::RefCell;
use std::time::Duration;

use futures_util::future::join_all;
use nixus_switcher::protocol::{Before, CheckOutcome, CheckResult};
use tokio::time::Instant;

use crate::config::health::{Check, Health, Kind};
use crate::decide::verdict::{
    Finding, REPOSITORY, Rule, SOAK, Verdict, judge, judge_rollback, rules,
};
use crate::health::own_pass::{self, Place};
use crate::health::units::{self, Timer};
use crate::health::{self, Scene, peer, recovery, repository};
use crate::host::process::in_words;
use crate::host::systemd::PASS_TIMER;
use crate::source::reach;

use super::rounds::Round;

/// The pause until peers are asked again whether they reach the repository.
const WITNESSES: Duration = Duration::from_secs(5);

/// How long peers may take to say whether they reach the repository,
const WITNESS: Duration = Duration::from_secs(20);
/// and how long at the end of a trial in which the repository did not even fail.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// What a check needs to tell that its limit is over.
const HANDED_OVER: Duration = Duration::from_secs(1);

/// The time at the end of a trial that belongs to finding out why its first round did not end.
pub fn reserved(health: &Health) -> Duration {
    if health.peers.is_empty() {
        reach::LIMIT
    } else {
        reach::LIMIT.max(LAST_WORDS)
    }
}

/// The checks of a trial and what they last found.
pub struct Trial<'a> {
    scene: Scene<'a>,
    rules: Vec<Rule>,
    /// When the findings of a first round must be there.
    end: Option<Instant>,
    last: RefCell<Vec<Option<Last>>>,
    witnesses: RefCell<Option<(Instant, Vec<String>)>>,
    /// This verification: passes that began before it show nothing of what is on trial.
    place: Place,
}

/// What a check last found, and when it is made again.
struct Last {
    found: Vec<Finding>,
    due: Option<Instant>,
}

impl<'a> Trial<'a> {
    /// Nothing is found yet; there is this much time for a first round.
    pub fn begin(scene: Scene<'a>, first_round: Duration) -> Self {
        let config = scene.config;
        let none = config.health.checks.iter().map(|_| None);
        Self {
            scene,
            // One that has no end does not fit into an instant.
            end: Instant::now().checked_add(first_round),
            rules: rules(&config.health.checks, config.switch.failed_units),
            last: RefCell::new(none.collect()),
            witnesses: RefCell::new(None),
            place: Place::here(),
        }
    }

    /// Makes what is due, and judges what is known.
    pub async fn round(&self) -> Round {
        let due = self.scene.config.health.checks.iter().enumerate();
        let due = due.filter(|(_, check)| self.is_asked(check));
        let made = join_all(due.map(|(number, check)| self.make_if_due(number, check)));
        let activation = async {
            match self.scene.open {
                Some(open) => Some(units::activation(&open.candidate).await),
                None => None,
            }
        };
        let (timer, place, recover, activation, _) = tokio::join!(
            units::look_at_timer(),
            units::place(),
            recovery::unit(),
            activation,
            made
        );
        let (timer, awaits) = match timer {
            Ok(timer) => (
                timer.judge(&self.scene.config.passes),
                self.awaits_timer(&timer),
            ),
            Err(error) => {
                let reason = in_words(&error);
                let unknown = Finding::new(units::TIMER, CheckOutcome::Unknown, reason);
                (unknown, None)
            }
        };
        let state = recovery::state(&self.scene.paths.state);
        let mut found = vec![timer, place, recover, state];
        found.extend(activation);
        found.extend(self.found());
        self.hear_witnesses(&mut found).await;
        Round {
            verdict: self.judge(&found),
            awaits,
        }
    }

    /// The timer has to start a pass of what is on trial. One that elapses only after the trial cannot: then
    /// the pass that this verification started counts, and when the timer will start the next.
    fn awaits_timer(&self, timer: &Timer) -> Option<CheckResult> {
        let open = self.scene.open?;
        let handed = own_pass::handed(self.scene.paths);
        let started = handed.is_some_and(|handed| {
            handed.counts(open, &self.place) && handed.is_by_timer(&self.place)
        });
        let left = self.end.map_or(Duration::MAX, |end| end - Instant::now());
        if started || !timer.is_due_within(left) {
            return None;
        }
        let reason =
            format!("{PASS_TIMER} had started no pass of this generation when the trial ended");
        Some(CheckResult::new(
            units::TIMER,
            CheckOutcome::Unknown,
            reason,
        ))
    }

    /// A repository that the running system does not reach is not waited for on an operator's own way
    /// back: it cannot get worse, and a server that hangs would use up the trial.
    fn is_asked(&self, check: &Check) -> bool {
        let passed = |before: &Before| {
            let mut checks = before.checks.iter();
            checks.any(|one| one.check == check.name && one.outcome == CheckOutcome::Pass)
        };
        let before = self.scene.before().filter(|before| before.rollback);
        !matches!(check.kind, Kind::Repository) || before.is_none_or(passed)
    }

    async fn make_if_due(&self, number: usize, check: &Check) {
        let is_due = match self.last.borrow().get(number).and_then(Option::as_ref) {
            Some(last) => last.due.is_some_and(|due| due <= Instant::now()),
            None => true,
        };
        if !is_due {
            return;
        }
        let found = self.make(check, number).await;
        let passed = found.iter().all(|one| one.outcome == CheckOutcome::Pass);
        let due = health::pause(check, passed).map(|pause| Instant::now() + pause);
        if let Some(last) = self.last.borrow_mut().get_mut(number) {
            *last = Some(Last { found, due });
        }
    }

    /// A check that has found nothing yet must do so within the trial, whatever its own limit: what
    /// hangs all the while is told as it would be at that limit.
    async fn make(&self, check: &Check, number: usize) -> Vec<Finding> {
        let is_first = self.last.borrow().get(number).is_some_and(Option::is_none);
        let left = self
            .end
            .filter(|_| is_first)
            .map(|end| end - Instant::now());
        match left {
            Some(left) if left < check.timeout => {
                let bounded = Check {
                    timeout: left.saturating_sub(HANDED_OVER),
                    ..check.clone()
                };
                health::make(&bounded, &self.scene).await
            }
            _ => health::make(check, &self.scene).await,
        }
    }

    fn found(&self) -> Vec<Finding> {
        let last = self.last.borrow();
        let found = last.iter().flatten().flat_map(|last| &last.found);
        found.cloned().collect()
    }

    async fn hear_witnesses(&self, found: &mut [Finding]) {
        if !found.iter().any(is_in_doubt) {
            return;
        }
        let heard = self.witnesses.borrow().clone();
        let witnesses = match heard {
            Some((at, witnesses)) if at.elapsed() < WITNESSES => witnesses,
            _ => {
                let witnesses = peer::witnesses(&self.scene.config.health, WITNESS).await;
                *self.witnesses.borrow_mut() = Some((Instant::now(), witnesses.clone()));
                witnesses
            }
        };
        outvote(found, &witnesses);
    }

    fn judge(&self, found: &[Finding]) -> Verdict {
        match self.scene.before() {
            Some(before) if before.rollback => judge_rollback(before, found, &self.rules),
            Some(before) => judge(before, found, &self.rules),
            None => judge(&Before::default(), found, &self.rules),
        }
    }

    /// Not even one round has ended: what has, and that the others did not.
    pub async fn cut_off(&self) -> Verdict {
        let mut found = self.found();
        let silent = "it did not answer during the trial";
        for check in &self.scene.config.health.checks {
            if !self.is_asked(check) || found.iter().any(|one| one.check == check.name) {
                continue;
            }
            if check.name == REPOSITORY {
                let unknown = repository::not_reached(self.scene.config, silent.to_owned());
                let witnesses = peer::witnesses(&self.scene.config.health, LAST_WORDS);
                let (unknown, witnesses) = tokio::join!(unknown, witnesses);
                found.extend(unknown);
                outvote(&mut found, &witnesses);
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

fn is_in_doubt(one: &Finding) -> bool {
    one.check == REPOSITORY && one.outcome == CheckOutcome::Unknown
}

/// What others reach and this host does not is not an outage.
fn outvote(found: &mut [Finding], witnesses: &[String]) {
    if witnesses.is_empty() {
        return;
    }
    for repository in found.iter_mut().filter(|one| is_in_doubt(one)) {
        repository.outcome = CheckOutcome::Fail;
        let reason = format!("; reached by {}", witnesses.join(", "));
        repository.reason.push_str(&reason);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_doubt_is_settled_by_those_who_reach_the_repository() {
        use CheckOutcome::{Fail, Pass, Unknown};
        let check = |outcome, witnesses: &[&str], expected, words: &str| {
            let witnesses: Vec<String> = witnesses.iter().map(|name| (*name).to_owned()).collect();
            let mut found = vec![Finding::new(REPOSITORY, outcome, "no answer")];
            outvote(&mut found, &witnesses);
            assert_eq!(found, [Finding::new(REPOSITORY, expected, words)]);
        };
        check(Unknown, &[], Unknown, "no answer");
        check(
            Unknown,
            &["db1", "web2"],
            Fail,
            "no answer; reached by db1, web2",
        );
        check(Pass, &["db1"], Pass, "no answer");
        check(Fail, &["db1"], Fail, "no answer");
    }
}
