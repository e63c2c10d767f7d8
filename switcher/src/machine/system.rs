//! The seam between decisions and the machine.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

use crate::decide::phase::{Phase, PhaseName};
use crate::decide::transaction::Event;
use crate::machine::network::Paths;
use crate::protocol::{BootId, Cause, DeploymentId, Evidence, Toplevel};
use crate::state::journal::{Deployment, Watch};
use crate::state::network::Network;

/// `switch-to-configuration` ends with EAGAIN when somebody else holds its lock.
pub(crate) const BUSY: i32 = 11;

/// Something on the machine did not work.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "each field is what its message names")]
pub enum SystemError {
    /// A program could not be run, or failed, or took too long.
    #[error("{what} failed: {how}")]
    Command { what: String, how: String },
    /// A file of the system could not be read or written.
    #[error("cannot use {path}")]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// A link does not name a system in the store.
    #[error("{path} does not name a NixOS system")]
    NoSystem { path: PathBuf },
    /// What should have ended still runs.
    #[error("{unit} could not be ended")]
    StillRunning { unit: String },
}

/// What `switch-to-configuration` is asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Run the checks that the system has for itself, and change nothing.
    Check,
    /// Activate, and leave the boot loader alone.
    Test,
    /// Install the boot loader, and leave what runs alone.
    Boot,
}

impl Action {
    /// The word on its command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Test => "test",
            Self::Boot => "boot",
        }
    }
}

/// One run of `switch-to-configuration`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Switch {
    /// The deployment that it belongs to.
    pub deployment: DeploymentId,
    /// Whose `switch-to-configuration`.
    pub toplevel: Toplevel,
    /// What it does.
    pub action: Action,
    /// It is during a rollback: its own checks may not refuse (`NIXOS_NO_CHECK=1`).
    pub unchecked: bool,
    /// Makes its unit's name unique in the deployment.
    pub run: u32,
    /// The longest that it may take.
    pub limit: Duration,
}

/// How one run of `switch-to-configuration` ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SwitchEnd {
    /// With this exit code, or 128 plus the signal that ended it.
    Exited(i32),
    /// It took too long; its whole cgroup was killed and is empty.
    TimedOut {
        /// The units that systemd was starting or stopping then.
        waits_for: Vec<String>,
    },
    /// It could not be run.
    NotRun(String),
}

/// The units of the machine.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Units {
    /// Those of the running system that are active and can be started again.
    pub active: Vec<String>,
    /// Those that are failed.
    pub failed: Vec<String>,
}

/// How a trial ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TrialEnd {
    /// With evidence that it works.
    Verified(Evidence),
    /// With something else, and the last evidence that came in.
    NotVerified(Cause, Option<Evidence>),
}

/// What the boot loader starts by default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BootDefault {
    /// This system.
    System(Toplevel),
    /// Not what its installer wrote: something outranks that.
    Pinned(Pin),
    /// It cannot be determined for this boot loader, or there is none: why.
    Unknown(String),
    /// The boot loader's files are there and do not make sense.
    Broken(String),
}

/// What outranks the default that an installer writes; no installation of a boot loader changes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// What its installer has made the default, where that can be determined.
    pub installed: Option<Toplevel>,
    /// What is started in its place, where it is a system.
    pub starts: Option<Toplevel>,
    /// What pins it, in words.
    pub by: String,
    /// The command that undoes it.
    pub undo: String,
    /// Of which kind it is.
    pub kind: PinKind,
}

/// How a default is pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PinKind {
    /// For good, in the firmware.
    Firmware,
    /// What is picked in the menu is remembered: that was somebody's will, and can be picked anew.
    Remembered,
    /// For the next boot alone.
    Once,
}

impl std::fmt::Display for Pin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}; what undoes it: {}", self.by, self.undo)
    }
}

impl BootDefault {
    /// What pins the next boots to another system than this: no deployment changes that.
    pub fn pinned_to_other_than(&self, toplevel: &Toplevel) -> Option<&Pin> {
        match self {
            Self::Pinned(pin) => Some(pin)
                .filter(|pin| pin.kind != PinKind::Once && pin.starts.as_ref() != Some(toplevel)),
            Self::System(_) | Self::Unknown(_) | Self::Broken(_) => None,
        }
    }

    /// What the boot loader's installer has made the default.
    pub fn installed(&self) -> Option<&Toplevel> {
        match self {
            Self::System(system) => Some(system),
            Self::Pinned(pin) => pin.installed.as_ref(),
            Self::Unknown(_) | Self::Broken(_) => None,
        }
    }

    /// What the next boot starts.
    pub fn starts(&self) -> Option<&Toplevel> {
        match self {
            Self::System(system) => Some(system),
            Self::Pinned(pin) => pin.starts.as_ref(),
            Self::Unknown(_) | Self::Broken(_) => None,
        }
    }
}

/// A unit that ran before and does not run any more, although the new system wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stopped {
    /// Its name.
    pub unit: String,
    /// How it is, for people.
    pub how: String,
}

