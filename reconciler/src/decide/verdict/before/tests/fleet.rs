//! A whole fleet takes one commit: every order in which its hosts can come, for two and three, and
//! many for five. The commit either shuts each host's door for as long as it runs, or does nothing.

use std::collections::{HashSet, VecDeque};

use nixus_switcher::protocol::Before;
use proptest::prelude::*;

use super::super::super::{REPOSITORY, judge};
use super::*;

/// So many trials that were inconclusive, and a host waits for another commit.
const TRIALS: u8 = 3;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Phase {
    /// It has the commit, and looks whether it may begin.
    Ready,
    /// It is about to run it: its deployment is open.
    Open(Seen),
    /// It runs it, on trial.
    OnTrial(Seen),
    /// It has kept it.
    Kept,
    /// It is not tried again.
    GivenUp,
    /// It is off, and answers nobody.
    Dead,
}

/// What each other host said before.
type Seen = Vec<Option<CheckOutcome>>;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Host {
    phase: Phase,
    trials: u8,
    /// Those that it has not heard of for long.
    lost: Vec<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Fleet {
    hosts: Vec<Host>,
    /// Whether the commit shuts the door of whoever runs it.
    shuts: bool,
    /// Whether hosts go on where nobody could be asked before, as releases before this did.
    rash: bool,
}

impl Fleet {
    fn of(size: usize, shuts: bool) -> Self {
        let host = Host {
            phase: Phase::Ready,
            trials: 0,
            lost: Vec::new(),
        };
        let hosts = vec![host; size];
        Self {
            hosts,
            shuts,
            rash: false,
        }
    }

    /// The same with one host that is off; `for_long` says whether the others know.
    fn with_dead(mut self, dead: usize, for_long: bool) -> Self {
        for (number, host) in self.hosts.iter_mut().enumerate() {
            if number == dead {
                host.phase = Phase::Dead;
            } else if for_long {
                host.lost.push(dead);
            }
        }
        self
    }

    fn phase(&self, host: usize) -> &Phase {
        &self.hosts[host].phase
    }

    fn is_open(&self, host: usize) -> bool {
        let runs = matches!(self.phase(host), Phase::OnTrial(_) | Phase::Kept);
        *self.phase(host) != Phase::Dead && !(self.shuts && runs)
    }

    /// What one host hears of another that it asks to look at it.
    fn asks(&self, host: usize, other: usize) -> Finding {
        let says = self.is_open(other).then(|| {
            let on_trial = matches!(self.phase(other), Phase::Open(_) | Phase::OnTrial(_));
            let sees = if self.is_open(host) { Pass } else { Fail };
            (sees, on_trial)
        });
        peer(&other.to_string(), says)
    }

    fn ask_all(&self, host: usize) -> Vec<Finding> {
        let others = (0..self.hosts.len()).filter(|other| *other != host);
        others.map(|other| self.asks(host, other)).collect()
    }

    /// Silence during a deployment is far too short for a peer to be lost.
    fn sightings(&self, host: usize) -> Sightings {
        let mut sightings = Sightings::default();
        for other in (0..self.hosts.len()).filter(|other| *other != host) {
            sightings.answered(&other.to_string(), at(NOW - 2 * 86_400));
            if self.hosts[host].lost.contains(&other) {
                for ago in (0..16).rev() {
                    sightings.silent(&other.to_string(), at(NOW - 6 * 3600 * ago), DAY);
                }
            }
        }
        sightings
    }

    /// What becomes of one host's next step. Waiting for others on trial has a bound, and may end
    /// before they do.
    fn step(&self, number: usize) -> Self {
        let mut next = self.clone();
        let sightings = self.sightings(number);
        let known = Known {
            sightings: &sightings,
            lost_after: DAY,
            now: at(NOW),
            stay: None,
        };
        next.hosts[number].phase = match self.phase(number) {
            Phase::Ready => {
                let found = self.ask_all(number);
                let baseline = fitness(&found, &known, |_| true);
                match baseline {
                    Baseline::Unfit(_) if !self.rash => Phase::Ready,
                    _ => {
                        let before = found.iter().map(Finding::as_it_was);
                        let mut seen: Seen = before.map(|one| Some(one.outcome)).collect();
                        seen.insert(number, None);
                        Phase::Open(seen)
                    }
                }
            }
            Phase::Open(seen) => Phase::OnTrial(seen.clone()),
            Phase::OnTrial(seen) => {
                let mut found = self.ask_all(number);
                let lost = lost(&found, &known);
                let before = seen.iter().enumerate().filter_map(|(other, outcome)| {
                    let said = peer(&other.to_string(), Some(((*outcome)?, false)));
                    Some(said.as_it_was())
                });
                let before = Before {
                    checks: before.collect(),
                    lost: (!self.rash).then_some(lost),
                    ..Before::default()
                };
                let own = [REPOSITORY, SSH].map(|check| Finding::new(check, Pass, ""));
                found.extend(own);
                match judge(&before, &found, &[]).outcome {
                    Pass => Phase::Kept,
                    Fail => Phase::GivenUp,
                    Unknown if self.hosts[number].trials + 1 == TRIALS => Phase::GivenUp,
                    Unknown => {
                        next.hosts[number].trials += 1;
                        Phase::Ready
                    }
                }
            }
            phase => phase.clone(),
        };
        next
    }

    fn has_kept(&self) -> usize {
        let hosts = self.hosts.iter();
        hosts.filter(|host| host.phase == Phase::Kept).count()
    }

    /// All fleets that this one can become.
    fn futures(self) -> HashSet<Self> {
        let mut known = HashSet::from([self.clone()]);
        let mut waiting = VecDeque::from([self]);
        while let Some(fleet) = waiting.pop_front() {
            for host in 0..fleet.hosts.len() {
                let next = fleet.step(host);
                if known.insert(next.clone()) {
                    waiting.push_back(next);
                }
            }
        }
        known
    }

    /// In this order, and then one after the other for as long as anything happens.
    fn run(mut self, order: &[usize]) -> Self {
        let size = self.hosts.len();
        for host in order {
            self = self.step(host % size);
        }
        loop {
            let before = self.clone();
            for host in 0..size {
                // To the end of its deployment.
                self = self.step(host).step(host).step(host);
            }
            if self == before {
                return self;
            }
        }
    }
}

#[test]
fn in_no_order_does_a_host_keep_what_shuts_all_doors_at_once() {
    for size in [2, 3] {
        let futures = Fleet::of(size, true).futures();
        assert!(futures.len() > 20);
        for fleet in &futures {
            assert_eq!(fleet.has_kept(), 0, "{fleet:?}");
        }
        // It does not come to that by hanging: each can come to an end.
        let ended = |fleet: &&Fleet| fleet.hosts.iter().all(|one| one.phase == Phase::GivenUp);
        assert!(futures.iter().any(|fleet| ended(&fleet)));
        // What this rests on is what releases before did not see to.
        let mut rash = Fleet::of(size, true);
        rash.rash = true;
        assert!(rash.futures().iter().any(|fleet| fleet.has_kept() == size));
    }
}

#[test]
fn a_host_that_is_off_lets_no_bad_commit_through_where_there_is_a_third() {
    for for_long in [true, false] {
        let futures = Fleet::of(3, true).with_dead(2, for_long).futures();
        for fleet in &futures {
            assert_eq!(fleet.has_kept(), 0, "{fleet:?}");
        }
    }
    // Of two, the other waits, and does without once that one is gone for long.
    let good = |for_long| {
        let futures = Fleet::of(2, false).with_dead(1, for_long).futures();
        futures.iter().any(|fleet| fleet.has_kept() > 0)
    };
    assert!(!good(false));
    assert!(good(true));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn five_hosts_keep_what_is_good_and_nothing_else(
        order in prop::collection::vec(0..5usize, 0..60),
        dead in prop::option::of((0..5usize, any::<bool>())),
    ) {
        let fleet = |shuts| {
            let fleet = Fleet::of(5, shuts);
            match dead {
                Some((dead, for_long)) => fleet.with_dead(dead, for_long),
                None => fleet,
            }
        };
        prop_assert_eq!(fleet(true).run(&order).has_kept(), 0);
        prop_assert_eq!(fleet(false).run(&order).has_kept(), 5 - usize::from(dead.is_some()));
    }
}
