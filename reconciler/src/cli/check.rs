//! `nixus check`: all health checks, now.

use clap::Args;
use nixus_switcher::protocol::CheckOutcome;

use super::arguments::{Host, Output, print_json};
use super::exit_code::{CommandError, Exit};
use super::tables;
use crate::health::now;
use crate::println;

/// Run all health checks now, as a generation on trial would.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  nixus check                    exit code 1 where something that is required does not pass
  nixus check --json | jq -r .verdict")]
pub struct Check {
    /// How to print it.
    #[command(flatten)]
    pub output: Output,
}

impl Check {
    /// Makes the checks and prints what they found.
    ///
    /// # Errors
    /// The configuration is wrong.
    pub async fn run(&self, host: &Host) -> Result<Exit, CommandError> {
        let now = now::now(&host.config()?, &host.paths).await;
        if self.output.json {
            print_json(&now)?;
        } else {
            println!("{}", tables::checks(&now.checks));
        }
        match now.verdict {
            CheckOutcome::Pass => Ok(Exit::Done),
            CheckOutcome::Fail | CheckOutcome::Unknown => Ok(Exit::Failed),
        }
    }
}
