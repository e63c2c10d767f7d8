//! Lock files that nobody else can take.
//!
//! flock(2) asks for nothing but an open file: whoever may read a lock file can hold it for ever. So each
//! is 0600 before it is needed. The mode says nothing about those who opened the file before, so one that
//! others could open is replaced by a new one.

use std::fmt;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::libc::O_NOFOLLOW;
use nix::time::{ClockId, clock_gettime};
use nix::unistd::{SysconfVar, geteuid, sysconf};

use crate::state::bounded::read_bounded;

/// What others may do with a file.
const OTHERS: u32 = 0o077;
/// More is never in one of the files of `/proc` that are read here.
const PROC_BYTES: u64 = 64 * 1024;
/// Two processes that replace the same file at the same time come to an end long before this.
const TRIES: u32 = 16;

/// A process that holds a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its number.
    pub pid: u32,
    /// The account that started it: a program with the set-user-ID bit keeps its caller's.
    pub uid: u32,
    /// The first 15 bytes of its program's name (proc_pid_comm(5)).
    pub name: String,
    /// How long ago it began.
    pub age: Duration,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "process {} ({}, user {})", self.pid, self.name, self.uid)
    }
}

/// The holders, as a message ends with them: in brackets, and nothing where none is known.
#[must_use]
pub fn in_brackets(holders: &[Holder]) -> String {
    let named: Vec<String> = holders.iter().map(ToString::to_string).collect();
    match named.as_slice() {
        [] => String::new(),
        named => format!(" ({})", named.join(", ")),
    }
}

/// Opens a lock file, 0600, in a folder that is there.
///
/// One that is held by a process of this account, or of root, is only made private: that process may be
/// a program of the release before.
///
/// # Errors
/// It cannot be opened or made, or is a symbolic link.
pub fn open(path: &Path) -> io::Result<File> {
    for _ in 0..TRIES {
        let file = options().open(path)?;
        let found = file.metadata()?;
        if is_private(&found) {
            return Ok(file);
        }
        match file.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::Error(error)) => return Err(error),
            Err(fs::TryLockError::WouldBlock) => {
                let trusted = |holder: &Holder| holder.uid == 0 || holder.uid == geteuid().as_raw();
                if holders_of(&found).iter().any(trusted) {
                    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
                    file.set_permissions(mode)?;
                    return Ok(file);
                }
            }
        }
        replace(path, &found)?;
    }
    Err(ErrorKind::ResourceBusy.into())
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(O_NOFOLLOW);
    options
}

fn is_private(found: &Metadata) -> bool {
    found.mode() & OTHERS == 0 && found.uid() == geteuid().as_raw()
}

/// Puts a new file in the place of the one that was found; whoever was quicker is left alone.
fn replace(path: &Path, found: &Metadata) -> io::Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let new = path.with_file_name(format!(".{name}.{}", std::process::id()));
    let _ = fs::remove_file(&new);
    options().create_new(true).open(&new)?;
    let is_found = fs::symlink_metadata(path).is_ok_and(|named| same(&named, found));
    let renamed = match is_found {
        true => fs::rename(&new, path),
        false => Ok(()),
    };
    if !is_found || renamed.is_err() {
        let _ = fs::remove_file(&new);
    }
    renamed
}

fn same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Who holds the lock on a file now. Only root sees them all; a lock whose file is on its way through a
/// socket has none.
pub fn holders(path: &Path) -> Vec<Holder> {
    fs::metadata(path).map_or_else(|_| Vec::new(), |file| holders_of(&file))
}

fn holders_of(file: &Metadata) -> Vec<Holder> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| holds(*pid, file))
        .filter_map(holder)
        .collect()
}

