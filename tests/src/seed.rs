//! The layer above the base root that hosts share: Nixus and the first systems, in the Nix store
//! and registered in its database.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, bail};
use nixus_switcher::protocol::{NEXT_RELEASE, VERSION};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::binaries::Binaries;
use crate::cache;
use crate::fleet::{self, Files};
use crate::nix_root::{NixRoot, Source};
use crate::nixos::{self, Nixos};
use crate::setup::{self, Machine};

/// A finished layer.
#[derive(Debug)]
pub struct Seed {
    /// Its root, a lower layer of every host.
    pub layer: PathBuf,
    /// What is in it.
    pub content: Content,
    // As long as this is held, nobody removes it.
    _used: File,
}

/// What is in a layer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Content {
    /// The first toplevel of each host.
    pub toplevels: BTreeMap<String, String>,
    /// The deploy repository's `flake.lock`: the inputs are the stand-ins in the store.
    pub lock: String,
}

/// What systems are built from, and in.
#[derive(Debug, Clone, Copy)]
pub enum Base<'a> {
    /// The stand-in for nixpkgs: Debian hosts in the shape of NixOS, over this root.
    StandIn(&'a PathBuf),
    /// The same over the layers of NixOS hosts: their git server, where CI evaluates them.
    Server(&'a [PathBuf]),
    /// nixpkgs itself.
    Nixos(&'a Nixos),
}

impl Base<'_> {
    /// The layers below, the topmost first.
    fn layers(&self) -> Vec<&Path> {
        let layers = match self {
            Self::StandIn(root) => std::slice::from_ref(*root),
            Self::Server(layers) => layers,
            Self::Nixos(nixos) => &nixos.builder[..],
        };
        layers.iter().map(PathBuf::as_path).collect()
    }

    /// What the names of its layers in the cache begin with, and the folder of its flake.
    fn names(&self) -> (&'static str, &'static str) {
        match self {
            Self::StandIn(_) => ("seed", "nix/nixpkgs"),
            Self::Server(_) => ("gitseed", "nix/nixpkgs"),
            Self::Nixos(_) => ("nixseed", "nix/nixos"),
        }
    }
}

/// The layer with these programs and the first systems of these hosts, which a repository describes; made
/// if it is not cached.
///
/// # Errors
/// When a system does not build, with what Nix said.
pub fn seed(
    machine: &Machine,
    binaries: &Binaries,
    base: Base<'_>,
    repository: &Files,
    hosts: &[&str],
) -> Result<Seed> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (kind, nixpkgs) = base.names();
    let mut flakes = [("nixpkgs", Files::new()), ("nixus", Files::new())];
    for ((_, files), folder) in flakes.iter_mut().zip([nixpkgs, "nix/nixus"]) {
        read_folder(&root.join(folder), "", files)?;
    }
    // The modules themselves are not stand-ins.
    let [_, (_, nixus)] = &mut flakes;
    read_folder(&root.join("../reconciler/nix"), "modules/", nixus)?;
    let mut hasher = DefaultHasher::new();
    (7, &flakes).hash(&mut hasher);
    for program in [
        &binaries.nixus,
        &binaries.secrets,
        &binaries.switcher,
        &binaries.switch_to_configuration,
    ] {
        fs::read(program)
            .with_context(|| format!("cannot read {}", program.display()))?
            .hash(&mut hasher);
    }
    let build = format!("{kind}-{:016x}", hasher.finish());
    (base.layers(), repository, hosts).hash(&mut hasher);
    let folder = machine
        .cache
        .join(format!("{build}-{:016x}", hasher.finish()));
    let _lock = setup::lock(&machine.cache.join("seed.lock"))?;
    tidy(machine, kind, &build);
    let description = folder.join("content.json");
    if !description.exists() {
        let work = Work {
            root: NixRoot::over(&base.layers())?,
        };
        let content = work.fill(binaries, base, repository, hosts, &flakes)?;
        work.root.keep(&folder, |new| {
            let text =
                serde_json::to_string_pretty(&content).context("cannot describe the layer")?;
            fs::write(new.join("content.json"), text).context("cannot describe the layer")
        })?;
    }
    let used = cache::hold(&folder)?;
    let content = serde_json::from_str(&fleet::read(&description)?)
        .with_context(|| format!("cannot understand {}", description.display()))?;
    Ok(Seed {
        layer: folder.join("layer"),
        content,
        _used: used,
    })
}

/// Once for each kind: removes the layers of other builds, and roots of other recipes.
fn tidy(machine: &Machine, kind: &str, build: &str) {
    static TIDY: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut tidied = TIDY.lock().unwrap_or_else(PoisonError::into_inner);
    if tidied.insert(kind.to_owned()) {
        let layers = format!("{kind}-");
        cache::remove_unused(&machine.cache, |name| {
            // Somebody may be making another root.
            let root = name.starts_with("root-") && !name.ends_with(".new");
            (name.starts_with(&layers) && !name.starts_with(build))
                || (root && machine.cache.join(name) != machine.root)
        });
    }
}

/// All files below a folder, their paths with something before them.
///
/// # Errors
/// When one cannot be read.
pub fn read_folder(folder: &Path, before: &str, files: &mut Files) -> Result<()> {
    let context = || format!("cannot list {}", folder.display());
    for found in fs::read_dir(folder).with_context(context)? {
        let found = found.with_context(context)?;
        let name = format!("{before}{}", found.file_name().to_string_lossy());
        if found.path().is_dir() {
            read_folder(&found.path(), &format!("{name}/"), files)?;
        } else {
            files.insert(name, fleet::read(&found.path())?);
        }
    }
    Ok(())
}

