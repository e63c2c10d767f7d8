//! What the systems of all NixOS hosts have in common, built once.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::json;

use super::SWITCH;
use crate::fleet::{self, Files};
use crate::nix_root::Source;
use crate::seed::{read_folder, write_files};

/// A host of which nothing is said.
const PLAIN: &str = r#"(import /tmp/nixos/nixos.nix { tree = builtins.storePath "TREE"; }).lib.nixosSystem { modules = [ { lab.switchToConfiguration = "/"; } ]; }"#;

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
        files.insert("packages.json".to_owned(), packages.to_string());
        write_files(&root.path("/tmp/nixos"), &files)?;
        let system = format!(
            "({}).config.system.build.toplevel",
            PLAIN.replace("TREE", &nixpkgs.path)
        );
        let words = ["build", "--no-link", "--print-out-paths", "--impure"];
        let path = root.nix(&[&words[..], &["--expr", &system]].concat())?;
        root.root(&path)?;
        root.keep(folder, |new| {
            let text = serde_json::to_string_pretty(&switch).context("cannot describe it")?;
            fs::write(new.join("source.json"), text).context("cannot describe it")
        })?;
    }
    serde_json::from_str(&fleet::read(&description)?)
        .with_context(|| format!("cannot understand {}", description.display()))
}
