//! Which status is posted next, when, and what is given up: pure.
//!
//! The host's own reports are the outbox: they are durable before anything is sent. What is kept
//! beside them is only how far they are settled, what a forge refused, and when it may be asked
//! again. The newest report of a commit is the one that is posted; each commit is on its own.
//!
//! Two kinds of waits: a time that the forge named is always kept. A wait of our own, after a forge
//! was not reached, ends early for a report of how a deployment ended.

use jiff::{SignedDuration, Timestamp};

use self::judgement::{Judged, Judgement};
use crate::config::statuses::Policy;
use crate::decide::status::Word;

pub mod judgement;
mod kept;

pub use kept::{GivenUp, Held, Item, Outbox, Posted, VERSION, Wait};

/// In a fleet with more hosts, not each of them posts everything: a forge's page of a commit is for
/// people, and its limits are for all hosts together.
pub const ALL_POST: u32 = 250;
/// The least time between two requests that change something (GitHub: "wait at least one second
/// between each request").
const PAUSE: SignedDuration = SignedDuration::from_secs(1);
/// The first wait after a forge was not reached; each further one is twice as long.
const TROUBLE_FIRST: i64 = 5;
/// The longest of them.
const TROUBLE_LONGEST: i64 = 15 * 60;
/// Where a limit is reached and no time is named (GitHub: "wait for at least one minute").
const LIMITED_FIRST: i64 = 60;
/// What a whole fleet may post in an hour with one token (GitHub: 500 requests that make content).
const AN_HOUR: i64 = 500;
/// The waits after a refusal, in seconds: a token is replaced, or a mirror catches up.
const REFUSED: [i64; 5] = [5 * 60, 30 * 60, 3 * 3600, 12 * 3600, 24 * 3600];
/// A forge that answers with its own failure so often in a row may mean only this one status: Gitea
/// does so for a commit that it does not have (routers/api/v1/repo/status.go).
const FAILED: u32 = 4;
/// So often it is then tried again, ever more seldom.
const MOST_TRIES: u32 = 30;
/// So many statuses of one commit are posted at most, of the 1000 that GitHub takes; those that say
/// how it ended, some more.
const MOST_POSTED: u32 = 100;
/// Of so many commits it is known what was posted last.
const COMMITS: usize = 20;
/// So many refused statuses are kept, and so many that were given up.
const MOST_HELD: usize = 20;

/// What is done next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Everything is settled.
    Nothing,
    /// Nothing before this time.
    Later(Timestamp),
    /// This one is posted.
    Post(Box<Item>),
    /// This report says nothing that is to be posted.
    Skip(String),
}

impl Outbox {
    /// Says what is done next. `waiting` has the newest report of each commit that is not settled,
    /// the oldest of them first.
    pub fn next(&self, waiting: &[Item], policy: Policy, now: Timestamp) -> Next {
        if let Some(first) = waiting.first()
            && !self.is_posted(first, policy)
        {
            return Next::Skip(first.report.clone());
        }
        let held = || self.held.iter().min_by_key(|held| held.until);
        let (item, mut from) = match (waiting.first(), held()) {
            (Some(first), _) => (first, now),
            (None, Some(held)) => (&held.item, held.until),
            (None, None) => return Next::Nothing,
        };
        if let Some(asked) = self.asked {
            from = from.max(after(asked, PAUSE));
        }
        if let Some(wait) = &self.wait
            && (wait.named || !is_urgent(waiting, wait))
        {
            from = from.max(wait.until);
        }
        match from <= now {
            true => Next::Post(Box::new(item.clone())),
            false => Next::Later(from),
        }
    }

    /// Whether a status is news, and this host's to tell.
    fn is_posted(&self, item: &Item, policy: Policy) -> bool {
        let word = item.status.word;
        let last = self.posted(&item.status.commit);
        let told = matches!(word, Word::Failure | Word::Error);
        // What was posted is corrected.
        if policy.hosts > ALL_POST && !policy.canary && !told && last.is_none() {
            return false;
        }
        let Some(last) = last else {
            return true;
        };
        if last.word == word && last.description == item.status.description {
            return false;
        }
        if !policy.repeats && last.state == item.state {
            return false;
        }
        // Of what is not final only the transitions are reported, and a wait for another reason.
        let transition = last.word != word || word.is_final() || word == Word::Waiting;
        let most = match word.is_final() {
            true => 2 * MOST_POSTED,
            false => MOST_POSTED,
        };
        transition && last.count < most
    }

    /// What stands on a commit.
    pub fn posted(&self, commit: &str) -> Option<&Posted> {
        self.posted.iter().find(|one| one.commit == commit)
    }

    /// A report needs no status.
    pub fn skip(&mut self, report: String) {
        self.settled = Some(report);
    }

