//! Rounds of checks, again and again, until they settle or their time is over.

use std::time::Duration;

use nixus_switcher::protocol::{CheckOutcome, CheckResult};
use nixus_switcher::waits::{self, Kind};
use tokio::time::{Instant, sleep, timeout};

use crate::decide::verdict::{SOAK, Verdict};

/// The pause between the first rounds.
const PAUSE: Duration = Duration::from_millis(500);
/// The longest pause between two rounds. A round asks peers and the git server, which answer many hosts.
const PAUSE_LONGEST: Duration = Duration::from_secs(5);
/// The same where all is well, and only something that is to come is waited for.
const PAUSE_AWAITING: Duration = Duration::from_secs(2);

/// What one round came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Round {
    /// What all that was found says together.
    pub verdict: Verdict,
    /// What has still to be seen before a verdict counts that all is well: the check, and what it waits for. The
    /// checks soak meanwhile.
    pub awaits: Option<CheckResult>,
}

impl From<Verdict> for Round {
    fn from(verdict: Verdict) -> Self {
        Self {
            verdict,
            awaits: None,
        }
    }
}

/// Repeats `round` until all has passed for `soak`, until one fails for good, or until nothing is `left`
/// of the time: a door that only another commit opens is not kept shut for the rest of the trial. A round
/// that is cut off by the end shows nothing: the findings of the one before count. Where not even
/// the first one ended, `reserved` before the end of the time, there are none. Pauses grow with the
/// time that has passed, and shrink again before the end, so that the last findings are fresh.
pub async fn until_settled(
    soak: Duration,
    left: impl Fn() -> Duration,
    reserved: Duration,
    round: impl AsyncFn() -> Round,
) -> Option<Verdict> {
    let first = Instant::now();
    let mut passing_since: Option<Instant> = None;
    let mut found: Option<Round> = None;
    loop {
        let begun = Instant::now();
        let limit = match found {
            Some(_) => left(),
            None => left().saturating_sub(reserved),
        };
        let Ok(round) = timeout(limit, round()).await else {
            return found.map(unsettled);
        };
        if round.verdict.for_good {
            return Some(round.verdict);
        }
        if round.verdict.outcome == CheckOutcome::Pass {
            let since = *passing_since.get_or_insert(begun);
            if since.elapsed() >= soak && round.awaits.is_none() {
                return Some(round.verdict);
            }
        } else {
            passing_since = None;
        }
        // What is left beside a next round as long as this one.
        let spare = left().saturating_sub(begun.elapsed());
        if spare.is_zero() {
            return Some(unsettled(round));
        }
        let awaits = round.awaits.is_some() && passing_since.is_some();
        found = Some(round);
        let _wait = waits::begin(Kind::Soak, || "the next round of checks".to_owned());
        let soaking = passing_since
            .map(|since| soak.saturating_sub(since.elapsed()))
            .filter(|left| !left.is_zero());
        let mut pause = pause(first.elapsed(), spare);
        if awaits {
            pause = pause.min(PAUSE_AWAITING);
        }
        sleep(soaking.map_or(pause, |left| left.min(pause))).await;
    }
}

fn pause(elapsed: Duration, spare: Duration) -> Duration {
    (elapsed / 4)
        .clamp(PAUSE, PAUSE_LONGEST)
        .min((spare / 2).max(PAUSE))
}

