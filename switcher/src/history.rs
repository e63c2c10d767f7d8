//! What became of each deployment, one file each.

use std::io::{self, ErrorKind};
use std::path::PathBuf;

use thiserror::Error;

use crate::disk::{Disk, HostDisk, keep_dir, write_atomic};
use crate::format;
use crate::layout::Layout;
use crate::protocol::Outcome;

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
    /// An outcome is not what this release writes.
    #[error("the outcome {path} is damaged")]
    Damaged {
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
pub fn write(disk: &impl Disk, layout: &Layout, outcome: &Outcome) -> Result<(), HistoryError> {
    let dir = layout.history();
    let path = dir.join(format!(
        "{:010}-{}.json",
        outcome.sequence, outcome.deployment
    ));
    let bytes = serde_json::to_vec_pretty(outcome).map_err(|source| HistoryError::Damaged {
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

/// The outcomes with a higher sequence than this one, oldest first; at most the newest 200.
pub fn read_after(layout: &Layout, sequence: u64) -> Result<Vec<Outcome>, HistoryError> {
    read_after_on(&HostDisk, layout, sequence)
}

/// The same on any disk. An outcome of a newer release is left out: whoever runs that release has
/// read it.
pub fn read_after_on(
    disk: &impl Disk,
    layout: &Layout,
    sequence: u64,
) -> Result<Vec<Outcome>, HistoryError> {
    let names = names(disk, layout)?;
    let mut outcomes = Vec::new();
    for (_, name) in names
        .iter()
        .skip(names.len().saturating_sub(KEPT))
        .filter(|(number, _)| *number > sequence)
    {
        let path = layout.history().join(name);
        let bytes = match disk.read(&path, LIMIT) {
            // The switcher dropped it between the listing and now.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            bytes => bytes.map_err(|source| HistoryError::Read {
                path: path.clone(),
                source,
            })?,
        };
        let value: serde_json::Value =
            serde_json::from_slice(&bytes).map_err(|source| HistoryError::Damaged {
                path: path.clone(),
                source,
            })?;
        let version = value.get("version").and_then(serde_json::Value::as_u64);
        let version = version.and_then(|version| u32::try_from(version).ok());
        if !version.is_some_and(format::is_readable) {
            continue;
        }
        outcomes.push(
            serde_json::from_value(value)
                .map_err(|source| HistoryError::Damaged { path, source })?,
        );
    }
    Ok(outcomes)
}

/// The highest number that an outcome has; 0 where there is none.
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
