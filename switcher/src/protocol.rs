//! What the reconciler and the switcher say to each other.
//!
//! Everything here is read by other releases of Nixus too: each message carries a version, and a
//! release reads its own and the one before.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The version of every message and state file that this release writes.
pub const VERSION: u32 = 1;

/// What a file `release` beside the folder of a program says of the lab's stand-in for the next release.
#[cfg(feature = "next-format")]
pub const NEXT_RELEASE: &str = "next";

/// [`VERSION`]; in the lab's stand-in for the next release, which is this program with a mark beside
/// it, the version after it.
pub fn newest_version() -> u32 {
    #[cfg(feature = "next-format")]
    {
        static NEWEST: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
        *NEWEST.get_or_init(|| {
            let mark = std::env::current_exe().ok();
            let mark = mark.and_then(|program| Some(program.parent()?.parent()?.join("release")));
            let said = mark.and_then(|mark| std::fs::read_to_string(mark).ok());
            VERSION + u32::from(said.as_deref() == Some(NEXT_RELEASE))
        })
    }
    #[cfg(not(feature = "next-format"))]
    VERSION
}

/// Why a string is not one of the names that the protocol uses.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum NameError {
    /// The string is not a deployment id.
    #[error("{0:?} is not a deployment id: expected 1 to 80 letters, digits or dashes")]
    Deployment(String),
    /// The path is not a direct child of the Nix store.
    #[error("{0:?} is not a store path: expected /nix/store/<hash>-<name>")]
    Toplevel(PathBuf),
}

/// Names one deployment; safe as a file name and as part of a unit name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeploymentId(String);

impl DeploymentId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id of a deployment whose own is lost, by the time at which that was found.
    pub fn of_lost(seconds: u64) -> Self {
        Self(format!("lost-{seconds}"))
    }
}

impl TryFrom<String> for DeploymentId {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        let valid = (1..=80).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if valid {
            Ok(Self(text))
        } else {
            Err(NameError::Deployment(text))
        }
    }
}

impl FromStr for DeploymentId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::try_from(text.to_owned())
    }
}

impl From<DeploymentId> for String {
    fn from(id: DeploymentId) -> Self {
        id.0
    }
}

impl fmt::Display for DeploymentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The store path of a NixOS system. Only the form is checked here; that it holds a system is
/// checked before an activation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "PathBuf", into = "PathBuf")]
pub struct Toplevel(PathBuf);

impl Toplevel {
    /// The store path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl TryFrom<PathBuf> for Toplevel {
    type Error = NameError;

    fn try_from(path: PathBuf) -> Result<Self, NameError> {
        let valid = path
            .to_str()
            .and_then(|text| text.strip_prefix("/nix/store/"))
            .and_then(|name| name.split_once('-'))
            .is_some_and(|(hash, name)| {
                hash.len() == 32
                    && hash.bytes().all(|byte| byte.is_ascii_alphanumeric())
                    && !name.is_empty()
                    && name
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || b"+-._?=".contains(&byte))
            });
        if valid {
            Ok(Self(path))
        } else {
            Err(NameError::Toplevel(path))
        }
    }
}

impl From<Toplevel> for PathBuf {
    fn from(toplevel: Toplevel) -> Self {
        toplevel.0
    }
}

impl fmt::Display for Toplevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

/// The id that the kernel gives each boot (`/proc/sys/kernel/random/boot_id`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootId(pub String);

/// What to do when a unit is failed after the activation that was not failed before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailedUnits {
    /// Go back to the old system.
    #[default]
    Revert,
    /// Keep the new system, and say which units failed.
    Ignore,
}

/// How long each phase may take, and what is judged a failure. Times are in seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// The longest that the new system's activation may take.
    pub activation_seconds: u64,
    /// The longest that the new system may be on trial before it is confirmed.
    pub trial_seconds: u64,
    /// The longest that setting the profile and the boot loader may take.
    pub commit_seconds: u64,
    /// What to do about units that the activation left failed.
    pub failed_units: FailedUnits,
    /// The longest that a first boot waits for a carrier before it is judged.
    #[serde(default = "carrier_seconds")]
    pub carrier_seconds: u64,
}

