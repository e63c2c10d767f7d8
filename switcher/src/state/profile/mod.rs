//! The system profile, by absolute generation numbers, laid out as Nix does it
//! (nix, src/libstore/profiles.cc): `system -> system-N-link -> /nix/store/…`.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::protocol::{SystemRef, Toplevel};
use crate::state::disk::{Disk, link_atomic, link_over};

const LOCK_WAIT: Duration = Duration::from_secs(20);

/// What could not be done with the system profile.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "each field is what its message names")]
pub enum ProfileError {
    /// Its directory or a link could not be read.
    #[error("cannot read the system profile at {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Somebody else changes it.
    #[error("cannot lock the system profile with {path}")]
    Lock {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// A link could not be made durable.
    #[error("cannot change the system profile at {path}")]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// Between the decision and the commit somebody else made the generation.
    #[error("generation {number} was taken by {other} in the meantime")]
    Taken { number: u64, other: PathBuf },
}

/// The generation that a commit will set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    /// Its number.
    pub number: u64,
    /// It is not there yet, so the deployment may remove it again.
    pub created: bool,
}

/// The system profile in one directory.
#[derive(Debug)]
pub struct Profile<'a, D> {
    disk: &'a D,
    dir: PathBuf,
}

impl<'a, D: Disk> Profile<'a, D> {
    /// The profile `system` in `dir`.
    pub fn new(disk: &'a D, dir: PathBuf) -> Self {
        Self { disk, dir }
    }

    /// All generations, by number.
    ///
    /// # Errors
    /// The folder of the profiles cannot be listed.
    pub fn generations(&self) -> Result<Vec<(u64, PathBuf)>, ProfileError> {
        let mut generations = Vec::new();
        let names = match self.disk.list(&self.dir) {
            Err(error) if error.kind() == ErrorKind::NotFound => Vec::new(),
            names => names.map_err(|source| self.read_error(&self.dir, source))?,
        };
        for name in names {
            if let Some(number) = number_of(&name) {
                let path = self.dir.join(&name);
                let target = self
                    .disk
                    .read_link(&path)
                    .map_err(|source| self.read_error(&path, source))?;
                generations.push((number, target));
            }
        }
        generations.sort();
        Ok(generations)
    }

