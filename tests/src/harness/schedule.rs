//! Which test runs next: as many at a time as their weights have room for.

use std::cmp::Reverse;

use super::Test;

/// The tests that are still to be run, and the places that are free.
#[derive(Debug)]
pub struct Schedule {
    waiting: Vec<Test>,
    places: usize,
    more: usize,
    taken: usize,
}

impl Schedule {
    /// All of these tests with so many places. What takes long begins first, so that nothing is left
    /// to wait for alone at the end; then what is heavy, which finds room as long as little runs.
    pub fn new(mut tests: Vec<Test>, places: usize) -> Self {
        let places = places.max(1);
        tests.sort_by_key(|test| (Reverse(test.long), Reverse(test.weight)));
        Self {
            waiting: tests,
            places,
            more: 0,
            taken: 0,
        }
    }

    /// The next test for which there is room, and takes its places. A light one may go before a heavy one
    /// that has no room yet.
    pub fn next(&mut self) -> Option<Test> {
        let at = self
            .waiting
            .iter()
            .position(|test| self.taken + self.weight(test) <= self.places + self.more)?;
        let test = self.waiting.remove(at);
        self.taken += self.weight(&test);
        Some(test)
    }

    /// A test has ended, and gives its places back.
    pub fn ended(&mut self, test: &Test) {
        self.taken -= self.weight(test);
    }

    /// How full the machine is at present: where its processors idle although all places are taken, there
    /// is one place more, up to twice as many as it has by itself; where they do not, one less again.
    pub fn adapt(&mut self, idle: bool) {
        if !idle {
            self.more = self.more.saturating_sub(1);
        } else if self.taken >= self.places + self.more {
            self.more = (self.more + 1).min(self.places);
        }
    }

    /// What weighs more than all places runs alone.
    fn weight(&self, test: &Test) -> usize {
        test.weight.clamp(1, self.places)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tests(weights: &[(&'static str, usize, bool)]) -> Vec<Test> {
        let one = |&(name, weight, long)| Test {
            weight,
            long,
            ..Test::named(name)
        };
        weights.iter().map(one).collect()
    }

    #[test]
    fn long_ones_first_then_heavy_ones_and_light_ones_fill_the_gaps() {
        let all = [
            ("light", 1, false),
            ("heavy", 3, false),
            ("long", 1, true),
            ("small", 1, false),
        ];
        let mut schedule = Schedule::new(tests(&all), 4);
        let running: Vec<Test> = std::iter::from_fn(|| schedule.next()).collect();
        let names: Vec<&str> = running.iter().map(|test| test.name).collect();
        assert_eq!(names, ["long", "heavy"]);
        schedule.ended(&running[0]);
        assert_eq!(schedule.next().map(|test| test.name), Some("light"));
        assert!(schedule.next().is_none());
        schedule.ended(&running[1]);
        assert_eq!(schedule.next().map(|test| test.name), Some("small"));
    }

    #[test]
    fn an_idle_machine_has_more_places_and_a_full_one_its_own() {
        let all = [("light", 1, false); 9];
        let mut schedule = Schedule::new(tests(&all), 2);
        let begin = |schedule: &mut Schedule| std::iter::from_fn(|| schedule.next()).count();
        assert_eq!(begin(&mut schedule), 2);
        for more in [1, 1, 0, 0] {
            schedule.adapt(true);
            assert_eq!(begin(&mut schedule), more);
        }
        schedule.adapt(false);
        schedule.adapt(false);
        schedule.adapt(false);
        let light = tests(&all)[0];
        for _ in 0..2 {
            schedule.ended(&light);
        }
        assert_eq!(begin(&mut schedule), 0);
        schedule.ended(&light);
        assert_eq!(begin(&mut schedule), 1);
        // Places that nobody takes are not a reason for more.
        schedule.ended(&light);
        schedule.adapt(true);
        assert_eq!(begin(&mut schedule), 1);
    }

    #[test]
    fn what_weighs_more_than_there_is_room_runs_alone() {
        let mut schedule = Schedule::new(tests(&[("huge", 9, false), ("light", 1, false)]), 2);
        let huge = schedule.next().unwrap();
        assert_eq!(huge.name, "huge");
        assert!(schedule.next().is_none());
        schedule.ended(&huge);
        assert_eq!(schedule.next().map(|test| test.name), Some("light"));
    }
}
