//! The files of a host outside the store, as they were.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};

use super::SAVED;
use crate::host::Host;
use crate::setup;

/// What programs change while they run, and the store, which only gets more.
const LEFT_ALONE: [&str; 10] = [
    "nix",
    "root/.cache",
    "var/cache",
    "var/lib/systemd",
    "var/log",
    "var/nixus-waits",
    "var/lib/private",
    "proc",
    "sys",
    "dev",
];
/// Folders in memory of which only the names are compared, and which of these are left alone.
const IN_MEMORY: [&str; 2] = ["run", "tmp"];
/// Programs add to them as they please.
const OF_PROGRAMS: [&str; 6] = ["systemd", "nixus", "nixos", "udev", "log", "lock"];

/// A file: what it is, and whose; its text, or where it leads, where that is short.
type Mark = (u32, u32, u32, Vec<u8>);

#[derive(Debug)]
pub(super) struct Files {
    disk: BTreeMap<PathBuf, Mark>,
    memory: BTreeSet<PathBuf>,
}

impl Files {
    /// Of a host that runs.
    pub(super) fn of(host: &Host) -> Result<Self> {
        let mut disk = BTreeMap::new();
        look(&upper(host), Path::new(""), &mut disk)?;
        Ok(Self {
            disk,
            memory: names(host)?,
        })
    }

    /// Removes what was added; what was changed or removed is an error.
    pub(super) fn restore(&self, host: &Host) -> Result<()> {
        let now = Self::of(host)?;
        let root = host.root()?;
        for path in now.memory.difference(&self.memory) {
            remove(&root.join(path))?;
        }
        for (path, mark) in &now.disk {
            match self.disk.get(path) {
                Some(before) => ensure!(before == mark, "/{} was changed", path.display()),
                // What is in a folder that was removed is gone already.
                None => remove(&host.disk().join(path))?,
            }
        }
        let gone = self.disk.keys().find(|path| !now.disk.contains_key(*path));
        ensure!(gone.is_none(), "{gone:?} was removed");
        Ok(())
    }
}

/// What the host has written itself, above the layers that it shares with others.
fn upper(host: &Host) -> PathBuf {
    host.disk().with_file_name("upper")
}

fn look(top: &Path, inside: &Path, all: &mut BTreeMap<PathBuf, Mark>) -> Result<()> {
    let folder = top.join(inside);
    let context = || format!("cannot list {}", folder.display());
    for found in fs::read_dir(&folder).with_context(context)? {
        let path = inside.join(found.with_context(context)?.file_name());
        let left_alone = LEFT_ALONE.iter().chain(&SAVED).chain(&IN_MEMORY);
        let is_of_a_service = path.to_string_lossy().contains("/systemd-private-");
        if is_of_a_service || left_alone.into_iter().any(|&name| path == Path::new(name)) {
            continue;
        }
        let Some(metadata) = metadata(&top.join(&path))? else {
            continue;
        };
        if metadata.is_dir() {
            all.insert(
                path.clone(),
                (metadata.mode(), metadata.uid(), metadata.gid(), Vec::new()),
            );
            look(top, &path, all)?;
        } else {
            let text = content(&top.join(&path), &metadata)?;
            all.insert(
                path,
                (metadata.mode(), metadata.uid(), metadata.gid(), text),
            );
        }
    }
    Ok(())
}

/// Of what is still there.
fn metadata(path: &Path) -> Result<Option<Metadata>> {
    match path.symlink_metadata() {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot look at {}", path.display())),
    }
}

fn content(path: &Path, metadata: &Metadata) -> Result<Vec<u8>> {
    let kind = metadata.file_type();
    let read = || format!("cannot read {}", path.display());
    if kind.is_symlink() {
        let target = fs::read_link(path).with_context(read)?;
        return Ok(target.into_os_string().into_encoded_bytes());
    }
    // overlayfs' sign for a file that is not there, sockets and pipes.
    if kind.is_char_device() || kind.is_socket() || kind.is_fifo() {
        return Ok(Vec::new());
    }
    if metadata.len() > 1 << 20 {
        return Ok(metadata.len().to_le_bytes().to_vec());
    }
    fs::read(path).with_context(read)
}

/// The names at the top of the folders in memory.
fn names(host: &Host) -> Result<BTreeSet<PathBuf>> {
    let root = host.root()?;
    let mut names = BTreeSet::new();
    for folder in IN_MEMORY {
        let context = || format!("cannot list /{folder}");
        for found in fs::read_dir(root.join(folder)).with_context(context)? {
            let name = found.with_context(context)?.file_name();
            let shown = name.to_string_lossy();
            if !OF_PROGRAMS.contains(&shown.as_ref()) && !shown.starts_with("systemd-private-") {
                names.insert(Path::new(folder).join(name));
            }
        }
    }
    Ok(names)
}

/// Removes what may be gone already.
pub(super) fn remove(path: &Path) -> Result<()> {
    let is_folder = path.symlink_metadata().is_ok_and(|found| found.is_dir());
    match is_folder {
        true => setup::remove_tree(path),
        false => match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(error).with_context(|| format!("cannot remove {}", path.display()))
            }
            _ => Ok(()),
        },
    }
}