    /// What the profile names; `None` where there is no profile, or where it names no system.
    ///
    /// # Errors
    /// The link is there and cannot be read.
    pub fn current(&self) -> Result<Option<SystemRef>, ProfileError> {
        let link = self.dir.join("system");
        let target = match self.disk.read_link(&link) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            target => target.map_err(|source| self.read_error(&link, source))?,
        };
        let generation = target
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(number_of);
        let path = match generation {
            None => target,
            Some(_) => {
                let path = self.dir.join(&target);
                self.disk
                    .read_link(&path)
                    .map_err(|source| self.read_error(&path, source))?
            }
        };
        Ok(Toplevel::try_from(path).ok().map(|toplevel| SystemRef {
            toplevel,
            generation,
        }))
    }

    /// The newest generation of `toplevel`, where it has one.
    ///
    /// # Errors
    /// The folder of the profiles cannot be listed.
    pub fn number(&self, toplevel: &Toplevel) -> Result<Option<u64>, ProfileError> {
        Ok(self
            .generations()?
            .into_iter()
            .rev()
            .find(|(_, path)| path == toplevel.path())
            .map(|(number, _)| number))
    }

    /// Decides which generation a commit of `toplevel` sets. As Nix does, the newest one is used
    /// again where it is the same system.
    ///
    /// # Errors
    /// The folder of the profiles cannot be listed.
    pub fn plan(&self, toplevel: &Toplevel) -> Result<Plan, ProfileError> {
        Ok(match self.generations()?.last() {
            Some((number, path)) if path == toplevel.path() => Plan {
                number: *number,
                created: false,
            },
            last => Plan {
                number: last.map_or(0, |(number, _)| *number) + 1,
                created: true,
            },
        })
    }

    /// Makes the profile name `toplevel` as the planned generation. Doing it twice is the same as
    /// doing it once.
    ///
    /// # Errors
    /// Nix holds the profile's lock for too long, another system has that number, or a link cannot be
    /// written.
    pub fn set(&self, plan: Plan, toplevel: &Toplevel) -> Result<(), ProfileError> {
        let _held = self.lock()?;
        let link = self.link(plan.number);
        let named = match self.disk.read_link(&link) {
            Ok(target) if target == toplevel.path() => Ok(()),
            Ok(other) => {
                return Err(ProfileError::Taken {
                    number: plan.number,
                    other,
                });
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                link_over(self.disk, toplevel.path(), &link)
            }
            Err(source) => return Err(self.read_error(&link, source)),
        };
        // The profile may name only what is durable, and who made the name may have been ended
        // before it was.
        if let Err(source) = named.and_then(|()| self.disk.sync_dir(&self.dir)) {
            // A name whose sync failed may never become durable; the next try makes it anew.
            if plan.created && !self.is_current(plan.number) {
                let _ = self.disk.remove(&link);
            }
            return Err(ProfileError::Write { path: link, source });
        }
        let path = self.dir.join("system");
        let target = PathBuf::from(link_name(plan.number));
        link_atomic(self.disk, &target, &path)
            .map_err(|source| ProfileError::Write { path, source })
    }

    /// Makes the profile name again what it named before: by number, or by path where the number is
    /// gone.
    ///
    /// # Errors
    /// Nix holds the profile's lock for too long, or a link cannot be written.
    pub fn restore(&self, before: &SystemRef) -> Result<(), ProfileError> {
        let number = match before.generation {
            Some(number) if self.is_generation(number, &before.toplevel)? => Some(number),
            _ => self.number(&before.toplevel)?,
        };
        let plan = match number {
            Some(number) => Plan {
                number,
                created: false,
            },
            None => self.plan(&before.toplevel)?,
        };
        self.set(plan, &before.toplevel)
    }

    /// Removes the generation that a commit created, if it is still that system and not in use.
    /// This is durable after the next `System::sync`; until then it may come back.
    ///
    /// # Errors
    /// Nix holds the profile's lock for too long, or the link cannot be removed.
    pub fn forget(&self, plan: Plan, toplevel: &Toplevel) -> Result<(), ProfileError> {
        let _held = self.lock()?;
        let link = self.link(plan.number);
        let ours = plan.created
            && !self.is_current(plan.number)
            && self.is_generation(plan.number, toplevel)?;
        if !ours {
            return Ok(());
        }
        self.disk
            .remove(&link)
            .map_err(|source| ProfileError::Write { path: link, source })
    }

    /// Whether the profile names this generation; it may where that cannot be read.
    fn is_current(&self, number: u64) -> bool {
        match self.disk.read_link(&self.dir.join("system")) {
            Ok(target) => {
                target.file_name().and_then(|name| name.to_str()) == Some(&link_name(number))
            }
            Err(error) => error.kind() != ErrorKind::NotFound,
        }
    }

    fn is_generation(&self, number: u64, toplevel: &Toplevel) -> Result<bool, ProfileError> {
        let link = self.link(number);
        match self.disk.read_link(&link) {
            Ok(target) => Ok(target == toplevel.path()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(source) => Err(self.read_error(&link, source)),
        }
    }

    fn link(&self, number: u64) -> PathBuf {
        self.dir.join(link_name(number))
    }

    fn lock(&self) -> Result<crate::state::disk::Held, ProfileError> {
        let path = self.dir.join("system.lock");
        self.disk
            .create_dir_all(&self.dir)
            .and_then(|()| self.disk.lock(&path, LOCK_WAIT))
            .map_err(|source| ProfileError::Lock { path, source })
    }

    fn read_error(&self, path: &Path, source: io::Error) -> ProfileError {
        ProfileError::Read {
            path: path.to_owned(),
            source,
        }
    }
}

fn link_name(number: u64) -> String {
    format!("system-{number}-link")
}

/// The number in `system-N-link`.
fn number_of(name: &str) -> Option<u64> {
    name.strip_prefix("system-")?
        .strip_suffix("-link")?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests;
