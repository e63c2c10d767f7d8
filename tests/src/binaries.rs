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
    /// `nixus-secrets`.
    pub secrets: PathBuf,
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

/// Builds the programs, with the profile and the features of all that is tested, and says where they
/// are.
///
/// # Errors
/// What the compiler said.
pub fn build(machine: &Machine) -> Result<Binaries> {
    static DONE: OnceLock<Binaries> = OnceLock::new();
    once(&DONE, || {
        let _lock = setup::lock(&machine.cache.join("build.lock"))?;
        compile("release", &["--package", "lab"])
    })
}

fn once(
    done: &'static OnceLock<Binaries>,
    make: impl FnOnce() -> Result<Binaries>,
) -> Result<Binaries> {
    if let Some(binaries) = done.get() {
        return Ok(binaries.clone());
    }
    let made = make()?;
    Ok(done.get_or_init(|| made).clone())
}

/// The programs as they are shipped, without what only tests need: for figures.
///
/// # Errors
/// What the compiler said.
pub fn build_shipped(machine: &Machine) -> Result<Binaries> {
    static DONE: OnceLock<Binaries> = OnceLock::new();
    let this = build(machine)?;
    once(&DONE, || {
        let _lock = setup::lock(&machine.cache.join("build.lock"))?;
        Ok(Binaries {
            switch_to_configuration: this.switch_to_configuration,
            ..compile("dist", &[])?
        })
    })
}

/// Nixus in a profile, with more arguments of cargo.
fn compile(profile: &str, more: &[&str]) -> Result<Binaries> {
    let packages = ["--package", "nixus", "--package", "nixus-switcher"];
    let built = cargo(&[&["--profile", profile], &packages[..], more].concat())?;
    Ok(Binaries {
        nixus: find(&built, "nixus")?,
        secrets: find(&built, "nixus-secrets")?,
        switcher: find(&built, "nixus-switcher")?,
        switch_to_configuration: find(&built, "switch-to-configuration").unwrap_or_default(),
    })
}

/// Runs cargo and gives the programs that it built, with their names. Parallel test processes would
/// only wait for cargo's own lock, and say so: the caller has ours.
fn cargo(arguments: &[&str]) -> Result<Vec<(String, PathBuf)>> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    let mut command = without_package();
    command
        .args([
            "build",
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

/// cargo, without what a cargo that runs this test says of the test's own package: some build scripts ask for
/// it (ring's), and would be run again each time, with all that is built on them.
pub(crate) fn without_package() -> Command {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    for (name, _) in env::vars_os() {
        let of_a_package = ["CARGO_MANIFEST_", "CARGO_PKG_"];
        if of_a_package
            .iter()
            .any(|start| name.as_encoded_bytes().starts_with(start.as_bytes()))
        {
            command.env_remove(name);
        }
    }
    command
}

fn find(built: &[(String, PathBuf)], name: &str) -> Result<PathBuf> {
    built
        .iter()
        .find(|(target, _)| target == name)
        .map(|(_, path)| path.clone())
        .with_context(|| format!("cargo built no program {name}"))
}
