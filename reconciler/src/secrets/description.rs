//! What a generation's secrets are: a file of the toplevel, written by the NixOS module.

use std::collections::BTreeSet;
use std::io;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::generation::LINK;
use crate::host::files::read_bounded;

/// Where a toplevel has it.
pub const IN_TOPLEVEL: &str = "etc/nixus/secrets.json";
/// The version that this program reads. Each generation brings its own program and description.
pub const VERSION: u32 = 1;
/// The longest description, in bytes: some 400 for each of 10,000 secrets.
pub(super) const LONGEST: u64 = 4 * 1024 * 1024;

/// The secrets of a generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Description {
    /// The version of this format.
    pub version: u32,
    /// The generation's own `nixus-secrets`.
    pub program: PathBuf,
    /// The private keys, tried in this order.
    pub identities: Vec<PathBuf>,
    /// All secrets.
    pub secrets: Vec<Secret>,
}

/// One secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Secret {
    /// Its name, and that of its file on the host.
    pub name: String,
    /// The ciphertext, in the store.
    pub file: PathBuf,
    /// Who owns it; a name or a number.
    pub user: String,
    /// Its group; a name or a number.
    pub group: String,
    /// Its permissions, in octal.
    pub mode: String,
    /// Where units look for it.
    pub path: PathBuf,
    /// Which units to restart when it has changed.
    #[serde(default)]
    pub restart_units: Vec<String>,
    /// Which units to reload when it has changed.
    #[serde(default)]
    pub reload_units: Vec<String>,
}

