//! What the lab keeps for the next time, and when it is removed: what nothing uses any more.

use std::fs::{self, File};
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};

use crate::setup;

/// The file beside a folder whose lock is held by whoever uses it; its time is when that began.
const USED: &str = "used";
/// Layers of another build of Nixus are kept for so long: somebody may work on two branches by turns.
const KEPT: Duration = Duration::from_secs(3600);

/// Marks a folder of the cache as used until the file is dropped.
///
/// # Errors
/// When it cannot be marked.
pub fn hold(folder: &Path) -> Result<File> {
    let path = folder.with_extension(USED);
    let marked = File::create(&path).and_then(|file| {
        file.set_modified(SystemTime::now())?;
        file.lock_shared()?;
        Ok(file)
    });
    marked.with_context(|| format!("cannot lock {}", path.display()))
}

/// Removes the folders of the cache that are old by their names, and that nobody uses. What cannot be
/// removed now is tried again the next time.
pub fn remove_unused(cache: &Path, is_old: impl Fn(&str) -> bool) {
    let Ok(found) = fs::read_dir(cache) else {
        return;
    };
    for found in found.flatten() {
        let path = found.path();
        let name = found.file_name().to_string_lossy().into_owned();
        if is_old(&name) && path.is_dir() && is_unused(&path) {
            let removed = setup::remove_tree(&path);
            let _ = fs::remove_file(path.with_extension(USED));
            if removed.is_err() {
                eprintln!("lab: cannot remove {}", path.display());
            }
        }
    }
}

/// Whether nobody holds a folder, nor used it lately. One that was never finished has no mark.
fn is_unused(folder: &Path) -> bool {
    let Ok(file) = File::open(folder.with_extension(USED)) else {
        return true;
    };
    let used = file.metadata().and_then(|found| found.modified());
    let lately = used.is_ok_and(|used| used.elapsed().is_ok_and(|age| age < KEPT));
    !lately && file.try_lock().is_ok()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn what_nothing_uses_any_more_is_removed_and_nothing_else() {
        let cache = tempfile::tempdir().unwrap();
        let make = |name: &str| -> PathBuf {
            let folder = cache.path().join(name);
            fs::create_dir(&folder).unwrap();
            folder
        };
        let age = |file: &File| file.set_modified(SystemTime::now() - 2 * KEPT).unwrap();
        let old = ["old", "seed-1-1", "seed-1-2", "seed-1-3", "seed-2-1.new"].map(&make);
        let lately = hold(&old[1]).unwrap();
        drop(lately);
        let held = hold(&old[2]).unwrap();
        age(&held);
        age(&hold(&old[3]).unwrap());
        for other in ["seed-2-1", "keys", "gitea-v1"] {
            make(other);
        }
        remove_unused(cache.path(), |name| {
            name == "old" || (name.starts_with("seed-") && !name.starts_with("seed-2"))
        });
        let mut left: Vec<_> = fs::read_dir(cache.path())
            .unwrap()
            .map(|found| found.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        // `seed-2-1.new` is of this build: somebody may be making it.
        let expected = [
            "gitea-v1",
            "keys",
            "seed-1-1",
            "seed-1-1.used",
            "seed-1-2",
            "seed-1-2.used",
            "seed-2-1",
            "seed-2-1.new",
        ];
        assert_eq!(left, expected);
    }
}
