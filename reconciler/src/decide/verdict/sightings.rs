//! When each peer last answered: what tells one that is on trial behind a shut door from one that has
//! been down for long. Pure data; whoever asks a peer notes here what came of it.
//!
//! Silence counts only where somebody listened: a host that was off for days knows nothing of its peers.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

/// Peers are asked so often, of the time after which one is lost, where nothing else asks them.
const ASKED_IN_IT: u32 = 8;
/// A silence is a new one where nobody listened for longer than half of that time, or than this.
const LISTENED: Duration = Duration::from_secs(10 * 60);

/// What is known of one peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// When it last answered; nothing where it never did.
    pub seen: Option<Timestamp>,
    /// Since when it does not.
    pub silent_since: Option<Timestamp>,
    /// When it was last asked.
    pub asked: Timestamp,
    /// Since when it makes no passes, as it said itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passes_stopped: Option<Timestamp>,
}

/// What came of asking a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heard {
    /// The peer.
    pub peer: String,
    /// Whether it has answered.
    pub answered: bool,
    /// Since when it makes no passes, as it says.
    pub passes_stopped: Option<Timestamp>,
}

/// Something of a peer that people should know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Noticed {
    /// The peer.
    pub host: String,
    /// What it is.
    pub what: Sign,
    /// Since when it is so.
    pub since: Timestamp,
}

/// What can be noticed of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sign {
    /// It answers, and makes no passes.
    PassesStopped,
    /// It has not answered for as long as a lost peer.
    Silent,
}

impl std::fmt::Display for Sign {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::PassesStopped => "makes no passes",
            Self::Silent => "does not answer",
        })
    }
}

/// What is known of all of them, by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sightings(BTreeMap<String, Sighting>);

impl Sightings {
    /// Whether nothing is known of anybody.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// When a peer last answered.
    pub fn seen(&self, peer: &str) -> Option<Timestamp> {
        self.0.get(peer)?.seen
    }

    /// A peer has answered at this time.
    pub fn answered(&mut self, peer: &str, at: Timestamp) {
        let before = self.0.get(peer);
        // What is told of an earlier time does not end a silence since.
        if before.is_some_and(|before| before.asked > at && before.seen >= Some(at)) {
            return;
        }
        let sighting = Sighting {
            seen: Some(at),
            silent_since: None,
            asked: at,
            passes_stopped: before.and_then(|before| before.passes_stopped),
        };
        self.0.insert(peer.to_owned(), sighting);
    }

    /// A peer was asked and did not answer.
    pub fn silent(&mut self, peer: &str, now: Timestamp, lost_after: Duration) {
        let before = self.0.get(peer);
        let gap = (lost_after / 2).max(LISTENED);
        let goes_on = before.is_some_and(|before| within(before.asked, now, gap));
        let since = before
            .filter(|_| goes_on)
            .and_then(|before| before.silent_since)
            .filter(|since| *since <= now);
        let sighting = Sighting {
            seen: before.and_then(|before| before.seen),
            silent_since: Some(since.unwrap_or(now)),
            asked: now,
            passes_stopped: before.and_then(|before| before.passes_stopped),
        };
        self.0.insert(peer.to_owned(), sighting);
    }

    /// Notes what came of asking a peer.
    pub fn hear(&mut self, heard: &Heard, now: Timestamp, lost_after: Duration) {
        if !heard.answered {
            return self.silent(&heard.peer, now, lost_after);
        }
        self.answered(&heard.peer, now);
        if let Some(sighting) = self.0.get_mut(&heard.peer) {
            sighting.passes_stopped = heard.passes_stopped;
        }
    }

    /// What people should know of peers. One that was never seen has never been one.
    pub fn noticed(&self, now: Timestamp, lost_after: Duration) -> Vec<Noticed> {
        let noticed = |(host, one): (&String, &Sighting)| {
            one.seen?;
            let silent = one
                .silent_since
                .filter(|_| self.is_lost(host, now, lost_after));
            let (what, since) = match (silent, one.passes_stopped) {
                (Some(since), _) => (Sign::Silent, since),
                (None, Some(since)) => (Sign::PassesStopped, since),
                (None, None) => return None,
            };
            let host = host.clone();
            Some(Noticed { host, what, since })
        };
        self.0.iter().filter_map(noticed).collect()
    }

    /// Whether nobody has seen a peer for so long that it is not waited for. One that was never seen is
    /// none yet.
    pub fn is_lost(&self, peer: &str, now: Timestamp, lost_after: Duration) -> bool {
        let Some(known) = self.0.get(peer).filter(|known| known.seen.is_some()) else {
            return true;
        };
        known
            .silent_since
            .is_some_and(|since| since <= now && !within(since, now, lost_after))
    }

