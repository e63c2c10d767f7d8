//! What this host remembers from pass to pass: pure data, and how each result changes it.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use nixus_switcher::protocol::{
    Cause, CheckOutcome, CheckResult, Commit, Ending, Outcome, Toplevel, newest_version,
};
use serde::{Deserialize, Serialize};

use crate::decide::blame::{Judgement, judge};
use crate::decide::commit_id::CommitId;
use crate::decide::verdict::sightings::{Heard, Sightings};
use crate::decide::verdict::{PEER, SSH};
use dark_boot::DarkBoot;
use doubt::Doubt;

pub mod dark_boot;
pub mod doubt;
pub mod earlier;
pub mod mirrors;
pub mod release;
pub mod rollback;

/// After this many failures the time between tries grows no further.
const BACKOFF_STEPS: u32 = 7;
/// The first wait after a failure, in seconds; each further one is twice as long.
const BACKOFF_FIRST: i64 = 15;

/// How long peers on trial are not asked again, in seconds.
const LOOK_AGAIN: i64 = 4;

/// Lengthens a wait by chance, so that hosts that failed together do not come back together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Jitter(u8);

impl Jitter {
    /// No lengthening.
    pub const NONE: Self = Self(0);

    /// By a share of a half, in 1/255.
    pub fn of(share: u8) -> Self {
        Self(share)
    }

    fn lengthen(self, seconds: i64) -> i64 {
        seconds + seconds * i64::from(self.0) / (2 * 255)
    }
}

/// What is kept of a reason.
const MAX_REASON: usize = 2000;

/// The commit that this host is on, and the system that it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The commit.
    pub commit: Commit,
    /// Its toplevel for this host.
    pub toplevel: Toplevel,
    /// Its generation in the system profile, where it has one.
    pub generation: Option<u64>,
    /// Since when this commit is kept.
    pub since: Timestamp,
}

/// What a commit was built to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Built {
    /// The commit.
    pub commit: CommitId,
    /// Its toplevel for this host.
    pub toplevel: Toplevel,
}

/// What failed and is not tried again: the toplevel, or the commit where none was built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// The commit that it failed for.
    pub commit: CommitId,
    /// The toplevel, where one was built.
    pub toplevel: Option<Toplevel>,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// It did not fail: it cannot take over without a reboot.
    #[serde(default)]
    pub needs_reboot: bool,
    /// Who gets in was judged by what was so before; another generation that is kept makes that
    /// another question. A change in two commits leads to the toplevel that failed as one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_what_was: bool,
}

/// A wait after failures that may pass by themselves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backoff {
    /// How many failures came in a row.
    pub failures: u32,
    /// Nothing is tried before this time.
    pub until: Timestamp,
    /// The last failure.
    pub reason: String,
    /// The head that it was met with; another head is looked at at once. None where the branch was not to be had.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<CommitId>,
}

/// That peers on trial go first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The commit that waits.
    pub commit: CommitId,
    /// Since when.
    pub since: Timestamp,
    /// Not longer than until then.
    pub until: Timestamp,
    /// The peers are not asked again before this time.
    pub look_again: Timestamp,
}

/// Why there is no usable ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Damage {
    /// The file that was not understood, where it is now.
    pub file: String,
    /// What is wrong with it: a half sentence after its name.
    pub problem: String,
    /// Nothing is broken: a newer release wrote it, and may come back.
    pub newer: bool,
}

