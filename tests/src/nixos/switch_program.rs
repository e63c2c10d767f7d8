//! nixpkgs' `switch-to-configuration`, unchanged, compiled by this machine's cargo.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::binaries;
use crate::command;
use crate::setup;

const PROGRAM: &str = "switch-to-configuration";
const LIMIT: Duration = Duration::from_secs(900);

/// The program, from the sources in `nixpkgs`, with the D-Bus interfaces of `debian`'s systemd.
///
/// # Errors
/// What the compiler said.
pub fn build(folder: &Path, nixpkgs: &Path, debian: &Path) -> Result<PathBuf> {
    let program = folder.join(PROGRAM);
    if program.exists() {
        return Ok(program);
    }
    eprintln!("lab: compiling nixpkgs' {PROGRAM}, once, about 30 s");
    setup::install(&[
        ("pkg-config", "pkg-config"),
        ("/usr/include/dbus-1.0/dbus/dbus.h", "libdbus-1-dev"),
    ])?;
    let work = folder.with_extension("new");
    setup::remove_tree(&work)?;
    fs::create_dir_all(&work).with_context(|| format!("cannot make {}", work.display()))?;
    let sources = work.join("source");
    let mut copy = Command::new("cp");
    copy.args(["--recursive", "--no-preserve=mode"])
        .arg(nixpkgs.join("pkgs/by-name/sw/switch-to-configuration-ng"))
        .arg(&sources);
    command::must(&mut copy, None, LIMIT)?;
    let mut build = binaries::without_package();
    build
        .args(["build", "--quiet", "--locked", "--manifest-path"])
        .arg(sources.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(work.join("target"))
        .env("CARGO_PROFILE_DEV_DEBUG", "0")
        .env(
            "SYSTEMD_DBUS_INTERFACE_DIR",
            debian.join("usr/share/dbus-1/interfaces"),
        );
    command::must(&mut build, None, LIMIT)?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    fs::rename(work.join("target/debug").join(PROGRAM), &program)
        .with_context(|| format!("cannot make {}", program.display()))?;
    setup::remove_tree(&work)?;
    Ok(program)
}
