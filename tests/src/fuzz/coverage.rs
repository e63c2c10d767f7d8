//! Which code an input has reached: the counters that the compiler puts into each branch (SanitizerCoverage,
//! `inline-8bit-counters`), which are in the program only where it was compiled so (`fuzz/rustc-with-counters`).

use std::sync::Mutex;
use std::sync::PoisonError;

/// The counters of each part of the program: where they begin, and how many there are.
static COUNTERS: Mutex<Vec<(usize, usize)>> = Mutex::new(Vec::new());

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
    !COUNTERS
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .is_empty()
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

    /// Takes what the counters have since the last time, and whether any of it is new: another branch, or one
    /// much more often than before.
    pub fn take(&mut self) -> bool {
        let mut is_new = false;
        let mut base = 0;
        for (start, length) in COUNTERS
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
        {
            self.seen.resize(self.seen.len().max(base + length), 0);
            is_new |= take(*start, *length, &mut self.seen[base..base + length]);
            base += length;
        }
        is_new
    }
}

/// Powers of two, one bit each, as libFuzzer and AFL have it.
fn bucket(count: u8) -> u8 {
    1 << count.ilog2()
}

#[allow(
    unsafe_code,
    reason = "the counters are memory that the compiler has laid out"
)]
fn take(start: usize, length: usize, seen: &mut [u8]) -> bool {
    // SAFETY: the program's start named these bytes, which live as long as it does; only this thread runs code that
    // counts while a target is tried.
    let counters = unsafe { std::slice::from_raw_parts_mut(start as *mut u8, length) };
    let mut is_new = false;
    for (counter, seen) in counters.iter_mut().zip(seen) {
        if *counter != 0 {
            let bit = bucket(*counter);
            is_new |= *seen & bit == 0;
            *seen |= bit;
            *counter = 0;
        }
    }
    is_new
}
