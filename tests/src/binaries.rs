//! The programs that are put on hosts, built by cargo from this workspace.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::command;
use crate::setup::{self, Machine};

/// Where the built programs are.
#[derive(Debug, Clone)]
pub struct Binaries {
    /// `nixus`.
    pub nixus: PathBuf,
    /// `nixus-switcher`.
    pub switcher: PathBuf,
    /// The lab's `switch-to-configuration`.
    pub switch_to_configuration: PathBuf,
}

#[derive(Deserialize)]
struct Message {
    target: Option<Target>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

/// Builds the programs (in release mode) where their sources are newer, and says where they are.
///
/// # Errors
/// What the compiler said.
pub fn build(machine: &Machine) -> Result<Binaries> {
    static DONE: OnceLock<Binaries> = OnceLock::new();
    if let Some(binaries) = DONE.get() {
        return Ok(binaries.clone());
    }
    let packages = ["nixus", "nixus-switcher", "lab"];
    let built = cargo(machine, &packages.map(|name| ["--package", name]).concat())?;
    let binaries = Binaries {
        nixus: find(&built, "nixus")?,
        switcher: find(&built, "nixus-switcher")?,
        switch_to_configuration: find(&built, "switch-to-configuration")?,
    };
    Ok(DONE.get_or_init(|| binaries).clone())
}

/// The same, with a switcher that can be stopped at its fault points. It is built beside the
/// others, where nobody takes it for the one that is shipped.
///
/// # Errors
/// What the compiler said.
pub fn build_with_fault_points(machine: &Machine) -> Result<Binaries> {
    let mut binaries = build(machine)?;
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/fault-points");
    let built = cargo(
        machine,
        &[
            "--package",
            "nixus-switcher",
            "--features",
            "fault-points",
            "--target-dir",
            &target.to_string_lossy(),
        ],
    )?;
    binaries.switcher = find(&built, "nixus-switcher")?;
    Ok(binaries)
}

fn cargo(machine: &Machine, arguments: &[&str]) -> Result<Vec<(String, PathBuf)>> {
    // Parallel test processes would only wait for cargo's own lock, and say so.
    let _lock = setup::lock(&machine.cache.join("build.lock"))?;
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command
        .args([
            "build",
            "--release",
            "--quiet",
            "--bins",
            "--message-format=json-render-diagnostics",
        ])
        .args(arguments)
        .arg("--manifest-path")
        .arg(manifest);
    let messages = command::must(&mut command, None, Duration::from_secs(1800))?;
    Ok(messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok())
        .filter_map(|message| Some((message.target?.name, message.executable?)))
        .collect())
}

fn find(built: &[(String, PathBuf)], name: &str) -> Result<PathBuf> {
    built
        .iter()
        .find(|(target, _)| target == name)
        .map(|(_, path)| path.clone())
        .with_context(|| format!("cargo built no program {name}"))
}
