//! How every command ends: each error says its exit code, and the compiler asks for it.

use std::error::Error;
use std::fmt;

use nixus_switcher::error_chain::chain;

use crate::pass::lock::PassLockError;

/// The exit codes in words, for `--help` and the manual.
pub const HELP: &str = "Exit codes:
  0  done; for a pass also: there is something to wait for, see `nixus status`
  1  failed: the error says what, and trying again may help
  2  wrong input or configuration: trying again does not help
  3  busy: a pass is running, or a deployment is open; try again when it has ended";

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

/// An error with which a command can end.
pub trait HasExit: Error + Send + Sync + 'static {
    /// The exit code; default: trying again may help.
    fn exit(&self) -> Exit {
        Exit::Failed
    }
}

/// Why a command did not do what it was asked, and its exit code.
///
/// It is not an error itself: only then can it be made of every error that has an exit code.
#[derive(Debug)]
pub struct CommandError {
    exit: Exit,
    error: Box<dyn Error + Send + Sync>,
}

impl CommandError {
    /// The exit code.
    pub fn exit(&self) -> Exit {
        self.exit
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&chain(self.error.as_ref()))
    }
}

impl<E: HasExit> From<E> for CommandError {
    fn from(error: E) -> Self {
        Self {
            exit: error.exit(),
            error: Box::new(error),
        }
    }
}

/// What was asked cannot be; the sentence says why.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct WrongInput(pub String);

impl HasExit for WrongInput {
    fn exit(&self) -> Exit {
        Exit::WrongInput
    }
}

/// Something failed that trying again may cure.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Failed {
    what: String,
    #[source]
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl HasExit for Failed {}

impl Failed {
    /// A failure without a cause behind it.
    pub fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            source: None,
        }
    }

    /// A failure, and why.
    pub fn because(what: impl Into<String>, why: impl Error + Send + Sync + 'static) -> Self {
        Self {
            what: what.into(),
            source: Some(Box::new(why)),
        }
    }
}

impl HasExit for serde_json::Error {}

impl HasExit for PassLockError {
    fn exit(&self) -> Exit {
        match self {
            Self::Busy { .. } => Exit::Busy,
            Self::Lock { .. } => Exit::Failed,
        }
    }
}
