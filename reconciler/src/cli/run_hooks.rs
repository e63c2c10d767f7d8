//! `nixus run-hooks`: an operator's own programs around a deployment, run by systemd.

use std::path::PathBuf;

use clap::Args;

use super::exit_code::{CommandError, Exit, HasExit};
use crate::activation::hooks::{self, HookError};
use crate::host::process::in_words;

/// Run the hooks of a deployment (run by systemd).
#[derive(Debug, Args)]
pub struct RunHooks {
    /// What is to be run.
    pub request: PathBuf,
}

impl RunHooks {
    /// Runs the hooks, and notes how they ended.
    ///
    /// # Errors
    /// The request cannot be read, or the end not be noted.
    pub async fn run(&self) -> Result<Exit, CommandError> {
        let request = hooks::take_request(&self.request)?;
        let failure = hooks::run(&request).await.err();
        hooks::note(&request, failure.map(|error| in_words(&error)))?;
        Ok(Exit::Done)
    }
}

impl HasExit for HookError {}
