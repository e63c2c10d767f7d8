//! The operators' commands for secrets are done by `nixus-secrets`: this program has no parser of ciphertext,
//! and a pass does not load one.

use std::convert::Infallible;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context, anyhow};
use nixus::secrets::cli::AS_NIXUS;

/// Becomes `nixus-secrets`, with the words that this program was given.
pub fn run() -> anyhow::Result<Infallible> {
    let own = std::env::current_exe().context("cannot find this executable")?;
    let program = own.with_file_name("nixus-secrets");
    let error = Command::new(&program)
        .arg(AS_NIXUS)
        .args(std::env::args_os().skip(1))
        .exec();
    Err(anyhow!(error).context(format!("cannot start {}", program.display())))
}
