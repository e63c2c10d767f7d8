//! nixpkgs' library, for evaluations of modules: with the rest of nixpkgs, or alone.

use std::env;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use super::nixpkgs::{self, VARIABLE};
use crate::command;
use crate::setup::{self, Machine};

/// The library without the rest of nixpkgs, about 1 MB.
const ALONE: &str = "https://github.com/nix-community/nixpkgs.lib";
const FILE: &str = "lib/default.nix";
const LIMIT: Duration = Duration::from_secs(60);

/// The folder that has `lib`: that of the NixOS hosts where there are any, what `$NIXPKGS` names, the lab's
/// cache, or the library from the network.
///
/// # Errors
/// One sentence that says where it was looked for.
pub(crate) fn library(machine: &Machine) -> Result<PathBuf> {
    if nixpkgs::missing(machine).is_none() {
        return Ok(super::prepare(machine)?.folder);
    }
    if let Some(named) = env::var_os(VARIABLE).map(PathBuf::from) {
        if named.join(FILE).is_file() {
            return Ok(named);
        }
        bail!("{VARIABLE} names {}, which has no {FILE}", named.display());
    }
    let cached = machine.cache.join(nixpkgs::CACHED);
    // Several tests begin at once.
    let _lock = setup::lock(&machine.cache.join("nixpkgs.lock"))?;
    if !cached.join(FILE).is_file() {
        let new = cached.with_extension("new");
        setup::remove_tree(&new)?;
        let mut git = Command::new("git");
        git.args(["clone", "--quiet", "--depth", "1", ALONE])
            .arg(&new)
            .env("GIT_TERMINAL_PROMPT", "0");
        command::must(&mut git, None, LIMIT).with_context(|| {
            let cached = cached.display();
            format!("{VARIABLE} names no checkout, {cached} has none, and {ALONE} gave none")
        })?;
        setup::remove_tree(&cached)?;
        std::fs::rename(&new, &cached)
            .with_context(|| format!("cannot make {}", cached.display()))?;
    }
    Ok(cached)
}
