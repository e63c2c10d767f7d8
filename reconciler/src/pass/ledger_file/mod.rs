//! The ledger on disk: one JSON file, replaced whole.
//!
//! One that cannot be understood is never guessed at. It is restored from the copy that it replaced, where that
//! is as new as all else on the host shows; otherwise the host waits until an operator says from where history
//! is to be accepted again. What the switcher's history shows of failures is kept.

use std::io;
use std::path::{Path, PathBuf};

use nixus_switcher::protocol::newest_version;
use nixus_switcher::state::format;
use nixus_switcher::state::journal::checksum;
use serde::Deserialize;
use thiserror::Error;

use crate::decide::ledger::{Damage, Ledger};
use crate::host::files::{Paths, read_bounded, write_durably};
use crate::host::set_aside::{self, WhenFull};

pub mod previous;

/// The longest ledger that is read, in bytes.
const MAX_BYTES: u64 = 4 * 1024 * 1024;
/// Stands where the checksum comes, while it is made.
const UNSUMMED: &str = "0000000000000000";
const SUM: &str = "\"checksum\": \"";
/// How many damaged ledgers are kept beside the good one; with more, passes fail.
const MAX_SET_ASIDE: u32 = 9;

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
    /// It is damaged and could not be set aside.
    #[error("{} is damaged and cannot be set aside", path.display())]
    SetAside {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
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

/// The ledger is lost; trying again cannot bring it back.
#[derive(Debug, Error)]
#[error("{file} {problem}: `nixus adopt --again` comes first")]
pub struct DamagedLedger {
    /// The file, where it is now.
    file: String,
    /// What is wrong with it.
    problem: String,
}

/// The ledger, for a command that goes on from what it remembers.
///
/// # Errors
/// The ledger is damaged or lost.
pub fn sound(ledger: Ledger) -> Result<Ledger, DamagedLedger> {
    match ledger.damage {
        Some(Damage { file, problem, .. }) => Err(DamagedLedger { file, problem }),
        None => Ok(ledger),
    }
}

#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

/// Reads the ledger; changes nothing. A host without one has not been adopted; one whose ledger
/// cannot be understood, or was set aside, has an empty one that says so.
///
/// # Errors
/// The file is there and cannot be read.
pub fn load(path: &Path) -> Result<Ledger, LedgerFileError> {
    let unusable = |file: &Path, (problem, newer): (String, bool)| Ledger {
        damage: Some(Damage {
            file: file.display().to_string(),
            problem,
            newer,
        }),
        ..Ledger::default()
    };
    let damaged = |problem: &str| (problem.to_owned(), false);
    let bytes = match read_bounded(path, MAX_BYTES) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(match set_aside::found(path).pop() {
                Some(aside) => unusable(&aside, damaged("was damaged and is set aside")),
                None => Ledger::default(),
            });
        }
        Err(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            return Ok(unusable(path, damaged("is longer than 4 MiB")));
        }
        Err(source) => {
            return Err(LedgerFileError::Read {
                path: path.to_owned(),
                source,
            });
        }
    };
    Ok(understand(&bytes).unwrap_or_else(|problem| unusable(path, problem)))
}

/// The ledger, or what is wrong with it and whether a newer release wrote it.
pub(crate) fn understand(bytes: &[u8]) -> Result<Ledger, (String, bool)> {
    let damaged = |error: serde_json::Error| (format!("is damaged: {error}"), false);
    let Versioned { version } = serde_json::from_slice(bytes).map_err(damaged)?;
    if version > newest_version() {
        let problem = format!(
            "has version {version}, and this Nixus reads up to {}",
            newest_version()
        );
        return Err((problem, true));
    }
    if !format::is_readable(version) {
        let oldest = format::oldest();
        let problem = format!("has version {version}, and this Nixus reads from {oldest} on");
        return Err((problem, false));
    }
    let ledger: Ledger = format::decode(version, bytes).map_err(damaged)?;
    if !is_as_summed(bytes, ledger.checksum.as_deref()) {
        return Err(("is damaged: its checksum is wrong".to_owned(), false));
    }
    Ok(Ledger {
        checksum: None,
        ..ledger
    })
}

/// Whether a text is what was written. An earlier release wrote no checksum.
fn is_as_summed(bytes: &[u8], sum: Option<&str>) -> bool {
    let Some(sum) = sum else {
        return true;
    };
    let text = String::from_utf8_lossy(bytes);
    let unsummed = text.replacen(&format!("{SUM}{sum}"), &format!("{SUM}{UNSUMMED}"), 1);
    checksum(unsummed.as_bytes()) == sum
}

/// The ledger of this host. Where it is gone, although the host was adopted once, that is damage too.
///
/// # Errors
/// The file is there and cannot be read.
pub fn of_host(paths: &Paths) -> Result<Ledger, LedgerFileError> {
    let path = paths.ledger();
    let mut ledger = load(&path)?;
    let was_adopted = std::fs::symlink_metadata(&paths.adopted).is_ok();
    if ledger == Ledger::default() && (was_adopted || previous::copy_of(&path).exists()) {
        ledger.damage = Some(Damage {
            file: path.display().to_string(),
            problem: "is lost, although this host was adopted".to_owned(),
            newer: false,
        });
    }
    Ok(ledger)
}

