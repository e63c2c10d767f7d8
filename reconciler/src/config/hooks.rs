//! `[hooks]`: what a host runs around its deployments.

use std::time::Duration;

/// A program by its absolute path, and its arguments.
pub type Command = Vec<String>;

/// What a host runs around its deployments: the running generation's own programs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hooks {
    /// Before a commit is activated, one after the other; the first that fails holds the commit back.
    pub before: Vec<Command>,
    /// After a confirmation, and after a rollback, one after the other; a failure changes nothing.
    pub after: Vec<Command>,
    /// The longest that each of them may run.
    pub timeout: Duration,
}