/// Everything that this host remembers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    /// The version of this file's format.
    pub version: u32,
    /// The commit from which history is accepted; pinned by `nixus adopt`.
    pub anchor: Option<CommitId>,
    /// The newest commit that was accepted; only its descendants are.
    pub accepted: Option<CommitId>,
    /// What this host was last brought to.
    pub kept: Option<Kept>,
    /// What the last built commit was built to.
    pub built: Option<Built>,
    /// What is not tried again.
    pub quarantine: Vec<Quarantined>,
    /// How often a deployment of this toplevel was interrupted.
    pub interruptions: BTreeMap<String, u32>,
    /// What is not known yet of toplevels whose trials were inconclusive.
    #[serde(default)]
    pub doubts: Vec<Doubt>,
    /// What had no network at its first boot.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dark_boots: Vec<DarkBoot>,
    /// What this host was brought to before, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier: Vec<Kept>,
    /// The commit whose builder failed, and how often.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub builder_failed: Option<(CommitId, u32)>,
    /// A wait after failures.
    pub backoff: Option<Backoff>,
    /// That peers on trial go first.
    #[serde(default)]
    pub held: Option<Held>,
    /// The head that was refused because it is not a descendant of what was accepted.
    pub refused: Option<CommitId>,
    /// The sequence number of the last switcher outcome that was taken into account.
    pub outcomes_seen: u64,
    /// How many builds in a row were given up for a newer commit.
    #[serde(default)]
    pub overtaken: u32,
    /// The commit that was reported as not built yet; its next tries are not news.
    #[serde(default)]
    pub not_built_yet: Option<CommitId>,
    /// Since when CI is waited for, without anything that could be fetched meanwhile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_entry_since: Option<Timestamp>,
    /// Since when the repository's first URL has not answered, or only with what is refused. Where it has mirrors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_silent_since: Option<Timestamp>,
    /// The newest accepted commit that the first URL has said, where mirrors alone have said what is accepted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said_by_first: Option<CommitId>,
    /// Counts the deployments asked for; makes their ids unique.
    pub deployments: u64,
    /// When each peer last answered.
    #[serde(default, skip_serializing_if = "Sightings::is_empty")]
    pub sightings: Sightings,
    /// Of the file's text, where it was written with one: JSON with a wrong character in it may be as good as ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,
    /// Why this is not what the host really remembers. Such a ledger is never written.
    #[serde(skip)]
    pub damage: Option<Damage>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self {
            version: newest_version(),
            anchor: None,
            accepted: None,
            kept: None,
            built: None,
            quarantine: Vec::new(),
            interruptions: BTreeMap::new(),
            doubts: Vec::new(),
            dark_boots: Vec::new(),
            earlier: Vec::new(),
            builder_failed: None,
            backoff: None,
            held: None,
            refused: None,
            outcomes_seen: 0,
            overtaken: 0,
            not_built_yet: None,
            no_entry_since: None,
            first_silent_since: None,
            said_by_first: None,
            deployments: 0,
            sightings: Sightings::default(),
            checksum: None,
            damage: None,
        }
    }
}

/// How the quarantine grows at most; the oldest entries go first.
const MAX_QUARANTINED: usize = 200;

impl Ledger {
    /// The entry that forbids a commit or a toplevel.
    pub fn quarantined(
        &self,
        commit: &CommitId,
        toplevel: Option<&Toplevel>,
    ) -> Option<&Quarantined> {
        self.quarantine
            .iter()
            .rev()
            .find(|entry| match &entry.toplevel {
                Some(entry) => Some(entry) == toplevel,
                None => entry.commit == *commit,
            })
    }

    /// The toplevel that a commit is known to be built to.
    pub fn known_toplevel(&self, commit: &CommitId) -> Option<&Toplevel> {
        self.built
            .as_ref()
            .filter(|built| built.commit == *commit)
            .map(|built| &built.toplevel)
    }

    /// Fills a ledger that was lost from the switcher's history, so that what failed stays
    /// quarantined and ids of deployments stay unique. Accepted is nothing: that is lost.
    pub fn rebuild(&mut self, history: &[Outcome]) {
        if self.damage.is_none() {
            return;
        }
        for outcome in history {
            let ended = i64::try_from(outcome.ended).unwrap_or_default();
            let ended = Timestamp::from_second(ended).unwrap_or_default();
            self.absorb(outcome, ended, Jitter::NONE);
            let number = outcome.deployment.as_str().split('-').next();
            let number = number.and_then(|number| number.parse().ok()).unwrap_or(0);
            self.deployments = self.deployments.max(number);
        }
        self.backoff = None;
    }

    /// Pins where history begins; what was quarantined or awaited before is forgotten. What a lost
    /// ledger forbade stays forbidden: the operator may not know of it.
    pub fn adopt(&mut self, anchor: CommitId) {
        let quarantine = match self.damage.take() {
            Some(_) => std::mem::take(&mut self.quarantine),
            None => Vec::new(),
        };
        *self = Self {
            quarantine,
            anchor: Some(anchor.clone()),
            accepted: Some(anchor),
            outcomes_seen: self.outcomes_seen,
            deployments: self.deployments,
            sightings: std::mem::take(&mut self.sightings),
            ..Self::default()
        };
    }

