//! The hosts' Debian with its Nix, not booted, in namespaces of its own: for evaluations and builds.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::namespace::{Access, Namespace, RUN};
use crate::setup::Machine;

const NIX_CONFIG: &str = "experimental-features = nix-command flakes\nsandbox = false\nsubstituters =\nbuild-users-group =\n";

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
        let made = Self {
            namespace: Namespace::create()?,
        };
        let access = made.access();
        for folder in ["upper", "work", "root"] {
            let path = access.path(RUN).join(folder);
            fs::create_dir(&path).with_context(|| format!("cannot make {}", path.display()))?;
        }
        let options = format!(
            "lowerdir={},upperdir={RUN}/upper,workdir={RUN}/work",
            machine.root.display()
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

    /// A program inside, with Nix configured to use neither network nor sandbox.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.access().command("chroot");
        command
            .arg(format!("{RUN}/root"))
            .args(arguments)
            .env("HOME", "/tmp/home")
            .env("NIX_CONFIG", NIX_CONFIG);
        command
    }
}
