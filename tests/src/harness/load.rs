//! Whether the processors of the machine idle.

use std::fs;
use std::time::{Duration, Instant};

/// How long the machine is looked at.
pub const WINDOW: Duration = Duration::from_secs(2);
/// What idles more than this has room for one more test.
const ROOM: f64 = 0.15;

/// The counters of the kernel when they were last looked at.
#[derive(Debug)]
pub struct Load {
    at: Instant,
    counted: Option<(u64, u64)>,
}

impl Load {
    /// Begins to look.
    pub fn begin() -> Self {
        Self {
            at: Instant::now(),
            counted: counted(),
        }
    }

    /// Whether the processors idled since the last look; nothing before [`WINDOW`] is over.
    pub fn idled(&mut self) -> Option<bool> {
        if self.at.elapsed() < WINDOW {
            return None;
        }
        let before = std::mem::replace(self, Self::begin()).counted?;
        share(before, self.counted?).map(|idle| idle > ROOM)
    }
}

fn counted() -> Option<(u64, u64)> {
    times(&fs::read_to_string("/proc/stat").ok()?)
}

/// The idle time and all time of all processors together, as proc_stat(5) has them.
fn times(stat: &str) -> Option<(u64, u64)> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let times: Vec<u64> = line
        .split_whitespace()
        .map_while(|time| time.parse().ok())
        .collect();
    // Guests' time is a part of that of users.
    let all = times.iter().take(8).sum();
    Some((times.get(3)? + times.get(4)?, all))
}

fn share(before: (u64, u64), after: (u64, u64)) -> Option<f64> {
    let idle = after.0.checked_sub(before.0)?;
    let all = after.1.checked_sub(before.1)?;
    (all > 0).then(|| idle as f64 / all as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_is_what_waits_for_nothing_or_for_a_disk() {
        let before = times("cpu  100 0 100 700 100 0 0 0 50 0\ncpu0 1 2 3\n").unwrap();
        let after = times("cpu  150 0 130 710 110 0 0 0 90 0\n").unwrap();
        assert_eq!(before, (800, 1000));
        assert_eq!(share(before, after), Some(0.2));
        assert_eq!(share(after, after), None);
        assert_eq!(times("intr 1\n"), None);
    }
}
