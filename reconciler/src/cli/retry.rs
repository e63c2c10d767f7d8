//! `nixus retry`: what failed is tried once more.

use thiserror::Error;

use super::arguments::Host;
use super::exit_code::{CommandError, Exit, HasExit};
use super::start_pass::start_pass;
use super::status::first_line;
use crate::activation::Switcher;
use crate::decide::ledger::release::{Released, Retry as What};
use crate::host::files::Paths;
use crate::pass::ledger_file::{self, DamagedLedger, LedgerFileError};
use crate::pass::lock::{PassLock, PassLockError};
use crate::println;
use clap::Args;

/// Release what failed and is quarantined, and end the wait after failures.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  nixus retry                                   whatever keeps this host from the head
  nixus retry 3f2c1a0                           this commit
  nixus retry /nix/store/...-nixos-system-web1  this system, whichever commit makes it

A commit can ask the same of every host, by a line at the end of its message:
  Nixus-Retry: /nix/store/...-nixos-system-web1")]
pub struct Retry {
    /// A quarantined commit (7 or more digits) or toplevel [default: that of the head]
    #[arg(value_name = "COMMIT|TOPLEVEL")]
    pub what: Option<What>,
}

impl Retry {
    /// Releases what is named, and starts a pass.
    ///
    /// # Errors
    /// Nothing of that name is quarantined, a pass runs, or the ledger cannot be used.
    pub async fn run(&self, host: &Host) -> Result<Exit, CommandError> {
        let what = self.what.clone().unwrap_or(What::Head);
        show(&retry(&host.paths, &host.switcher, &what)?);
        start_pass().await;
        Ok(Exit::Done)
    }
}

fn show(released: &Released) {
    for entry in &released.quarantined {
        let what = entry
            .toplevel
            .as_ref()
            .map_or_else(|| entry.commit.to_string(), ToString::to_string);
        println!("Released {what}: {}", first_line(&entry.reason));
    }
    if let Some(backoff) = &released.backoff {
        println!("Waiting no longer after: {}", first_line(&backoff.reason));
    }
    if released.quarantined.is_empty() && released.backoff.is_none() {
        println!("Nothing was in the way of the head.");
    }
}

/// Why nothing was released. Nothing was changed.
#[derive(Debug, Error)]
pub enum RetryError {
    /// A pass runs, and may be trying just now.
    #[error("cannot change what is quarantined while a pass runs")]
    Lock(#[source] PassLockError),
    /// The ledger could not be read or written.
    #[error("the ledger is not usable")]
    Ledger(#[source] LedgerFileError),
    /// The ledger is lost.
    #[error(transparent)]
    Damaged(#[from] DamagedLedger),
    /// Nothing of that name is quarantined.
    #[error("{what} is not quarantined: `nixus status --json` lists what is")]
    NotQuarantined {
        /// What was named.
        what: String,
    },
}

impl HasExit for RetryError {
    fn exit(&self) -> Exit {
        match self {
            Self::Lock(error) => error.exit(),
            Self::NotQuarantined { .. } | Self::Damaged(_) => Exit::WrongInput,
            Self::Ledger(_) => Exit::Failed,
        }
    }
}

/// Releases what is named; the next pass tries it.
///
/// # Errors
/// Nothing of that name is quarantined, a pass runs, or the ledger cannot be used.
pub fn retry(paths: &Paths, switcher: &Switcher, what: &What) -> Result<Released, RetryError> {
    let _lock = PassLock::wait(paths).map_err(RetryError::Lock)?;
    let ledger = ledger_file::of_host(paths).map_err(RetryError::Ledger)?;
    let mut ledger = ledger_file::sound(ledger)?;
    let released = ledger.release(what);
    let what = match what {
        What::Head => None,
        What::Commit(commit) => Some(commit.clone()),
        What::Toplevel(toplevel) => Some(toplevel.to_string()),
    };
    if let Some(what) = what
        && released.quarantined.is_empty()
    {
        return Err(RetryError::NotQuarantined { what });
    }
    ledger_file::save(&paths.ledger(), &ledger, switcher.format()).map_err(RetryError::Ledger)?;
    Ok(released)
}
