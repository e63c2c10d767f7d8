//! The reconciler: keeps a NixOS host on the commit that its git repository says.
//!
//! Data flows one way, each arrow a function from the type on its left to the type on its right:
//!
//! ```text
//! config -> source -> trust         -> (manifest) -> closure      -> activation -> [switcher] -> health
//! Config    Head      VerifiedCommit    Entry         BuiltClosure    Request       Outcome       Verdict
//! ```
//!
//! Invariants:
//! - Only [`plan`] decides what a pass does. It knows neither files, clock, network nor processes.
//! - Only [`trust`] makes a [`trust::VerifiedCommit`], and only [`closure`], from one, a
//!   [`closure::BuiltClosure`]: what was not verified cannot be activated, but for a
//!   [`generation::Generation`] of the system profile that an operator wants back.
//! - Results reach the next pass only through files: the ledger, the switcher's history, the reports.
//! - Reporting neither delays nor changes a decision.
// These panic where nobody reads; see `say`.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod activation;
pub mod address;
pub mod cli;
pub mod closure;
pub mod config;
pub mod decide;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod health;
pub mod host;
pub mod manifest;
pub mod pass;
pub mod report;
pub mod secrets;
pub mod source;
pub mod trust;
