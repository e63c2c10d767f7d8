//! Which code an input has reached: the counters that the compiler puts into each branch (SanitizerCoverage,
//! `inline-8bit-counters`), which are in the program only where it was compiled so (`fuzz/rustc-with-counters`).

use std::sync::{Mutex, PoisonError};

/// The counters of each part of the program: where they begin, and how many there are.
static COUNTERS: Mutex<Vec<(usize, usize)>> = Mutex::new(Vec::new());

/// So many counters are compared with zeros at once, which the C library does quickly; most are zero.
const BLOCK: usize = 256;

/// Called by the program's own start, before `main`.
#[allow(unsafe_code, reason = "the compiler's counters call it by this name")]
#[unsafe(no_mangle)]
extern "C" fn __sanitizer_cov_8bit_counters_init(start: *mut u8, stop: *mut u8) {
    let (start, stop) = (start as usize, stop as usize);
    let mut all = COUNTERS.lock().unwrap_or_else(PoisonError::into_inner);
    if start < stop && all.iter().all(|(known, _)| *known != start) {
        all.push((start, stop - start));
    }
}

/// Whether this program counts.
pub fn is_there() -> bool {
    let all = COUNTERS.lock().unwrap_or_else(PoisonError::into_inner);
    !all.is_empty()
}

/// What an input has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum New {
    /// Nothing new.
    Nothing,
    /// A branch that was known, much more often than before.
    Count,
    /// A branch.
    Branch,
}

/// What has been reached so far.
#[derive(Debug, Default)]
pub struct Reached {
    seen: Vec<u8>,
}

impl Reached {
    /// How many branches.
    pub fn branches(&self) -> usize {
        self.seen.iter().filter(|seen| **seen != 0).count()
    }

    /// Takes what the counters have since the last time.
    pub fn take(&mut self) -> New {
        let mut new = New::Nothing;
        let mut base = 0;
        let all = COUNTERS.lock().unwrap_or_else(PoisonError::into_inner);
        for (start, length) in all.iter() {
            self.seen.resize(self.seen.len().max(base + length), 0);
            let seen = &mut self.seen[base..base + length];
            new = new.max(take_counters(*start, *length, seen));
            base += length;
        }
        new
    }
}

#[allow(unsafe_code, reason = "the compiler has laid the counters out")]
fn take_counters(start: usize, length: usize, seen: &mut [u8]) -> New {
    // SAFETY: the program's start named these bytes, which live as long as it does; only this thread runs code that
    // counts while a target is tried.
    let counters = unsafe { std::slice::from_raw_parts_mut(start as *mut u8, length) };
    take(counters, seen)
}

/// Counts are told apart by powers of two, one bit each, as libFuzzer and AFL have it.
fn take(counters: &mut [u8], seen: &mut [u8]) -> New {
    let mut new = New::Nothing;
    for (counters, seen) in counters.chunks_mut(BLOCK).zip(seen.chunks_mut(BLOCK)) {
        if *counters == [0; BLOCK][..counters.len()] {
            continue;
        }
        for (counter, seen) in counters.iter().zip(seen) {
            if *counter != 0 {
                let bit = 1 << counter.ilog2();
                new = new.max(match *seen {
                    0 => New::Branch,
                    seen if seen & bit == 0 => New::Count,
                    _ => New::Nothing,
                });
                *seen |= bit;
            }
        }
        counters.fill(0);
    }
    new
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_branch_and_how_often_it_was_taken_are_told_apart_and_counted_once() {
        let mut seen = vec![0; BLOCK + 44];
        let mut check = |at: usize, count: u8, expected: New| {
            let mut counters = vec![0; BLOCK + 44];
            counters[at] = count;
            assert_eq!(take(&mut counters, &mut seen), expected, "{at} {count}");
            assert!(counters.iter().all(|counter| *counter == 0));
        };
        check(0, 0, New::Nothing);
        check(299, 1, New::Branch);
        check(299, 1, New::Nothing);
        check(299, 2, New::Count);
        check(299, 3, New::Nothing);
        check(299, 255, New::Count);
        check(0, 4, New::Branch);
    }
}
