//! The configuration file as needed. `tables` declares each key, once; `value` has the kinds of values, and `check`
//! the rules that hold between keys.
//!
//! A mistake is reported with file, line and key, before anything is started.

use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;

use crate::address::Address;
pub use crate::host::http::Authorities;

mod check;
mod closure;
mod declare;
pub mod forge;
pub mod health;
pub mod hooks;
mod limits;
mod place;
pub mod settings;
pub(crate) mod span;
pub mod statuses;
pub mod tables;
mod value;

pub use closure::{Closure, ClosureSource, Expression, FLAKE, Following, Lfs, Otherwise};
pub use declare::Key;
pub use limits::{Limits, MemoryLimit};
pub use tables::Switch;

/// Where a host's configuration is found by default.
pub const DEFAULT_PATH: &str = "/etc/nixus/config.toml";

/// What a timer may be late by on a busy host.
const LATE: Duration = Duration::from_secs(60);

/// The longest configuration file that is read, in bytes.
const MAX_BYTES: u64 = 256 * 1024;

/// Why a configuration is not usable. Every variant is the operator's to mend.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not text, or far too long.
    #[error("{} is not a configuration file: {problem}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A line says something that cannot be.
    #[error("{}:{line}: {key}: {problem}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The key, with its table.
        key: String,
        /// What is wrong, and what is right.
        problem: String,
    },
}

/// Everything a host is told about itself; every value has been checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// This host's name in the deploy repository and in reports.
    pub host: String,
    /// Where commits come from.
    pub repository: Remote,
    /// Other URLs of the same repository.
    pub mirrors: Vec<Remote>,
    /// How long the repository's own URL must not have answered for a mirror to be believed alone.
    pub mirror_after: Duration,
    /// The branch that says what is to run.
    pub branch: String,
    /// How the toplevel is made from a commit.
    pub closure: Closure,
    /// The deadlines and rules of a switch.
    pub switch: Switch,
    /// When passes begin.
    pub passes: Passes,
    /// What the host runs around its deployments.
    pub hooks: hooks::Hooks,
    /// How the host proves that it is well.
    pub health: health::Health,
    /// Where reports go, if anywhere.
    pub reports: Option<Remote>,
    /// After how long a host that has nothing to report says so there.
    pub heartbeat: Duration,
    /// Where commit statuses go, if anywhere.
    pub statuses: Option<statuses::Statuses>,
    /// Every setting in effect, as key and value, in the order of the file.
    pub settings: Vec<(String, String)>,
    /// What is written in a way that will not be understood for good.
    pub warnings: Vec<String>,
}

/// A git repository and how to reach it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// Its URL.
    pub url: String,
    /// The private key for SSH.
    pub ssh_key: Option<PathBuf>,
    /// The host keys that are accepted; nothing is trusted on first use.
    pub known_hosts: Option<PathBuf>,
    /// The file with the token for HTTPS.
    pub token_file: Option<PathBuf>,
    /// Who vouches for its server, for HTTPS.
    pub authorities: Authorities,
    /// The longest that one network operation may take.
    pub timeout: Duration,
}

impl Remote {
    /// Another repository, reached as this one is. A token is for one server; only that one is shown
    /// it.
    pub fn at(&self, url: &str) -> Self {
        let same_server = same_server(&self.url, url);
        Self {
            url: url.to_owned(),
            token_file: self.token_file.clone().filter(|_| same_server),
            ..self.clone()
        }
    }
}

/// Whether a host may have this name, which is part of a ref and of an attribute path: labels as NixOS takes
/// them for `networking.hostName`, with dots between them.
pub fn is_host_name(name: &str) -> bool {
    let label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=63).contains(&label.len())
            && label.bytes().all(inner)
            && !label.starts_with(['-', '_'])
            && !label.ends_with(['-', '_'])
    };
    // git keeps `.lock` for itself (git-check-ref-format(1)).
    name.len() <= 253 && !name.ends_with(".lock") && name.split('.').all(label)
}

/// Whether two URLs lead to one server. What is not a URL leads nowhere.
fn same_server(one: &str, other: &str) -> bool {
    match (Address::parse(one), Address::parse(other)) {
        (Ok(one), Ok(other)) => one.server() == other.server(),
        _ => false,
    }
}

/// When passes begin, as the units of a host are to have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passes {
    /// The time between two passes.
    pub interval: Duration,
    /// The time from the boot to the first one.
    pub boot_delay: Duration,
    /// The longest that one may take.
    pub timeout: Duration,
}

impl Passes {
    /// The longest that a host may be without a pass before something is wrong: a timer may be a little late,
    /// and a pass may miss one turn.
    pub fn longest_pause(&self) -> Duration {
        2 * self.interval.max(self.boot_delay) + LATE
    }
}

/// What is done where the next boot would start another system than the one that the passes keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Drift {
    /// What was kept is deployed again, which makes it the default.
    #[default]
    Correct,
    /// It is said, and put right by the next commit.
    Report,
    /// It is said, and no commit is taken until somebody has put it right.
    Refuse,
}

impl Config {
    /// The repository's URL and those of its mirrors.
    pub fn remotes(&self) -> Vec<Remote> {
        let mut remotes = vec![self.repository.clone()];
        remotes.extend(self.mirrors.iter().cloned());
        remotes
    }

    /// Reads and checks a configuration file.
    ///
    /// # Errors
    /// The file cannot be read, or is not a valid configuration.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = crate::host::files::read_bounded(path, MAX_BYTES).map_err(|source| {
            if source.kind() == std::io::ErrorKind::FileTooLarge {
                return ConfigError::Unreadable {
                    path: path.to_owned(),
                    problem: "it is longer than 256 KiB",
                };
            }
            ConfigError::Read {
                path: path.to_owned(),
                source,
            }
        })?;
        let text = String::from_utf8(text).map_err(|_| ConfigError::Unreadable {
            path: path.to_owned(),
            problem: "it is not UTF-8 text",
        })?;
        Self::parse(path, &text)
    }

    /// Checks the text of a configuration file; `path` is for messages only.
    ///
    /// # Errors
    /// The text is not TOML, has an unknown key, or a value that is out of its range; the error names
    /// line and key.
    pub fn parse(path: &Path, text: &str) -> Result<Self, ConfigError> {
        check::check(&place::Place { path, text })
    }
}

#[cfg(test)]
mod reference_tests;
#[cfg(test)]
mod shown_tests;
#[cfg(test)]
mod tests;
