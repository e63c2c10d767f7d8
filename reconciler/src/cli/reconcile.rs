//! `nixus reconcile`: one pass.

use super::arguments::Host;
use super::exit_code::{CommandError, Exit, HasExit};
use crate::pass::lock::PassLockError;
use crate::pass::{PassError, reconcile};
use clap::Args;

/// Make one pass: look for a new commit, build it, hand it to the switcher, report.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  systemctl start nixus-reconcile.service    a pass now, in its own unit (recommended)
  nixus reconcile                            the same on this terminal")]
pub struct Reconcile {}

impl Reconcile {
    /// Makes the pass.
    ///
    /// # Errors
    /// The configuration is wrong, or the pass could not be made.
    pub async fn run(&self, host: &Host) -> Result<Exit, CommandError> {
        match reconcile(&host.config()?, &host.paths, &host.switcher).await {
            Ok(_) => Ok(Exit::Done),
            // The pass that runs does what this one would have done.
            Err(PassError::Lock(error @ PassLockError::Busy { .. })) => {
                tracing::info!("{error}");
                Ok(Exit::Done)
            }
            Err(error) => Err(error.into()),
        }
    }
}

impl HasExit for PassError {}
