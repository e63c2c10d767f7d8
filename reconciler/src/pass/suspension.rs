//! A host that an operator holds still: it polls and reports, but builds and activates nothing.

use std::io;
use std::path::PathBuf;

use jiff::Timestamp;
use nixus_switcher::protocol::newest_version;
use thiserror::Error;

use crate::decide::plan::suspension::Suspension;
use crate::host::files::{Paths, read_bounded, write_durably};

/// The longest file that is read, in bytes.
const MAX_BYTES: u64 = 64 * 1024;

/// Why a suspension could not be noted or ended.
#[derive(Debug, Error)]
pub enum SuspensionError {
    /// The file could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file could not be removed.
    #[error("cannot remove {}", path.display())]
    Remove {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It would have ended before it began.
    #[error("{until} is not in the future")]
    Past {
        /// When it would have ended.
        until: Timestamp,
    },
}

/// The suspension of this host, ended ones included. One that cannot be understood holds: an
/// operator wanted this host to stand still.
pub fn read(paths: &Paths) -> Option<Suspension> {
    let path = paths.suspension();
    let unknown = |problem: String| Suspension {
        version: newest_version(),
        since: Timestamp::UNIX_EPOCH,
        until: None,
        why: Some(format!("{} is not readable: {problem}", path.display())),
    };
    match read_bounded(&path, MAX_BYTES) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => Some(unknown(error.to_string())),
        Ok(text) => {
            Some(serde_json::from_slice(&text).unwrap_or_else(|error| unknown(error.to_string())))
        }
    }
}

/// Holds this host still, from the next decision on: a pass that runs obeys too.
///
/// # Errors
/// The file cannot be written.
pub fn suspend(
    paths: &Paths,
    now: Timestamp,
    until: Option<Timestamp>,
    why: Option<String>,
) -> Result<Suspension, SuspensionError> {
    if let Some(until) = until
        && until <= now
    {
        return Err(SuspensionError::Past { until });
    }
    let suspension = Suspension {
        version: newest_version(),
        since: now,
        until,
        why,
    };
    let path = paths.suspension();
    serde_json::to_vec_pretty(&suspension)
        .map_err(io::Error::from)
        .and_then(|text| write_durably(&path, &text))
        .map_err(|source| SuspensionError::Write { path, source })?;
    Ok(suspension)
}

/// Lets this host go on; gives whether it was held.
///
/// # Errors
/// The file is there and cannot be removed.
pub fn resume(paths: &Paths) -> Result<bool, SuspensionError> {
    let path = paths.suspension();
    match std::fs::remove_file(&path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(SuspensionError::Remove { path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_stands_still_until_its_time_or_an_operator_comes() {
        let directory = tempfile::tempdir().unwrap();
        let paths = Paths {
            state: directory.path().into(),
            run: directory.path().into(),
            ..Paths::default()
        };
        let at = |second| Timestamp::from_second(second).unwrap();
        assert_eq!(read(&paths), None);
        assert!(!resume(&paths).unwrap());
        suspend(&paths, at(9), Some(at(9)), None).unwrap_err();
        let noted = suspend(&paths, at(9), Some(at(20)), Some("a freeze".into())).unwrap();
        assert_eq!(read(&paths), Some(noted.clone()));
        assert!(noted.holds(at(19)) && !noted.holds(at(20)));
        assert!(suspend(&paths, at(9), None, None).unwrap().holds(at(99)));
        assert!(resume(&paths).unwrap());
        assert_eq!(read(&paths), None);
        std::fs::write(paths.suspension(), "{\"ver").unwrap();
        assert!(read(&paths).unwrap().holds(at(99)));
    }
}
