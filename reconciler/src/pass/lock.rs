//! One pass at a time, and none while a host is adopted.

use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nixus_switcher::state::disk::{Disk as _, Held, HostDisk};
use nixus_switcher::state::lock_file;
use thiserror::Error;

use crate::host::files::Paths;

/// A pass that does not build or wait for the network is over by then.
const PATIENCE: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(50);

/// Why the lock is not held.
#[derive(Debug, Error)]
pub enum PassLockError {
    /// Another pass runs.
    #[error("another pass is running{}", lock_file::in_brackets(holders))]
    Busy {
        /// Who holds the lock, where that can be seen.
        holders: Vec<lock_file::Holder>,
    },
    /// The lock could not be taken.
    #[error("cannot lock {}", path.display())]
    Lock {
        /// The lock.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Held while a pass, or something that must not meet one, runs.
#[derive(Debug)]
pub struct PassLock(#[expect(dead_code, reason = "held for its lock")] Held);

impl PassLock {
    /// The same for an operator, who had rather wait for the end of a short pass.
    ///
    /// # Errors
    /// A pass still runs after the wait, or the lock file cannot be used.
    pub fn wait(paths: &Paths) -> Result<Self, PassLockError> {
        let begun = Instant::now();
        loop {
            match Self::take(paths) {
                Err(PassLockError::Busy { .. }) if begun.elapsed() < PATIENCE => sleep(POLL),
                taken => return taken,
            }
        }
    }

    /// Takes the lock, or reports that somebody has it.
    ///
    /// # Errors
    /// Another pass runs, or the lock file cannot be used.
    pub fn take(paths: &Paths) -> Result<Self, PassLockError> {
        let path = paths.pass_lock();
        let taken =
            std::fs::create_dir_all(&paths.run).and_then(|()| HostDisk.lock(&path, Duration::ZERO));
        match taken {
            Ok(held) => Ok(Self(held)),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                Err(PassLockError::Busy {
                    holders: lock_file::holders(&path),
                })
            }
            Err(source) => Err(PassLockError::Lock { path, source }),
        }
    }
}
