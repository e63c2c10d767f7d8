//! Where nixpkgs comes from, and its way into the hosts' store.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, anyhow, bail};
use serde::Deserialize;

use crate::command;
use crate::fleet;
use crate::setup::{self, Machine};

/// Names a folder or an archive of nixpkgs.
pub const VARIABLE: &str = "NIXPKGS";
/// Its name in the lab's cache.
pub const CACHED: &str = "nixpkgs";
/// What shows that a folder is all of nixpkgs.
const MODULES: &str = "nixos/modules/module-list.nix";
const LIMIT: Duration = Duration::from_secs(600);

/// A nixpkgs that is somewhere.
#[derive(Debug, Clone, Hash)]
pub struct Origin {
    path: PathBuf,
    archive: bool,
    changed: Option<SystemTime>,
}

static NAMED: OnceLock<PathBuf> = OnceLock::new();

/// From now on nixpkgs is this folder or archive, whatever else there is.
pub fn take_nixpkgs_from(path: PathBuf) {
    // Whoever named one first is asked first.
    let _ = NAMED.set(path);
}

/// Why there are no NixOS hosts on this machine; nothing where there are.
pub fn missing(machine: &Machine) -> Option<String> {
    find(machine).err().map(|error| format!("{error:#}"))
}

/// Looks for nixpkgs, once: what was named, `$NIXPKGS`, the lab's cache, the network through the machine's own
/// Nix.
///
/// # Errors
/// One sentence that says where it is looked for.
pub fn find(machine: &Machine) -> Result<Origin> {
    static FOUND: OnceLock<Result<Origin, String>> = OnceLock::new();
    let found = FOUND.get_or_init(|| look(machine).map_err(|error| format!("{error:#}")));
    found.clone().map_err(|why| anyhow!(why))
}

fn look(machine: &Machine) -> Result<Origin> {
    if let Some(path) = NAMED.get() {
        return Origin::of(path);
    }
    if let Some(path) = env::var_os(VARIABLE).filter(|path| !path.is_empty()) {
        return Origin::of(Path::new(&path))
            .with_context(|| format!("${VARIABLE} names no nixpkgs"));
    }
    let cached = machine.cache.join(CACHED);
    // nixpkgs' library alone may be there as well.
    if cached.join(MODULES).exists() {
        return Origin::of(&cached);
    }
    match fetched() {
        Ok(path) => Origin::of(&path),
        Err(error) => bail!(
            "there is no nixpkgs: set ${VARIABLE} to a folder or an archive of it, or put a folder at {} ({error:#})",
            cached.display()
        ),
    }
}

impl Origin {
    fn of(path: &Path) -> Result<Self> {
        let path =
            fs::canonicalize(path).with_context(|| format!("there is no {}", path.display()))?;
        let archive = path.is_file();
        if !archive && !path.join(MODULES).exists() {
            bail!("{} is not nixpkgs: it has no nixos/modules", path.display());
        }
        let changed = fs::metadata(&path).and_then(|found| found.modified()).ok();
        Ok(Self {
            path,
            archive,
            changed,
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Prefetched {
    store_path: PathBuf,
}

/// The revision that the template pins, by the machine's own Nix.
fn fetched() -> Result<PathBuf> {
    let lock: serde_json::Value =
        serde_json::from_str(&fleet::read(&fleet::template().join("../flake.lock"))?)
            .context("cannot understand flake.lock")?;
    let revision = lock
        .pointer("/nodes/nixpkgs/locked/rev")
        .and_then(serde_json::Value::as_str)
        .context("flake.lock names no revision of nixpkgs")?;
    let mut nix = Command::new("nix");
    nix.args([
        "--extra-experimental-features",
        "nix-command flakes",
        "flake",
        "prefetch",
        "--json",
    ])
    .arg(format!("github:NixOS/nixpkgs/{revision}"));
    let text = command::must(&mut nix, None, LIMIT)?;
    let found: Prefetched =
        serde_json::from_str(&text).context("cannot understand what nix flake prefetch printed")?;
    Ok(found.store_path)
}

/// Adds it to the Nix store of a root, as a layer of its own at `folder`.
///
/// # Errors
/// When it cannot be unpacked or copied.
pub fn add(origin: &Origin, debian: &Path, folder: &Path) -> Result<()> {
    let unpacked = folder.with_extension("unpacked");
    setup::remove_tree(&unpacked)?;
    let from = if origin.archive {
        setup::install(&[("zstd", "zstd")])?;
        fs::create_dir_all(&unpacked)
            .with_context(|| format!("cannot make {}", unpacked.display()))?;
        let mut tar = Command::new("tar");
        tar.args(["--extract", "--no-same-owner", "--file"])
            .arg(&origin.path)
            .arg("--directory")
            .arg(&unpacked);
        command::must(&mut tar, None, LIMIT)?;
        top(&unpacked)?
    } else {
        origin.path.clone()
    };
    let root = super::root(&[debian])?;
    root.bind(&from, "/tmp/source")?;
    // flake.lock's name for each input.
    let source = root.add("source", "/tmp/source")?;
    root.change("umount \"$1/tmp/source\"", &[])?;
    root.keep(folder, |new| {
        let text = serde_json::to_string_pretty(&source).context("cannot describe nixpkgs")?;
        fs::write(new.join("source.json"), text).context("cannot describe nixpkgs")
    })?;
    setup::remove_tree(&unpacked)
}

/// The folder that is nixpkgs: an archive may have one folder around everything.
fn top(unpacked: &Path) -> Result<PathBuf> {
    let marked = |folder: &Path| folder.join(MODULES).exists();
    if marked(unpacked) {
        return Ok(unpacked.to_owned());
    }
    let listed =
        fs::read_dir(unpacked).with_context(|| format!("cannot list {}", unpacked.display()))?;
    listed
        .flatten()
        .map(|found| found.path())
        .find(|folder| marked(folder))
        .context("the archive is not nixpkgs: it has no nixos/modules")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_nixpkgs_is_refused_in_one_sentence() {
        let folder = tempfile::tempdir().unwrap();
        let refused = |path: &Path| format!("{:#}", Origin::of(path).unwrap_err());
        let nowhere = folder.path().join("nowhere");
        assert!(refused(&nowhere).starts_with(&format!("there is no {}", nowhere.display())));
        assert!(refused(folder.path()).ends_with("is not nixpkgs: it has no nixos/modules"));
        fs::create_dir_all(folder.path().join("nixos/modules")).unwrap();
        fs::write(folder.path().join(MODULES), "[ ]").unwrap();
        assert!(!Origin::of(folder.path()).unwrap().archive);
        let archive = folder.path().join("nixpkgs.tar.zst");
        fs::write(&archive, "").unwrap();
        assert!(Origin::of(&archive).unwrap().archive);
    }

    #[test]
    fn an_archive_may_have_a_folder_around_everything() {
        let folder = tempfile::tempdir().unwrap();
        assert!(top(folder.path()).is_err());
        let inner = folder.path().join("nixpkgs-26.05");
        fs::create_dir_all(inner.join("nixos/modules")).unwrap();
        fs::write(inner.join(MODULES), "[ ]").unwrap();
        assert_eq!(top(folder.path()).unwrap(), inner);
        assert_eq!(top(&inner).unwrap(), inner);
    }
}