/// What passed at last, but not for long enough or not all of it, is not known to work.
fn unsettled(round: Round) -> Verdict {
    let mut verdict = round.verdict;
    if verdict.outcome == CheckOutcome::Pass {
        verdict.outcome = CheckOutcome::Unknown;
        verdict.checks.push(round.awaits.unwrap_or_else(|| {
            CheckResult::new(
                SOAK,
                CheckOutcome::Unknown,
                "the checks had not passed for long enough when the trial ended",
            )
        }));
    }
    verdict
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use CheckOutcome::{Fail, Pass, Unknown};

    /// Rounds of these lengths in seconds and these outcomes, the last one for ever; 30 seconds are
    /// left, of which a first round may not use the last 5. Soak is 10 s. Gives the verdict and the
    /// seconds until it.
    fn check(rounds: &[(u64, CheckOutcome)], expected: Option<CheckOutcome>, seconds: u64) {
        check_where(rounds, &[], 0, expected, seconds);
    }

    /// The same, where something is awaited for so many seconds.
    fn check_awaiting(
        rounds: &[(u64, CheckOutcome)],
        awaited: u64,
        expected: Option<CheckOutcome>,
        seconds: u64,
    ) {
        check_where(rounds, &[], awaited, expected, seconds);
    }

    /// The same, where the rounds with these numbers fail for good.
    fn check_where(
        rounds: &[(u64, CheckOutcome)],
        for_good: &[usize],
        awaited: u64,
        expected: Option<CheckOutcome>,
        seconds: u64,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let begun = Instant::now();
            let number = Cell::new(0);
            let found = until_settled(
                Duration::from_secs(10),
                || Duration::from_secs(30).saturating_sub(begun.elapsed()),
                Duration::from_secs(5),
                async || {
                    let for_good = for_good.contains(&number.get());
                    let (length, outcome) = rounds[number.get().min(rounds.len() - 1)];
                    number.set(number.get() + 1);
                    sleep(Duration::from_secs(length)).await;
                    let verdict = Verdict {
                        outcome,
                        checks: vec![CheckResult::new("check", outcome, "")],
                        for_good,
                    };
                    let awaits = begun.elapsed().as_secs() < awaited;
                    Round {
                        verdict,
                        awaits: awaits.then(|| CheckResult::new("timer", Unknown, "")),
                    }
                },
            )
            .await;
            assert_eq!(
                (
                    found.map(|verdict| verdict.outcome),
                    begun.elapsed().as_secs()
                ),
                (expected, seconds),
                "{rounds:?}"
            );
        });
    }

    #[test]
    fn pauses_grow_with_the_trial_and_shrink_before_its_end() {
        let pause = |elapsed, spare| {
            let pause = pause(Duration::from_secs(elapsed), Duration::from_secs(spare));
            pause.as_millis()
        };
        assert_eq!(pause(0, 100), 500);
        assert_eq!(pause(4, 100), 1000);
        assert_eq!(pause(90, 100), 5000);
        assert_eq!(pause(90, 4), 2000);
        assert_eq!(pause(90, 0), 500);
    }

    #[test]
    fn what_only_another_commit_changes_is_not_waited_for() {
        check_where(&[(1, Fail)], &[0], 0, Some(Fail), 1);
        check_where(&[(1, Fail), (2, Fail)], &[1], 0, Some(Fail), 3);
        check_where(&[(1, Pass), (2, Fail)], &[1], 0, Some(Fail), 3);
    }

    #[test]
    fn findings_are_handed_over_before_the_trial_ends() {
        // All is well at once, or later.
        check(&[(1, Pass)], Some(Pass), 11);
        check(&[(1, Fail), (1, Fail), (1, Pass)], Some(Pass), 14);
        check(&[(12, Pass)], Some(Pass), 12);
        // It stays as it is; a last round is not begun that would not end.
        check(&[(1, Fail)], Some(Fail), 29);
        check(&[(10, Unknown)], Some(Unknown), 22);
        // A round is longer than the one before: that one counts.
        check(&[(5, Fail), (60, Fail)], Some(Fail), 30);
        check(&[(9, Pass), (60, Pass)], Some(Unknown), 30);
        check(&[(1, Fail), (60, Pass)], Some(Fail), 30);
        // The first one does not end.
        check(&[(60, Fail)], None, 25);
        check(&[(26, Fail)], None, 25);
        // What is awaited comes while the checks soak, later, or never.
        check_awaiting(&[(1, Pass)], 5, Some(Pass), 11);
        check_awaiting(&[(1, Pass)], 20, Some(Pass), 20);
        check_awaiting(&[(1, Pass)], 60, Some(Unknown), 30);
        check_awaiting(&[(1, Fail)], 60, Some(Fail), 29);
        // Too late to soak.
        check(&[(20, Fail), (1, Pass)], Some(Fail), 20);
        check(&[(14, Fail), (8, Pass)], Some(Unknown), 23);
    }
}
