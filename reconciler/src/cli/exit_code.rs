//! How every command ends: the one place that decides exit codes.

use std::error::Error;

use crate::cli::adopt::AdoptError;
use crate::cli::init::files::InitError;
use crate::cli::manifest::create::CreateError;
use crate::cli::retry::RetryError;
use crate::cli::rollback::RollbackError;
use crate::config::ConfigError;
use crate::manifest::push::PushError;
use crate::pass::lock::PassLockError;
use crate::pass::suspension::SuspensionError;
use crate::secrets::operator::OperatorError;
use crate::secrets::scratch::ScratchError;

/// The exit codes in words, for `--help` and the manual.
pub const HELP: &str = "Exit codes:
  0  done; for a pass also: there is something to wait for, see `nixus status`
  1  failed: the error says what, and trying again may help
  2  wrong input or configuration: trying again does not help
  3  busy: a pass is running, or a deployment is open; try again when it has ended";

/// What was asked cannot be; the sentence says why.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct WrongInput(pub String);

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// It did what it was asked.
    Done = 0,
    /// It did not, and may do so later.
    Failed = 1,
    /// It was asked for something that cannot be.
    WrongInput = 2,
    /// A pass or a deployment is in the way.
    Busy = 3,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// How an error ends: `chain` is the error and its sources.
pub fn of<'a>(chain: impl Iterator<Item = &'a (dyn Error + 'static)>) -> Exit {
    for error in chain {
        if matches!(error.downcast_ref(), Some(PassLockError::Busy { .. })) {
            return Exit::Busy;
        }
        if matches!(error.downcast_ref(), Some(RollbackError::Open { .. })) {
            return Exit::Busy;
        }
        let wrong_input = error.is::<ConfigError>()
            || error.is::<WrongInput>()
            || matches!(error.downcast_ref(), Some(SuspensionError::Past { .. }))
            || error.downcast_ref().is_some_and(AdoptError::is_wrong_input)
            || error.downcast_ref().is_some_and(RetryError::is_wrong_input)
            || error
                .downcast_ref()
                .is_some_and(CreateError::is_wrong_input)
            || error.downcast_ref().is_some_and(PushError::is_wrong_input)
            || error.downcast_ref().is_some_and(InitError::is_wrong_input)
            || error
                .downcast_ref()
                .is_some_and(OperatorError::is_wrong_input)
            || matches!(error.downcast_ref(), Some(ScratchError::NoMemory { .. }))
            || error
                .downcast_ref()
                .is_some_and(RollbackError::is_wrong_input);
        if wrong_input {
            return Exit::WrongInput;
        }
    }
    Exit::Failed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::generation::GenerationError;

    fn check(error: &(dyn Error + 'static), exit: Exit) {
        let chain = std::iter::successors(Some(error), |&error| error.source());
        assert_eq!(of(chain), exit, "{error}");
    }

    #[test]
    fn each_kind_of_failure_has_its_exit_code() {
        let config = crate::config::Config::load(std::path::Path::new("/no/such/file"));
        check(&config.unwrap_err(), Exit::WrongInput);
        let busy = || PassLockError::Busy { holders: vec![] };
        check(&AdoptError::Lock(busy()), Exit::Busy);
        check(&RetryError::Lock(busy()), Exit::Busy);
        let what = "abc".to_owned();
        check(&RetryError::NotQuarantined { what }, Exit::WrongInput);
        let until = jiff::Timestamp::UNIX_EPOCH;
        check(&SuspensionError::Past { until }, Exit::WrongInput);
        check(&WrongInput("no".to_owned()), Exit::WrongInput);
        check(&RollbackError::NotAdopted, Exit::WrongInput);
        let none = GenerationError::Runs { number: 3 };
        check(&RollbackError::Generation(none), Exit::WrongInput);
        let deployment = "3-abc".parse().unwrap();
        check(&RollbackError::Open { deployment }, Exit::Busy);
        check(&std::io::Error::other("disk"), Exit::Failed);
    }
}
