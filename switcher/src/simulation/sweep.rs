//! Many seeds, on many threads, counted.

use std::collections::{BTreeSet, HashSet};
use std::ops::Range;
use std::thread;

use super::fault::Kind;
use super::world::run;
use crate::decide::phase::PhaseName;

/// So many broken promises are kept; the rest is counted.
const KEPT: usize = 20;

/// What became of many seeds.
#[derive(Debug, Default)]
pub struct Tally {
    /// Seeds that were run.
    pub seeds: u64,
    /// Different runs in which something went wrong, by what makes them different.
    pub distinct: HashSet<u64>,
    /// Where something went wrong, and what.
    pub points: BTreeSet<(&'static str, Kind)>,
    /// The pairs of phase and event that came up.
    pub pairs: BTreeSet<(PhaseName, &'static str)>,
    /// How many runs broke a promise.
    pub broken: u64,
    /// The first of them, by seed.
    pub first: Vec<(u64, String)>,
}

impl Tally {
    /// Runs more seeds, on all processors, and counts them too.
    pub fn sweep(&mut self, seeds: Range<u64>) {
        let threads = thread::available_parallelism().map_or(1, |number| number.get() as u64);
        let parts: Vec<Self> = thread::scope(|scope| {
            let workers: Vec<_> = (0..threads)
                .map(|worker| {
                    let seeds = seeds.clone();
                    scope.spawn(move || {
                        Self::of(seeds.skip(worker as usize).step_by(threads as usize))
                    })
                })
                .collect();
            // A worker that panics has lost its count, and the sum is too small.
            workers
                .into_iter()
                .filter_map(|worker| worker.join().ok())
                .collect()
        });
        for part in parts {
            self.add(part);
        }
    }

    fn of(seeds: impl Iterator<Item = u64>) -> Self {
        let mut tally = Self::default();
        for seed in seeds {
            let Some(run) = run(seed, None, false) else {
                continue;
            };
            tally.seeds += 1;
            if !run.happened.is_empty() {
                tally.distinct.insert(run.signature);
            }
            tally.points.extend(run.happened);
            tally.pairs.extend(run.pairs);
            if let Some(promise) = run.broken {
                tally.broken += 1;
                if tally.first.len() < KEPT {
                    tally.first.push((seed, promise));
                }
            }
        }
        tally
    }

    fn add(&mut self, other: Self) {
        self.seeds += other.seeds;
        self.distinct.extend(other.distinct);
        self.points.extend(other.points);
        self.pairs.extend(other.pairs);
        self.broken += other.broken;
        self.first.extend(other.first);
        self.first.sort();
        self.first.truncate(KEPT);
    }

    /// How many different points something went wrong at.
    pub fn places(&self) -> BTreeSet<&'static str> {
        self.points.iter().map(|(point, _)| *point).collect()
    }
}
