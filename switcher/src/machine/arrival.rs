//! Waits for something to come: a file in a directory, a visitor at a socket. Nobody looks again and
//! again meanwhile, and what comes is seen at once.

use std::os::fd::AsFd;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

/// How often somebody has to look all the same where the kernel does not show of files.
const LOOK: Duration = Duration::from_millis(25);

/// Waits until there is something to read, for `limit` at most.
pub fn wait(at: &impl AsFd, limit: Duration) {
    let timeout = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
    let mut asked = [PollFd::new(at.as_fd(), PollFlags::POLLIN)];
    if poll(&mut asked, timeout).is_err() {
        thread::sleep(limit.min(LOOK));
    }
}

/// Tells of files that come into one directory by a rename. The directory is watched from the first
/// wait to the end of the last clone: to stop takes the kernel 10 ms and more, for a grace period.
#[derive(Debug, Clone, Default)]
pub struct Arrivals(Arc<OnceLock<Option<Inotify>>>);

impl Arrivals {
    /// Waits until a file comes, for `limit` at most; perhaps for less, so that the caller looks for
    /// the file each time. The kernel may refuse to watch (inotify(7) has limits): waits are short then.
    pub fn wait(&self, dir: &Path, limit: Duration) {
        let Some(watch) = self.0.get() else {
            // What came before this is not told of, so the caller looks at once.
            self.0.get_or_init(|| watch(dir).ok());
            return;
        };
        match watch {
            Some(events) => {
                wait(events, limit);
                // Which files came does not matter; only that none is told of twice.
                let _ = events.read_events();
            }
            None => thread::sleep(limit.min(LOOK)),
        }
    }
}

fn watch(dir: &Path) -> nix::Result<Inotify> {
    let events = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
    events.add_watch(dir, AddWatchFlags::IN_MOVED_TO)?;
    Ok(events)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_file_that_comes_ends_the_wait() {
        let dir = tempfile::tempdir().unwrap();
        let (new, there) = (dir.path().join("x.new"), dir.path().join("x"));
        let begun = Instant::now();
        let waiter = thread::spawn({
            let (dir, there) = (dir.path().to_owned(), there.clone());
            move || {
                let arrivals = Arrivals::default();
                while !there.exists() {
                    arrivals.wait(&dir, Duration::from_secs(60));
                }
            }
        });
        fs::write(&new, "").unwrap();
        fs::rename(&new, there).unwrap();
        waiter.join().unwrap();
        assert!(begun.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn what_cannot_be_watched_is_looked_at_again_soon() {
        let arrivals = Arrivals::default();
        let begun = Instant::now();
        for _ in 0..3 {
            arrivals.wait(Path::new("/does/not/exist"), Duration::from_secs(60));
        }
        assert!(begun.elapsed() < Duration::from_secs(30));
    }
}
