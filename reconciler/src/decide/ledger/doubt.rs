//! A toplevel whose trial was inconclusive: the repository did not answer it. Whether that was an outage
//! or its own doing, the system before it helps to tell, right after it was put back.

use jiff::{SignedDuration, Timestamp};
use nixus_switcher::protocol::{CheckOutcome, Outcome, Toplevel};
use serde::{Deserialize, Serialize};

use super::{Ledger, quarantined};
use crate::decide::commit_id::CommitId;
use crate::decide::verdict::REACH;
use crate::decide::verdict::{REPOSITORY, SOAK};

/// After this many trials that were inconclusive, a toplevel is not tried again.
const MAX_TRIALS: u32 = 3;
/// So much evidence against a toplevel makes it fail. An outage may end just when the old system is
/// back, so one time is not enough, unless the repository's host accepted connections all the while.
const ENOUGH: u32 = 2;
/// How long after the trial the system before it is a witness of that time.
const WITNESS: SignedDuration = SignedDuration::from_secs(120);
/// How many toplevels are doubted at most; the oldest go first.
const MAX_DOUBTS: usize = 50;

/// What is known of a toplevel whose trials were inconclusive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubt {
    /// The toplevel.
    pub toplevel: Toplevel,
    /// The commit of its last trial.
    pub commit: CommitId,
    /// How many trials were inconclusive.
    pub trials: u32,
    /// The evidence against it.
    pub against: u32,
    /// What the last trial could not find out.
    pub reason: String,
    /// When the last trial ended and how much the system before is to weigh as a witness; nothing
    /// once it was asked.
    pub awaits: Option<(Timestamp, u32)>,
    /// The other checks of the last trial that the system before is asked about.
    #[serde(default)]
    pub asks: Vec<String>,
}

impl Ledger {
    /// A trial was inconclusive.
    pub(super) fn doubt(&mut self, outcome: &Outcome, commit: CommitId, reason: &str) {
        let toplevel = outcome.new.toplevel.clone();
        let before = self
            .doubts
            .iter()
            .position(|doubt| doubt.toplevel == toplevel)
            .map(|index| self.doubts.remove(index));
        let ended = i64::try_from(outcome.ended).unwrap_or_default();
        let ended = Timestamp::from_second(ended).unwrap_or_default();
        self.doubts.push(Doubt {
            toplevel,
            commit,
            trials: before.as_ref().map_or(0, |doubt| doubt.trials) + 1,
            against: before.as_ref().map_or(0, |doubt| doubt.against),
            reason: super::shorten(reason),
            awaits: weight(outcome).map(|weight| (ended, weight)),
            asks: told_nothing(outcome),
        });
        if self.doubts.len() > MAX_DOUBTS {
            self.doubts.remove(0);
        }
    }

    /// Whether the system that was put back is to say whether it reaches the repository.
    pub fn wants_witness(&self) -> bool {
        self.doubts.iter().any(|doubt| doubt.awaits.is_some())
    }

    /// The checks that the system that was put back is to make once more.
    pub fn witness_asks(&self) -> Vec<String> {
        let awaiting = self.doubts.iter().filter(|doubt| doubt.awaits.is_some());
        awaiting.flat_map(|doubt| doubt.asks.clone()).collect()
    }

    /// The system that was put back has tried the repository, and made these other checks, of which
    /// those that `passed` are named. Gives the commit that is not tried again after this, with the
    /// reason, where there is one.
    pub fn witnessed(
        &mut self,
        now: Timestamp,
        reached: bool,
        passed: &[String],
    ) -> Option<(CommitId, String)> {
        let mut failed = None;
        for doubt in &mut self.doubts {
            let Some((ended, weight)) = doubt.awaits.take() else {
                continue;
            };
            // One that an earlier release noted is about the repository.
            let well = (!doubt.asks.is_empty() || reached)
                && doubt.asks.iter().all(|check| {
                    if check == REPOSITORY {
                        reached
                    } else {
                        passed.contains(check)
                    }
                });
            if well && now.duration_since(ended) <= WITNESS {
                doubt.against += weight;
            }
            if doubt.against >= ENOUGH {
                failed = Some(doubt.clone());
            }
        }
        let doubt = failed?;
        self.doubts.retain(|one| one.toplevel != doubt.toplevel);
        let well = if doubt.asks.iter().all(|check| check == REPOSITORY) {
            "the system before reaches the repository"
        } else {
            "with the system before it is well"
        };
        let reason = format!(
            "{}; {well}",
            doubt.reason.trim_start_matches("inconclusive: ")
        );
        let commit = doubt.commit.clone();
        self.reject(quarantined(doubt.commit, doubt.toplevel, &reason, now));
        Some((commit, reason))
    }

    /// What could not be found out of a toplevel that was tried often enough.
    pub fn inconclusive(&self, toplevel: &Toplevel) -> Option<&str> {
        self.doubts
            .iter()
            .find(|doubt| doubt.toplevel == *toplevel && doubt.trials >= MAX_TRIALS)
            .map(|doubt| doubt.reason.as_str())
    }
}

/// The checks that were inconclusive, each once; what is about the trial itself is no such check.
fn told_nothing(outcome: &Outcome) -> Vec<String> {
    let checks = outcome.evidence.iter().flat_map(|found| &found.checks);
    let mut names: Vec<String> = checks
        .filter(|one| one.outcome == CheckOutcome::Unknown && one.disregarded.is_none())
        .filter(|one| ![REACH, SOAK, "verify"].contains(&one.check.as_str()))
        .map(|one| one.check.clone())
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// How much it weighs that the system before is well where this trial was inconclusive; nothing where
/// there is nothing to ask it about.
fn weight(outcome: &Outcome) -> Option<u32> {
    let checks = &outcome.evidence.as_ref()?.checks;
    if told_nothing(outcome).is_empty() {
        return None;
    }
    let is = |name: &str, outcome| {
        checks
            .iter()
            .any(|check| check.check == name && check.outcome == outcome)
    };
    let reachable = is(REPOSITORY, CheckOutcome::Unknown) && is(REACH, CheckOutcome::Pass);
    Some(if reachable { ENOUGH } else { 1 })
}