/// `lock:` in a descriptor's file says that the lock is held by it (proc_pid_fdinfo(5)).
fn holds(pid: u32, file: &Metadata) -> bool {
    let folder = PathBuf::from(format!("/proc/{pid}"));
    let descriptors = fs::read_dir(folder.join("fd"))
        .into_iter()
        .flatten()
        .flatten();
    descriptors
        .filter(|one| fs::metadata(one.path()).is_ok_and(|found| same(&found, file)))
        .any(|one| {
            let info = folder.join("fdinfo").join(one.file_name());
            read_bounded(&info, PROC_BYTES)
                .is_ok_and(|text| has_lock(&String::from_utf8_lossy(&text)))
        })
}

pub(crate) fn has_lock(info: &str) -> bool {
    info.lines()
        .any(|line| line.starts_with("lock:") && line.contains("FLOCK"))
}

fn holder(pid: u32) -> Option<Holder> {
    let read = |name: &str| {
        let text = read_bounded(Path::new(&format!("/proc/{pid}/{name}")), PROC_BYTES).ok()?;
        Some(String::from_utf8_lossy(&text).into_owned())
    };
    let name = read("comm")?;
    let name = name.trim().chars().filter(|letter| !letter.is_control());
    Some(Holder {
        pid,
        uid: real_uid(&read("status")?)?,
        name: name.collect(),
        age: age(&read("stat")?)?,
    })
}

/// The first of the four (proc_pid_status(5)).
pub(crate) fn real_uid(status: &str) -> Option<u32> {
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Field 22, in ticks since the boot (proc_pid_stat(5)). The second may hold blanks and brackets.
pub(crate) fn age(stat: &str) -> Option<Duration> {
    let (_, rest) = stat.rsplit_once(')')?;
    let started: u64 = rest.split_whitespace().nth(19)?.parse().ok()?;
    let ticks = u64::try_from(sysconf(SysconfVar::CLK_TCK).ok()??).ok()?;
    let started = Duration::from_millis(started.saturating_mul(1000) / ticks.max(1));
    let now = Duration::from(clock_gettime(ClockId::CLOCK_BOOTTIME).ok()?);
    Some(now.saturating_sub(started))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn inode(file: &File) -> u64 {
        file.metadata().unwrap().ino()
    }

    #[test]
    fn a_lock_file_is_private_whatever_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let made = open(&path).unwrap();
        assert_eq!(made.metadata().unwrap().mode() & 0o777, 0o600);
        assert_eq!(inode(&open(&path).unwrap()), inode(&made));
        for mode in [0o644, 0o640, 0o604, 0o666, 0o622, 0o660] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let before = File::open(&path).unwrap();
            let now = open(&path).unwrap();
            assert_eq!(now.metadata().unwrap().mode() & 0o777, 0o600, "{mode:o}");
            // What somebody has open already is of no use to them any more.
            assert_ne!(inode(&now), inode(&before), "{mode:o}");
            before.lock().unwrap();
            now.try_lock().unwrap();
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn one_that_is_held_by_ourselves_stays_and_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        let held = File::create(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(holders(&path), []);
        held.lock().unwrap();
        let found = open(&path).unwrap();
        assert_eq!(inode(&found), inode(&held));
        assert_eq!(found.metadata().unwrap().mode() & 0o777, 0o600);
        let holders = holders(&path);
        assert_eq!(holders.len(), 1);
        assert_eq!(holders[0].pid, std::process::id());
        assert_eq!(holders[0].uid, nix::unistd::getuid().as_raw());
        assert!(holders[0].age < Duration::from_secs(24 * 3600));
    }

    #[test]
    fn a_link_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lock");
        std::os::unix::fs::symlink(folder.path().join("elsewhere"), &path).unwrap();
        assert!(open(&path).is_err());
        assert!(!folder.path().join("elsewhere").exists());
    }

    #[test]
    fn the_caller_of_a_program_with_set_user_id_counts() {
        assert_eq!(real_uid("Name:\tsu\nUid:\t65534\t0\t0\t0\n"), Some(65534));
        assert_eq!(real_uid("Name:\tsleep\nUid:\t0\t0\t0\t0\n"), Some(0));
        assert_eq!(real_uid("Name:\tsleep\n"), None);
        assert_eq!(age("1 (a) b) c) S 1"), None);
    }
}
