//! GC roots: what an open deployment needs is not deleted from the store under it.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::state::disk::{Disk, link_atomic, link_over};
use crate::state::layout::Layout;

/// A GC root could not be made or dropped.
#[derive(Debug, Error)]
#[error("cannot change the GC root {path}")]
pub struct RootError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl RootError {
    pub(crate) fn new(path: &Path, source: io::Error) -> Self {
        Self {
            path: path.to_owned(),
            source,
        }
    }
}

/// What a root keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Root {
    /// The system to activate.
    Candidate,
    /// The system that runs.
    Old,
    /// The system that the boot loader starts.
    Persistent,
    /// The switcher itself: watchdogs run it after a crash of the one that armed them.
    Switcher,
    /// The last system that proved that it boots; never dropped, only replaced.
    BootProven,
}

impl Root {
    /// The name of its link.
    pub fn name(self) -> &'static str {
        match self {
            Self::Candidate => "candidate",
            Self::Old => "old",
            Self::Persistent => "persistent",
            Self::Switcher => "switcher",
            Self::BootProven => "boot-proven",
        }
    }
}

/// Roots one path of the store. The roots of an open deployment are durable after the next
/// `System::sync`, which the staging does before anything relies on them; the other is at once.
///
/// # Errors
/// The link or its folder cannot be made.
pub fn keep(disk: &impl Disk, layout: &Layout, root: Root, path: &Path) -> Result<(), RootError> {
    let link = layout.roots().join(root.name());
    disk.create_dir_all(&layout.roots())
        .and_then(|()| match root {
            Root::BootProven => link_atomic(disk, path, &link),
            _ => link_over(disk, path, &link),
        })
        .map_err(|source| RootError { path: link, source })
}

/// The same, and durable at once.
///
/// # Errors
/// The link cannot be made or synced.
pub fn keep_at_once(
    disk: &impl Disk,
    layout: &Layout,
    root: Root,
    path: &Path,
) -> Result<(), RootError> {
    keep(disk, layout, root, path)?;
    let dir = layout.roots();
    disk.sync_dir(&dir)
        .map_err(|source| RootError::new(&dir, source))
}

/// Drops the roots that only an open deployment needs. The switcher stays rooted: its own watchdog
/// may still be about to run.
///
/// # Errors
/// A link is there and cannot be removed.
pub fn drop_open(disk: &impl Disk, layout: &Layout) -> Result<(), RootError> {
    for root in [Root::Candidate, Root::Old, Root::Persistent] {
        let path = layout.roots().join(root.name());
        match disk.remove(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            done => done.map_err(|source| RootError { path, source })?,
        }
    }
    Ok(())
}
