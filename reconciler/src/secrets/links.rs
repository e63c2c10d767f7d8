//! Links from where units look for a secret to where it is.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open, openat, readlinkat, renameat};
use nix::sys::stat::{Mode, fstat, mkdirat};
use nix::unistd::{UnlinkatFlags, symlinkat, unlinkat};
use thiserror::Error;

/// Why a secret is not where it is looked for.
#[derive(Debug, Error)]
pub enum LinkError {
    /// Somebody else's file is there.
    #[error("{} is there already and is not a link to a secret: move it away", path.display())]
    Occupied {
        /// The path.
        path: PathBuf,
    },
    /// It could not be linked.
    #[error("cannot link {}", path.display())]
    Link {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Whether a link can be made there, or is there already: what is not a link is never overwritten.
///
/// # Errors
/// Something else than a link of this program is there.
pub fn is_free(path: &Path) -> Result<(), LinkError> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_symlink() => Err(LinkError::Occupied {
            path: path.to_owned(),
        }),
        // What cannot be looked at is reported when it is linked.
        _ => Ok(()),
    }
}

/// Makes a link, in one step.
///
/// # Errors
/// Something else than a link is there, or the link cannot be made.
pub fn link(path: &Path, target: &Path) -> Result<(), LinkError> {
    is_free(path)?;
    if fs::read_link(path).is_ok_and(|there| there == target) {
        return Ok(());
    }
    let make = || {
        let name = path.file_name().unwrap_or_default();
        let folder = open_folder(path.parent().unwrap_or(Path::new("/")), true)?;
        let new = format!(".{}.nixus-secrets", name.to_string_lossy());
        match unlinkat(&folder, new.as_str(), UnlinkatFlags::NoRemoveDir) {
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(error) => return Err(error.into()),
        }
        symlinkat(target, &folder, new.as_str())?;
        Ok(renameat(&folder, new.as_str(), &folder, name)?)
    };
    make().map_err(|source| LinkError::Link {
        path: path.to_owned(),
        source,
    })
}

/// Opens a folder, and makes it where that is wanted. Where somebody but root may change a folder on the way,
/// no link in it is followed: they could lead root's hand elsewhere, between two steps too.
fn open_folder(path: &Path, make: bool) -> io::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut folder = open("/", flags, Mode::empty())?;
    for part in path.components() {
        let name = match part {
            Component::RootDir | Component::CurDir => continue,
            Component::Normal(name) => name,
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        };
        let found = fstat(&folder)?;
        let others = Mode::S_IWGRP | Mode::S_IWOTH;
        let trusted = found.st_uid == 0 && found.st_mode & others.bits() == 0;
        let follow = if trusted {
            OFlag::empty()
        } else {
            OFlag::O_NOFOLLOW
        };
        let opened = match openat(&folder, name, flags | follow, Mode::empty()) {
            Err(Errno::ENOENT) if make => {
                mkdirat(&folder, name, Mode::from_bits_truncate(0o755))?;
                openat(&folder, name, flags | OFlag::O_NOFOLLOW, Mode::empty())
            }
            opened => opened,
        };
        folder = opened?;
    }
    Ok(folder)
}

/// Removes a link of an earlier generation, if it still leads to secrets. It may be gone.
pub fn remove(path: &Path, secrets: &Path) {
    let name = path.file_name().unwrap_or_default();
    let Ok(folder) = open_folder(path.parent().unwrap_or(Path::new("/")), false) else {
        return;
    };
    if readlinkat(&folder, name).is_ok_and(|target| Path::new(&target).starts_with(secrets)) {
        let _ = unlinkat(&folder, name, UnlinkatFlags::NoRemoveDir);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn links_are_made_and_moved_and_nothing_else_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("etc/shop/key");
        let (one, two) = (Path::new("/run/s/one"), Path::new("/run/s/two"));
        for target in [one, one, two] {
            link(&path, target).unwrap();
            assert_eq!(fs::read_link(&path).unwrap(), target);
        }
        remove(&path, Path::new("/run/other"));
        assert!(path.is_symlink());
        remove(&path, Path::new("/run/s"));
        assert!(!path.is_symlink());
        fs::write(&path, "somebody's").unwrap();
        assert!(matches!(link(&path, one), Err(LinkError::Occupied { .. })));
        assert_eq!(fs::read(&path).unwrap(), b"somebody's");
    }
    #[test]
    fn a_link_in_a_folder_of_somebody_else_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let (home, etc) = (folder.path().join("home"), folder.path().join("etc"));
        fs::create_dir_all(&home).unwrap();
        fs::create_dir_all(&etc).unwrap();
        let target = Path::new("/run/s/one");
        // Root's own folders may have such links.
        std::os::unix::fs::symlink(&etc, folder.path().join("linked")).unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let is_root = nix::unistd::geteuid().is_root();
        assert_eq!(
            link(&folder.path().join("linked/a"), target).is_ok(),
            is_root
        );
        for open in [0o777, 0o775, 0o757] {
            fs::set_permissions(&home, fs::Permissions::from_mode(open)).unwrap();
            let trap = home.join("trap");
            std::os::unix::fs::symlink(&etc, &trap).unwrap();
            assert!(link(&trap.join("key"), target).is_err(), "{open:o}");
            assert!(link(&trap.join("made/key"), target).is_err(), "{open:o}");
            fs::remove_file(&trap).unwrap();
            link(&home.join("real/key"), target).unwrap();
        }
        assert!(!etc.join("key").exists() && !etc.join("made").exists());
        // Nor does one lead to a link that is removed.
        std::os::unix::fs::symlink(target, etc.join("other")).unwrap();
        std::os::unix::fs::symlink(&etc, home.join("trap")).unwrap();
        remove(&home.join("trap/other"), Path::new("/run/s"));
        assert!(etc.join("other").is_symlink());
    }
}