    /// A commit passed every check of trust.
    pub fn accept(&mut self, commit: CommitId) {
        self.accepted = Some(commit);
        self.said_by_first = None;
        self.refused = None;
        self.interruptions.clear();
    }

    /// A commit was built.
    pub fn build(&mut self, built: Built) {
        self.built = Some(built);
        self.builder_failed = None;
        self.backoff = None;
        self.overtaken = 0;
        self.no_entry_since = None;
    }

    /// CI has nothing of the head for this host. Whether that is news is the answer: it is for CI that
    /// is waited, not for one commit, of which there may be many meanwhile.
    pub fn lacks_entry(&mut self, now: Timestamp) -> bool {
        let is_news = self.no_entry_since.is_none();
        self.no_entry_since.get_or_insert(now);
        is_news
    }

    /// A build was given up for a newer commit.
    pub fn overtake(&mut self) {
        self.overtaken = self.overtaken.saturating_add(1);
    }

    /// The host is on this commit.
    pub fn keep(&mut self, kept: Kept) {
        let before = self.kept.as_ref().map(|kept| &kept.toplevel);
        if before.is_some_and(|before| *before != kept.toplevel) {
            self.quarantine.retain(|entry| !entry.by_what_was);
        }
        self.remember_kept(&kept);
        self.kept = Some(kept);
        self.backoff = None;
        self.held = None;
        self.no_entry_since = None;
        self.doubts.clear();
        self.interruptions.clear();
    }

    /// A builder of this commit failed by itself: how often by now.
    pub fn count_builder_failure(&mut self, commit: &CommitId) -> u32 {
        let before = self.builder_failed.take().filter(|(one, _)| one == commit);
        let times = before.map_or(0, |(_, times)| times).saturating_add(1);
        self.builder_failed = Some((commit.clone(), times));
        times
    }

    /// A commit or its toplevel failed for good.
    pub fn reject(&mut self, entry: Quarantined) {
        self.backoff = None;
        self.overtaken = 0;
        self.builder_failed = None;
        self.quarantine.push(entry);
        if self.quarantine.len() > MAX_QUARANTINED {
            self.quarantine
                .drain(..self.quarantine.len() - MAX_QUARANTINED);
        }
    }

    /// Something failed that may work later: wait longer after each failure in a row.
    pub fn back_off(&mut self, now: Timestamp, reason: &str, jitter: Jitter) {
        let failures = self.backoff.as_ref().map_or(0, |backoff| backoff.failures);
        let wait = jitter.lengthen(BACKOFF_FIRST << failures.min(BACKOFF_STEPS));
        let until = now
            .checked_add(jiff::SignedDuration::from_secs(wait))
            .unwrap_or(now);
        self.backoff = Some(Backoff {
            failures: failures.saturating_add(1),
            until,
            reason: shorten(reason),
            head: None,
        });
    }

    /// The wait is for this head alone.
    pub fn back_off_from(&mut self, head: Option<CommitId>) {
        if let Some(backoff) = &mut self.backoff {
            backoff.head = head;
        }
    }

    /// The wait for peers on trial, where it is for this commit.
    pub fn held(&self, commit: &CommitId) -> Option<&Held> {
        self.held.as_ref().filter(|held| held.commit == *commit)
    }

    /// Lets peers on trial go first, for at most `bound` and a little longer by chance. They are asked
    /// again after a while that chance lengthens, too: those who wait together do not go together.
    pub fn hold(&mut self, commit: CommitId, now: Timestamp, bound: Duration, jitter: Jitter) {
        let after = |seconds| {
            let wait = jiff::SignedDuration::from_secs(jitter.lengthen(seconds));
            now.checked_add(wait).unwrap_or(now)
        };
        let (since, until) = match self.held(&commit) {
            Some(held) => (held.since, held.until),
            None => (
                now,
                after(i64::try_from(bound.as_secs()).unwrap_or(i64::MAX / 4)),
            ),
        };
        self.held = Some(Held {
            commit,
            since,
            until,
            look_again: after(LOOK_AGAIN),
        });
    }

