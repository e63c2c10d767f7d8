//! Whose word counts: the first URL's, or after it has been silent for long, a mirror's.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::Ledger;
use crate::decide::commit_id::CommitId;

impl Ledger {
    /// Whether mirrors are believed alone.
    pub fn mirrors_count(&self, now: Timestamp, after: Duration) -> bool {
        self.mirrors_count_from(after)
            .is_some_and(|from| now >= from)
    }

    /// From when on mirrors are believed alone, where the first URL is silent.
    pub fn mirrors_count_from(&self, after: Duration) -> Option<Timestamp> {
        let after = SignedDuration::try_from(after).unwrap_or(SignedDuration::MAX);
        let since = self.first_silent_since?;
        Some(since.checked_add(after).unwrap_or(Timestamp::MAX))
    }

    /// The first URL did not answer, or only with what is refused. Whether that is news is the answer.
    pub fn first_is_silent(&mut self, now: Timestamp) -> bool {
        // A clock that was put back would make it silent for longer than asked for.
        match self.first_silent_since.filter(|since| *since <= now) {
            Some(_) => false,
            None => {
                self.first_silent_since = Some(now);
                true
            }
        }
    }

    /// The first URL answered with what is followed. Whether that is news is the answer.
    pub fn first_is_heard(&mut self) -> bool {
        self.first_silent_since.take().is_some()
    }

    /// A commit is accepted that a mirror alone has said.
    pub fn accept_from_mirror(&mut self, commit: CommitId) {
        let before = self.said_by_first.take().or_else(|| self.accepted.clone());
        self.accept(commit);
        self.said_by_first = before;
    }

    /// The first URL has gone on from what it said last, and not from what mirrors said: what they said does not
    /// stand in its way.
    pub fn forget_mirrors(&mut self) {
        if let Some(said) = self.said_by_first.take() {
            self.accepted = Some(said);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn id(letter: &str) -> CommitId {
        CommitId::try_from(letter.repeat(40)).unwrap()
    }

    #[test]
    fn mirrors_count_once_the_first_url_has_been_silent_for_long_enough() {
        let hour = Duration::from_secs(3600);
        let mut ledger = Ledger::default();
        assert!(!ledger.mirrors_count(at(9_999_999), hour));
        assert!(ledger.first_is_silent(at(1000)));
        // Later failures do not begin the time anew.
        assert!(!ledger.first_is_silent(at(2000)));
        assert!(!ledger.mirrors_count(at(4599), hour));
        assert!(ledger.mirrors_count(at(4600), hour));
        assert_eq!(ledger.mirrors_count_from(hour), Some(at(4600)));
        assert!(ledger.first_is_heard());
        assert!(!ledger.first_is_heard());
        assert!(!ledger.mirrors_count(at(9_999_999), hour));
        // A clock that was put back.
        ledger.first_is_silent(at(90_000));
        assert!(ledger.first_is_silent(at(1000)));
        assert!(ledger.mirrors_count(at(4600), hour));
        assert!(!ledger.mirrors_count(at(4600), Duration::MAX));
    }

    #[test]
    fn what_mirrors_said_does_not_stand_in_the_way_of_the_first_url() {
        let mut ledger = Ledger::default();
        ledger.adopt(id("a"));
        ledger.accept_from_mirror(id("b"));
        ledger.accept_from_mirror(id("c"));
        assert_eq!(ledger.said_by_first, Some(id("a")));
        ledger.forget_mirrors();
        assert_eq!(
            (ledger.accepted.clone(), ledger.said_by_first.clone()),
            (Some(id("a")), None)
        );
        ledger.forget_mirrors();
        assert_eq!(ledger.accepted, Some(id("a")));
        // What the first URL says itself is the new beginning.
        ledger.accept_from_mirror(id("d"));
        ledger.accept(id("e"));
        assert_eq!(ledger.said_by_first, None);
    }
}
