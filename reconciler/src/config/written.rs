//! The configuration file as it is written: every value with its place, to name a wrong one.

use std::fmt;
use std::path::PathBuf;

use nixus_switcher::protocol::FailedUnits;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::Lfs;
use crate::config::forge::Kind;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    pub host: Spanned<String>,
    pub repository: Repository,
    #[serde(default)]
    pub closure: Closure,
    #[serde(default)]
    pub switch: Switch,
    #[serde(default)]
    pub passes: Passes,
    #[serde(default)]
    pub hooks: Hooks,
    #[serde(default)]
    pub health: Health,
    pub reports: Option<Reports>,
    pub statuses: Option<Spanned<Statuses>>,
    #[serde(default)]
    pub ssh: Ssh,
    #[serde(default)]
    pub operators: Vec<Operators>,
    #[serde(default)]
    pub peers: Vec<Peer>,
    #[serde(default)]
    pub checks: Vec<Check>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repository {
    pub url: Spanned<String>,
    pub branch: Option<Spanned<String>>,
    pub ssh_key: Option<Spanned<PathBuf>>,
    pub known_hosts: Option<Spanned<PathBuf>>,
    pub token_file: Option<Spanned<PathBuf>>,
    pub ca_file: Option<Spanned<PathBuf>>,
    pub timeout: Option<Spanned<String>>,
    #[serde(default)]
    pub mirrors: Vec<Remote>,
    pub mirror_after: Option<Spanned<String>>,
}

impl Repository {
    /// Its own URL, as a mirror would be written.
    pub fn remote(&self) -> Remote {
        Remote {
            url: self.url.clone(),
            ssh_key: self.ssh_key.clone(),
            known_hosts: self.known_hosts.clone(),
            token_file: self.token_file.clone(),
            ca_file: self.ca_file.clone(),
            timeout: self.timeout.clone(),
        }
    }
}

/// Where reports go, and how often at least.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reports {
    pub url: Spanned<String>,
    pub ssh_key: Option<Spanned<PathBuf>>,
    pub known_hosts: Option<Spanned<PathBuf>>,
    pub token_file: Option<Spanned<PathBuf>>,
    pub ca_file: Option<Spanned<PathBuf>>,
    pub timeout: Option<Spanned<String>>,
    pub heartbeat: Option<Spanned<String>>,
}

impl Reports {
    /// Its repository, as a mirror would be written.
    pub fn remote(&self) -> Remote {
        Remote {
            url: self.url.clone(),
            ssh_key: self.ssh_key.clone(),
            known_hosts: self.known_hosts.clone(),
            token_file: self.token_file.clone(),
            ca_file: self.ca_file.clone(),
            timeout: self.timeout.clone(),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Remote {
    pub url: Spanned<String>,
    pub ssh_key: Option<Spanned<PathBuf>>,
    pub known_hosts: Option<Spanned<PathBuf>>,
    pub token_file: Option<Spanned<PathBuf>>,
    pub ca_file: Option<Spanned<PathBuf>>,
    pub timeout: Option<Spanned<String>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Closure {
    pub from: Option<Spanned<ClosureSource>>,
    pub attribute: Option<Spanned<String>>,
    pub file: Option<Spanned<String>>,
    pub directory: Option<Spanned<String>>,
    pub submodules: Option<bool>,
    pub lfs: Option<Lfs>,
    pub build_timeout: Option<Spanned<String>>,
    pub memory_limit: Option<Spanned<String>>,
    pub cpu_weight: Option<Spanned<i64>>,
    pub recheck: Option<Spanned<String>>,
    pub retries: Option<Spanned<i64>>,
    pub manifest_keys: Option<Spanned<Vec<Spanned<String>>>>,
    pub system_name: Option<Spanned<String>>,
    pub wait: Option<Spanned<String>>,
    pub fallback: Option<Spanned<Fallback>>,
    pub older: Option<Spanned<bool>>,
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum ClosureSource {
    Flake,
    File,
    Manifest,
}

/// A boolean is understood, to say what is right.
struct LfsVisitor;

impl<'de> Deserialize<'de> for Lfs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LfsVisitor)
    }
}

impl Visitor<'_> for LfsVisitor {
    type Value = Lfs;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"refuse\" or \"ignore\"")
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<Lfs, E> {
        let all = [Lfs::Refuse, Lfs::Ignore];
        let known = all.into_iter().find(|one| one.word() == word);
        known.ok_or_else(|| E::unknown_variant(word, &["refuse", "ignore"]))
    }

