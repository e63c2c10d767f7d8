//! `[hooks]`: what a host runs around its deployments.

pub use super::tables::Hooks;
pub use super::value::Command;