/// Why a description cannot be followed.
#[derive(Debug, Error)]
pub enum DescriptionError {
    /// It could not be read.
    #[error("cannot read the description {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is not what it should be.
    #[error("{} describes no secrets", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// It is of another release.
    #[error("{} is of version {found}, and this program reads {VERSION}", path.display())]
    Version {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// It says what cannot be.
    #[error("{} is wrong: {problem}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

impl Description {
    /// Reads and checks a description.
    ///
    /// # Errors
    /// The file cannot be read, or is not a valid description.
    pub fn read(path: &Path) -> Result<Self, DescriptionError> {
        let bytes = read_bounded(path, LONGEST).map_err(|source| DescriptionError::Read {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(path, &bytes)
    }

    /// Checks the text of a description; `path` is for messages only.
    pub(crate) fn parse(path: &Path, bytes: &[u8]) -> Result<Self, DescriptionError> {
        let parse = |source| DescriptionError::Parse {
            path: path.to_owned(),
            source,
        };
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let versioned: Versioned = serde_json::from_slice(bytes).map_err(parse)?;
        if versioned.version != VERSION {
            return Err(DescriptionError::Version {
                path: path.to_owned(),
                found: versioned.version,
            });
        }
        let description: Self = serde_json::from_slice(bytes).map_err(parse)?;
        match description.problem() {
            None => Ok(description),
            Some(problem) => Err(DescriptionError::Wrong {
                path: path.to_owned(),
                problem,
            }),
        }
    }

    /// The module's assertions say the same; a file of another origin is not trusted either.
    fn problem(&self) -> Option<String> {
        let mut names = BTreeSet::new();
        let mut paths = BTreeSet::new();
        for secret in &self.secrets {
            let name = &secret.name;
            if !is_name(name) {
                return Some(format!("{name:?} is not a name of a secret"));
            }
            if !names.insert(name) {
                return Some(format!("there are two secrets {name}"));
            }
            if secret.permissions().is_none() {
                return Some(format!("secret {name}: {:?} is not a mode", secret.mode));
            }
            if !is_absolute(&secret.path) {
                return Some(format!(
                    "secret {name}: {} is not an absolute path",
                    secret.path.display()
                ));
            }
            let own = Path::new(LINK).join(name);
            if secret.path.starts_with(LINK) && secret.path != own {
                return Some(format!(
                    "secret {name}: its place in {LINK} is {}",
                    own.display()
                ));
            }
            if !paths.insert(&secret.path) {
                return Some(format!(
                    "two secrets have the path {}",
                    secret.path.display()
                ));
            }
        }
        None
    }
}

impl Secret {
    /// Its permissions; no special bits.
    pub fn permissions(&self) -> Option<u32> {
        let digits = (3..=4).contains(&self.mode.len());
        let mode = u32::from_str_radix(&self.mode, 8).ok().filter(|_| digits)?;
        (mode & !0o777 == 0).then_some(mode)
    }
}

/// A file name that needs no quoting anywhere, and is not a name of the program's own.
pub fn is_name(name: &str) -> bool {
    (1..=128).contains(&name.len())
        && !name.starts_with(['.', '-'])
        && name.bytes().all(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'@' | b'+')
        })
}

fn is_absolute(path: &Path) -> bool {
    path.is_absolute()
        && path
            .components()
            .all(|part| matches!(part, Component::RootDir | Component::Normal(_)))
        && path.file_name().is_some()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A description of these secrets; each is `name`, its ciphertext, and its owner's number.
    pub fn describe(
        secrets: &[(&str, &Path)],
        identities: &[PathBuf],
        paths: &Path,
    ) -> Description {
        let own = |number: u32| number.to_string();
        Description {
            version: VERSION,
            program: "/nix/store/x/bin/nixus-secrets".into(),
            identities: identities.to_vec(),
            secrets: secrets
                .iter()
                .map(|(name, file)| Secret {
                    name: (*name).to_owned(),
                    file: (*file).to_owned(),
                    user: own(nix::unistd::geteuid().as_raw()),
                    group: own(nix::unistd::getegid().as_raw()),
                    mode: "0400".to_owned(),
                    path: paths.join(name),
                    restart_units: vec![format!("{name}.service")],
                    reload_units: Vec::new(),
                })
                .collect(),
        }
    }

    #[test]
    fn a_description_says_what_it_can_and_what_it_cannot() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secrets.json");
        let good = r#"{"version":1,"program":"/p","identities":["/k"],"secrets":[
            {"name":"db","file":"/f","user":"db","group":"0","mode":"0400","path":"/run/nixus-secrets/db",
             "restartUnits":["db.service"],"reloadUnits":[]}]}"#;
        let check = |text: &str, words: &str| {
            std::fs::write(&path, text).unwrap();
            match Description::read(&path) {
                Ok(_) => assert_eq!(words, "", "{text}"),
                Err(error) => {
                    let said = crate::host::process::in_words(&error);
                    assert!(!words.is_empty() && said.contains(words), "{said}");
                }
            }
        };
        check(good, "");
        check(&good.replace("0400", "440"), "");
        check("", "describes no secrets");
        check(
            &good.replace("\"version\":1", "\"version\":2"),
            "is of version 2",
        );
        check(
            &good.replace("restartUnits", "restartUnit"),
            "unknown field",
        );
        check(
            &good.replace("\"db\",\"file\"", "\"../db\",\"file\""),
            "is not a name",
        );
        check(
            &good.replace("\"db\",\"file\"", "\".db\",\"file\""),
            "is not a name",
        );
        check(&good.replace("0400", "4755"), "is not a mode");
        check(&good.replace("0400", "rw"), "is not a mode");
        check(
            &good.replace("/run/nixus-secrets/db", "db"),
            "is not an absolute path",
        );
        check(
            &good.replace("/run/nixus-secrets/db", "/run/../db"),
            "is not an absolute path",
        );
        check(
            &good.replace("nixus-secrets/db", "nixus-secrets/other"),
            "its place in /run/nixus-secrets is /run/nixus-secrets/db",
        );
        let start = good.find('{').unwrap();
        let one = &good[good[start + 1..].find('{').unwrap() + 1..good.rfind(']').unwrap()];
        check(
            &good.replace(one, &format!("{one},{one}")),
            "there are two secrets db",
        );
    }
}
