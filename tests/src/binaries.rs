//! The programs that are put on hosts, built by cargo from this workspace.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context as _, Result};
use nixus_switcher::protocol::VERSION;
use serde::Deserialize;

use crate::command;
use crate::setup::{self, Machine};

/// Where the built programs are.
#[derive(Debug, Clone)]
pub struct Binaries {
    /// How far this Nixus reads versions of its state files.
    pub format: u32,
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

/// Builds the programs (in release mode) where their sources are newer, and says where they are.
///
/// # Errors
/// What the compiler said.
pub fn build(machine: &Machine) -> Result<Binaries> {
    static DONE: OnceLock<Binaries> = OnceLock::new();
    once(&DONE, || {
        let _lock = setup::lock(&machine.cache.join("build.lock"))?;
        keep(compile(&["--package", "lab"])?, "hosts-run", VERSION)
    })
}

/// Builds the stand-in for the next release, which has another format of its state files.
///
/// # Errors
/// What the compiler said.
pub fn build_next(machine: &Machine) -> Result<Binaries> {
    static DONE: OnceLock<Binaries> = OnceLock::new();
    let this = build(machine)?;
    once(&DONE, || {
        let _lock = setup::lock(&machine.cache.join("build.lock"))?;
        let next = compile(&["--features", "nixus/next-format,nixus-switcher/next-format"])?;
        let kept = keep(
            Binaries {
                switch_to_configuration: this.switch_to_configuration,
                ..next
            },
            "hosts-run-next",
            VERSION + 1,
        )?;
        // Cargo has one place for both: what lies there is to be this release again. With the same
        // packages as before nothing is compiled.
        compile(&["--package", "lab"])?;
        Ok(kept)
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

/// The same, with a switcher that can be stopped at its fault points. It is built beside the
/// others, where nobody takes it for the one that is shipped.
///
/// # Errors
/// What the compiler said.
pub fn build_with_fault_points(machine: &Machine) -> Result<Binaries> {
    let mut binaries = build(machine)?;
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/fault-points");
    let _lock = setup::lock(&machine.cache.join("build.lock"))?;
    let built = cargo(&[
        "--package",
        "nixus-switcher",
        "--features",
        "fault-points",
        "--target-dir",
        &target.to_string_lossy(),
    ])?;
    binaries.switcher = find(&built, "nixus-switcher")?;
    Ok(binaries)
}

/// Nixus as these arguments of cargo build it.
fn compile(more: &[&str]) -> Result<Binaries> {
    let packages = ["--package", "nixus", "--package", "nixus-switcher"];
    let built = cargo(&[&packages[..], more].concat())?;
    Ok(Binaries {
        format: VERSION,
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
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    // What a cargo that runs this test says of the test's own package: some build scripts ask for it
    // (ring's), and would be run again each time, with all that is built on them.
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

/// Copies programs to a folder of their own beside where cargo puts them, where the next build of
/// another kind does not replace them.
fn keep(binaries: Binaries, folder: &str, format: u32) -> Result<Binaries> {
    let target = binaries.nixus.parent().context("a program is nowhere")?;
    let folder = target.join(folder);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let copy = |from: &Path| -> Result<PathBuf> {
        let to = folder.join(from.file_name().context("a program has no name")?);
        // Renamed into place: a lab may be reading the one before.
        let new = to.with_extension("new");
        fs::copy(from, &new)
            .and_then(|_| fs::rename(&new, &to))
            .with_context(|| format!("cannot copy {}", from.display()))?;
        Ok(to)
    };
    Ok(Binaries {
        format,
        nixus: copy(&binaries.nixus)?,
        secrets: copy(&binaries.secrets)?,
        switcher: copy(&binaries.switcher)?,
        switch_to_configuration: copy(&binaries.switch_to_configuration)?,
    })
}