    fn visit_bool<E: Error>(self, fetch: bool) -> Result<Lfs, E> {
        match fetch {
            false => Ok(Lfs::Refuse),
            true => Err(E::custom(
                "files in Git LFS are not fetched: \"refuse\", or \"ignore\" to take the pointers for the files",
            )),
        }
    }
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Fallback {
    Build,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Switch {
    pub activation_timeout: Option<Spanned<String>>,
    pub trial_timeout: Option<Spanned<String>>,
    pub commit_timeout: Option<Spanned<String>>,
    pub carrier_timeout: Option<Spanned<String>>,
    pub failed_units: Option<FailedUnits>,
    pub drift: Option<super::Drift>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Passes {
    pub interval: Option<Spanned<String>>,
    pub boot_delay: Option<Spanned<String>>,
    pub timeout: Option<Spanned<String>>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Hooks {
    pub before: Option<Spanned<Commands>>,
    pub after: Option<Spanned<Commands>>,
    pub timeout: Option<Spanned<String>>,
}

/// A program with its arguments, or several of them.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "a program with its arguments, or a list of them"
)]
pub enum Commands {
    One(Vec<String>),
    Several(Vec<Vec<String>>),
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Health {
    pub soak: Option<Spanned<String>>,
    pub peers_lost_after: Option<Spanned<String>>,
}

/// Commit statuses on a forge.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statuses {
    pub forge: Option<Spanned<Kind>>,
    pub api: Option<Spanned<String>>,
    pub repository: Option<Spanned<String>>,
    pub token_file: Option<Spanned<PathBuf>>,
    pub credential: Option<Spanned<String>>,
    pub ca_file: Option<Spanned<PathBuf>>,
    pub proxy: Option<Spanned<String>>,
    pub timeout: Option<Spanned<String>>,
    pub link: Option<Spanned<String>>,
    pub sign: Option<bool>,
    pub hosts: Option<Spanned<i64>>,
    pub canary: Option<bool>,
}

/// This host's own sshd.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Ssh {
    #[serde(default)]
    pub addresses: Vec<Spanned<String>>,
    pub port: Option<Spanned<i64>>,
    pub host_key: Option<Spanned<PathBuf>>,
    #[serde(default)]
    pub host_keys: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operators {
    pub user: Option<Spanned<String>>,
    pub keys: Vec<Spanned<String>>,
    #[serde(default)]
    pub from: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Peer {
    pub name: Spanned<String>,
    pub addresses: Spanned<Vec<Spanned<String>>>,
    pub port: Option<Spanned<i64>>,
    pub host_keys: Spanned<Vec<Spanned<String>>>,
    pub user: Option<Spanned<String>>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum CheckKind {
    Repository,
    Ssh,
    Peer,
    Tcp,
    Http,
    Command,
    Units,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Need {
    Required,
    Wanted,
}

/// One check; which of the last keys it takes depends on its kind.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    pub kind: Spanned<CheckKind>,
    pub name: Option<Spanned<String>>,
    pub need: Option<Spanned<Need>>,
    pub timeout: Option<Spanned<String>>,
    pub interval: Option<Spanned<String>>,
    pub quorum: Option<Spanned<Quorum>>,
    pub ports: Option<Spanned<Vec<i64>>>,
    pub address: Option<Spanned<String>>,
    pub url: Option<Spanned<String>>,
    pub status: Option<Spanned<i64>>,
    pub body: Option<Spanned<String>>,
    pub command: Option<Spanned<Vec<String>>>,
    pub ignore: Option<Spanned<Vec<String>>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
pub enum Quorum {
    Number(i64),
    Word(String),
}
