//! The hosts' Debian with its Nix, not booted, in namespaces of its own: for evaluations and builds.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::command;
use crate::namespace::{Access, Namespace, RUN};
use crate::setup::{self, Machine};

const NIX_CONFIG: &str = "experimental-features = nix-command flakes\nsandbox = false\nsubstituters =\nbuild-users-group =\n";

/// The home of programs inside.
pub const HOME: &str = "/tmp/home";
const COPY: Duration = Duration::from_secs(300);
/// How long one call of Nix may take.
const BUILD: Duration = Duration::from_secs(900);

/// A folder in the Nix store.
#[derive(Debug, Clone, Hash, Serialize, Deserialize)]
pub struct Source {
    /// Its store path.
    pub path: String,
    /// Its hash, as `flake.lock` has it.
    pub hash: String,
}

#[derive(Deserialize)]
struct PathInfo {
    #[serde(rename = "narHash")]
    hash: String,
}

/// The root; what is written into it is gone with it.
#[derive(Debug)]
pub struct NixRoot {
    namespace: Namespace,
}

impl NixRoot {
    /// Makes one.
    ///
    /// # Errors
    /// When the kernel refuses a mount or a namespace.
    pub fn new(machine: &Machine) -> Result<Self> {
        Self::over(&[&machine.root])
    }

    /// The same over these layers, the topmost first.
    ///
    /// # Errors
    /// Those of [`NixRoot::new`].
    pub fn over(layers: &[&Path]) -> Result<Self> {
        let made = Self {
            namespace: Namespace::create()?,
        };
        let access = made.access();
        for folder in ["upper", "work", "root"] {
            let path = access.path(RUN).join(folder);
            fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        }
        let layers: Vec<String> = layers.iter().map(|l| l.display().to_string()).collect();
        let options = format!(
            "lowerdir={},upperdir={RUN}/upper,workdir={RUN}/work",
            layers.join(":")
        );
        let root = format!("{RUN}/root");
        access.must(
            &["mount", "-t", "overlay", "overlay", "-o", &options, &root],
            None,
        )?;
        access.must(
            &["mount", "-t", "proc", "proc", &format!("{root}/proc")],
            None,
        )?;
        access.must(&["mount", "--rbind", "/dev", &format!("{root}/dev")], None)?;
        Ok(made)
    }

    /// The way into its namespaces.
    pub fn access(&self) -> &Access {
        self.namespace.access()
    }

    /// A path inside, as this process reaches it.
    pub fn path(&self, inside: &str) -> PathBuf {
        self.access()
            .path(RUN)
            .join("root")
            .join(inside.trim_start_matches('/'))
    }

    /// Shows a folder of the machine inside, to be read only.
    ///
    /// # Errors
    /// When it cannot be mounted.
    pub fn bind(&self, folder: &Path, inside: &str) -> Result<()> {
        let folder = fs::canonicalize(folder)
            .with_context(|| format!("there is no {}", folder.display()))?;
        let at = self.path(inside);
        fs::create_dir_all(&at).with_context(|| format!("cannot make {}", at.display()))?;
        let target = format!("{RUN}/root{inside}");
        let folder = folder.to_string_lossy();
        let access = self.access();
        access.must(&["mount", "--bind", &folder, &target], None)?;
        let options = "remount,bind,ro";
        access.must(&["mount", "-o", options, &target], None)?;
        Ok(())
    }

    /// Runs a script of the shell outside, with the path of the root as its argument.
    ///
    /// # Errors
    /// What it said when it failed.
    pub fn change(&self, script: &str, more: &[&str]) -> Result<()> {
        let root = format!("{RUN}/root");
        let words = [&["sh", "-eu", "-c", script, "change", &root], more].concat();
        self.access().must(&words, None).map(drop)
    }

    /// Moves what was written into a layer of its own; whole or not at all. `describe` adds to the folder,
    /// in which the layer is called `layer`.
    ///
    /// # Errors
    /// When it cannot be copied.
    pub fn keep(&self, folder: &Path, describe: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let access = self.access();
        let root = format!("{RUN}/root");
        access.must(&["umount", "--lazy", "--recursive", &root], None)?;
        setup::remove_tree(&access.path(RUN).join("upper/tmp"))?;
        let new = folder.with_extension("new");
        setup::remove_tree(&new)?;
        fs::create_dir_all(&new).with_context(|| format!("cannot make {}", new.display()))?;
        let mut copy = Command::new("cp");
        copy.arg("--archive")
            .arg(access.path(RUN).join("upper"))
            .arg(new.join("layer"));
        command::must(&mut copy, None, COPY)?;
        describe(&new)?;
        fs::rename(&new, folder).with_context(|| format!("cannot make {}", folder.display()))
    }

    /// Runs Nix inside; gives what it printed.
    ///
    /// # Errors
    /// What it said when it failed.
    pub fn nix(&self, arguments: &[&str]) -> Result<String> {
        let mut command = self.command(&[&["nix"], arguments].concat());
        let said = command::must(&mut command, None, BUILD)?;
        Ok(said.trim().to_owned())
    }

    /// Adds a folder inside to the store, for good.
    ///
    /// # Errors
    /// When Nix refuses it.
    pub fn add(&self, name: &str, folder: &str) -> Result<Source> {
        let path = self.nix(&["store", "add-path", "--name", name, folder])?;
        self.root(&path)?;
        // Nix has it from adding the path.
        let said = self.nix(&["path-info", "--json", &path])?;
        let said: BTreeMap<String, PathInfo> = serde_json::from_str(&said)
            .with_context(|| format!("cannot understand nix path-info of {path}"))?;
        let known = said.into_values().next();
        let hash = known.with_context(|| format!("{path} is not valid"))?.hash;
        Ok(Source { path, hash })
    }

    /// Keeps a store path from being collected.
    ///
    /// # Errors
    /// When the link cannot be made.
    pub fn root(&self, path: &str) -> Result<()> {
        let name = path.rsplit('/').next().unwrap_or(path);
        let link = self.path(&format!("/nix/var/nix/gcroots/lab-{name}"));
        let _ = fs::remove_file(&link);
        std::os::unix::fs::symlink(path, &link).with_context(|| format!("cannot root {path}"))
    }

    /// A program inside, with Nix configured to use neither network nor sandbox.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.access().command("chroot");
        command
            .arg(format!("{RUN}/root"))
            .args(arguments)
            .env("HOME", HOME)
            .env("NIX_CONFIG", NIX_CONFIG);
        command
    }
}