/// Sets aside a ledger that could not be understood, where it is not yet. One of a newer release
/// stays, unless `newer_too`: that release may come back and read it.
///
/// # Errors
/// The file cannot be renamed, or what stands in for it cannot be written.
pub fn set_aside_damaged(
    path: &Path,
    ledger: &mut Ledger,
    newer_too: bool,
) -> Result<(), LedgerFileError> {
    let Some(damage) = &mut ledger.damage else {
        return Ok(());
    };
    let in_place = damage.file == path.display().to_string();
    let is_lost = std::fs::symlink_metadata(path).is_err();
    if !in_place || is_lost || (damage.newer && !newer_too) {
        return Ok(());
    }
    let aside = set_aside::set_aside(path, MAX_SET_ASIDE, WhenFull::Refuse).map_err(|source| {
        LedgerFileError::SetAside {
            path: path.to_owned(),
            source,
        }
    })?;
    damage.file = aside.display().to_string();
    Ok(())
}

/// Writes the ledger durably, in a version that all can read who may have to
/// ([`crate::activation::Switcher::format`]).
///
/// # Errors
/// The file cannot be written or synced; the old ledger is still there then.
pub fn save(path: &Path, ledger: &Ledger, format: u32) -> Result<(), LedgerFileError> {
    let write = |source| LedgerFileError::Write {
        path: path.to_owned(),
        source,
    };
    let ledger = Ledger {
        version: format,
        checksum: Some(UNSUMMED.to_owned()),
        ..ledger.clone()
    };
    let mut text = format::encode(format, &ledger).map_err(|error| write(error.into()))?;
    text.push(b'\n');
    let sum = format!("{SUM}{}", checksum(&text));
    let text = String::from_utf8_lossy(&text).replacen(&format!("{SUM}{UNSUMMED}"), &sum, 1);
    let text = text.into_bytes();
    previous::keep(path);
    write_durably(path, &text).map_err(write)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::commit_id::CommitId;

    fn adopted() -> Ledger {
        let mut ledger = Ledger::default();
        ledger.adopt(CommitId::try_from("a".repeat(40)).unwrap());
        ledger
    }

    #[test]
    fn what_is_saved_is_read_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state/ledger.json");
        assert_eq!(load(&path).unwrap(), Ledger::default());
        save(&path, &adopted(), newest_version()).unwrap();
        assert_eq!(load(&path).unwrap(), adopted());
    }

    #[test]
    fn a_damaged_ledger_is_set_aside_and_remembered_until_there_is_a_good_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ledger.json");
        let aside = directory.path().join("ledger.json.damaged-1");
        for content in ["{\"version\": 1, \"anch", "", "\0\0\0\0", "[]"] {
            std::fs::write(&path, content).unwrap();
            let mut ledger = load(&path).unwrap();
            assert_eq!(ledger.accepted, None);
            set_aside_damaged(&path, &mut ledger, false).unwrap();
            assert_eq!(std::fs::read_to_string(&aside).unwrap(), content);
            // A later pass finds no ledger, and still knows that there was one.
            for ledger in [ledger, load(&path).unwrap()] {
                let damage = ledger.damage.unwrap();
                assert_eq!(damage.file, aside.display().to_string());
            }
            save(&path, &adopted(), newest_version()).unwrap();
            assert_eq!(load(&path).unwrap(), adopted());
            std::fs::remove_file(&aside).unwrap();
        }
    }

    #[test]
    fn the_ledger_of_a_newer_release_stays_in_its_place() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ledger.json");
        std::fs::write(&path, "{\"version\": 99}").unwrap();
        let mut ledger = load(&path).unwrap();
        let problem = ledger.damage.clone().unwrap().problem;
        assert_eq!(problem, "has version 99, and this Nixus reads up to 1");
        set_aside_damaged(&path, &mut ledger, false).unwrap();
        assert!(path.exists());
        set_aside_damaged(&path, &mut ledger, true).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_write_that_fails_leaves_the_last_ledger_and_nothing_half_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ledger.json");
        save(&path, &adopted(), newest_version()).unwrap();
        // A directory in the way fails the write as a full disk does: before the rename.
        std::fs::create_dir(directory.path().join("ledger.json.new")).unwrap();
        let error = save(&path, &Ledger::default(), newest_version()).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("cannot write {}", path.display())
        );
        assert_eq!(load(&path).unwrap(), adopted());
        std::fs::remove_dir(directory.path().join("ledger.json.new")).unwrap();
        save(&path, &Ledger::default(), newest_version()).unwrap();
        assert_eq!(load(&path).unwrap(), Ledger::default());
    }
}
