//! `nixus retry`: what failed is tried once more.

use thiserror::Error;

use crate::activation::Switcher;
use crate::decide::ledger::release::{Released, Retry};
use crate::host::files::Paths;
use crate::pass::ledger_file::{self, DamagedLedger, LedgerFileError};
use crate::pass::lock::{PassLock, PassLockError};

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

impl RetryError {
    /// Whether the operator asked for something that cannot be.
    pub fn is_wrong_input(&self) -> bool {
        matches!(self, Self::NotQuarantined { .. } | Self::Damaged(_))
    }
}

/// Releases what is named; the next pass tries it.
pub fn retry(paths: &Paths, switcher: &Switcher, what: &Retry) -> Result<Released, RetryError> {
    let _lock = PassLock::wait(paths).map_err(RetryError::Lock)?;
    let ledger = ledger_file::of_host(paths).map_err(RetryError::Ledger)?;
    let mut ledger = ledger_file::sound(ledger)?;
    let released = ledger.release(what);
    let what = match what {
        Retry::Head => None,
        Retry::Commit(commit) => Some(commit.clone()),
        Retry::Toplevel(toplevel) => Some(toplevel.to_string()),
    };
    if let Some(what) = what
        && released.quarantined.is_empty()
    {
        return Err(RetryError::NotQuarantined { what });
    }
    ledger_file::save(&paths.ledger(), &ledger, switcher.format()).map_err(RetryError::Ledger)?;
    Ok(released)
}
