//! What the systems of all NixOS hosts have in common, built once.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::json;

use super::SWITCH;
use crate::fleet::{self, Files};
use crate::nix_root::{HOME, NixRoot, Source};
use crate::seed::{github, locked, read_folder, write_files};

/// Nix' notes of what it has fetched, without which each home hashes all of nixpkgs once.
const NOTES: &str = "/.cache/nix";
/// Whose notes: Nixus' own, and root's, as whom CI runs.
const HOMES: [&str; 2] = ["/var/lib/nixus/home", "/root"];

/// The description of these hosts in Nix.
///
/// # Errors
/// When it cannot be read.
pub fn files() -> Result<Files> {
    let mut files = Files::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("nix/nixos");
    read_folder(&folder, "", &mut files)?;
    Ok(files)
}

/// The layer with a plain host's system and all that it is made of; gives `switch-to-configuration` in
/// the store.
///
/// # Errors
/// When it does not build, with what Nix said.
pub fn build(
    folder: &Path,
    below: &[&Path],
    files: &Files,
    nixpkgs: &Source,
    switch_program: &Path,
) -> Result<Source> {
    let description = folder.join("source.json");
    if !description.exists() {
        eprintln!("lab: building what all NixOS hosts have in common, once, about 20 s");
        let root = super::root(below)?;
        let bin = root.path("/tmp/switch/bin");
        fs::create_dir_all(&bin)
            .and_then(|()| fs::copy(switch_program, bin.join("switch-to-configuration")))
            .with_context(|| format!("cannot copy {}", switch_program.display()))?;
        let switch = root.add(SWITCH, "/tmp/switch")?;
        let mut files = files.clone();
        let packages = json!({ SWITCH: { "name": SWITCH, "hash": switch.hash } });
        let lock = lock_file("nixpkgs", nixpkgs);
        files.insert("packages.json".to_owned(), packages.to_string());
        files.insert("flake.lock".to_owned(), lock.to_string());
        write_files(&root.path("/tmp/nixos"), &files)?;
        let path = root.nix(&[
            "build",
            "--no-link",
            "--print-out-paths",
            "path:/tmp/nixos#plain",
        ])?;
        root.root(&path)?;
        for home in HOMES {
            copy_notes(&root, HOME, home)?;
        }
        root.keep(folder, |new| {
            let text = serde_json::to_string_pretty(&switch).context("cannot describe it")?;
            fs::write(new.join("source.json"), text).context("cannot describe it")
        })?;
    }
    serde_json::from_str(&fleet::read(&description)?)
        .with_context(|| format!("cannot understand {}", description.display()))
}

/// Has Nix in a root over these systems know what it has fetched.
///
/// # Errors
/// When the notes cannot be copied.
pub fn take_notes(root: &NixRoot) -> Result<()> {
    copy_notes(root, HOMES[0], HOME)
}

fn copy_notes(root: &NixRoot, from: &str, to: &str) -> Result<()> {
    let script = "mkdir -p \"$1$3\"; cp \"$1$2\"/fetcher-cache-* \"$1$3\"";
    root.change(
        script,
        &[&format!("{from}{NOTES}"), &format!("{to}{NOTES}")],
    )
}

/// The lock of a flake with one input, which is not a flake.
fn lock_file(name: &str, source: &Source) -> serde_json::Value {
    json!({
        "nodes": {
            name: { "flake": false, "locked": locked(source), "original": github() },
            "root": { "inputs": { name: name } },
        },
        "root": "root",
        "version": 7,
    })
}
