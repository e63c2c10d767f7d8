//! The file that the outbox is kept in.
//!
//! It says what was sent, and nothing that is decided by: where it is lost, a status is posted
//! twice, or not at all.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::decide::outbox::{Outbox, VERSION};
use crate::host::files::{Paths, read_bounded, write_durably};

/// The longest file that is read, in bytes.
const LONGEST: u64 = 1024 * 1024;

/// Why the outbox could not be kept.
#[derive(Debug, Error)]
pub enum OutboxFileError {
    /// The file could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file could not be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Reads it; one that is damaged, or of a release that this one does not know, is begun anew.
///
/// # Errors
/// The file is there and cannot be read.
pub fn load(paths: &Paths) -> Result<Outbox, OutboxFileError> {
    let path = paths.outbox();
    let bytes = match read_bounded(&path, LONGEST) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Outbox::default()),
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => Vec::new(),
        Err(source) => return Err(OutboxFileError::Read { path, source }),
    };
    let read = serde_json::from_slice::<Outbox>(&bytes).ok();
    Ok(read
        .filter(|one| one.version == VERSION)
        .unwrap_or_default())
}

/// Writes it durably.
///
/// # Errors
/// The file cannot be written or synced.
pub fn save(paths: &Paths, outbox: &Outbox) -> Result<(), OutboxFileError> {
    let path = paths.outbox();
    serde_json::to_vec(outbox)
        .map_err(io::Error::from)
        .and_then(|text| write_durably(&path, &text))
        .map_err(|source| OutboxFileError::Write { path, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_outbox_is_begun_anew() {
        let directory = tempfile::tempdir().unwrap();
        let paths = Paths {
            state: directory.path().into(),
            run: directory.path().into(),
            ..Paths::default()
        };
        assert_eq!(load(&paths).unwrap(), Outbox::default());
        let mut outbox = Outbox::default();
        outbox.skip("abc".to_owned());
        save(&paths, &outbox).unwrap();
        assert_eq!(load(&paths).unwrap(), outbox);
        for damaged in ["", "{", "{\"version\":2}", "[]"] {
            std::fs::write(paths.outbox(), damaged).unwrap();
            assert_eq!(load(&paths).unwrap(), Outbox::default());
        }
    }
}
