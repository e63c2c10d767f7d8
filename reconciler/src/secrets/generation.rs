//! Opened secrets on a ramfs: numbered generations, and a link that is swapped from one to another.
//!
//! A ramfs is never written to swap (Documentation/filesystems/ramfs-rootfs-initramfs.rst). A generation
//! is whole once its record is there, and the record is written last.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{
    DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _,
};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use nix::mount::{MsFlags, mount};
use nix::unistd::{Gid, Uid};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::LONGEST;
use super::ciphertext::Plaintext;
use super::memory;
use crate::host::files::{read_bounded, replace_link};

/// The link that every path of a secret leads through.
pub const LINK: &str = "/run/nixus-secrets";
/// Where the generations are.
const FOLDER: &str = "/run/nixus-secrets.d";
/// Everybody may pass, nobody may list.
const PASS: u32 = 0o751;
/// What a generation says of itself.
const RECORD: &str = ".generation.json";
/// The longest record, in bytes.
const LONGEST_RECORD: u64 = 4 * 1024 * 1024;
/// How long another activation is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why opened secrets could not be put in their place.
#[derive(Debug, Error)]
pub enum GenerationError {
    /// The file system could not be mounted.
    #[error("cannot mount a ramfs at {}", path.display())]
    Mount {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: nix::Error,
    },
    /// Another activation does not end.
    #[error("another activation of secrets did not end within {} s", PATIENCE.as_secs())]
    Busy,
    /// A file, folder or link could not be made, read or removed.
    #[error("cannot {what} {}", path.display())]
    File {
        /// What was to be done.
        what: &'static str,
        /// With what.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

fn file<'a>(what: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> GenerationError + 'a {
    move |source| GenerationError::File {
        what,
        path: path.to_owned(),
        source,
    }
}

/// Makes a folder, if it is not there, that others pass whatever the caller's umask is.
fn make(folder: &Path) -> io::Result<()> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.and_then(|()| fs::set_permissions(folder, Permissions::from_mode(PASS)))
}

/// What a generation says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The description that it was made from, in the store.
    pub description: PathBuf,
    /// Whether every secret of it could be opened.
    pub complete: bool,
    /// The links of its secrets elsewhere.
    pub links: Vec<PathBuf>,
}

/// A secret's owner, group and permissions, as numbers.
pub type Owner = (u32, u32, u32);

/// Where a host has its opened secrets.
#[derive(Debug, Clone)]
pub struct Place {
    link: PathBuf,
    folder: PathBuf,
    ramfs: bool,
}

impl Default for Place {
    fn default() -> Self {
        Self {
            link: LINK.into(),
            folder: FOLDER.into(),
            ramfs: true,
        }
    }
}

/// That nobody else changes the generations; until it is dropped.
#[derive(Debug)]
pub struct Held {
    _lock: File,
}

impl Place {
    /// The link.
    pub fn link(&self) -> &Path {
        &self.link
    }

    /// Makes the folder, on a ramfs, and takes the lock.
    ///
    /// # Errors
    /// The folder cannot be made or mounted, or another activation holds the lock.
    pub fn prepare(&self) -> Result<Held, GenerationError> {
        make(&self.folder).map_err(file("make", &self.folder))?;
        if self.ramfs && !memory::is_ramfs(&self.folder) {
            let flags = MsFlags::MS_NODEV | MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
            let options = format!("mode={PASS:04o}");
            mount(
                Some("nixus-secrets"),
                &self.folder,
                Some("ramfs"),
                flags,
                Some(options.as_str()),
            )
            .map_err(|source| GenerationError::Mount {
                path: self.folder.clone(),
                source,
            })?;
        }
        let path = self.folder.join(".lock");
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(file("open", &path))?;
        let begun = Instant::now();
        while lock.try_lock().is_err() {
            if begun.elapsed() > PATIENCE {
                return Err(GenerationError::Busy);
            }
            thread::sleep(Duration::from_millis(20));
        }
        Ok(Held { _lock: lock })
    }

    /// The generation that the link names.
    pub fn current(&self) -> Option<u64> {
        let target = fs::read_link(&self.link).ok()?;
        let number = target.strip_prefix(&self.folder).ok()?.to_str()?.parse();
        number.ok().filter(|number| self.path(*number).is_dir())
    }

    /// A generation's folder.
    pub fn path(&self, number: u64) -> PathBuf {
        self.folder.join(number.to_string())
    }

    /// What a generation says of itself; nothing, if it was never finished.
    pub fn record(&self, number: u64) -> Option<Record> {
        let text = read_bounded(&self.path(number).join(RECORD), LONGEST_RECORD).ok()?;
        serde_json::from_slice(&text).ok()
    }

