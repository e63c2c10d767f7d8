//! The few things that are done to a disk where it matters whether they survive a power cut.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::state::bounded::read_bounded;
use crate::state::lock_file;
use crate::waits::{self, Kind};

/// How often a lock that somebody else holds is tried.
const LOCK_POLL: Duration = Duration::from_millis(20);

/// A disk. Durable is only what was written with `write_synced`, and the names in a directory after
/// `sync_dir` of it.
pub trait Disk {
    /// Creates or replaces the content of a file, readable by root only, and syncs it.
    ///
    /// # Errors
    /// The file cannot be written or synced; nothing of it is left then.
    fn write_synced(&self, path: &Path, bytes: &[u8]) -> io::Result<()>;
    /// Gives a file or link another name, in place of whatever had that name.
    ///
    /// # Errors
    /// There is no such file, or its folder cannot be written.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    ///
    /// # Errors
    /// The directory cannot be opened or synced.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
    /// Creates a link at `path`; fails where something is there.
    ///
    /// # Errors
    /// Something has that name, or the folder cannot be written.
    fn symlink(&self, target: &Path, path: &Path) -> io::Result<()>;
    /// Where a link points.
    ///
    /// # Errors
    /// It is not there, or not a link.
    fn read_link(&self, path: &Path) -> io::Result<PathBuf>;
    /// Removes a file or link.
    ///
    /// # Errors
    /// It is not there, or the folder cannot be written.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Reads a file; fails where it is larger than `limit` bytes.
    ///
    /// # Errors
    /// The file cannot be opened or read, or is larger.
    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>>;
    /// The names in a directory, sorted.
    ///
    /// # Errors
    /// The directory cannot be read.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Creates a directory and all above it.
    ///
    /// # Errors
    /// One of them cannot be made, or is something else.
    fn create_dir_all(&self, dir: &Path) -> io::Result<()>;
    /// Takes an exclusive `flock` on a file, for at most `wait`.
    ///
    /// # Errors
    /// `WouldBlock` where somebody else holds it for longer; or the file cannot be opened.
    fn lock(&self, path: &Path, wait: Duration) -> io::Result<Held>;
}

/// A lock that is held until this is dropped.
#[derive(Debug)]
pub struct Held(pub(crate) Option<File>);

impl Held {
    /// What is in the file that is locked.
    ///
    /// # Errors
    /// A lock of a simulated disk has none.
    pub fn file(&self) -> io::Result<&File> {
        self.0.as_ref().ok_or_else(|| ErrorKind::Unsupported.into())
    }
}

/// Creates a directory and makes its name and that of the directory above it durable, whoever made
/// them and when: a file in a directory that is lost is lost as well.
///
/// # Errors
/// A directory cannot be made or synced.
pub fn keep_dir(disk: &impl Disk, dir: &Path) -> io::Result<()> {
    disk.create_dir_all(dir)?;
    dir.ancestors()
        .skip(1)
        .take(2)
        .try_for_each(|above| disk.sync_dir(above))
}

/// Replaces a file so that after a crash either the old or the new content is there in full.
///
/// # Errors
/// The content or its name cannot be written or synced.
pub fn write_atomic(disk: &impl Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let dir = path
        .parent()
        .ok_or_else(|| io::Error::from(ErrorKind::InvalidInput))?;
    let new = beside(path);
    disk.write_synced(&new, bytes)?;
    disk.rename(&new, path)?;
    disk.sync_dir(dir)
}

/// Points a link elsewhere, durably: after a crash it points to the old or the new target.
///
/// # Errors
/// The link cannot be made, renamed or synced.
pub fn link_atomic(disk: &impl Disk, target: &Path, path: &Path) -> io::Result<()> {
    let dir = path
        .parent()
        .ok_or_else(|| io::Error::from(ErrorKind::InvalidInput))?;
    link_over(disk, target, path)?;
    disk.sync_dir(dir)
}

/// Points a link elsewhere. Which target it has after a crash is open until its directory is synced.
///
/// # Errors
/// The link cannot be made or renamed.
pub fn link_over(disk: &impl Disk, target: &Path, path: &Path) -> io::Result<()> {
    let new = beside(path);
    match disk.remove(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    disk.symlink(target, &new)?;
    disk.rename(&new, path)
}

/// The file in which the next content of another one is written.
pub fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    PathBuf::from(name)
}

/// The disks of this host.
#[derive(Debug, Clone, Copy, Default)]
pub struct HostDisk;

impl Disk for HostDisk {
    fn write_synced(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(path)?;
        let mut write = || {
            file.write_all(bytes)?;
            let _wait = waits::begin(Kind::Sync, || path.display().to_string());
            file.sync_all()
        };
        write().inspect_err(|_| {
            // On a full disk even an unfinished file is in the way.
            let _ = fs::remove_file(path);
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        let _wait = waits::begin(Kind::Sync, || dir.display().to_string());
        File::open(dir)?.sync_all()
    }

    fn symlink(&self, target: &Path, path: &Path) -> io::Result<()> {
        symlink(target, path)
    }

    fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        fs::read_link(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        read_bounded(path, limit)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(dir)? {
            if let Ok(name) = entry?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    fn create_dir_all(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)
    }

    fn lock(&self, path: &Path, wait: Duration) -> io::Result<Held> {
        loop {
            let file = lock_file::open(path)?;
            wait_for(&file, wait)?;
            // Nix deletes its lock files: what was locked may have no name any more
            // (nix, src/libstore/unix/pathlocks.cc).
            let locked = file.metadata()?;
            match fs::metadata(path) {
                Ok(named) if (named.dev(), named.ino()) == (locked.dev(), locked.ino()) => {
                    return Ok(Held(Some(file)));
                }
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
}

/// Takes an exclusive `flock` on an open file, for at most `wait`. `WouldBlock` says that somebody
/// else holds it.
fn wait_for(file: &File, wait: Duration) -> io::Result<()> {
    let end = Instant::now() + wait;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(fs::TryLockError::WouldBlock) if Instant::now() < end => thread::sleep(LOCK_POLL),
            Err(error) => return Err(error.into()),
        }
    }
}
