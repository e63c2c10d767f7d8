//! `[hooks]`: what a host runs around its deployments.

pub use super::tables::Hooks;

/// A program by its absolute path, and its arguments.
pub type Command = Vec<String>;
