//! Who may open what: pure, from what the fleet's flake says of its hosts and operators.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::recipient::{Mark, Recipient, RecipientError};

/// The flake's `nixusSecrets`, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Described {
    /// Every host of the fleet.
    pub hosts: BTreeMap<String, Host>,
    /// The operators' public keys.
    pub operators: Vec<String>,
}

/// A host, as far as secrets go.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Host {
    /// Its SSH host keys; two of a kind while they are rotated.
    pub keys: Vec<String>,
    /// The files that its system opens, relative to the repository's root.
    pub secrets: Vec<String>,
}

/// Why the fleet does not show who may open what.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FleetError {
    /// A key is none.
    #[error("a key of {of} is wrong")]
    Key {
        /// Whose.
        of: String,
        /// Why.
        #[source]
        source: RecipientError,
    },
    /// A host has secrets and no key to open them.
    #[error(
        "{host} has secrets, and none of its keys can be encrypted to: name its ssh-ed25519 host key"
    )]
    NoHostKey {
        /// The host.
        host: String,
    },
    /// Nobody could encrypt to a new host.
    #[error("no operator has a key that can be encrypted to (ssh-ed25519, ssh-rsa or age1…)")]
    NoOperator,
    /// A name leads out of the repository.
    #[error("{file:?} of {host} is not a file of the repository")]
    File {
        /// The host.
        host: String,
        /// The name.
        file: String,
    },
}

/// Who may open each file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fleet {
    files: BTreeMap<String, BTreeMap<Who, BTreeSet<Recipient>>>,
    operators: BTreeSet<Recipient>,
}

/// Somebody who may open a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// A host.
    Host(String),
    /// Any operator.
    Operators,
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(name) => f.write_str(name),
            Self::Operators => f.write_str("the operators"),
        }
    }
}

/// What is wrong with whom a file is encrypted to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "problem")]
pub enum Problem {
    /// One who needs it cannot open it, or not with each of their keys.
    Missing {
        /// Who.
        who: String,
        /// With how many of their keys.
        keys: usize,
    },
    /// Keys open it that nobody has who needs it.
    Surplus {
        /// How many.
        keys: usize,
    },
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { who, keys: 1 } => write!(f, "a key of {who} does not open it"),
            Self::Missing { who, keys } => write!(f, "{keys} keys of {who} do not open it"),
            Self::Surplus { keys: 1 } => f.write_str("a key opens it that nobody has who needs it"),
            Self::Surplus { keys } => {
                write!(f, "{keys} keys open it that nobody has who needs it")
            }
        }
    }
}

impl Fleet {
    /// Takes keys of kinds that cannot be encrypted to for what they are: meant for something else.
    ///
    /// # Errors
    /// A key is none, or somebody is left without one.
    pub fn of(described: &Described) -> Result<Self, FleetError> {
        let operators = usable(&described.operators, "the operators")?;
        let mut files: BTreeMap<String, BTreeMap<Who, BTreeSet<Recipient>>> = BTreeMap::new();
        for (name, host) in &described.hosts {
            let keys = usable(&host.keys, name)?;
            if keys.is_empty() && !host.secrets.is_empty() {
                return Err(FleetError::NoHostKey { host: name.clone() });
            }
            for file in &host.secrets {
                if !is_inside(file) {
                    return Err(FleetError::File {
                        host: name.clone(),
                        file: file.clone(),
                    });
                }
                let may = files.entry(file.clone()).or_default();
                may.insert(Who::Host(name.clone()), keys.clone());
                may.insert(Who::Operators, operators.clone());
            }
        }
        if operators.is_empty() && !files.is_empty() {
            return Err(FleetError::NoOperator);
        }
        Ok(Self { files, operators })
    }

    /// Every file that a host opens.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }

    /// Who may open a file; nobody, where no host uses it.
    pub fn who(&self, file: &str) -> impl Iterator<Item = &Who> {
        self.files.get(file).into_iter().flat_map(BTreeMap::keys)
    }

    /// The keys that a file is to be encrypted to; none, where no host uses it.
    pub fn recipients(&self, file: &str) -> Vec<Recipient> {
        let may = self.files.get(file);
        let all: BTreeSet<&Recipient> = may
            .into_iter()
            .flat_map(BTreeMap::values)
            .flatten()
            .collect();
        all.into_iter().cloned().collect()
    }

    /// The operators' keys.
    pub fn operators(&self) -> impl Iterator<Item = &Recipient> {
        self.operators.iter()
    }

    /// What is wrong with whom a file says that it is encrypted to.
    pub fn problems(&self, file: &str, marks: &[Mark]) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut surplus: Vec<&Mark> = marks.iter().collect();
        // age's own keys leave no trace but their number.
        let mut anonymous = marks.iter().filter(|mark| **mark == Mark::X25519).count();
        for (who, keys) in self.files.get(file).into_iter().flatten() {
            let missing = keys.iter().filter(|key| {
                let mark = key.mark();
                if mark == Mark::X25519 {
                    let there = anonymous > 0;
                    anonymous = anonymous.saturating_sub(1);
                    return !there;
                }
                !marks.contains(&mark)
            });
            let missing = missing.count();
            if missing > 0 {
                problems.push(Problem::Missing {
                    who: who.to_string(),
                    keys: missing,
                });
            }
        }
        for key in self.recipients(file) {
            let mark = key.mark();
            if let Some(place) = surplus.iter().position(|one| **one == mark) {
                surplus.swap_remove(place);
            }
        }
        if !surplus.is_empty() {
            problems.push(Problem::Surplus {
                keys: surplus.len(),
            });
        }
        problems
    }
}

fn usable(keys: &[String], of: &str) -> Result<BTreeSet<Recipient>, FleetError> {
    let mut usable = BTreeSet::new();
    for key in keys {
        match key.parse() {
            Ok(key) => {
                usable.insert(key);
            }
            Err(RecipientError::Unusable { .. }) => {}
            Err(source) => {
                return Err(FleetError::Key {
                    of: of.to_owned(),
                    source,
                });
            }
        }
    }
    Ok(usable)
}

/// Whether a name stays in the repository, in one way of writing it.
fn is_inside(file: &str) -> bool {
    !file.is_empty()
        && !file.contains(['\0', '\n'])
        && file
            .split('/')
            .all(|part| !part.is_empty() && part != "." && part != ".." && part != ".git")
}

#[cfg(test)]
pub(super) mod tests;
