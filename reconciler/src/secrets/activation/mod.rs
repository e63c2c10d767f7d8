//! `nixus-secrets`: opens a generation's secrets, puts them in their place, and says who is to know.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Uid};
use thiserror::Error;

use super::LONGEST_FILE;
use super::accounts::{self, AccountError};
use super::ciphertext::{self, OpenError, Plaintext};
use super::description::{Description, DescriptionError, Secret};
use super::generation::{GenerationError, Owner, Place, Record};
use super::identity::{Identities, IdentityError, User};
use super::links::{self, LinkError};
use super::units::{self, ListError, Units};
use crate::host::files::read_bounded;

mod look;

/// Where the lists of units are that are to be restarted.
pub const LISTS: &str = "/run/nixus";
/// Where switch-to-configuration has its own.
pub const SWITCH_LISTS: &str = "/run/nixos";

/// Why nothing was done.
#[derive(Debug, Error)]
pub enum ActivationError {
    /// The description is wrong.
    #[error(transparent)]
    Description(#[from] DescriptionError),
    /// This host has no private key.
    #[error(transparent)]
    Identities(IdentityError),
    /// Opened secrets could not be put in their place.
    #[error(transparent)]
    Generation(#[from] GenerationError),
    /// Units could not be asked for.
    #[error(transparent)]
    Lists(#[from] ListError),
}

/// Why one secret is not there.
#[derive(Debug, Error)]
pub enum SecretError {
    /// Its ciphertext could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It could not be opened.
    #[error(transparent)]
    Open(OpenError),
    /// It has no owner.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// Its mode is none.
    #[error("{mode:?} is not a mode")]
    Mode {
        /// The mode.
        mode: String,
    },
    /// It could not be put in its place.
    #[error(transparent)]
    Generation(#[from] GenerationError),
    /// It is not where units look for it.
    #[error(transparent)]
    Link(#[from] LinkError),
}

/// A secret that is not there.
#[derive(Debug, Error)]
#[error("cannot open secret {secret}")]
pub struct Failure {
    /// Its name.
    pub secret: String,
    /// Why.
    #[source]
    pub source: SecretError,
}

/// What came of an activation.
#[derive(Debug, Default)]
pub struct Activated {
    /// How many secrets are there.
    pub there: usize,
    /// Those that are not.
    pub failures: Vec<Failure>,
    /// Which units are to know.
    pub units: Units,
    /// What is worth a warning.
    pub warnings: Vec<String>,
}

/// One activation.
#[derive(Debug)]
pub struct Activation<'a> {
    /// The description, in the store.
    pub description: &'a Path,
    /// Where opened secrets are.
    pub place: &'a Place,
    /// Where lists of units are.
    pub lists: &'a Path,
    /// The system that is activated, to know its units.
    pub system: Option<&'a Path>,
}

impl Activation<'_> {
    /// Opens all secrets and swaps them in. One that cannot be opened takes no other away.
    ///
    /// # Errors
    /// The description or the private keys cannot be read, or the folder of the secrets cannot be made
    /// or swapped. A secret that cannot be opened is in the result.
    pub fn activate(&self) -> Result<Activated, ActivationError> {
        self.activate_where(&|units| units::running(units))
    }

    fn activate_where(
        &self,
        running: &dyn Fn(&Units) -> BTreeSet<String>,
    ) -> Result<Activated, ActivationError> {
        let description = Description::read(self.description)?;
        // Before anything is changed.
        let before = self.place.current();
        let mut done = Activated::default();
        let _held = self.place.prepare()?;
        let number = match self.place.made_from(self.description) {
            Some(number) => number,
            None => self.open(&description, &mut done)?,
        };
        for secret in &description.secrets {
            let failed = done.failures.iter().any(|one| one.secret == secret.name);
            if failed {
                continue;
            }
            match self.settle(number, secret) {
                Ok(owner_changed) => {
                    if owner_changed && before == Some(number) {
                        done.units.add(&secret.restart_units, &secret.reload_units);
                    }
                    done.there += 1;
                }
                Err(source) => done.failures.push(Failure {
                    secret: secret.name.clone(),
                    source,
                }),
            }
        }
        if let Some(before) = before.filter(|before| *before != number) {
            for secret in &description.secrets {
                let is = |number| self.place.secret(number, &secret.name);
                // Gone is changed, too: what cannot go on without it is to say so now.
                if is(before) != is(number) {
                    done.units.add(&secret.restart_units, &secret.reload_units);
                }
            }
        }
        self.settle_units(&description, &mut done, running);
        // Before the swap: to restart a unit in vain is better than never.
        done.units.write(self.lists)?;
        self.swap(&description, before, number, &mut done)?;
        Ok(done)
    }

    /// Opens all into a new generation; gives its number.
    fn open(
        &self,
        description: &Description,
        done: &mut Activated,
    ) -> Result<u64, ActivationError> {
        let identities = self.identities(description, &mut done.warnings)?;
        let number = self.place.begin()?;
        for secret in &description.secrets {
            let put = || -> Result<(), SecretError> {
                let plaintext = open(secret, identities.as_ref())?;
                let owner = owner(secret)?;
                self.place.put(number, &secret.name, &plaintext)?;
                self.place.own(number, &secret.name, owner)?;
                Ok(())
            };
            if let Err(source) = put() {
                done.failures.push(Failure {
                    secret: secret.name.clone(),
                    source,
                });
            }
        }
        let linked = description
            .secrets
            .iter()
            .filter(|one| self.needs_link(one));
        let record = Record {
            description: self.description.to_owned(),
            complete: done.failures.is_empty(),
            links: linked.map(|secret| secret.path.clone()).collect(),
        };
        self.place.finish(number, &record)?;
        Ok(number)
    }

    fn identities(
        &self,
        description: &Description,
        warnings: &mut Vec<String>,
    ) -> Result<Option<Identities>, ActivationError> {
        if description.secrets.is_empty() {
            return Ok(None);
        }
        let (identities, failures) = Identities::read(&description.identities, User::Host)
            .map_err(ActivationError::Identities)?;
        warnings.extend(
            failures
                .iter()
                .map(|one| crate::host::process::in_words(one)),
        );
        Ok(Some(identities))
    }

    fn needs_link(&self, secret: &Secret) -> bool {
        secret.path != self.place.link().join(&secret.name)
    }

    /// Gives a secret that is there its owner, who may be another now, and looks at its link.
    fn settle(&self, number: u64, secret: &Secret) -> Result<bool, SecretError> {
        if self.needs_link(secret) {
            links::is_free(&secret.path)?;
        }
        Ok(self.place.own(number, &secret.name, owner(secret)?)?)
    }

    /// Leaves those units that are there and run.
    fn settle_units(
        &self,
        description: &Description,
        done: &mut Activated,
        running: &dyn Fn(&Units) -> BTreeSet<String>,
    ) {
        self.leave_out_unknown(description, done);
        if !done.units.is_empty() {
            let runs = running(&done.units);
            done.units.settle(|unit| runs.contains(unit));
        }
    }

    /// A unit that is not there would fail the whole activation.
    fn leave_out_unknown(&self, description: &Description, done: &mut Activated) {
        let Some(system) = self.system else { return };
        let named = description.secrets.iter();
        let named = named.flat_map(|one| one.restart_units.iter().chain(&one.reload_units));
        for unit in units::unknown(system, named) {
            done.warnings.push(format!(
                "a secret names {unit}, which this system does not have"
            ));
            done.units.restart.remove(unit);
            done.units.reload.remove(unit);
        }
    }

    fn swap(
        &self,
        description: &Description,
        before: Option<u64>,
        number: u64,
        done: &mut Activated,
    ) -> Result<(), ActivationError> {
        let old_links = before.and_then(|before| self.place.record(before));
        self.place.switch_to(number)?;
        let mut wanted = BTreeSet::new();
        for secret in &description.secrets {
            if !self.needs_link(secret) {
                continue;
            }
            wanted.insert(&secret.path);
            let target = self.place.link().join(&secret.name);
            if let Err(source) = links::link(&secret.path, &target)
                && !done.failures.iter().any(|one| one.secret == secret.name)
            {
                done.failures.push(Failure {
                    secret: secret.name.clone(),
                    source: source.into(),
                });
                done.there = done.there.saturating_sub(1);
            }
        }
        for path in old_links.into_iter().flat_map(|record| record.links) {
            if !wanted.contains(&path) {
                links::remove(&path, self.place.link());
            }
        }
        // What runs now may have to come back without any key. Where nothing changes, whatever was kept
        // beside it stays.
        if before != Some(number) {
            let kept: Vec<u64> = before.into_iter().chain([number]).collect();
            if let Err(error) = self.place.remove_others(&kept) {
                done.warnings.push(crate::host::process::in_words(&error));
            }
        }
        Ok(())
    }
}

fn open(secret: &Secret, identities: Option<&Identities>) -> Result<Plaintext, SecretError> {
    let file =
        read_bounded(&secret.file, LONGEST_FILE as u64).map_err(|source| SecretError::Read {
            path: secret.file.clone(),
            source,
        })?;
    let none = Identities::default();
    ciphertext::open(&file, identities.unwrap_or(&none)).map_err(SecretError::Open)
}

fn owner(secret: &Secret) -> Result<(Uid, Gid, u32), SecretError> {
    let mode = secret.permissions().ok_or_else(|| SecretError::Mode {
        mode: secret.mode.clone(),
    })?;
    Ok((
        accounts::user(&secret.user)?,
        accounts::group(&secret.group)?,
        mode,
    ))
}

fn numbers((user, group, mode): (Uid, Gid, u32)) -> Owner {
    (user.as_raw(), group.as_raw(), mode)
}

#[cfg(test)]
mod tests;
