//! Files on disk: read with a bound, written whole or not at all.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nixus_switcher::waits::{self, Kind};

/// Where the reconciler keeps what must survive a reboot.
pub const STATE: &str = "/var/lib/nixus";

/// Where the reconciler keeps what only matters until the next boot.
pub const RUN: &str = "/run/nixus";

/// What everybody on the host may read; the rest is in folders that are root's alone.
pub const SUMMARY: &str = "/run/nixus-status.json";

/// Keeps the system that ran when the host was adopted. It outlives the state folder.
pub const ADOPTED: &str = "/nix/var/nix/gcroots/nixus/adopted";

/// Every path that the reconciler uses on a host.
#[derive(Debug, Clone)]
pub struct Paths {
    /// Durable state.
    pub state: PathBuf,
    /// State of this boot.
    pub run: PathBuf,
    /// The root of the system that ran when this host was adopted.
    pub adopted: PathBuf,
    /// What everybody may know.
    pub summary: PathBuf,
}

impl Default for Paths {
    fn default() -> Self {
        Self {
            state: STATE.into(),
            run: RUN.into(),
            adopted: ADOPTED.into(),
            summary: SUMMARY.into(),
        }
    }
}

impl Paths {
    /// What is accepted, kept and quarantined.
    pub fn ledger(&self) -> PathBuf {
        self.state.join("ledger.json")
    }

    /// The local copy of the deploy repository.
    pub fn repository(&self) -> PathBuf {
        self.state.join("repository.git")
    }

    /// The local copy of a host that evaluates nothing: the deploy repository's history without files.
    pub fn commits(&self) -> PathBuf {
        self.state.join("commits.git")
    }

    /// This host's own reports, and what the reports repository knows of them.
    pub fn reports(&self) -> PathBuf {
        self.state.join("reports.git")
    }

    /// How far this host's reports are on their forge.
    pub fn outbox(&self) -> PathBuf {
        self.state.join("outbox.json")
    }

    /// Held by the one that posts statuses.
    pub fn outbox_lock(&self) -> PathBuf {
        self.run.join("outbox.lock")
    }

    /// That an operator holds this host still.
    pub fn suspension(&self) -> PathBuf {
        self.state.join("suspended.json")
    }

    /// Held by the one pass that runs.
    pub fn pass_lock(&self) -> PathBuf {
        self.run.join("pass.lock")
    }

    /// That passes were kept out was reported, and not taken back yet.
    pub fn overdue(&self) -> PathBuf {
        self.state.join("pass-overdue")
    }

    /// The sockets of the connections that a pass shares.
    pub fn connections(&self) -> PathBuf {
        self.run.join("ssh")
    }

    /// How often each peer has asked.
    pub fn probes(&self) -> PathBuf {
        self.run.join("probes")
    }

    /// What the last pass ended with.
    pub fn last_pass(&self) -> PathBuf {
        self.run.join("last-pass.json")
    }

    /// What a pass of the generation on trial has handed over.
    pub fn own_pass(&self) -> PathBuf {
        self.run.join("own-pass.json")
    }

    /// What an operator has asked the pass's own unit.
    pub fn question(&self) -> PathBuf {
        self.run.join("question.json")
    }

    /// What it has answered.
    pub fn answer(&self) -> PathBuf {
        self.run.join("answer.json")
    }

    /// Says since when the reports are known to be whole and sent.
    pub fn reports_sound(&self) -> PathBuf {
        self.run.join("reports-sound")
    }
}

/// Reads a whole file of at most `limit` bytes.
///
/// # Errors
/// A longer file gives `FileTooLarge`.
pub fn read_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::from(io::ErrorKind::FileTooLarge));
    }
    Ok(bytes)
}

/// Reads the first bytes of a file, at most `limit`.
pub fn read_start(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(limit as u64)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Replaces a file so that, whenever the machine stops, either the old or the new content is there.
pub fn write_durably(path: &Path, content: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    fs::create_dir_all(directory)?;
    let temporary = directory.join(format!(".{name}.new"));
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&temporary)?;
        file.write_all(content)?;
        let _wait = waits::begin(Kind::Sync, || path.display().to_string());
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().inspect_err(|_| {
        // On a full disk even an unfinished file is in the way.
        let _ = fs::remove_file(&temporary);
    })?;
    let _wait = waits::begin(Kind::Sync, || directory.display().to_string());
    File::open(directory)?.sync_all()
}

/// Replaces a file for readers of this boot; nothing is promised after a power cut.
pub fn write_atomically(path: &Path, content: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    fs::create_dir_all(directory)?;
    let temporary = directory.join(format!(".{name}.new"));
    fs::write(&temporary, content)
        .and_then(|()| fs::rename(&temporary, path))
        .inspect_err(|_| {
            // On a full disk even an unfinished file is in the way.
            let _ = fs::remove_file(&temporary);
        })
}

/// Replaces a file for readers of this boot, who may be others: it has this mode, whatever the umask.
pub fn write_with_mode(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let temporary = directory.join(format!(".{name}.new"));
    let _ = fs::remove_file(&temporary);
    let write = || {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(&temporary)?;
        file.write_all(content)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        fs::rename(&temporary, path)
    };
    write().inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })
}

/// Points a symbolic link somewhere else in one step; used for the garbage collector's roots.
pub fn replace_link(path: &Path, target: &Path) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let new = path.with_extension("new");
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::os::unix::fs::symlink(target, &new)?;
    fs::rename(&new, path)
}
