//! How often a caller may ask: what is left to it refills with time. Kept in a file for this boot.

use std::fs;
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use nixus_switcher::state::disk::{Disk as _, Held, HostDisk};
use serde::{Deserialize, Serialize};

/// So many requests may come at once.
const BURST: u32 = 60;
/// A further one comes free each so many milliseconds.
const REFILL_MILLIS: u64 = 1000;
/// More is never in the file.
const LIMIT: u64 = 1000;

/// Counting takes no time; whoever holds a file for so long is not a request.
const PATIENCE: Duration = Duration::from_secs(2);
/// So many requests of one caller are answered at the same time: its pass, its operator, and our own question
/// to it with the login that answers it.
const SLOTS: u32 = 4;

/// What is left to a caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Budget {
    /// So many requests.
    left: u32,
    /// At this time, in milliseconds of CLOCK_BOOTTIME.
    at: u64,
}

impl Budget {
    /// One request less, if there is one left.
    fn take(self, now: u64) -> Option<Self> {
        let free = now.saturating_sub(self.at) / REFILL_MILLIS;
        let left = u64::from(self.left).saturating_add(free);
        // What does not make a whole request yet is not lost.
        let at = if left >= u64::from(BURST) {
            now
        } else {
            self.at + free * REFILL_MILLIS
        };
        let left = u32::try_from(left).unwrap_or(BURST).min(BURST);
        Some(Self {
            left: left.checked_sub(1)?,
            at,
        })
    }
}

/// Takes one request from what is left to a caller; false where nothing is.
pub fn take(folder: &Path, caller: &str) -> io::Result<bool> {
    fs::create_dir_all(folder)?;
    // Requests that come at the same time are counted one after the other.
    let held = HostDisk.lock(&folder.join(format!("{caller}.json")), PATIENCE)?;
    let mut file = held.file()?;
    let mut text = String::new();
    file.take(LIMIT).read_to_string(&mut text)?;
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME)?;
    let now = u64::try_from(Duration::from(now).as_millis()).unwrap_or(u64::MAX);
    let full = Budget {
        left: BURST,
        at: now,
    };
    let Some(rest) = serde_json::from_str(&text).unwrap_or(full).take(now) else {
        return Ok(false);
    };
    file.set_len(0)?;
    file.rewind()?;
    file.write_all(serde_json::to_string(&rest)?.as_bytes())?;
    Ok(true)
}

/// Takes one of a caller's slots, until it is dropped; nothing where all are taken. What others ask does not
/// wait for it.
pub fn slot(folder: &Path, caller: &str) -> io::Result<Option<Held>> {
    fs::create_dir_all(folder)?;
    for number in 0..SLOTS {
        let path = folder.join(format!("{caller}.{number}"));
        match HostDisk.lock(&path, Duration::ZERO) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            taken => return taken.map(Some),
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_caller_with_all_its_slots_taken_leaves_the_others_theirs() {
        let folder = tempfile::tempdir().unwrap();
        let take = |caller: &str| slot(folder.path(), caller).unwrap();
        let mut taken: Vec<_> = (0..SLOTS).map(|_| take("db1")).collect();
        assert!(taken.iter().all(Option::is_some));
        for _ in 0..10 {
            assert!(take("db1").is_none());
        }
        assert!(take("web1").is_some() && take("db").is_some());
        taken.pop();
        assert!(take("db1").is_some());
    }

    #[test]
    fn what_is_left_refills_with_time() {
        let mut budget = Budget { left: 2, at: 0 };
        for (now, left) in [
            (0, Some(1)),
            (500, Some(0)),
            (900, None),
            (1000, Some(0)),
            (1999, None),
            (3500, Some(1)),
            (1_000_000, Some(BURST - 1)),
        ] {
            let next = budget.take(now);
            assert_eq!(next.map(|next| next.left), left, "at {now}");
            budget = next.unwrap_or(budget);
        }
        // A file that is from another time gives nothing away.
        assert_eq!(Budget { left: 0, at: 5000 }.take(1), None);
    }

    #[test]
    fn each_caller_has_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let granted = (0..BURST + 10)
            .filter(|_| take(folder.path(), "db1").unwrap())
            .count();
        // A second may have passed meanwhile.
        assert!((60..64).contains(&granted), "{granted}");
        assert!(take(folder.path(), "web1").unwrap());
        fs::write(folder.path().join("db1.json"), "garbage").unwrap();
        assert!(take(folder.path(), "db1").unwrap());
    }
}
