//! What an activation would do: nothing is changed.

use std::collections::BTreeSet;

use super::{Activated, Activation, ActivationError, Failure, SecretError, numbers, open, owner};
use crate::secrets::description::Description;
use crate::secrets::links;
use crate::secrets::units::{self, Units};

impl Activation<'_> {
    /// Opens everything to nowhere: whether this host could. What is wrong with it later, such as a user
    /// that the activation has yet to make, is not looked at.
    ///
    /// # Errors
    /// The description or the private keys cannot be read. A secret that cannot be opened is in the
    /// result.
    pub fn check(&self) -> Result<Activated, ActivationError> {
        let description = Description::read(self.description)?;
        let mut done = Activated::default();
        let identities = self.identities(&description, &mut done.warnings)?;
        for secret in &description.secrets {
            let look = || -> Result<(), SecretError> {
                open(secret, identities.as_ref())?;
                if self.needs_link(secret) {
                    links::is_free(&secret.path)?;
                }
                Ok(())
            };
            match look() {
                Ok(()) => done.there += 1,
                Err(source) => done.failures.push(Failure {
                    secret: secret.name.clone(),
                    source,
                }),
            }
        }
        self.leave_out_unknown(&description, &mut done);
        Ok(done)
    }

    /// Says which units an activation would tell.
    ///
    /// # Errors
    /// The description, the private keys or the generation that is there cannot be read.
    pub fn dry_run(&self) -> Result<Activated, ActivationError> {
        self.dry_run_where(&|units| units::running(units))
    }

    pub(super) fn dry_run_where(
        &self,
        running: &dyn Fn(&Units) -> BTreeSet<String>,
    ) -> Result<Activated, ActivationError> {
        let description = Description::read(self.description)?;
        let mut done = Activated::default();
        let identities = self.identities(&description, &mut done.warnings)?;
        let current = self.place.current();
        for secret in &description.secrets {
            match open(secret, identities.as_ref()) {
                Ok(plaintext) => {
                    done.there += 1;
                    let is = current.and_then(|number| self.place.secret(number, &secret.name));
                    let same = is.is_some_and(|(content, own)| {
                        content == plaintext && owner(secret).is_ok_and(|will| numbers(will) == own)
                    });
                    if current.is_some() && !same {
                        done.units.add(&secret.restart_units, &secret.reload_units);
                    }
                }
                Err(source) => done.failures.push(Failure {
                    secret: secret.name.clone(),
                    source,
                }),
            }
        }
        self.settle_units(&description, &mut done, running);
        Ok(done)
    }
}