    /// A status was posted, and this came of it. `newest` is the newest report that waits, `chance`
    /// between 0 and 1 keeps hosts from coming back together.
    pub fn settle(
        &mut self,
        item: &Item,
        judged: Judged,
        policy: Policy,
        newest: &str,
        now: Timestamp,
        chance: f64,
    ) {
        self.asked = Some(now);
        let failures = self.wait.as_ref().map_or(0, |wait| wait.failures);
        let wait = |until, named, why: String| {
            Some(Wait {
                until,
                named,
                failures: failures.saturating_add(1),
                newest: newest.to_owned(),
                why,
            })
        };
        match judged.judgement {
            Judgement::Taken | Judgement::AlreadySo => {
                self.wait = None;
                self.close(item);
                self.note(item, now);
                // It is well again, and what it failed at may have been as good as this one.
                let failed = self.held.iter_mut().filter(|held| held.failed);
                failed.for_each(|held| held.until = held.until.min(later(now, TROUBLE_LONGEST)));
            }
            Judgement::Refused { why, for_good } => {
                self.wait = None;
                let tries = self.close(item).saturating_add(1);
                let wait = nth(tries).filter(|_| !for_good);
                self.hold(item, tries, why, wait, false, now);
            }
            Judgement::Limited { until, why } => {
                self.wait = wait(limited(until, failures, policy, now, chance), true, why);
            }
            Judgement::Trouble { why, answered } => {
                if answered && (failures >= FAILED || self.is_held(item)) {
                    let tries = self.close(item).saturating_add(1);
                    let last = REFUSED.last().copied();
                    let wait = nth(tries).or(last).filter(|_| tries <= MOST_TRIES);
                    self.hold(item, tries, why.clone(), wait, true, now);
                }
                let long = TROUBLE_FIRST << failures.min(20);
                let long = long.min(TROUBLE_LONGEST);
                // Half of it to one and a half.
                let until = later(now, seconds(long, 0.5 + chance));
                self.wait = wait(until, false, why);
            }
        }
        if let Some(until) = judged.pause {
            let spread = seconds(spread(0, policy), chance);
            self.wait = Some(Wait {
                until: later(until, spread),
                named: true,
                failures: 0,
                newest: newest.to_owned(),
                why: "the limit of requests is reached".to_owned(),
            });
        }
    }

    /// Takes an item out of what waits; gives how often it was refused.
    fn close(&mut self, item: &Item) -> u32 {
        let commit = &item.status.commit;
        let held = self
            .held
            .iter()
            .position(|held| held.item.status.commit == *commit);
        let Some(position) = held else {
            self.settled = Some(item.report.clone());
            return 0;
        };
        let held = self.held.remove(position);
        if held.item.report == item.report {
            return held.tries;
        }
        // A newer report of the same commit takes its place.
        self.settled = Some(item.report.clone());
        0
    }

    fn note(&mut self, item: &Item, now: Timestamp) {
        let commit = &item.status.commit;
        let count = self.posted(commit).map_or(0, |one| one.count);
        self.posted.retain(|one| one.commit != *commit);
        self.posted.push(Posted {
            commit: commit.clone(),
            word: item.status.word,
            state: item.state.clone(),
            description: item.status.description.clone(),
            count: count.saturating_add(1),
            time: now,
        });
        let too_many = self.posted.len().saturating_sub(COMMITS);
        self.posted.drain(..too_many);
    }

    fn is_held(&self, item: &Item) -> bool {
        self.held.iter().any(|held| held.item.report == item.report)
    }

    /// Puts an item aside for so many seconds, or for good.
    fn hold(
        &mut self,
        item: &Item,
        tries: u32,
        why: String,
        wait: Option<i64>,
        failed: bool,
        now: Timestamp,
    ) {
        if let Some(wait) = wait {
            self.held.push(Held {
                item: item.clone(),
                tries,
                until: later(now, wait),
                why,
                failed,
            });
        } else {
            self.give_up(item, why, now);
        }
        // The newest commits are those that people look at.
        while self.held.len() > MOST_HELD {
            let oldest = self.held.remove(0);
            let why = format!("{}, and many others after it", oldest.why);
            self.give_up(&oldest.item, why, now);
        }
    }

    fn give_up(&mut self, item: &Item, why: String, now: Timestamp) {
        self.given_up.push(GivenUp {
            commit: item.status.commit.clone(),
            word: item.status.word,
            time: now,
            why,
        });
        let too_many = self.given_up.len().saturating_sub(MOST_HELD);
        self.given_up.drain(..too_many);
    }
}

/// The wait after so many refusals.
fn nth(tries: u32) -> Option<i64> {
    let index = usize::try_from(tries).ok()?.checked_sub(1)?;
    REFUSED.get(index).copied()
}

/// Whether something that a deployment ended with has come up since the wait began.
fn is_urgent(waiting: &[Item], wait: &Wait) -> bool {
    let newest = waiting.last();
    newest.is_some_and(|item| item.report != wait.newest && item.status.word.is_final())
}

/// The end of a wait at a limit: never before the time that the forge named, and after it by chance
/// within a time that grows with each further one, until the whole fleet has room in it.
fn limited(
    named: Option<Timestamp>,
    failures: u32,
    policy: Policy,
    now: Timestamp,
    chance: f64,
) -> Timestamp {
    let from = match named {
        Some(time) => time.max(now),
        None => later(now, LIMITED_FIRST << failures.min(6)),
    };
    later(from, seconds(spread(failures, policy), chance))
}

fn spread(failures: u32, policy: Policy) -> i64 {
    let fleet = i64::from(policy.hosts).saturating_mul(3600) / AN_HOUR;
    (LIMITED_FIRST << failures.min(20)).min(fleet.max(1))
}

fn after(time: Timestamp, duration: SignedDuration) -> Timestamp {
    time.checked_add(duration).unwrap_or(time)
}

fn later(time: Timestamp, seconds: i64) -> Timestamp {
    after(time, SignedDuration::from_secs(seconds))
}

/// A share of some seconds, a second at least where there is any.
fn seconds(all: i64, share: f64) -> i64 {
    SignedDuration::from_secs(all)
        .as_secs_f64()
        .mul_add(share, 0.999)
        .min(1e9) as i64
}

#[cfg(test)]
mod tests;