/// A Nix store that is filled for the hosts.
struct Work {
    root: NixRoot,
}

impl Work {
    fn path(&self, inside: &str) -> PathBuf {
        self.root.path(inside)
    }

    fn package(&self, name: &str, programs: &[(&str, &Path)], mark: &str) -> Result<String> {
        let folder = format!("/tmp/{name}");
        let bin = self.path(&folder).join("bin");
        fs::create_dir_all(&bin).context("cannot make the folder of a package")?;
        for (program, from) in programs {
            fs::copy(from, bin.join(program))
                .with_context(|| format!("cannot copy {}", from.display()))?;
        }
        if !mark.is_empty() {
            fs::write(self.path(&folder).join("release"), mark).context("cannot mark a package")?;
        }
        Ok(self.root.add(name, &folder)?.hash)
    }

    fn fill(
        &self,
        binaries: &Binaries,
        base: Base<'_>,
        repository: &Files,
        hosts: &[&str],
        flakes: &[(&str, Files); 2],
    ) -> Result<Content> {
        let nixus = [
            ("nixus", binaries.nixus.as_path()),
            ("nixus-secrets", binaries.secrets.as_path()),
            ("nixus-switcher", binaries.switcher.as_path()),
        ];
        let lab = [(
            "switch-to-configuration",
            binaries.switch_to_configuration.as_path(),
        )];
        let mut packages = json!({
            "nixus": {
                "name": "nixus-0.1.0",
                "format": VERSION,
                "hash": self.package("nixus-0.1.0", &nixus, "")?,
            },
            // An upgrade of Nixus, at another path and with another format of its state files.
            "nixus-next": {
                "name": "nixus-0.1.1",
                "format": VERSION + 1,
                "hash": self.package("nixus-0.1.1", &nixus, NEXT_RELEASE)?,
            },
            "switch-to-configuration": {
                "name": "switch-to-configuration-1",
                "hash": self.package("switch-to-configuration-1", &lab, "")?,
            },
        });
        if let Base::Nixos(nixos) = base {
            packages[nixos::SWITCH] = nixos.switch_program.clone();
        }
        let mut locked = BTreeMap::new();
        for (name, files) in flakes {
            let folder = format!("/tmp/{name}");
            let mut files = files.clone();
            files.insert("packages.json".to_owned(), packages.to_string());
            write_files(&self.path(&folder), &files)?;
            locked.insert(*name, self.root.add("source", &folder)?);
        }
        let tree = match base {
            Base::StandIn(_) | Base::Server(_) => None,
            Base::Nixos(nixos) => Some(&nixos.nixpkgs),
        };
        let lock = lock_file(&locked, tree);
        let mut files = repository.clone();
        files.insert("flake.lock".to_owned(), lock.clone());
        write_files(&self.path("/tmp/repository"), &files)?;
        if tree.is_some() {
            nixos::take_notes(&self.root)?;
        }
        // One evaluation for all of them.
        let installables: Vec<String> = hosts
            .iter()
            .map(|name| {
                format!(
                    "path:/tmp/repository#nixosConfigurations.{name}.config.system.build.toplevel"
                )
            })
            .collect();
        let mut arguments = vec!["build", "--no-link", "--print-out-paths"];
        arguments.extend(installables.iter().map(String::as_str));
        let said = self.root.nix(&arguments)?;
        let paths: Vec<&str> = said.lines().collect();
        if paths.len() != hosts.len() || !paths.iter().all(|path| path.starts_with("/nix/store/")) {
            bail!("nix build gave {said:?} for {hosts:?}");
        }
        let toplevels = hosts
            .iter()
            .zip(paths)
            .map(|(name, path)| ((*name).to_owned(), path.to_owned()))
            .collect();
        Ok(Content { toplevels, lock })
    }
}

/// A folder of the store as `flake.lock` names it.
pub fn locked(source: &Source) -> serde_json::Value {
    json!({ "lastModified": 1, "narHash": source.hash, "path": source.path, "type": "path" })
}

/// nixpkgs, as the template names it.
pub fn github() -> serde_json::Value {
    json!({ "owner": "NixOS", "ref": "nixos-26.05", "repo": "nixpkgs", "type": "github" })
}

/// The lock of a repository's inputs: what was put into the store. `tree` is nixpkgs itself, which the
/// flake in its place takes as an input of its own.
fn lock_file(flakes: &BTreeMap<&str, Source>, tree: Option<&Source>) -> String {
    let github = github();
    let mut nodes = json!({
        "nixpkgs": { "locked": flakes.get("nixpkgs").map(locked), "original": github },
        "nixus": {
            "inputs": { "nixpkgs": ["nixpkgs"] },
            "locked": flakes.get("nixus").map(locked),
            "original": { "type": "git", "url": "ssh://git@git.example.org/srv/git/nixus.git" },
        },
        "root": { "inputs": { "nixpkgs": "nixpkgs", "nixus": "nixus" } },
    });
    if let Some(tree) = tree {
        nodes["nixpkgs"]["inputs"] = json!({ "nixpkgs": "tree" });
        nodes["tree"] = json!({ "flake": false, "locked": locked(tree), "original": github });
    }
    json!({ "nodes": nodes, "root": "root", "version": 7 }).to_string()
}

/// Writes files below a folder, making folders as needed.
///
/// # Errors
/// When one cannot be written.
pub fn write_files(folder: &Path, files: &Files) -> Result<()> {
    for (name, text) in files {
        let path = folder.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)
                .with_context(|| format!("cannot make {}", parent.display()))?;
        }
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}
