//! Remembers that the reports are whole and sent, so that a pass with nothing to do need not open
//! their repository: that would be most of its work.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// How soon damage is looked for again, where no report is kept meanwhile.
const LOOK_AGAIN: Duration = Duration::from_secs(60 * 60);

/// A file of this boot; the time of its last change says since when.
pub struct Sound {
    stamp: PathBuf,
}

/// Somebody looks. Nothing is remembered unless it succeeds.
pub struct Looking {
    stamp: PathBuf,
    begun: Option<PathBuf>,
}

impl Sound {
    /// What the file at `stamp` says.
    pub fn new(stamp: PathBuf) -> Self {
        Self { stamp }
    }

    /// Whether nothing has changed since. `newest` changes with each report.
    pub fn holds(&self, newest: &Path) -> bool {
        let (Some(since), Some(changed)) = (changed(&self.stamp), changed(newest)) else {
            return false;
        };
        changed < since
            && SystemTime::now()
                .duration_since(since)
                .is_ok_and(|age| age < LOOK_AGAIN)
    }

    /// Whatever is changed from now on is not seen by the look that begins.
    pub fn begin(self) -> Looking {
        let _ = fs::remove_file(&self.stamp);
        let begun = self.stamp.with_extension("new");
        let written = self
            .stamp
            .parent()
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| fs::write(&begun, ""));
        Looking {
            begun: written.is_ok().then_some(begun),
            stamp: self.stamp,
        }
    }

    /// Forgets it: a report could not be kept.
    pub fn forget(self) {
        let _ = fs::remove_file(&self.stamp);
    }
}

impl Looking {
    /// All was whole, and nothing waits. Where that cannot be noted, the next pass looks again.
    pub fn succeeded(self) {
        if let Some(begun) = self.begun {
            let _ = fs::rename(begun, self.stamp);
        }
    }
}

fn changed(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed_before(path: &Path, seconds: u64) {
        let then = SystemTime::now() - Duration::from_secs(seconds);
        fs::File::open(path).unwrap().set_modified(then).unwrap();
    }

    /// Looks, then does something, and asks.
    fn check(meanwhile: impl FnOnce(&Path, &Path), holds: bool) {
        let dir = tempfile::tempdir().unwrap();
        let (stamp, newest) = (dir.path().join("run/sound"), dir.path().join("newest"));
        fs::write(&newest, "1").unwrap();
        changed_before(&newest, 9000);
        let sound = || Sound::new(stamp.clone());
        assert!(!sound().holds(&newest), "nobody has looked");
        sound().begin().succeeded();
        meanwhile(&stamp, &newest);
        assert_eq!(sound().holds(&newest), holds);
    }

    #[test]
    fn it_holds_until_a_report_is_kept_or_an_hour_is_over() {
        check(|_, _| {}, true);
        check(|_, newest| fs::write(newest, "2").unwrap(), false);
        check(|_, newest| fs::remove_file(newest).unwrap(), false);
        check(|stamp, _| changed_before(stamp, 3500), true);
        check(|stamp, _| changed_before(stamp, 3700), false);
        check(
            |stamp, _| {
                // The clock was set back.
                let later = SystemTime::now() + Duration::from_secs(60);
                fs::File::open(stamp).unwrap().set_modified(later).unwrap();
            },
            false,
        );
        check(|stamp, _| Sound::new(stamp.to_owned()).forget(), false);
        check(|stamp, _| drop(Sound::new(stamp.to_owned()).begin()), false);
    }
}
