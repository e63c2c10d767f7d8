//! SSH keys of a lab. They are made once for this machine, so that systems that name them can be
//! cached; they open nothing outside a lab's own network.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::command;
use crate::setup::{self, Machine, PATH};

/// A key pair in two files.
#[derive(Debug, Clone)]
pub struct Key {
    /// The private key's file.
    pub path: PathBuf,
    /// The public key: type and base64, without a comment.
    pub public: String,
}

/// The key of that name, made if it is not there yet.
///
/// # Errors
/// When `ssh-keygen` fails.
pub fn key(machine: &Machine, name: &str) -> Result<Key> {
    let folder = machine.cache.join("keys");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let _lock = setup::lock(&folder.join("lock"))?;
    let path = folder.join(name);
    if !path.with_extension("pub").exists() {
        make(&path)?;
    }
    let public = fs::read_to_string(path.with_extension("pub"))
        .with_context(|| format!("cannot read {}.pub", path.display()))?;
    let words: Vec<&str> = public.split_whitespace().take(2).collect();
    Ok(Key {
        path,
        public: words.join(" "),
    })
}

/// A new key that nobody knows, in a folder of the caller's.
///
/// # Errors
/// When `ssh-keygen` fails.
pub fn make(path: &Path) -> Result<()> {
    let mut command = Command::new("ssh-keygen");
    command
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"])
        .arg(path)
        .env("PATH", PATH);
    command::must(&mut command, Some(b"y\n"), Duration::from_secs(20))?;
    Ok(())
}
