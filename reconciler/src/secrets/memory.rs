//! Keeps plaintext in memory out of core dumps and swap, and wipes it.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;

use nix::sys::mman::{MlockAllFlags, mlockall};
use nix::sys::prctl::set_dumpable;
use nix::sys::resource::{RLIM_INFINITY, Resource, setrlimit};
use nix::sys::statfs::{FsType, TMPFS_MAGIC, statfs};
use zeroize::Zeroizing;

/// What is left free after a file's length: `read_to_end` would grow a vector that is full.
const SPARE: u64 = 64;

/// RAMFS_MAGIC of linux/magic.h.
const RAMFS: FsType = FsType(0x8584_58f6);

/// Whether a folder is on a ramfs, which is never written to swap.
pub fn is_ramfs(folder: &Path) -> bool {
    statfs(folder).is_ok_and(|found| found.filesystem_type() == RAMFS)
}

/// Whether a folder is on a tmpfs.
pub fn is_tmpfs(folder: &Path) -> bool {
    statfs(folder).is_ok_and(|found| found.filesystem_type() == TMPFS_MAGIC)
}

/// Asks the kernel for what it grants; who may not ask has at least no core dumps.
pub fn shield() {
    // Neither a core dump nor a debugger of another process of the same user.
    let _ = set_dumpable(false);
    let _ = setrlimit(Resource::RLIMIT_CORE, 0, 0);
    // With a limit, locked memory would make later allocations fail.
    let unlimited = setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY).is_ok();
    if unlimited || locks_without_limit() {
        let _ = mlockall(MlockAllFlags::MCL_CURRENT | MlockAllFlags::MCL_FUTURE);
    }
}

/// Whether this process has CAP_IPC_LOCK, for which the limit does not count (mlock(2)).
fn locks_without_limit() -> bool {
    const CAP_IPC_LOCK: u64 = 14;
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    effective
        .and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok())
        .is_some_and(|capabilities| capabilities & (1 << CAP_IPC_LOCK) != 0)
}

/// Reads a file with a secret in it, of at most `limit` bytes, into memory that is wiped.
///
/// # Errors
/// The file cannot be read, or is longer than `limit`.
pub fn read(path: &Path, limit: u64) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len().min(limit);
    // Grown once: what a vector leaves behind when it grows is not wiped.
    let room = usize::try_from(length + SPARE).map_err(io::Error::other)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::from(io::ErrorKind::FileTooLarge));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_bounded_and_never_moved() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        for length in [0, 1, 100, 1000, 1001] {
            std::fs::write(&path, vec![7; length]).unwrap();
            match read(&path, 1000) {
                Ok(bytes) => {
                    assert_eq!(*bytes, vec![7; length]);
                    assert_eq!(bytes.capacity(), length + 64, "it has grown");
                }
                Err(error) => {
                    assert_eq!(length, 1001);
                    assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
                }
            }
        }
    }
}
