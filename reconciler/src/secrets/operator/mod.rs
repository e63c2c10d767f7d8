//! What operators do with the files of the deploy repository: make, open, look at and encrypt anew.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;
use thiserror::Error;

use super::LONGEST_FILE;
use super::ciphertext::{self, OpenError, Plaintext, SealError};
use super::fleet::{Described, Fleet, FleetError, Problem};
use super::identity::{Identities, IdentityError, User};
use crate::closure::flake_url;
use crate::host::files::{read_bounded, write_atomically};
use crate::host::process::{Invocation, ProcessError};

/// The longest that the fleet's evaluation may take.
const LIMIT: Duration = Duration::from_secs(60 * 60);
/// What an evaluation may print, in bytes: some 1000 for each of 10,000 hosts.
const LONGEST_ANSWER: usize = 16 * 1024 * 1024;
/// The flake's output that says who may open what.
pub const ATTRIBUTE: &str = "nixusSecrets";

/// Why an operator's command did not do it.
#[derive(Debug, Error)]
pub enum OperatorError {
    /// The fleet was not evaluated.
    #[error("nix did not evaluate {ATTRIBUTE} of the flake in {}", folder.display())]
    Evaluate {
        /// The repository's folder.
        folder: PathBuf,
        /// Why.
        #[source]
        source: ProcessError,
    },
    /// The flake says something else.
    #[error("the flake's {ATTRIBUTE} does not say who may open what")]
    Described(#[source] serde_json::Error),
    /// It says what cannot be.
    #[error("the flake's {ATTRIBUTE} is wrong")]
    Fleet(#[source] FleetError),
    /// No host uses the file.
    #[error("no host uses {file}: name it in `services.nixus.secrets.files` of a host first")]
    Unused {
        /// The file.
        file: String,
    },
    /// It is not a file of the repository.
    #[error("{} is not in the repository {}", path.display(), folder.display())]
    Outside {
        /// The file.
        path: PathBuf,
        /// The repository's folder.
        folder: PathBuf,
    },
    /// It could not be read.
    #[error("cannot read {file}")]
    Read {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It could not be written.
    #[error("cannot write {file}")]
    Write {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It could not be opened.
    #[error("cannot open {file}")]
    Open {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: OpenError,
    },
    /// It could not be encrypted.
    #[error("cannot encrypt {file}")]
    Seal {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: SealError,
    },
    /// There is no private key.
    #[error(transparent)]
    Identities(IdentityError),
}

impl OperatorError {
    /// Whether trying again does not help.
    pub fn is_wrong_input(&self) -> bool {
        match self {
            Self::Unused { .. } | Self::Outside { .. } | Self::Fleet(_) | Self::Described(_) => {
                true
            }
            Self::Identities(_) => true,
            Self::Read { source, .. } => source.kind() == io::ErrorKind::NotFound,
            Self::Seal { source, .. } => matches!(source, SealError::TooLong),
            Self::Evaluate { .. } | Self::Write { .. } | Self::Open { .. } => false,
        }
    }
}

/// A clone of the deploy repository, and who may open what in it.
#[derive(Debug)]
pub struct Repository {
    folder: PathBuf,
    fleet: Fleet,
}

/// What is so of one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct State {
    /// The file.
    pub file: String,
    /// Who needs it.
    pub who: Vec<String>,
    /// Whether it is there.
    pub there: bool,
    /// What is wrong with whom it is encrypted to.
    pub problems: Vec<Problem>,
    /// Why it could not be looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub damage: Option<String>,
}

impl State {
    /// Whether everybody who needs it can open it, and nobody else.
    pub fn is_well(&self) -> bool {
        self.there && self.problems.is_empty() && self.damage.is_none()
    }

    /// What is so, in words.
    pub fn words(&self) -> String {
        if !self.there {
            return "not there yet: `nixus secrets set` or `edit` makes it".to_owned();
        }
        let problems = self.problems.iter().map(ToString::to_string);
        let words: Vec<String> = problems.chain(self.damage.clone()).collect();
        match words.is_empty() {
            true => "ok".to_owned(),
            false => words.join("; "),
        }
    }
}

impl Repository {
    /// The repository in a folder. Its flake, the one nearest to `here`, is evaluated as it is there, uncommitted
    /// changes included.
    ///
    /// # Errors
    /// Nix does not evaluate it, or it does not say who may open what.
    pub async fn evaluate(folder: &Path, here: &Path) -> Result<Self, OperatorError> {
        let directory = flake_url::nearest(here, folder);
        let flake = format!(
            "{}#{ATTRIBUTE}",
            flake_url::of_clone_at(folder, directory.as_deref())
        );
        let answer = Invocation::new("nix", LIMIT)
            .args(["--extra-experimental-features", "nix-command flakes"])
            // The flake's nixConfig would be obeyed, where the user's configuration says so (nix.conf(5)).
            .args(["--option", "accept-flake-config", "false"])
            .args(["eval", "--json", "--no-update-lock-file", "--no-warn-dirty"])
            .args(["--", &flake])
            .output_limit(LONGEST_ANSWER)
            .output()
            .await
            .map_err(|source| OperatorError::Evaluate {
                folder: folder.to_owned(),
                source,
            })?;
        let described = serde_json::from_slice(&answer).map_err(OperatorError::Described)?;
        Self::of(folder, &described)
    }

    /// The repository in a folder, whose flake says this.
    ///
    /// # Errors
    /// The folder has no secrets folder that can be read.
    pub fn of(folder: &Path, described: &Described) -> Result<Self, OperatorError> {
        Ok(Self {
            folder: folder.to_owned(),
            fleet: Fleet::of(described).map_err(OperatorError::Fleet)?,
        })
    }

    /// As [`name_in`], in this repository.
    ///
    /// # Errors
    /// The file is outside of the secrets folder, or its name cannot be one.
    pub fn name(&self, path: &Path) -> Result<String, OperatorError> {
        name_in(&self.folder, path)
    }

    /// What is so of every file that a host uses.
    pub fn states(&self) -> Vec<State> {
        self.fleet.files().map(|file| self.state(file)).collect()
    }

    /// As [`Repository::states`], and whether each file is whole, which only its plaintext shows.
    pub fn states_opened(&self, identities: &Identities) -> Vec<State> {
        let mut states = self.states();
        let looked_at = |state: &&mut State| state.there && state.damage.is_none();
        for state in states.iter_mut().filter(looked_at) {
            let opened = self.open(&state.file, identities);
            state.damage = opened
                .err()
                .map(|error| crate::host::process::in_words(&error));
        }
        states
    }

    /// What is so of a file.
    pub fn state(&self, file: &str) -> State {
        let mut state = State {
            file: file.to_owned(),
            who: self.fleet.who(file).map(ToString::to_string).collect(),
            there: true,
            problems: Vec::new(),
            damage: None,
        };
        let read = read_in(&self.folder, file).map(|bytes| ciphertext::marks(&bytes));
        match read {
            Ok(Ok(marks)) => state.problems = self.fleet.problems(file, &marks),
            Ok(Err(error)) => state.damage = Some(error.to_string()),
            Err(OperatorError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                state.there = false;
            }
            Err(error) => state.damage = Some(crate::host::process::in_words(&error)),
        }
        state
    }

    /// Whether a file is there.
    pub fn has(&self, file: &str) -> bool {
        self.folder.join(file).exists()
    }

    /// Sees that a host uses a file: else nobody would know for whom it is.
    ///
    /// # Errors
    /// No host uses it.
    pub fn is_used(&self, file: &str) -> Result<(), OperatorError> {
        match self.fleet.who(file).next() {
            Some(_) => Ok(()),
            None => Err(OperatorError::Unused {
                file: file.to_owned(),
            }),
        }
    }

    /// As [`open_in`], in this repository.
    ///
    /// # Errors
    /// The file cannot be read, or none of the operator's keys opens it.
    pub fn open(&self, file: &str, identities: &Identities) -> Result<Plaintext, OperatorError> {
        open_in(&self.folder, file, identities)
    }

    /// Encrypts a file to all who need it, and to nobody else.
    ///
    /// # Errors
    /// Nobody is to be able to read it, or the file cannot be written.
    pub fn write(&self, file: &str, plaintext: &[u8]) -> Result<(), OperatorError> {
        self.is_used(file)?;
        let sealed = ciphertext::seal(plaintext, &self.fleet.recipients(file));
        let sealed = sealed.map_err(|source| OperatorError::Seal {
            file: file.to_owned(),
            source,
        })?;
        write_atomically(&self.folder.join(file), &sealed).map_err(|source| OperatorError::Write {
            file: file.to_owned(),
            source,
        })
    }
}

/// The name, in the repository in a folder, of a file that a person names.
///
/// # Errors
/// The file is outside of the secrets folder, or its name cannot be one.
pub fn name_in(folder: &Path, path: &Path) -> Result<String, OperatorError> {
    let outside = || OperatorError::Outside {
        path: path.to_owned(),
        folder: folder.to_owned(),
    };
    let absolute = std::path::absolute(path).map_err(|_| outside())?;
    // The file may not be there yet; its folder may be reached by a link.
    let parent = absolute.parent().ok_or_else(outside)?;
    let parent = parent.canonicalize().unwrap_or(parent.to_owned());
    let absolute = parent.join(absolute.file_name().ok_or_else(outside)?);
    let folder = folder.canonicalize().map_err(|_| outside())?;
    let name = absolute.strip_prefix(folder).map_err(|_| outside())?;
    Ok(name.to_str().ok_or_else(outside)?.to_owned())
}

/// Opens a file of the repository in a folder: for that nobody has to know who else may.
///
/// # Errors
/// The file cannot be read, or none of the operator's keys opens it.
pub fn open_in(
    folder: &Path,
    file: &str,
    identities: &Identities,
) -> Result<Plaintext, OperatorError> {
    let bytes = read_in(folder, file)?;
    ciphertext::open(&bytes, identities).map_err(|source| OperatorError::Open {
        file: file.to_owned(),
        source,
    })
}

fn read_in(folder: &Path, file: &str) -> Result<Vec<u8>, OperatorError> {
    read_bounded(&folder.join(file), LONGEST_FILE as u64).map_err(|source| OperatorError::Read {
        file: file.to_owned(),
        source,
    })
}

/// An operator's private keys: those that are named, or those that ssh would take.
///
/// # Errors
/// A key that is named cannot be read, or there is none.
pub fn identities(named: &[PathBuf]) -> Result<Identities, OperatorError> {
    let found = if named.is_empty() {
        let home = std::env::var_os("HOME").map(PathBuf::from);
        let home = home.unwrap_or_default().join(".ssh");
        let usual = ["id_ed25519", "id_rsa"].map(|name| home.join(name));
        let there: Vec<PathBuf> = usual.iter().filter(|path| path.exists()).cloned().collect();
        let asked = if there.is_empty() {
            usual.to_vec()
        } else {
            there
        };
        Identities::read(&asked, User::Operator)
    } else {
        Identities::read(named, User::Operator)
    };
    let (identities, failures) = found.map_err(OperatorError::Identities)?;
    for failure in &failures {
        tracing::warn!("{}", crate::host::process::in_words(failure));
    }
    Ok(identities)
}

#[cfg(test)]
mod tests;
