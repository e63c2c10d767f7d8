//! The layer above the base root that hosts share: Nixus and the first systems, in the Nix store
//! and registered in its database.

use std::collections::BTreeMap;
use std::collections::hash_map::DefaultHasher;
use std::fs::{self, File};
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use nixus_switcher::protocol::{NEXT_RELEASE, VERSION};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::binaries::Binaries;
use crate::cache;
use crate::command;
use crate::fleet::{self, Files};
use crate::namespace::{Access, RUN};
use crate::nix_root::NixRoot;
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
    /// The first toplevel of each host, `git` among them.
    pub toplevels: BTreeMap<String, String>,
    /// The deploy repository's `flake.lock`: the inputs are the stand-ins in the store.
    pub lock: String,
}

/// The layer for these programs and these descriptions; made if it
/// is not cached.
///
/// # Errors
/// When a system does not build, with what Nix said.
pub fn seed(machine: &Machine, binaries: &Binaries, deploy: &Files, git: &Files) -> Result<Seed> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut stand_ins = [("nixpkgs", Files::new()), ("nixus", Files::new())];
    for (name, files) in &mut stand_ins {
        read_folder(&root.join("nix").join(*name), "", files)?;
    }
    // The modules themselves are no stand-ins.
    let [_, (_, nixus)] = &mut stand_ins;
    read_folder(&root.join("../reconciler/nix"), "modules/", nixus)?;
    let mut hasher = DefaultHasher::new();
    (5, &machine.root, &stand_ins).hash(&mut hasher);
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
    let build = format!("seed-{:016x}", hasher.finish());
    (deploy, git).hash(&mut hasher);
    let folder = machine
        .cache
        .join(format!("{build}-{:016x}", hasher.finish()));
    let _lock = setup::lock(&machine.cache.join("seed.lock"))?;
    static TIDY: Once = Once::new();
    TIDY.call_once(|| cache::remove_unused(machine, &build));
    let description = folder.join("content.json");
    if !description.exists() {
        let work = Work::new(machine)?;
        let content = work.fill(binaries, deploy, git, &stand_ins)?;
        work.keep(&folder, &content)?;
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

/// All files below a folder, their paths with something before them.
fn read_folder(folder: &Path, before: &str, files: &mut Files) -> Result<()> {
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
    fn new(machine: &Machine) -> Result<Self> {
        NixRoot::new(machine).map(|root| Self { root })
    }

    fn access(&self) -> &Access {
        self.root.access()
    }

    fn path(&self, inside: &str) -> PathBuf {
        self.root.path(inside)
    }

    fn nix(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.root.command(&[&["nix"], arguments].concat());
        let output = command::must(&mut command, None, Duration::from_secs(300))?;
        Ok(output.trim().to_owned())
    }

    /// Adds a folder to the store; gives its path and hash.
    fn add(&self, name: &str, folder: &str) -> Result<(String, String)> {
        let path = self.nix(&["store", "add-path", "--name", name, folder])?;
        let hash = self.nix(&["hash", "path", &path])?;
        let root = self
            .path("/nix/var/nix/gcroots")
            .join(format!("lab-{}", hash.replace('/', "_")));
        std::os::unix::fs::symlink(&path, &root).with_context(|| format!("cannot root {path}"))?;
        Ok((path, hash))
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
        Ok(self.add(name, &folder)?.1)
    }

    fn fill(
        &self,
        binaries: &Binaries,
        deploy: &Files,
        git: &Files,
        stand_ins: &[(&str, Files); 2],
    ) -> Result<Content> {
        let nixus = [
            ("nixus", binaries.nixus.as_path()),
            ("nixus-secrets", binaries.secrets.as_path()),
            ("nixus-switcher", binaries.switcher.as_path()),
        ];
        let stc: [(&str, &Path); 1] =
            [("switch-to-configuration", &binaries.switch_to_configuration)];
        let packages = json!({
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
                "hash": self.package("switch-to-configuration-1", &stc, "")?,
            },
        });
        let mut locked = BTreeMap::new();
        for (name, files) in stand_ins {
            let folder = format!("/tmp/{name}");
            let mut files = files.clone();
            if *name == "nixus" {
                files.insert("packages.json".to_owned(), packages.to_string());
            }
            write_files(&self.path(&folder), &files)?;
            let (path, hash) = self.add("source", &folder)?;
            locked.insert(
                *name,
                json!({
                    "lastModified": 1, "narHash": hash, "path": path, "type": "path"
                }),
            );
        }
        let lock = lock_file(&locked);
        let mut toplevels = BTreeMap::new();
        for (folder, files) in [("/tmp/deploy", deploy), ("/tmp/git", git)] {
            let mut files = files.clone();
            files.insert("flake.lock".to_owned(), lock.clone());
            write_files(&self.path(folder), &files)?;
            let mut names: Vec<&str> = files
                .keys()
                .filter_map(|name| name.strip_prefix("hosts/")?.strip_suffix(".nix"))
                .collect();
            if names.is_empty() && folder == "/tmp/git" {
                names.push("git");
            }
            for name in names {
                let installable = format!(
                    "path:{folder}#nixosConfigurations.{name}.config.system.build.toplevel"
                );
                let path = self.nix(&["build", "--no-link", "--print-out-paths", &installable])?;
                if !path.starts_with("/nix/store/") {
                    bail!("nix build gave {path:?} for {name}");
                }
                toplevels.insert(name.to_owned(), path);
            }
        }
        Ok(Content { toplevels, lock })
    }

    /// Moves what was made into the cache, whole or not at all.
    fn keep(&self, folder: &Path, content: &Content) -> Result<()> {
        let access = self.access();
        for below in ["dev", "proc"] {
            access.must(&["umount", "--lazy", &format!("{RUN}/root/{below}")], None)?;
        }
        access.must(&["umount", &format!("{RUN}/root")], None)?;
        setup::remove_tree(&access.path(RUN).join("upper/tmp"))?;
        let new = folder.with_extension("new");
        setup::remove_tree(&new)?;
        fs::create_dir_all(&new).with_context(|| format!("cannot make {}", new.display()))?;
        let mut copy = Command::new("cp");
        copy.arg("--archive")
            .arg(access.path(RUN).join("upper"))
            .arg(new.join("layer"));
        command::must(&mut copy, None, Duration::from_secs(120))?;
        let text = serde_json::to_string_pretty(content).context("cannot describe the layer")?;
        fs::write(new.join("content.json"), text).context("cannot describe the layer")?;
        fs::rename(&new, folder).with_context(|| format!("cannot make {}", folder.display()))
    }
}

fn lock_file(locked: &BTreeMap<&str, serde_json::Value>) -> String {
    json!({
        "nodes": {
            "nixpkgs": {
                "locked": locked.get("nixpkgs"),
                "original": {
                    "owner": "NixOS", "ref": "nixos-25.11", "repo": "nixpkgs", "type": "github"
                },
            },
            "nixus": {
                "inputs": { "nixpkgs": ["nixpkgs"] },
                "locked": locked.get("nixus"),
                "original": {
                    "type": "git", "url": "ssh://git@git.example.org/srv/git/nixus.git"
                },
            },
            "root": { "inputs": { "nixpkgs": "nixpkgs", "nixus": "nixus" } },
        },
        "root": "root",
        "version": 7,
    })
    .to_string()
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