    /// The whole generation of a description, if this boot has opened it before: nobody needs a key for it.
    pub fn made_from(&self, description: &Path) -> Option<u64> {
        self.numbers().into_iter().rev().find(|number| {
            self.record(*number)
                .is_some_and(|record| record.complete && record.description == description)
        })
    }

    fn numbers(&self) -> Vec<u64> {
        let Ok(found) = fs::read_dir(&self.folder) else {
            return Vec::new();
        };
        let mut numbers: Vec<u64> = found
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .collect();
        numbers.sort_unstable();
        numbers
    }

    /// Begins a generation.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn begin(&self) -> Result<u64, GenerationError> {
        let number = self
            .numbers()
            .last()
            .map_or(1, |last| last.saturating_add(1));
        let path = self.path(number);
        make(&path).map_err(file("make", &path))?;
        Ok(number)
    }

    /// Puts one secret into a generation. Nobody but root can read it before it has its owner.
    ///
    /// # Errors
    /// The file or its folder cannot be written.
    pub fn put(&self, number: u64, name: &str, plaintext: &[u8]) -> Result<(), GenerationError> {
        let path = self.path(number).join(name);
        let mut options = File::options();
        options.create_new(true).write(true).mode(0o600);
        options
            .open(&path)
            .and_then(|mut file| file.write_all(plaintext))
            .map_err(file("write", &path))
    }

    /// Gives a secret its owner and permissions; gives whether it had others.
    ///
    /// # Errors
    /// Owner or permissions cannot be read or set.
    pub fn own(
        &self,
        number: u64,
        name: &str,
        (user, group, mode): (Uid, Gid, u32),
    ) -> Result<bool, GenerationError> {
        let path = self.path(number).join(name);
        let context = || file("give an owner to", &path);
        let found = fs::symlink_metadata(&path).map_err(context())?;
        let had = (found.uid(), found.gid(), found.mode() & 0o7777);
        if had == (user.as_raw(), group.as_raw(), mode) {
            return Ok(false);
        }
        // A new owner may do with it what the old permissions say.
        let set = |mode| fs::set_permissions(&path, Permissions::from_mode(mode));
        set(0)
            .and_then(|()| {
                std::os::unix::fs::chown(&path, Some(user.as_raw()), Some(group.as_raw()))
            })
            .and_then(|()| set(mode))
            .map_err(context())?;
        Ok(true)
    }

    /// A secret of a generation, with its owner and permissions.
    pub fn secret(&self, number: u64, name: &str) -> Option<(Plaintext, Owner)> {
        let path = self.path(number).join(name);
        let found = fs::symlink_metadata(&path).ok()?;
        let content = memory::read(&path, LONGEST as u64).ok()?;
        let own = (found.uid(), found.gid(), found.mode() & 0o7777);
        Some((content, own))
    }

    /// Says that a generation is finished.
    ///
    /// # Errors
    /// The mark cannot be written.
    pub fn finish(&self, number: u64, record: &Record) -> Result<(), GenerationError> {
        let path = self.path(number).join(RECORD);
        let text = serde_json::to_vec(record)
            .map_err(io::Error::from)
            .map_err(file("write", &path))?;
        self.put(number, RECORD, &text)
    }

    /// Points the link at a generation, in one step.
    ///
    /// # Errors
    /// The link cannot be made or renamed.
    pub fn switch_to(&self, number: u64) -> Result<(), GenerationError> {
        replace_link(&self.link, &self.path(number)).map_err(file("link", &self.link))
    }

    /// Removes a generation.
    ///
    /// # Errors
    /// A file or folder of it cannot be removed.
    pub fn remove(&self, number: u64) -> Result<(), GenerationError> {
        let path = self.path(number);
        fs::remove_dir_all(&path).map_err(file("remove", &path))
    }

    /// Removes all generations but these.
    ///
    /// # Errors
    /// One of them cannot be removed.
    pub fn remove_others(&self, kept: &[u64]) -> Result<(), GenerationError> {
        for number in self.numbers() {
            if !kept.contains(&number) {
                self.remove(number)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
impl Place {
    /// A place in a folder of a test, on whatever file system.
    pub fn of_test(folder: &Path) -> Self {
        Self {
            link: folder.join("secrets"),
            folder: folder.join("secrets.d"),
            ramfs: false,
        }
    }

    /// All generations.
    pub fn all(&self) -> Vec<u64> {
        self.numbers()
    }
}
