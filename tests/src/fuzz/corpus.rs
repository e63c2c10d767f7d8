//! The inputs that are kept: a folder for each target, a file for each input.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// Longer inputs are not added: they show seldom more than shorter ones, and all are in the repository.
const LONGEST: usize = 2048;
/// So many files of a target are added to at most.
const MOST: usize = 100;

/// Where the inputs of a target are.
pub fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz")
        .join(target)
}

/// The targets that have a folder.
///
/// # Errors
/// It cannot be listed.
pub fn folders() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder("")).context("cannot list the corpus")? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(names)
}

/// The inputs of a target, in the order of their names.
///
/// # Errors
/// One cannot be read.
pub fn read(target: &str) -> Result<Vec<(PathBuf, Vec<u8>)>> {
    let folder = folder(target);
    let mut files = Vec::new();
    for entry in
        fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?
    {
        let path = entry?.path();
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        files.push((path, bytes));
    }
    files.sort();
    Ok(files)
}

/// Adds an input that reaches what no other does, where there is room for it; whether there was.
///
/// # Errors
/// It cannot be written.
pub fn add(target: &str, bytes: &[u8]) -> Result<bool> {
    if bytes.len() > LONGEST || read(target)?.len() >= MOST {
        return Ok(false);
    }
    write(&folder(target), bytes).map(|_| true)
}

/// Keeps an input that broke a target outside the corpus, until the target is mended.
///
/// # Errors
/// It cannot be written.
pub fn add_broken(target: &str, bytes: &[u8]) -> Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../target/fuzz")
        .join(target);
    write(&folder, bytes)
}

fn write(folder: &Path, bytes: &[u8]) -> Result<PathBuf> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let path = folder.join(nixus_switcher::state::journal::checksum(bytes));
    fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}
