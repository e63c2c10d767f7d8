//! Writes boot entries as nixpkgs' systemd-boot-builder.py does, for the lab's own boot loader.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// How many of the newest generations get an entry (`configurationLimit`).
const LIMIT: usize = 20;

/// A generation of the system profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    /// Its number.
    pub number: u64,
    /// Its toplevel.
    pub toplevel: PathBuf,
}

/// The file name of a generation's entry.
pub fn entry_name(number: u64) -> String {
    format!("nixos-generation-{number}.conf")
}

/// The text of a generation's entry.
pub fn entry(generation: &Generation, parameters: &str) -> String {
    let toplevel = generation.toplevel.display();
    format!(
        "title NixOS\nversion Generation {}\nlinux {toplevel}/kernel\ninitrd {toplevel}/initrd\noptions init={toplevel}/init {parameters}\n",
        generation.number
    )
}

/// Writes an entry for each of the newest generations and makes `default` the one to boot. As in
/// nixpkgs, a `default` that is in no profile leaves `loader.conf` as it was.
///
/// # Errors
/// When something cannot be read or written; the boot loader then starts what it started before.
pub fn install(boot: &Path, profiles: &Path, default: &Path) -> Result<()> {
    let entries = boot.join("loader/entries");
    fs::create_dir_all(&entries).with_context(|| format!("cannot make {}", entries.display()))?;
    let mut generations = generations(profiles)?;
    generations.sort_by_key(|generation| std::cmp::Reverse(generation.number));
    generations.truncate(LIMIT);
    for generation in &generations {
        let parameters = fs::read_to_string(generation.toplevel.join("kernel-params"))
            .with_context(|| {
                format!(
                    "cannot read {}/kernel-params",
                    generation.toplevel.display()
                )
            })?;
        write(
            &entries.join(entry_name(generation.number)),
            &entry(generation, parameters.trim()),
        )?;
    }
    // The newest of equal ones, as the builder does.
    if let Some(chosen) = generations.iter().find(|g| g.toplevel == default) {
        let text = format!("timeout 5\ndefault {}\n", entry_name(chosen.number));
        write(&boot.join("loader/loader.conf"), &text)?;
    }
    remove_stale(&entries, &generations)
}

fn remove_stale(entries: &Path, generations: &[Generation]) -> Result<()> {
    let listed =
        fs::read_dir(entries).with_context(|| format!("cannot list {}", entries.display()))?;
    for found in listed {
        let found = found.with_context(|| format!("cannot list {}", entries.display()))?;
        let known = generations
            .iter()
            .any(|generation| *found.file_name() == *entry_name(generation.number));
        if !known {
            fs::remove_file(found.path())
                .with_context(|| format!("cannot remove {}", found.path().display()))?;
        }
    }
    Ok(())
}

fn generations(profiles: &Path) -> Result<Vec<Generation>> {
    let mut found = Vec::new();
    let listed =
        fs::read_dir(profiles).with_context(|| format!("cannot list {}", profiles.display()))?;
    for link in listed {
        let link = link.with_context(|| format!("cannot list {}", profiles.display()))?;
        let name = link.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.strip_prefix("system-")?.strip_suffix("-link"))
            .and_then(|number| number.parse().ok());
        if let Some(number) = number {
            let toplevel = fs::canonicalize(link.path())
                .with_context(|| format!("cannot follow {}", link.path().display()))?;
            found.push(Generation { number, toplevel });
        }
    }
    Ok(found)
}

/// Replaces a file so that a crash leaves the old one or the new one.
fn write(path: &Path, text: &str) -> Result<()> {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    let new = path.with_extension("conf.new");
    let result = || -> io::Result<()> {
        let mut file = File::create(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        match path.parent() {
            Some(parent) => File::open(parent)?.sync_all(),
            None => Ok(()),
        }
    };
    result().with_context(|| format!("cannot write {}", path.display()))
}
