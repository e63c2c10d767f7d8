//! The configuration file as it is written: every value with its place, to name a wrong one.

use std::path::PathBuf;

use nixus_switcher::protocol::FailedUnits;
use serde::Deserialize;
use toml::Spanned;

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
    pub health: Health,
    pub reports: Option<Remote>,
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
    pub submodules: Option<bool>,
    pub build_timeout: Option<Spanned<String>>,
    pub memory_limit: Option<Spanned<String>>,
    pub cpu_weight: Option<Spanned<i64>>,
    pub recheck: Option<Spanned<String>>,
}

#[derive(Deserialize, Clone, Copy, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum ClosureSource {
    Flake,
    File,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Switch {
    pub activation_timeout: Option<Spanned<String>>,
    pub trial_timeout: Option<Spanned<String>>,
    pub commit_timeout: Option<Spanned<String>>,
    pub failed_units: Option<FailedUnits>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub struct Health {
    pub soak: Option<Spanned<String>>,
}
