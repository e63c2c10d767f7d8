//! Files on disk: read with a bound, written whole or not at all.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

pub use nixus_switcher::state::bounded::read_bounded;
use nixus_switcher::state::disk::{self, HostDisk};

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

/// Reads the first bytes of a file, at most `limit`.
///
/// # Errors
/// The file cannot be opened or read.
pub fn read_start(path: &Path, limit: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(limit as u64)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Replaces a file so that, whenever the machine stops, either the old or the new content is there.
///
/// # Errors
/// The content, its name or its folder cannot be written or synced; then the old content is there.
pub fn write_durably(path: &Path, content: &[u8]) -> io::Result<()> {
    make_folder(path)?;
    disk::write_atomic(&HostDisk, path, content)
}

/// Replaces a file for readers of this boot; nothing is promised after a power cut.
///
/// # Errors
/// The content or its name cannot be written; then the old content is there.
pub fn write_atomically(path: &Path, content: &[u8]) -> io::Result<()> {
    make_folder(path)?;
    replace(path, |new| fs::write(new, content))
}

/// Replaces a file for readers of this boot, who may be others: it has this mode, whatever the umask.
///
/// # Errors
/// The content, its mode or its name cannot be written; then the old content is there.
pub fn write_with_mode(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    replace(path, |new| {
        let _ = fs::remove_file(new);
        let mut file = OpenOptions::new().write(true).create_new(true).open(new)?;
        file.write_all(content)?;
        file.set_permissions(Permissions::from_mode(mode))
    })
}

/// Points a symbolic link somewhere else in one step; used for the garbage collector's roots.
///
/// # Errors
/// The link or its folder cannot be made; then the old link is there.
pub fn replace_link(path: &Path, target: &Path) -> io::Result<()> {
    make_folder(path)?;
    disk::link_over(&HostDisk, target, path)
}

fn make_folder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), fs::create_dir_all)
}

fn replace(path: &Path, write: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    let new = disk::beside(path);
    write(&new)
        .and_then(|()| fs::rename(&new, path))
        .inspect_err(|_| {
            // On a full disk even an unfinished file is in the way.
            let _ = fs::remove_file(&new);
        })
}
