//! What the pass's own unit says, started as the timer starts it: only there are the program, account,
//! sandbox, credentials, path and environment those of the passes to come.

use std::time::Duration;

use nixus_switcher::Open;
use nixus_switcher::protocol::CheckOutcome;
use nixus_switcher::waits::{self, Kind};
use tokio::time::{Instant, sleep, timeout_at};

use super::Scene;
use crate::decide::verdict::{Finding, PASS, REPOSITORY};
use crate::health::own_pass::{self, Handed, Place, Question};
use crate::host::process::in_words;
use crate::host::systemd::{self, PASS_TIMER, PASS_UNIT};

/// A pass that is due within this time is waited for, and none is started beside it.
const SOON: Duration = Duration::from_secs(10);
/// How often it is looked whether it has come.
const LOOK: Duration = Duration::from_millis(250);
/// A pass that was under way already may have begun before the question; the next one answers it.
const TRIES: usize = 2;

/// What a pass of the generation on trial has found. One that found all well is enough; else a new pass
/// looks again. Where no pass comes, or what the unit starts is none, that is a failure.
pub async fn on_trial(scene: &Scene<'_>, open: &Open, limit: Duration) -> Vec<Finding> {
    let place = Place::here();
    let newest = || own_pass::handed(scene.paths).filter(|handed| handed.counts(open, &place));
    if newest().is_none() {
        await_the_timer(newest).await;
    }
    let before = newest();
    if let Some(found) = before.as_ref().and_then(found_in)
        && found.iter().all(|one| one.outcome == CheckOutcome::Pass)
    {
        return found;
    }
    let is_new = |one: &Handed| {
        let seen = before.as_ref();
        seen.is_none_or(|seen| seen.place.begun < one.place.begun || seen.found.is_none())
    };
    let mut why = String::new();
    for _ in 0..TRIES {
        let run = systemd::run(PASS_UNIT, limit).await;
        let newest = newest().filter(|one| is_new(one));
        if let Some(found) = newest.as_ref().and_then(found_in) {
            return found;
        }
        why = no_answer(run.err().map(|error| in_words(&error))).await;
    }
    vec![Finding::new(PASS, CheckOutcome::Fail, why)]
}

fn found_in(handed: &Handed) -> Option<Vec<Finding>> {
    let found = handed.found.as_ref()?;
    Some(found.iter().cloned().map(Finding::from).collect())
}

/// Waits for a pass that is under way or due.
async fn await_the_timer(newest: impl Fn() -> Option<Handed>) {
    let due = systemd::next_elapse(PASS_TIMER).await.ok().flatten();
    let now = jiff::Timestamp::now();
    let left = due.and_then(|due| Duration::try_from(due.duration_since(now)).ok());
    let Some(left) = left.filter(|left| *left <= SOON) else {
        return;
    };
    let _wait = waits::begin(Kind::Timer, || PASS_TIMER.to_owned());
    let end = Instant::now() + left + LOOK;
    let _ = timeout_at(end, async {
        while newest().is_none() {
            sleep(LOOK).await;
        }
    })
    .await;
}

/// The same for a system that is looked at as it is: the unit is asked by a file, and only looks.
pub async fn asked(scene: &Scene<'_>, limit: Duration) -> Vec<Finding> {
    let mut why = String::new();
    for _ in 0..TRIES {
        let question = Question {
            id: format!("{:016x}", fastrand::u64(..)),
        };
        if let Err(error) = own_pass::ask(scene.paths, &question) {
            let why = format!("{PASS_UNIT} cannot be asked: {error}");
            return vec![Finding::new(REPOSITORY, CheckOutcome::Unknown, why)];
        }
        let run = systemd::run(PASS_UNIT, limit).await;
        if let Some(answer) = own_pass::answered(scene.paths, &question) {
            return answer.found.into_iter().map(Finding::from).collect();
        }
        why = no_answer(run.err().map(|error| in_words(&error))).await;
    }
    // Nobody is to find the question later.
    let _ = own_pass::asked(scene.paths);
    vec![Finding::new(PASS, CheckOutcome::Fail, why)]
}

/// The unit has ended, or could not be started, and has said nothing.
async fn no_answer(not_started: Option<String>) -> String {
    let how = match systemd::how_it_ended(PASS_UNIT).await {
        Ok(how) => how,
        Err(error) => in_words(&error),
    };
    let said = match not_started {
        Some(_) => systemd::last_words(PASS_UNIT).await,
        None => None,
    };
    let said = said.map_or(String::new(), |said| format!(" ({said})"));
    format!("{PASS_UNIT} makes no pass: {how}{said}")
}
