//! Waits for something to come: a file in a directory, a visitor at a socket. Nobody looks again and
//! again meanwhile, and what comes is seen at once.

use std::os::fd::AsFd;
use std::path::Path;
use std::thread;
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};

/// How often somebody has to look all the same where the kernel does not tell of files.
const LOOK: Duration = Duration::from_millis(25);

/// Waits until there is something to read, for `limit` at most.
pub fn wait(at: &impl AsFd, limit: Duration) {
    let timeout = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
    let mut asked = [PollFd::new(at.as_fd(), PollFlags::POLLIN)];
    if poll(&mut asked, timeout).is_err() {
        thread::sleep(limit.min(LOOK));
    }
}

/// A directory in which files come in place by a rename.
#[derive(Debug)]
pub struct Watched(Option<Inotify>);

impl Watched {
    /// Watches a directory from now on. The kernel gives each user a limited number of these (inotify(7)),
    /// so it may refuse; then waits are short.
    pub fn new(dir: &Path) -> Self {
        let watch = || {
            let events = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
            events.add_watch(dir, AddWatchFlags::IN_MOVED_TO)?;
            Ok::<_, nix::Error>(events)
        };
        Self(watch().ok())
    }

    /// Waits until a file comes, for `limit` at most; perhaps less, so that the caller has to look.
    pub fn wait(&self, limit: Duration) {
        match &self.0 {
            Some(events) => {
                wait(events, limit);
                // Which files came does not matter; only that none is told of twice.
                let _ = events.read_events();
            }
            None => thread::sleep(limit.min(LOOK)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::sync::mpsc;
    use std::time::Instant;

    use super::*;

    #[test]
    fn a_file_that_comes_ends_the_wait() {
        let dir = tempfile::tempdir().unwrap();
        let watched = Watched::new(dir.path());
        let (new, there) = (dir.path().join("x.new"), dir.path().join("x"));
        let begun = Instant::now();
        let (begin, begins) = mpsc::channel();
        let waiter = thread::spawn(move || {
            begins.recv().unwrap();
            while !there.exists() {
                watched.wait(Duration::from_secs(60));
            }
        });
        begin.send(()).unwrap();
        fs::write(&new, "").unwrap();
        fs::rename(&new, dir.path().join("x")).unwrap();
        waiter.join().unwrap();
        assert!(begun.elapsed() < Duration::from_secs(30));
    }

    #[test]
    fn what_cannot_be_watched_is_looked_at_again_soon() {
        let watched = Watched::new(Path::new("/does/not/exist"));
        let begun = Instant::now();
        watched.wait(Duration::from_secs(60));
        assert!(begun.elapsed() < Duration::from_secs(30));
    }
}
