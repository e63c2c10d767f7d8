//! What became of each deployment, one file each.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::protocol::Outcome;
use crate::state::disk::{Disk, HostDisk, keep_dir, write_atomic};
use crate::state::format;
use crate::state::layout::Layout;

/// How many outcomes are kept.
pub const KEPT: usize = 200;
const LIMIT: u64 = 1 << 20;

/// Why the history could not be read or written.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "each field is what its message names")]
pub enum HistoryError {
    /// It could not be read.
    #[error("cannot read the history at {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// An outcome could not be turned into JSON.
    #[error("cannot encode the outcome {path}")]
    Encode {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    /// An outcome could not be made durable.
    #[error("cannot write the outcome {path}")]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
}

/// Writes one outcome durably and drops the oldest ones. Doing it again replaces the file.
///
/// # Errors
/// The outcome cannot be written or synced. Old ones that cannot be dropped are not an error.
pub fn write(disk: &impl Disk, layout: &Layout, outcome: &Outcome) -> Result<(), HistoryError> {
    let dir = layout.history();
    let path = dir.join(format!(
        "{:010}-{}.json",
        outcome.sequence, outcome.deployment
    ));
    let bytes = serde_json::to_vec_pretty(outcome).map_err(|source| HistoryError::Encode {
        path: path.clone(),
        source,
    })?;
    keep_dir(disk, &dir)
        .and_then(|()| write_atomic(disk, &path, &bytes))
        .map_err(|source| HistoryError::Write { path, source })?;
    let names = names(disk, layout)?;
    for (_, name) in names.iter().take(names.len().saturating_sub(KEPT)) {
        // A file too many does no harm; the next outcome tries again.
        let _ = disk.remove(&dir.join(name));
    }
    Ok(())
}

/// What the history shows, as far as it can be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct History {
    /// The outcomes, oldest first.
    pub outcomes: Vec<Outcome>,
    /// Files that are damaged, with what is wrong. Each costs one outcome and nothing else: a
    /// deployment whose end is not known is tried once more, under a watchdog as ever.
    pub damaged: Vec<String>,
}

/// The outcomes with a higher sequence than this one, oldest first; at most the newest 200. Damaged
/// ones are left out; [`read`] names them.
///
/// # Errors
/// The folder cannot be listed.
pub fn read_after(layout: &Layout, sequence: u64) -> Result<Vec<Outcome>, HistoryError> {
    read_after_on(&HostDisk, layout, sequence)
}

/// The same on any disk.
///
/// # Errors
/// The folder cannot be listed.
pub fn read_after_on(
    disk: &impl Disk,
    layout: &Layout,
    sequence: u64,
) -> Result<Vec<Outcome>, HistoryError> {
    read(disk, layout, sequence).map(|history| history.outcomes)
}

/// All that can be read after this sequence, and what cannot. An outcome of a newer release is left
/// out: whoever runs that release has read it.
///
/// # Errors
/// The folder cannot be listed.
pub fn read(disk: &impl Disk, layout: &Layout, sequence: u64) -> Result<History, HistoryError> {
    let names = names(disk, layout)?;
    let mut history = History::default();
    for (_, name) in names
        .iter()
        .skip(names.len().saturating_sub(KEPT))
        .filter(|(number, _)| *number > sequence)
    {
        let path = layout.history().join(name);
        match read_outcome(disk, &path) {
            Ok(outcome) => history.outcomes.extend(outcome),
            // The switcher dropped it between the listing and now.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => history.damaged.push(format!("{}: {error}", path.display())),
        }
    }
    Ok(history)
}

fn read_outcome(disk: &impl Disk, path: &Path) -> io::Result<Option<Outcome>> {
    outcome_in(&disk.read(path, LIMIT)?)
}

/// Nothing where a later release wrote it.
pub(crate) fn outcome_in(bytes: &[u8]) -> io::Result<Option<Outcome>> {
    let value: serde_json::Value = serde_json::from_slice(bytes)?;
    let version = value.get("version").and_then(serde_json::Value::as_u64);
    match version.and_then(|version| u32::try_from(version).ok()) {
        Some(version) if format::is_readable(version) => Ok(Some(serde_json::from_value(value)?)),
        Some(_) => Ok(None),
        None => Err(io::Error::new(ErrorKind::InvalidData, "it has no version")),
    }
}

/// The highest number that an outcome has; 0 where there is none.
///
/// # Errors
/// The folder cannot be listed.
pub fn newest(disk: &impl Disk, layout: &Layout) -> Result<u64, HistoryError> {
    Ok(names(disk, layout)?.last().map_or(0, |(number, _)| *number))
}

/// The files of the history with their numbers, oldest first.
fn names(disk: &impl Disk, layout: &Layout) -> Result<Vec<(u64, String)>, HistoryError> {
    let path = layout.history();
    let names = match disk.list(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        names => names.map_err(|source| HistoryError::Read { path, source })?,
    };
    let mut numbered: Vec<_> = names
        .into_iter()
        .filter(|name| name.ends_with(".json"))
        .filter_map(|name| Some((name.split_once('-')?.0.parse().ok()?, name)))
        .collect();
    numbered.sort();
    Ok(numbered)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::protocol::{Ending, SystemRef, newest_version};
    use crate::testing::{request, toplevel};

    fn outcome(sequence: u64) -> Outcome {
        let system = |name| SystemRef {
            toplevel: toplevel(name),
            generation: None,
        };
        Outcome {
            version: newest_version(),
            sequence,
            deployment: format!("d-{sequence}").parse().unwrap(),
            commit: request().commit,
            old: system("old"),
            new: system("new"),
            ending: Ending::Confirmed,
            cause: None,
            evidence: None,
            started: 1,
            ended: 2,
            boot_trial: false,
            left_alone: None,
            not_running: Vec::new(),
        }
    }

    #[test]
    fn one_damaged_file_costs_one_outcome_and_no_other() {
        let check = |damage: &dyn Fn(&Path), damaged: usize| {
            let dir = tempfile::tempdir().unwrap();
            let layout = Layout::below(dir.path());
            for sequence in 1..=3 {
                write(&HostDisk, &layout, &outcome(sequence)).unwrap();
            }
            let path = layout.history().join("0000000002-d-2.json");
            assert!(path.is_file());
            damage(&path);
            let history = read(&HostDisk, &layout, 0).unwrap();
            assert_eq!(history.outcomes, [outcome(1), outcome(3)]);
            assert_eq!(history.damaged.len(), damaged, "{:?}", history.damaged);
            let named = |text: &String| text.contains("0000000002-d-2.json: ");
            assert!(history.damaged.iter().all(named), "{:?}", history.damaged);
            // What comes after goes on counting.
            assert_eq!(newest(&HostDisk, &layout).unwrap(), 3);
        };
        let content = |text: &'static str| move |path: &Path| fs::write(path, text).unwrap();
        check(&content(""), 1);
        check(&content("\0\0\0"), 1);
        check(&content("{}"), 1);
        check(&content("{\"version\":1}"), 1);
        check(&content("{\"version\":99}"), 0);
        check(
            &|path| {
                fs::remove_file(path).unwrap();
                fs::create_dir(path).unwrap();
            },
            1,
        );
    }
}