/// What an earlier release does not say: a site's switches take some minutes after a power cut.
pub fn carrier_seconds() -> u64 {
    600
}

/// A commit, as reports name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// The full object id, in hexadecimal.
    pub id: String,
    /// The first line of its message.
    pub subject: String,
}

impl Commit {
    /// The first seven digits, as people write them.
    pub fn short(&self) -> &str {
        self.id.get(..7).unwrap_or(&self.id)
    }
}

/// Asks the switcher to activate one toplevel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The version of this message.
    pub version: u32,
    /// A new id, never used before on this host.
    pub deployment: DeploymentId,
    /// What to activate.
    pub candidate: Toplevel,
    /// The commit it was built from.
    pub commit: Commit,
    /// The deadlines and rules of this deployment, from the *running* generation's configuration.
    pub policy: Policy,
    /// What was so before, where the one who asks has looked. Kept for the candidate's verification.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Before>,
}

/// What was so before anything was changed; what a candidate is judged by.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Before {
    /// What the running system's checks found.
    pub checks: Vec<CheckResult>,
    /// The keys that let an operator in, each with its account before it.
    #[serde(default)]
    pub operators: Vec<String>,
    /// The SSH host key, public.
    #[serde(default)]
    pub host_key: Option<String>,
    /// Those whom this host needs: the addresses of its repository and of its peers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ways: Vec<IpAddr>,
    /// It is an operator's own rollback: the candidate has only to be no worse.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rollback: bool,
    /// The peers that have been silent for so long that nobody waits for their word. Nothing where an
    /// earlier release has looked, which kept what no peer could see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<Vec<String>>,
    /// What an operator meets after the key was accepted; nothing where that could not be determined.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<Access>,
}

/// What is in the way of operators who log in.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Access {
    /// The addresses from which it was looked at.
    pub from: Vec<String>,
    /// What is in the way.
    pub obstacles: Vec<Obstacle>,
}

/// Something that keeps an operator out, or from a shell.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Obstacle {
    /// The account and what it is, in words.
    pub what: String,
    /// The address for which it is so; nothing where it is so for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<String>,
}

/// What one health check found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckOutcome {
    /// It works.
    Pass,
    /// It does not work.
    Fail,
    /// It could not be found out.
    Unknown,
}

/// One health check's result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckResult {
    /// The name of the check, for example `repository`.
    pub check: String,
    /// What it found.
    pub outcome: CheckOutcome,
    /// Why, in words that a person understands.
    pub reason: String,
    /// The peer that found it, where it was not this host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why it does not count for the verdict, where it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disregarded: Option<String>,
}

impl CheckResult {
    /// What this host found itself, and that counts.
    pub fn new(check: &str, outcome: CheckOutcome, reason: impl Into<String>) -> Self {
        Self {
            check: check.to_owned(),
            outcome,
            reason: reason.into(),
            by: None,
            disregarded: None,
        }
    }
}

/// What `nixus verify` of the new generation hands to the switcher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    /// The version of this message.
    pub version: u32,
    /// The deployment it is about.
    pub deployment: DeploymentId,
    /// The boot in which it was gathered.
    pub boot: BootId,
    /// The toplevel that gathered it.
    pub toplevel: Toplevel,
    /// What all checks say together.
    pub verdict: CheckOutcome,
    /// Each check.
    pub checks: Vec<CheckResult>,
}

/// The check that stands for an operator's own word, in [`Evidence::checks`].
pub const OPERATOR: &str = "operator";

impl Evidence {
    /// Who confirmed it, where that was an operator and not the generation's own verification.
    pub fn confirmed_by(&self) -> Option<&str> {
        let check = self.checks.iter().find(|check| check.check == OPERATOR)?;
        Some(&check.reason)
    }
}

/// The switcher's answer to evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvidenceReply {
    /// The version of this message.
    pub version: u32,
    /// Whether the evidence was taken.
    pub accepted: bool,
    /// Why not, where it was not.
    pub reason: Option<String>,
}

