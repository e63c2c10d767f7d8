//! A fetch while it runs: ended where nothing comes any more, or more than anybody has in such a repository.
//! What it leaves when it is ended is removed; git leaves it for ever.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use nix::sys::statvfs::statvfs;
use tokio::time::{Instant, sleep};

use crate::host::process::{Invocation, ProcessError};

/// How often a fetch is looked at.
const LOOK: Duration = Duration::from_millis(500);
/// Who sends a little now and then is ended after so many times what may pass without anything.
const LONGEST: u32 = 60;
/// What a fetch leaves free on the disk, in bytes.
const FREE: u64 = 256 * 1024 * 1024;

/// What git fetches into, and how much may come.
pub(super) struct Bounds<'a> {
    /// The local copy.
    pub repository: &'a Path,
    /// The longest time in which nothing comes.
    pub idle: Duration,
    /// The most that may come, in bytes as they are sent.
    pub most: u64,
}

/// Runs `git fetch --progress` within its bounds.
pub(super) async fn run(git: Invocation, bounds: &Bounds<'_>) -> Result<Vec<u8>, ProcessError> {
    let folder = bounds.repository.join("objects/pack");
    // A fetch of another process writes to its own all the time.
    remove_leftovers(bounds.repository, 2 * bounds.idle);
    let begun = unfinished(&folder);
    let heard = AtomicU64::new(0);
    let mut hear = |bytes: &[u8]| {
        heard.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    };
    let git = git.limit(bounds.idle.saturating_mul(LONGEST));
    let program = git.name();
    let result = {
        let work = git.output_heard(&mut hear);
        tokio::pin!(work);
        let mut last = (0, 0);
        let mut moved = Instant::now();
        loop {
            tokio::select! {
                ended = &mut work => break ended,
                () = sleep(LOOK) => {}
            }
            let came: u64 = unfinished(&folder)
                .into_iter()
                .filter(|(path, _)| !begun.iter().any(|(before, _)| before == path))
                .map(|(_, size)| size)
                .sum();
            let now = (came, heard.load(Ordering::Relaxed));
            if now != last {
                (last, moved) = (now, Instant::now());
            }
            if came > bounds.most || free(&folder).is_some_and(|free| free < FREE) {
                break Err(ProcessError::TooMuch {
                    program,
                    came,
                    limit: bounds.most,
                });
            }
            if moved.elapsed() > bounds.idle {
                break Err(ProcessError::Stalled {
                    program,
                    limit: bounds.idle,
                });
            }
        }
    };
    if result.is_err() {
        for (path, _) in unfinished(&folder) {
            if !begun.iter().any(|(before, _)| *before == path) {
                let _ = fs::remove_file(path);
            }
        }
    }
    result
}

/// Removes what fetches that were killed have left, if nobody has written to it for so long.
pub(crate) fn remove_leftovers(repository: &Path, age: Duration) {
    let objects = repository.join("objects");
    let folders = fs::read_dir(&objects).into_iter().flatten().flatten();
    let folders = folders.map(|entry| entry.path()).chain([objects.clone()]);
    for folder in folders.filter(|path| path.is_dir()) {
        for (path, _) in unfinished(&folder) {
            if is_older(&path, age) {
                let _ = fs::remove_file(path);
            }
        }
    }
    // Objects that came in small numbers, before they are known to be whole (git, tmp-objdir.c).
    for entry in fs::read_dir(&objects).into_iter().flatten().flatten() {
        let path = entry.path();
        let named = entry
            .file_name()
            .to_string_lossy()
            .starts_with("tmp_objdir-");
        if named && path.is_dir() && is_older(&path, age) {
            let _ = fs::remove_dir_all(path);
        }
    }
}

/// Files that git has not given their name yet, and their sizes (git, odb_mkstemp).
fn unfinished(folder: &Path) -> Vec<(PathBuf, u64)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("tmp_"))
        .filter_map(|entry| {
            Some((
                entry.path(),
                entry.metadata().ok().filter(fs::Metadata::is_file)?.len(),
            ))
        })
        .collect()
}

