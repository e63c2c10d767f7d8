//! `nixus post`: posts commit statuses, run by systemd.

use super::arguments::Host;
use super::exit_code::{CommandError, Exit, Failed, HasExit};
use crate::report::{self, PostError};
use clap::Args;

/// Post what waits to be posted as commit statuses (run by systemd).
#[derive(Debug, Args)]
pub struct Post {}

impl Post {
    /// Posts what waits.
    ///
    /// # Errors
    /// The configuration is wrong or has no `[statuses]`, or the outbox cannot be used.
    pub async fn run(&self, host: &Host) -> Result<Exit, CommandError> {
        let config = host.config()?;
        let statuses = config.statuses.as_ref();
        let none = || Failed::new("this host's configuration has no [statuses]");
        let post = report::Post {
            config: &config,
            statuses: statuses.ok_or_else(none)?,
            paths: &host.paths,
            switcher: &host.switcher,
        };
        post.post(false).await?;
        Ok(Exit::Done)
    }
}

impl HasExit for PostError {}