/// The machine. None of these decides anything; each is bounded in time.
pub trait System {
    /// Seconds since the boot, suspended time included (CLOCK_BOOTTIME).
    fn boottime(&self) -> u64;
    /// Seconds since 1970.
    fn wallclock(&self) -> u64;
    /// The id of this boot.
    ///
    /// # Errors
    /// The kernel's file cannot be read.
    fn boot_id(&self) -> Result<BootId, SystemError>;
    /// The system that runs.
    ///
    /// # Errors
    /// The link does not name a system in the store.
    fn current(&self) -> Result<Toplevel, SystemError>;
    /// The system that was booted.
    ///
    /// # Errors
    /// The link does not name a system in the store.
    fn booted(&self) -> Result<Toplevel, SystemError>;
    /// Why the candidate, or the host, is not fit for an activation.
    fn refusal(&self, candidate: &Toplevel, old: &Toplevel) -> Option<Cause>;
    /// The store path of this program, where it is in the store.
    fn own_path(&self) -> Option<PathBuf>;
    /// The units now.
    ///
    /// # Errors
    /// systemd does not answer in time.
    fn units(&self) -> Result<Units, SystemError>;
    /// What forbids to switch from one system to the other without a reboot: each in words.
    fn inhibitors(&self, from: &Toplevel, to: &Toplevel) -> Vec<String>;
    /// Of these units, that were active before: those that do not run although the candidate wants them.
    ///
    /// # Errors
    /// systemd does not answer in time.
    fn stopped(&self, candidate: &Toplevel, before: &[String])
    -> Result<Vec<Stopped>, SystemError>;
    /// Whether the last activation of a system is known to have failed.
    fn activation_failed(&self, system: &Toplevel) -> bool;
    /// The network now: what this system declares of it, and the ways to these.
    ///
    /// # Errors
    /// The kernel cannot be asked.
    fn network(&self, of: &Toplevel, to: &[IpAddr]) -> Result<Network, SystemError>;
    /// The interfaces, and by which of them these are reached.
    ///
    /// # Errors
    /// The kernel cannot be asked.
    fn paths(&self, to: &[IpAddr]) -> Result<Paths, SystemError>;
    /// Makes what was written to the store and to `/boot` durable.
    ///
    /// # Errors
    /// A file system cannot be synced.
    fn sync(&self) -> Result<(), SystemError>;
    /// Starts a watchdog and sees that it is armed.
    ///
    /// # Errors
    /// systemd refuses it, or does not show it as armed.
    fn arm(&mut self, deployment: &DeploymentId, watch: &Watch) -> Result<(), SystemError>;
    /// Whether a watchdog is armed.
    fn is_armed(&self, unit: &str) -> bool;
    /// Notes until the next boot that the rollback has begun; for a journal that cannot be written.
    /// Where this cannot be noted either, it is said.
    fn mark_going_back(&mut self, deployment: &DeploymentId);
    /// Whether that was noted in this boot.
    fn is_going_back(&self, deployment: &DeploymentId) -> bool;
    /// Drops a watchdog; one that is not there is dropped already. A name that ends in `*` stands for
    /// all that begin so.
    fn disarm(&mut self, unit: &str);
    /// Runs `switch-to-configuration` to its end.
    fn switch(&mut self, switch: &Switch) -> SwitchEnd;
    /// What the last run of `switch-to-configuration` printed, as far as it is known.
    fn said(&self) -> String;
    /// Keeps everybody else from switching, or lets them. Fails where somebody is switching.
    ///
    /// # Errors
    /// Somebody is switching, or the lock cannot be used.
    fn hold_switching(&mut self, hold: bool) -> Result<(), SystemError>;
    /// Starts the candidate's verification and waits for evidence until the deadline.
    fn trial(&mut self, deployment: &Deployment) -> TrialEnd;
    /// Has `nixus-switcher boot-trial` run once the units of this boot are up; waits for nothing.
    ///
    /// # Errors
    /// systemd refuses to start the unit.
    fn await_units(&mut self, deployment: &DeploymentId) -> Result<(), SystemError>;
    /// Starts units and waits until they are started, as often as they may have failed before.
    ///
    /// # Errors
    /// systemd does not answer in time, or one of them fails.
    fn start(&mut self, units: &[String]) -> Result<(), SystemError>;
    /// Reads back what the boot loader starts.
    fn boot_default(&self) -> BootDefault;
    /// Reboots the machine.
    ///
    /// # Errors
    /// Neither systemd nor the kernel does it.
    fn reboot(&mut self) -> Result<(), SystemError>;
    /// Waits.
    fn pause(&mut self, time: Duration);
    /// A deployment has ended: asks the reconciler to report, and prunes logs.
    fn ended(&mut self);
    /// A decision is about to be taken: for those who watch.
    fn decided(&mut self, _phase: &Phase, _event: &Event) {}
    /// A phase is entered: for those who watch.
    fn entered(&mut self, _phase: PhaseName) {}
    /// One line for people.
    fn say(&self, line: &str);
}
