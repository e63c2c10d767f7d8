//! A file for an editor, on a file system in memory, wiped afterwards.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::LONGEST;
use super::ciphertext::Plaintext;
use super::memory;

/// Why there is no file for an editor.
#[derive(Debug, Error)]
pub enum ScratchError {
    /// No folder is in memory.
    #[error(
        "there is no folder in memory for the editor's file: {} {} tmpfs, and a secret is never written to a disk",
        tried.join(", "),
        if tried.len() == 1 { "is not a" } else { "are not" }
    )]
    NoMemory {
        /// The folders that were looked at.
        tried: Vec<String>,
    },
    /// The file could not be made, read or wiped.
    #[error("cannot {what} the editor's file {}", path.display())]
    File {
        /// What was to be done.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// The editor's file, in a folder of its own. Whatever an editor leaves beside it is wiped too.
#[derive(Debug)]
pub struct Scratch {
    folder: PathBuf,
    file: PathBuf,
}

impl Scratch {
    /// A file with this content, in the first of these folders that is in memory.
    ///
    /// # Errors
    /// None of the folders is in memory, or the file cannot be made.
    pub fn new(folders: &[PathBuf], name: &str, content: &[u8]) -> Result<Self, ScratchError> {
        let here = folders.iter().find(|folder| is_memory(folder));
        let Some(here) = here else {
            return Err(ScratchError::NoMemory {
                tried: folders
                    .iter()
                    .map(|one| one.display().to_string())
                    .collect(),
            });
        };
        let folder = here.join(format!("nixus-secrets-{:016x}", fastrand::u64(..)));
        // Only what was made here is wiped and removed when it is dropped.
        DirBuilder::new()
            .mode(0o700)
            .create(&folder)
            .map_err(|source| ScratchError::File {
                what: "make",
                path: folder.clone(),
                source,
            })?;
        let scratch = Self {
            file: folder.join(name),
            folder,
        };
        let make = || {
            let mut options = File::options();
            options.create_new(true).write(true).mode(0o600);
            options.open(&scratch.file)?.write_all(content)
        };
        make().map_err(scratch.error("make"))?;
        Ok(scratch)
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.file
    }

    /// What is in it now.
    ///
    /// # Errors
    /// The file is gone, or something else than a file, or cannot be read.
    pub fn read(&self) -> Result<Plaintext, ScratchError> {
        memory::read(&self.file, LONGEST as u64).map_err(self.error("read"))
    }

    fn error(&self, what: &'static str) -> impl FnOnce(io::Error) -> ScratchError {
        let path = self.file.clone();
        move |source| ScratchError::File { what, path, source }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        wipe(&self.folder);
        // A failure is reported by nobody else, and its content is wiped already.
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            tracing::warn!("cannot remove {}: {error}", self.folder.display());
        }
    }
}

/// The folders that may be in memory, the user's own first.
pub fn folders() -> Vec<PathBuf> {
    let own = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    let own = own.filter(|path| path.is_absolute());
    own.into_iter().chain(["/dev/shm".into()]).collect()
}

fn is_memory(folder: &Path) -> bool {
    memory::is_tmpfs(folder) || memory::is_ramfs(folder)
}

/// Overwrites what is in a folder: pages that are freed are not wiped by the kernel.
fn wipe(folder: &Path) {
    let Ok(found) = fs::read_dir(folder) else {
        return;
    };
    for entry in found.flatten() {
        let path = entry.path();
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() => wipe(&path),
            Ok(found) if found.is_file() => {
                let zeros = vec![0; usize::try_from(found.len()).unwrap_or(0).min(16 * LONGEST)];
                let file = File::options().write(true).open(&path);
                let _ = file.and_then(|mut file| file.write_all(&zeros));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_editors_file_is_in_memory_private_and_gone_afterwards() {
        let shared = PathBuf::from("/dev/shm");
        assert!(
            is_memory(&shared),
            "/dev/shm is not a tmpfs on this machine"
        );
        let scratch = Scratch::new(&[shared], "db.age", b"old").unwrap();
        let folder = scratch.folder.clone();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(scratch.path())), (0o700, 0o600));
        // As editors do: a new file in the place of the old one, and one beside it.
        fs::write(folder.join("db.age~"), "old").unwrap();
        fs::write(folder.join("new"), "new").unwrap();
        fs::rename(folder.join("new"), scratch.path()).unwrap();
        assert_eq!(**scratch.read().unwrap(), *b"new");
        let open = File::open(scratch.path()).unwrap();
        drop(scratch);
        assert!(!folder.exists());
        let mut left = String::new();
        io::Read::read_to_string(&mut &open, &mut left).unwrap();
        assert_eq!(left, "\0\0\0");
    }

    #[test]
    fn a_disk_is_no_place_for_it() {
        let folders = ["/proc".into(), "/no/such/folder".into()];
        let said = Scratch::new(&folders, "a", b"").unwrap_err().to_string();
        assert!(
            said.contains("/proc, /no/such/folder are not tmpfs"),
            "{said}"
        );
    }
}
