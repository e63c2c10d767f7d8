//! `nixus verify`: the verification of what is on trial, run by systemd.

use super::arguments::Host;
use super::exit_code::{CommandError, Exit, HasExit};
use crate::health::verify::{VerifyError, verify};
use crate::host::process::in_words;
use clap::Args;
use nixus_switcher::Layout;
use nixus_switcher::protocol::CheckOutcome;

/// Prove, as the generation on trial, that the next commit could be taken (run by systemd).
#[derive(Debug, Args)]
pub struct Verify {}

impl Verify {
    /// Makes the verification, and hands its verdict to the switcher.
    ///
    /// # Errors
    /// Nothing is on trial, or the switcher does not take the verdict.
    pub async fn run(&self, host: &Host) -> Result<Exit, CommandError> {
        let config = host.config();
        let config = config.as_ref().map_err(|error| in_words(error));
        let socket = Layout::default().socket();
        match verify(config, &host.switcher, &host.paths, &socket).await? {
            CheckOutcome::Pass => Ok(Exit::Done),
            CheckOutcome::Fail | CheckOutcome::Unknown => Ok(Exit::Failed),
        }
    }
}

impl HasExit for VerifyError {}