    /// Whether peers are to be asked for this alone.
    pub fn are_due<'a>(
        &self,
        mut peers: impl Iterator<Item = &'a str>,
        now: Timestamp,
        lost_after: Duration,
    ) -> bool {
        peers.any(|peer| {
            let known = self.0.get(peer);
            !known.is_some_and(|known| within(known.asked, now, lost_after / ASKED_IN_IT))
        })
    }

    /// Forgets whoever is not a peer.
    pub fn only<'a>(&mut self, peers: impl Iterator<Item = &'a str>) {
        let names: Vec<&str> = peers.collect();
        self.0.retain(|peer, _| names.contains(&peer.as_str()));
    }
}

/// Whether a time is less than so long ago. One to come is not: the clock was set back.
fn within(then: Timestamp, now: Timestamp, limit: Duration) -> bool {
    let ago = now.duration_since(then);
    let limit = SignedDuration::try_from(limit).unwrap_or(SignedDuration::MAX);
    (SignedDuration::ZERO..limit).contains(&ago)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_second(1_000_000 + hours * 3600).unwrap()
    }

    /// What was noted at these hours: whether db1 answered.
    fn noted(all: &[(i64, bool)]) -> Sightings {
        let mut sightings = Sightings::default();
        for (hour, answered) in all {
            if *answered {
                sightings.answered("db1", at(*hour));
            } else {
                sightings.silent("db1", at(*hour), DAY);
            }
        }
        sightings
    }

    #[test]
    fn only_a_peer_that_was_silent_for_long_while_somebody_listened_is_lost() {
        let check = |all: &[(i64, bool)], now, expected| {
            let lost = noted(all).is_lost("db1", at(now), DAY);
            assert_eq!(lost, expected, "{all:?} at {now}");
        };
        // Never seen: nobody says that it is there yet.
        check(&[], 0, true);
        check(&[(0, false)], 1, true);
        // Seen, however long ago: nobody has listened since.
        check(&[(0, true)], 0, false);
        check(&[(0, true)], 1000, false);
        // Silent: for a while, and for long.
        check(&[(0, true), (3, false)], 3, false);
        check(&[(0, true), (3, false), (15, false)], 26, false);
        check(&[(0, true), (3, false), (14, false), (25, false)], 27, true);
        // Another sign of it begins anew.
        check(&[(0, true), (3, false), (14, true), (25, false)], 27, false);
        // This host was off in between, or its clock was wrong.
        check(&[(0, true), (3, false), (100, false)], 100, false);
        check(
            &[(0, true), (3, false), (100, false), (111, false)],
            123,
            false,
        );
        check(&[(0, true), (3, false), (-5, false)], -4, false);
    }

    #[test]
    fn peers_are_asked_a_few_times_before_one_counts_as_lost() {
        let check = |all: &[(i64, bool)], now, expected| {
            let due = noted(all).are_due(["db1"].into_iter(), at(now), DAY);
            assert_eq!(due, expected, "{all:?} at {now}");
        };
        check(&[], 0, true);
        check(&[(0, true)], 2, false);
        check(&[(0, true)], 3, true);
        check(&[(0, false)], 2, false);
        check(&[(0, false)], 3, true);
        check(&[(0, true)], -1, true);
        assert!(!Sightings::default().are_due([].into_iter(), at(0), DAY));
    }

    #[test]
    fn what_people_should_know_of_a_peer_is_said_until_it_is_over() {
        let mut sightings = Sightings::default();
        let mut heard = |hour, answered, stopped: Option<i64>| {
            let heard = Heard {
                peer: "db1".to_owned(),
                answered,
                passes_stopped: stopped.map(at),
            };
            sightings.hear(&heard, at(hour), DAY);
            let noticed = sightings.noticed(at(hour), DAY);
            noticed.first().map(|one| (one.what, one.since))
        };
        // Never seen.
        assert_eq!(heard(0, false, None), None);
        assert_eq!(heard(1, true, None), None);
        assert_eq!(heard(5, true, Some(2)), Some((Sign::PassesStopped, at(2))));
        assert_eq!(heard(8, false, None), Some((Sign::PassesStopped, at(2))));
        assert_eq!(heard(19, false, None), Some((Sign::PassesStopped, at(2))));
        assert_eq!(heard(30, false, None), Some((Sign::PassesStopped, at(2))));
        assert_eq!(heard(33, false, None), Some((Sign::Silent, at(8))));
        assert_eq!(heard(36, true, None), None);
    }

    #[test]
    fn an_account_of_an_earlier_time_takes_back_no_sighting() {
        let mut sightings = noted(&[(5, true)]);
        sightings.answered("db1", at(3));
        assert_eq!(sightings.seen("db1"), Some(at(5)));
        sightings.only(["web2"].into_iter());
        assert!(sightings.is_empty());
    }
}
