//! Links from where units look for a secret to where it is.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why a secret is not where it is looked for.
#[derive(Debug, Error)]
pub enum LinkError {
    /// Somebody else's file is there.
    #[error("{} is there already and is no link to a secret: move it away", path.display())]
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

/// Whether a link can be made there, or is there already: what is no link is never overwritten.
pub fn is_free(path: &Path) -> Result<(), LinkError> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_symlink() => Err(LinkError::Occupied {
            path: path.to_owned(),
        }),
        // What cannot be looked at is told when it is linked.
        _ => Ok(()),
    }
}

/// Makes a link, in one step.
pub fn link(path: &Path, target: &Path) -> Result<(), LinkError> {
    is_free(path)?;
    if fs::read_link(path).is_ok_and(|there| there == target) {
        return Ok(());
    }
    let make = || {
        let folder = path.parent().unwrap_or(Path::new("/"));
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        fs::create_dir_all(folder)?;
        let new = folder.join(format!(".{name}.nixus-secrets"));
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        std::os::unix::fs::symlink(target, &new)?;
        fs::rename(&new, path)
    };
    make().map_err(|source| LinkError::Link {
        path: path.to_owned(),
        source,
    })
}

/// Removes a link of an earlier generation, if it still leads to secrets. It may be gone.
pub fn remove(path: &Path, secrets: &Path) {
    if fs::read_link(path).is_ok_and(|target| target.starts_with(secrets)) {
        let _ = fs::remove_file(path);
    }
}

#[cfg(test)]
mod tests {
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
}
