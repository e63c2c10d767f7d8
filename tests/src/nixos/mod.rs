//! What the lab's NixOS hosts are made from: nixpkgs with its own switch program, and Debian's files in
//! place of what nixpkgs would build. `nix/nixos` is the part of it in Nix.

use std::collections::hash_map::DefaultHasher;
use std::fs::File;
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context as _, Result};
use serde_json::json;

use crate::cache;
use crate::fleet;
use crate::nix_root::{NixRoot, Source};
use crate::setup::{self, Machine};

mod base;
pub mod differences;
mod library;
mod nixpkgs;
mod switch_program;
mod tree;

pub use base::take_notes;
pub(crate) use library::library;
pub use nixpkgs::{missing, take_nixpkgs_from};

/// nixpkgs' name of its `switch-to-configuration`.
pub const SWITCH: &str = "switch-to-configuration-ng";

/// What is made once for all NixOS hosts of this machine.
#[derive(Debug, Clone)]
pub struct Nixos {
    /// Debian with nixpkgs in its Nix store, in which systems are built; the topmost layer first.
    pub builder: Vec<PathBuf>,
    /// The layers of a host's disk below its systems.
    pub host: Vec<PathBuf>,
    /// The same of a machine's, which evaluates nothing and has no nixpkgs.
    pub machine: Vec<PathBuf>,
    /// The same of the git server's.
    pub server: Vec<PathBuf>,
    /// nixpkgs, as this machine's programs reach it.
    pub folder: PathBuf,
    /// nixpkgs in the store.
    pub nixpkgs: Source,
    /// nixpkgs' `switch-to-configuration` in the store: a name and a hash.
    pub switch_program: serde_json::Value,
}

/// Makes what is not there yet; takes about 4 minutes once, then nothing.
///
/// # Errors
/// One sentence about what is missing, such as nixpkgs.
pub fn prepare(machine: &Machine) -> Result<Nixos> {
    static DONE: OnceLock<(Nixos, Vec<File>)> = OnceLock::new();
    if let Some((nixos, _)) = DONE.get() {
        return Ok(nixos.clone());
    }
    let origin = nixpkgs::find(machine)?;
    let _lock = setup::lock(&machine.cache.join("nixos.lock"))?;
    let folder = |name: &str, recipe: &dyn Fn(&mut DefaultHasher)| {
        let mut hasher = DefaultHasher::new();
        recipe(&mut hasher);
        let name = format!("nixos-{name}-{:016x}", hasher.finish());
        machine.cache.join(name)
    };
    let debian = folder("root", &|recipe| {
        (1, tree::PACKAGES, setup::INCLUDE).hash(recipe);
    });
    if !debian.exists() {
        tree::debian(&debian)?;
    }
    let store = folder("nixpkgs", &|recipe| (1, &origin, &debian).hash(recipe));
    let description = store.join("source.json");
    if !description.exists() {
        eprintln!("lab: adding nixpkgs to the hosts' store, once, about 1 minute");
        nixpkgs::add(&origin, &debian, &store)?;
    }
    let nixpkgs: Source = serde_json::from_str(&fleet::read(&description)?)
        .with_context(|| format!("cannot understand {}", description.display()))?;
    let nixpkgs_layer = store.join("layer");
    let tree = folder("tree", &|recipe| {
        (1, tree::HIDE, setup::BOOT, &debian).hash(recipe)
    });
    if !tree.exists() {
        tree::hide(&debian, &tree)?;
    }
    let server = folder("server", &|recipe| (1, &debian).hash(recipe));
    if !server.exists() {
        tree::server(&debian, &server)?;
    }
    let source = nixpkgs_layer.join(nixpkgs.path.trim_start_matches('/'));
    let compiled = folder("switch", &|recipe| (1, &store).hash(recipe));
    let program = switch_program::build(&compiled, &source, &debian)?;
    let files = base::files()?;
    let systems = folder("base", &|recipe| (1, &files, &compiled).hash(recipe));
    let below = [&nixpkgs_layer, &debian].map(PathBuf::as_path);
    let switch_program = base::build(&systems, &below, &files, &nixpkgs, &program)?;
    let ours = [&debian, &store, &tree, &server, &compiled, &systems];
    cache::remove_unused(&machine.cache, |name| {
        let kept = ours.iter().any(|folder| folder.ends_with(name));
        name.starts_with("nixos-") && !name.ends_with(".new") && !kept
    });
    let used = ours.map(|folder| cache::hold(folder));
    let used = used.into_iter().collect::<Result<Vec<File>>>()?;
    let over = |layer: &Path| {
        let below = [systems.join("layer"), nixpkgs_layer.clone(), debian.clone()];
        [layer.join("layer")].into_iter().chain(below).collect()
    };
    let layers: Vec<PathBuf> = over(&tree);
    let without_nixpkgs = layers.iter().filter(|layer| **layer != nixpkgs_layer);
    let nixos = Nixos {
        machine: without_nixpkgs.cloned().collect(),
        host: layers,
        server: over(&server),
        builder: vec![systems.join("layer"), nixpkgs_layer, debian],
        folder: source,
        nixpkgs,
        switch_program: json!({ "name": SWITCH, "hash": switch_program.hash }),
    };
    Ok(DONE.get_or_init(|| (nixos, used)).0.clone())
}

/// A root over these layers, in which Nix runs.
fn root(layers: &[&Path]) -> Result<NixRoot> {
    NixRoot::over(layers).context("cannot make a place to build in")
}
