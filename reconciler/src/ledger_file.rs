//! The ledger on disk: one JSON file, replaced whole.

use std::io;
use std::path::{Path, PathBuf};

use nixus_switcher::protocol::VERSION;
use serde::Deserialize;
use thiserror::Error;

use crate::ledger::Ledger;
use crate::state::{read_bounded, write_durably};

/// The longest ledger that is read, in bytes.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// Why the ledger could not be read or written. Nothing is activated then.
#[derive(Debug, Error)]
pub enum LedgerFileError {
    /// It could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its content is damaged.
    #[error("{} is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A newer Nixus wrote it.
    #[error("{} has version {found}, and this Nixus reads up to {VERSION}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// It could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

/// Reads the ledger; a host without one has not been adopted.
pub fn load(path: &Path) -> Result<Ledger, LedgerFileError> {
    let bytes = match read_bounded(path, MAX_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Ledger::default()),
        Err(source) => {
            return Err(LedgerFileError::Read {
                path: path.to_owned(),
                source,
            });
        }
    };
    let damaged = |source| LedgerFileError::Damaged {
        path: path.to_owned(),
        source,
    };
    let Versioned { version } = serde_json::from_slice(&bytes).map_err(damaged)?;
    if version > VERSION {
        return Err(LedgerFileError::Version {
            path: path.to_owned(),
            found: version,
        });
    }
    serde_json::from_slice(&bytes).map_err(damaged)
}

/// Writes the ledger durably.
pub fn save(path: &Path, ledger: &Ledger) -> Result<(), LedgerFileError> {
    let write = |source| LedgerFileError::Write {
        path: path.to_owned(),
        source,
    };
    let mut text = serde_json::to_vec_pretty(ledger).map_err(|error| write(error.into()))?;
    text.push(b'\n');
    write_durably(path, &text).map_err(write)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commit_id::CommitId;

    #[test]
    fn what_is_saved_is_read_again_and_anything_else_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state/ledger.json");
        assert_eq!(load(&path).unwrap(), Ledger::default());
        let mut ledger = Ledger::default();
        ledger.adopt(CommitId::try_from("a".repeat(40)).unwrap());
        save(&path, &ledger).unwrap();
        assert_eq!(load(&path).unwrap(), ledger);
        for (content, words) in [
            ("{\"version\": 1, \"anch", "is damaged"),
            ("{\"version\": 99}", "has version 99"),
            ("", "is damaged"),
        ] {
            std::fs::write(&path, content).unwrap();
            let error = load(&path).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        }
    }
}
