//! The reconciler: keeps a NixOS host on the commit that its git repository says.
//!
//! Data flows one way, each arrow a function from the type on its left to the type on its right:
//!
//! ```text
//! config -> source -> trust         -> (manifest) -> closure      -> activation -> [switcher] -> health
//! Config    Head      VerifiedCommit    Entry         BuiltClosure    Request       Outcome       Verdict
//! ```
//!
//! The folders, in the order of what they stand on; none imports one below it:
//!
//! ```text
//! host/        the machine: files, other programs, systemd, the HTTP client, what people read
//! address      which server a URL leads to
//! config/      the configuration: its keys (tables), the kinds of their values (value), the rules between them (check)
//! decide/      pure: what a pass does next (plan), what is remembered (ledger), what is said (report, status)
//! source/      git and its SSH: listing and fetching the deploy repository and its mirrors
//! trust        which commits follow from the accepted ones
//! manifest/    what CI built: format, signature, push
//! closure/     Nix: a commit's system, built or fetched, and what Nix said
//! activation/  the switcher, generations, hooks
//! secrets/     secrets of hosts and operators (the program `nixus-secrets`)
//! health/      the checks, the peers that answer them, and `nixus verify`
//! report/      reports in git, commit statuses on forges
//! pass/        one pass: observe, plan, execute, record
//! cli/         what people ask, one file for each command
//! fuzzing/     the parsers, for inputs that are to break them (feature `fuzzing`)
//! ```
//!
//! Invariants:
//! - Only [`decide::plan`] decides what a pass does. It knows neither files, clock, network nor processes.
//! - Only [`trust`] makes a [`trust::VerifiedCommit`], and only [`closure`], from one, a
//!   [`closure::BuiltClosure`]: what was not verified cannot be activated, except for a
//!   [`activation::generation::Generation`] of the system profile to which an operator rolls back.
//! - Results reach the next pass only through files: the ledger, the switcher's history, the reports.
//! - Reporting neither delays nor changes a decision.
// They panic on a closed pipe; see `host::output`.
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
