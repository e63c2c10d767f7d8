//! Where everything is on a host.

use std::path::{Path, PathBuf};

use crate::protocol::{DeploymentId, Toplevel};

/// The unit of a generation that alone may confirm it.
pub const VERIFY_UNIT: &str = "nixus-verify.service";

/// All paths that the switcher uses. Tests put them below a directory of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    root: PathBuf,
}

impl Default for Layout {
    fn default() -> Self {
        Self::host()
    }
}

impl Layout {
    /// The paths of the host that this program runs on.
    pub fn host() -> Self {
        Self::below("/")
    }

    /// The same paths below `root`.
    pub fn below(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Where the absolute `path` of a host is.
    pub fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Where a system's verification unit is, if it has one. The links of a NixOS `etc` point into the store,
    /// absolute.
    pub fn verify_unit(&self, toplevel: &Toplevel) -> Option<PathBuf> {
        let path = self
            .at(toplevel.path())
            .join("etc/systemd/system")
            .join(VERIFY_UNIT);
        path.is_file().then_some(path)
    }

    /// The switcher's state: `/var/lib/nixus/switcher`.
    pub fn state(&self) -> PathBuf {
        self.at("/var/lib/nixus/switcher")
    }

    /// One file for each deployment that has ended.
    pub fn history(&self) -> PathBuf {
        self.state().join("history")
    }

    /// What `switch-to-configuration` printed, one file for each deployment.
    pub fn logs(&self) -> PathBuf {
        self.state().join("log")
    }

    /// What `switch-to-configuration` printed in this deployment.
    pub fn log(&self, deployment: &DeploymentId) -> PathBuf {
        self.logs().join(format!("{deployment}.log"))
    }

    /// What is gone after a reboot: `/run/nixus`.
    pub fn run(&self) -> PathBuf {
        self.at("/run/nixus")
    }

    /// The lock whose holder alone may write the journal.
    pub fn lock(&self) -> PathBuf {
        self.run().join("switcher.lock")
    }

    /// Where `nixus verify` and operators talk to the switcher while a system is on trial.
    pub fn socket(&self) -> PathBuf {
        self.run().join("verify.sock")
    }

    /// Says that the rollback has begun where the journal could not be written.
    pub fn going_back(&self, deployment: &DeploymentId) -> PathBuf {
        self.run().join(format!("going-back-{deployment}"))
    }

    /// Where the exit of one run of `switch-to-configuration` is written.
    pub fn exit_file(&self, unit: &str) -> PathBuf {
        self.run().join(format!("{unit}.exit"))
    }

    /// The directory of the system profile.
    pub fn profiles(&self) -> PathBuf {
        self.at("/nix/var/nix/profiles")
    }

    /// The GC roots of Nixus.
    pub fn roots(&self) -> PathBuf {
        self.at("/nix/var/nix/gcroots/nixus")
    }

    /// The store.
    pub fn store(&self) -> PathBuf {
        self.at("/nix/store")
    }

    /// The link to the system that runs.
    pub fn current_system(&self) -> PathBuf {
        self.at("/run/current-system")
    }

    /// The link to the system that was booted.
    pub fn booted_system(&self) -> PathBuf {
        self.at("/run/booted-system")
    }

    /// The lock that every `switch-to-configuration` takes (nixpkgs, switch-to-configuration-ng).
    pub fn stc_lock(&self) -> PathBuf {
        self.at("/run/nixos/switch-to-configuration.lock")
    }

    /// The units of the running system.
    pub fn units(&self) -> PathBuf {
        self.at("/etc/systemd/system")
    }
}
