//! Damaged state is set aside under a name of its own, so that a person can look at it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What to do where as many as are kept have been set aside already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// Fail: each of them may be the only one of its kind.
    Refuse,
    /// Delete the newest one: what is in it can be had again.
    Replace,
}

/// Renames `path` to the first free one of `<path>.damaged-1` to `<path>.damaged-<limit>`.
///
/// # Errors
/// Those of the rename, and `StorageFull` where none is free and none may be replaced.
pub fn set_aside(path: &Path, limit: u32, when_full: WhenFull) -> io::Result<PathBuf> {
    let free = (1..=limit.max(1))
        .map(|number| name(path, number))
        .find(|name| fs::symlink_metadata(name).is_err());
    let aside = match (free, when_full) {
        (Some(free), _) => free,
        (None, WhenFull::Replace) => {
            let last = name(path, limit.max(1));
            remove(&last)?;
            last
        }
        (None, WhenFull::Refuse) => {
            let problem = format!(
                "{limit} damaged ones were set aside before {} already: look at them and delete them",
                path.display()
            );
            return Err(io::Error::new(io::ErrorKind::StorageFull, problem));
        }
    };
    fs::rename(path, &aside)?;
    if let Some(directory) = path.parent() {
        fs::File::open(directory)?.sync_all()?;
    }
    Ok(aside)
}

/// What was set aside of `path`, by number. A directory that cannot be read has none.
pub fn found(path: &Path) -> Vec<PathBuf> {
    let Some((directory, prefix)) = path.parent().zip(path.file_name()) else {
        return Vec::new();
    };
    let prefix = format!("{}.damaged-", prefix.to_string_lossy());
    let mut found: Vec<(u32, PathBuf)> = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let number = entry.file_name().to_str()?.strip_prefix(&prefix)?.parse();
            Some((number.ok()?, entry.path()))
        })
        .collect();
    found.sort();
    found.into_iter().map(|(_, path)| path).collect()
}

fn name(path: &Path, number: u32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".damaged-{number}"));
    PathBuf::from(name)
}

fn remove(path: &Path) -> io::Result<()> {
    if fs::symlink_metadata(path)?.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_be_precious_is_never_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state.json");
        let aside = |content: &str, when_full| {
            fs::write(&path, content).unwrap();
            set_aside(&path, 2, when_full)
        };
        assert_eq!(found(&path), Vec::<PathBuf>::new());
        assert_eq!(aside("one", WhenFull::Refuse).unwrap(), name(&path, 1));
        assert_eq!(aside("two", WhenFull::Refuse).unwrap(), name(&path, 2));
        let full = aside("three", WhenFull::Refuse).unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::StorageFull);
        assert_eq!(fs::read_to_string(&path).unwrap(), "three");
        assert_eq!(aside("four", WhenFull::Replace).unwrap(), name(&path, 2));
        assert_eq!(found(&path), [name(&path, 1), name(&path, 2)]);
        assert_eq!(fs::read_to_string(name(&path, 1)).unwrap(), "one");
        assert_eq!(fs::read_to_string(name(&path, 2)).unwrap(), "four");
    }
}