/// Why a deployment did not end with a confirmed generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Cause {
    /// The candidate is not a NixOS toplevel; nothing was changed.
    NotAToplevel {
        /// What it lacks.
        missing: Vec<String>,
    },
    /// The candidate has no `nixus-verify.service`: it could never take the next commit.
    NoVerification,
    /// Somebody else is switching this host, or has just done so; what runs was left to them.
    Busy,
    /// The host was not ready for an activation (disk full, no watchdog); nothing was changed.
    NotReady {
        /// What was missing.
        reason: String,
    },
    /// Files of the candidate are not what Nix put into the store; nothing was changed.
    StoreDamaged {
        /// Which, and how.
        what: String,
    },
    /// `switch-to-configuration test` failed.
    ActivationFailed {
        /// Its exit code, or 128 plus the signal that ended it.
        exit_code: i32,
        /// Units that are failed and were not before.
        units: Vec<String>,
        /// What else is wrong, each in words.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        findings: Vec<String>,
    },
    /// The activation did not end in time.
    ActivationTimedOut {
        /// The limit.
        seconds: u64,
        /// The units that systemd was starting or stopping when it was given up.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        waits_for: Vec<String>,
    },
    /// The candidate needs a reboot before it can run.
    RebootNeeded {
        /// What forbids to switch to it (`system.switch.inhibitors`), with both values; nothing where it
        /// is the interface between NixOS and its init that changes.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        changes: Vec<String>,
    },
    /// A check that the candidate has for itself refused; nothing was changed.
    ChecksRefused {
        /// What they said.
        said: String,
    },
    /// The new system's checks failed.
    VerificationFailed {
        /// The checks that failed.
        checks: Vec<CheckResult>,
    },
    /// The new system's checks were inconclusive.
    VerificationInconclusive {
        /// The checks that were inconclusive.
        checks: Vec<CheckResult>,
    },
    /// Nobody confirmed the new system in time.
    NotConfirmed {
        /// The limit.
        seconds: u64,
    },
    /// The profile or the boot loader could not be set to the new system.
    CommitFailed {
        /// What failed.
        reason: String,
    },
    /// The machine stopped during the deployment.
    Crashed,
    /// The switcher itself died, and its watchdog took over.
    SwitcherDied,
    /// A state file could not be written.
    StateNotWritten {
        /// Which, and why.
        reason: String,
    },
    /// An operator asked for it.
    Operator,
}

/// How a deployment ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// The new system proved itself and is kept.
    Confirmed,
    /// The old system runs again.
    Reverted,
    /// Nothing was changed.
    Refused,
    /// Neither system could be brought to work; an operator is needed.
    Stuck,
}

/// A generation of the system profile, or a system that is in none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemRef {
    /// The system.
    pub toplevel: Toplevel,
    /// Its number in the system profile, where it has one.
    pub generation: Option<u64>,
}

/// The switcher's record of a deployment that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The version of this record.
    pub version: u32,
    /// Counts the deployments of this host, from 1.
    pub sequence: u64,
    /// The deployment.
    pub deployment: DeploymentId,
    /// The commit that it was for.
    pub commit: Commit,
    /// What ran before.
    pub old: SystemRef,
    /// What was to run.
    pub new: SystemRef,
    /// How it ended.
    pub ending: Ending,
    /// Why, unless it was confirmed.
    pub cause: Option<Cause>,
    /// What the checks found, where they ran.
    pub evidence: Option<Evidence>,
    /// When it began, in seconds since 1970.
    pub started: u64,
    /// When it ended, in seconds since 1970.
    pub ended: u64,
    /// The system that runs instead of the old one after a rollback: somebody else switched to it
    /// meanwhile, and it is left alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_alone: Option<Toplevel>,
    /// It was not an activation, but the first boot of what had been confirmed in place; old is the
    /// boot-proven system.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub boot_trial: bool,
    /// Units that ran before and failed by themselves after the rollback. They are not a reason to go further.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_running: Vec<String>,
}

/// The check that stands for the host's own network at a boot, in [`Cause::VerificationInconclusive`].
pub const NETWORK: &str = "network";

impl Cause {
    /// Whether a boot could not be judged because it had no network, for a reason that need not be its own.
    pub fn is_no_network(&self) -> bool {
        match self {
            Self::VerificationInconclusive { checks } => {
                checks.iter().any(|check| check.check == NETWORK)
            }
            _ => false,
        }
    }
}