fn is_older(path: &Path, age: Duration) -> bool {
    let written = fs::symlink_metadata(path).and_then(|found| found.modified());
    written.is_ok_and(|time| {
        SystemTime::now()
            .duration_since(time)
            .is_ok_and(|found| found > age)
    })
}

fn free(folder: &Path) -> Option<u64> {
    let found = statvfs(folder).ok()?;
    Some(found.blocks_available() as u64 * found.fragment_size() as u64)
}

/// What git says of how far it is, which is not part of why it failed.
pub(super) fn is_progress(line: &str) -> bool {
    const WORDS: [&str; 9] = [
        "Receiving objects:",
        "Resolving deltas:",
        "Unpacking objects:",
        "Checking connectivity:",
        "Auto packing",
        "remote: Enumerating objects:",
        "remote: Counting objects:",
        "remote: Compressing objects:",
        "remote: Total ",
    ];
    WORDS.iter().any(|words| line.starts_with(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetch(script: &str, idle: Duration, most: u64) -> (Result<Vec<u8>, ProcessError>, usize) {
        let folder = tempfile::tempdir().unwrap();
        let pack = folder.path().join("objects/pack");
        fs::create_dir_all(&pack).unwrap();
        fs::write(pack.join("tmp_pack_before"), "others").unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let git = Invocation::new("sh", Duration::from_secs(1))
            .args(["-c", script])
            .arg("sh")
            .arg(pack.join("tmp_pack_new"));
        let bounds = Bounds {
            repository: folder.path(),
            idle,
            most,
        };
        let result = runtime.block_on(run(git, &bounds));
        (result, fs::read_dir(&pack).unwrap().count())
    }

    #[test]
    fn a_slow_fetch_goes_on_and_one_that_stands_still_ends() {
        let idle = Duration::from_secs(3);
        let slow = "for i in 1 2 3 4 5 6 7 8; do echo x >> $1; sleep 0.6; done; mv $1 $1.done";
        let (slow, left) = fetch(slow, idle, 1000);
        assert!(slow.is_ok(), "{slow:?}");
        assert_eq!(left, 2);
        // What is said is a sign of life, too: deltas are resolved without a file that grows.
        let told = "for i in 1 2 3 4 5 6 7 8; do echo x >&2; sleep 0.6; done";
        assert!(fetch(told, idle, 1000).0.is_ok());
        let (still, left) = fetch("echo x > $1; sleep 600", idle, 1000);
        assert!(
            matches!(still, Err(ProcessError::Stalled { .. })),
            "{still:?}"
        );
        let said = still.unwrap_err().to_string();
        assert!(said.contains("repository.timeout"), "{said}");
        assert_eq!(left, 1, "what it left is removed, what others do is not");
    }

    #[test]
    fn a_fetch_that_brings_too_much_ends() {
        let (much, left) = fetch("yes > $1", Duration::from_secs(60), 1000);
        assert!(
            matches!(much, Err(ProcessError::TooMuch { .. })),
            "{much:?}"
        );
        assert_eq!(left, 1);
    }

    #[test]
    fn only_what_nobody_writes_to_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let path = folder.path().join("objects").join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "x").unwrap();
            path
        };
        let gone = [
            "pack/tmp_pack_a",
            "pack/tmp_idx_b",
            "0a/tmp_obj_c",
            "tmp_objdir-d/pack/x",
        ]
        .map(make);
        let kept = ["pack/pack-1.pack", "0a/bcd", "info/packs"].map(make);
        remove_leftovers(folder.path(), Duration::from_secs(3600));
        assert!(gone.iter().all(|path| path.exists()));
        std::thread::sleep(Duration::from_millis(20));
        remove_leftovers(folder.path(), Duration::from_millis(1));
        assert!(!gone.iter().any(|path| path.exists()));
        assert!(kept.iter().all(|path| path.exists()));
    }
}
