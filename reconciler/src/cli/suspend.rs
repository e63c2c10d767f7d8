//! `nixus suspend` and `nixus resume`: an operator holds a host still.

use clap::Args;
use jiff::{SignedDuration, Timestamp};

use super::arguments::{Host, parse_duration, parse_until};
use super::exit_code::{CommandError, Exit, HasExit, WrongInput};
use super::start_pass::start_pass;
use crate::pass::suspension::{self, SuspensionError};
use crate::println;

/// Suspend this host: it polls and reports, but builds and activates nothing.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  nixus suspend --for 2h \"moving disks\"
  nixus suspend --until 2026-12-24T18:00
  nixus suspend                                until `nixus resume`")]
pub struct Suspend {
    /// For how long, such as 30m, 2h or 3d.
    #[arg(long = "for", value_name = "TIME", value_parser = parse_duration, conflicts_with = "until")]
    pub duration: Option<SignedDuration>,
    /// Until when: a date and time, local unless it names its zone.
    #[arg(long, value_name = "WHEN", value_parser = parse_until)]
    pub until: Option<Timestamp>,
    /// Why, for those who look at `nixus status`.
    pub reason: Option<String>,
}

impl Suspend {
    /// Suspends the host.
    ///
    /// # Errors
    /// The time is over already or too far away, or the suspension cannot be written.
    pub fn run(&self, host: &Host) -> Result<Exit, CommandError> {
        let now = Timestamp::now();
        let until = match self.duration {
            Some(duration) => {
                let end = now.checked_add(duration);
                Some(end.map_err(|error| WrongInput(error.to_string()))?)
            }
            None => self.until,
        };
        suspension::suspend(&host.paths, now, until, self.reason.clone())?;
        let until = until.map_or("`nixus resume`".to_owned(), |until| format!("{until:.0}"));
        println!("Suspended until {until}: nothing is built or activated.");
        println!("A deployment that is open already is still confirmed or reverted.");
        Ok(Exit::Done)
    }
}

/// Resume a suspended host.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  nixus resume")]
pub struct Resume {}

impl Resume {
    /// Ends the suspension, and starts a pass.
    ///
    /// # Errors
    /// The suspension cannot be removed.
    pub async fn run(&self, host: &Host) -> Result<Exit, CommandError> {
        if suspension::resume(&host.paths)? {
            println!("Resumed.");
            start_pass().await;
        } else {
            println!("This host was not suspended.");
        }
        Ok(Exit::Done)
    }
}

impl HasExit for SuspensionError {
    fn exit(&self) -> Exit {
        match self {
            Self::Past { .. } => Exit::WrongInput,
            Self::Write { .. } | Self::Remove { .. } => Exit::Failed,
        }
    }
}