    /// All peers were asked whether they are there: what came of it.
    pub fn hear_of_peers(&mut self, answers: &[Heard], now: Timestamp, lost_after: Duration) {
        for heard in answers {
            self.sightings.hear(heard, now, lost_after);
        }
        let peers = answers.iter().map(|heard| heard.peer.as_str());
        self.sightings.only(peers);
    }

    /// Takes the switcher's account of an ended deployment into account.
    pub fn absorb(&mut self, outcome: &Outcome, now: Timestamp, jitter: Jitter) {
        self.outcomes_seen = self.outcomes_seen.max(outcome.sequence);
        for check in outcome.evidence.iter().flat_map(|found| &found.checks) {
            if let (Some(peer), CheckOutcome::Pass) = (&check.by, check.outcome) {
                let ended = i64::try_from(outcome.ended).unwrap_or_default();
                let ended = Timestamp::from_second(ended).unwrap_or_default();
                self.sightings.answered(peer, ended.min(now));
            }
        }
        let Ok(commit) = CommitId::try_from(outcome.commit.id.clone()) else {
            return;
        };
        let toplevel = outcome.new.toplevel.clone();
        let why = outcome
            .cause
            .as_ref()
            .map_or_else(String::new, ToString::to_string);
        if outcome.boot_trial {
            // It was kept before, and would be deployed and booted again.
            if outcome.ending == Ending::Confirmed {
                self.dark_boots.retain(|one| one.toplevel != toplevel);
            } else if outcome.cause.as_ref().is_some_and(Cause::is_no_network) {
                self.boot_was_dark(outcome, commit, &why);
                self.back_off(now, &why, jitter);
            } else {
                let why = format!("its first boot failed: {why}");
                self.reject(quarantined(commit, toplevel, &why, now));
            }
            return;
        }
        match (outcome.ending, judge(outcome.cause.as_ref())) {
            (Ending::Confirmed, _) => self.keep(Kept {
                commit: outcome.commit.clone(),
                toplevel,
                generation: outcome.new.generation,
                since: now,
            }),
            (_, Judgement::Interrupted) => {
                let key = toplevel.to_string();
                let count = self.interruptions.entry(key).or_default();
                *count += 1;
                // Tried once more, and not at once: a power cut is nobody's fault, two in a row are the
                // candidate's.
                if *count >= 2 {
                    let reason = format!("{why}, twice in a row");
                    self.reject(quarantined(commit, toplevel, &reason, now));
                } else {
                    self.back_off(now, &why, jitter);
                    self.back_off_from(self.accepted.clone());
                }
            }
            (_, Judgement::NotReady) => {
                self.back_off(now, &why, jitter);
                self.back_off_from(self.accepted.clone());
            }
            (_, Judgement::Inconclusive) => {
                self.doubt(outcome, commit, &why);
                self.back_off(now, &why, jitter);
                self.back_off_from(self.accepted.clone());
            }
            (_, Judgement::RebootNeeded) => self.reject(Quarantined {
                needs_reboot: true,
                ..quarantined(commit, toplevel, &why, now)
            }),
            (_, Judgement::Failed) => self.reject(Quarantined {
                by_what_was: is_of_who_gets_in(outcome),
                ..quarantined(commit, toplevel, &why, now)
            }),
        }
    }
}

fn quarantined(
    commit: CommitId,
    toplevel: Toplevel,
    reason: &str,
    since: Timestamp,
) -> Quarantined {
    Quarantined {
        commit,
        toplevel: Some(toplevel),
        reason: shorten(reason),
        since,
        needs_reboot: false,
        by_what_was: false,
    }
}

/// Whether a trial failed for nothing but who gets in.
fn is_of_who_gets_in(outcome: &Outcome) -> bool {
    match &outcome.cause {
        Some(Cause::VerificationFailed { checks }) => {
            let gets_in = |check: &CheckResult| [SSH, PEER].contains(&check.check.as_str());
            !checks.is_empty() && checks.iter().all(gets_in)
        }
        _ => false,
    }
}

/// Cuts a reason to what is worth keeping, never inside a character.
pub fn shorten(reason: &str) -> String {
    reason.chars().take(MAX_REASON).collect()
}

#[cfg(test)]
mod tests;
