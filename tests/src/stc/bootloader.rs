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
    /// Its profile, where that is not `system`.
    pub profile: Option<String>,
}

impl Generation {
    /// The file name of its entry.
    fn entry_name(&self) -> String {
        match &self.profile {
            None => entry_name(self.number),
            Some(profile) => format!("nixos-{profile}-generation-{}.conf", self.number),
        }
    }
}

/// The file name of a generation's entry.
pub fn entry_name(number: u64) -> String {
    format!("nixos-generation-{number}.conf")
}

/// The text of a generation's entry.
fn entry(generation: &Generation, kernel: &str, initrd: &str, parameters: &str) -> String {
    let toplevel = generation.toplevel.display();
    format!(
        "title NixOS\nversion Generation {}\nlinux {kernel}\ninitrd {initrd}\noptions init={toplevel}/init {parameters}\n",
        generation.number
    )
}

/// Copies a file of a generation to where the firmware can read it, unless it is there; gives its
/// path on that file system.
fn provide(boot: &Path, file: &Path) -> Result<String> {
    let from =
        fs::canonicalize(file).with_context(|| format!("cannot follow {}", file.display()))?;
    let name: Vec<_> = from
        .strip_prefix("/nix/store")
        .unwrap_or(&from)
        .components()
        .filter_map(|part| part.as_os_str().to_str())
        .filter(|part| *part != "/")
        .collect();
    let path = format!("/EFI/nixos/{}.efi", name.join("-"));
    let to = boot.join(path.trim_start_matches('/'));
    if !to.exists() {
        let bytes = fs::read(&from).with_context(|| format!("cannot read {}", from.display()))?;
        replace(&to, &bytes)?;
    }
    Ok(path)
}

/// Writes an entry for each of the newest generations and makes `default` the one to boot. As in
/// nixpkgs, a `default` that is in no profile leaves `loader.conf` as it was.
///
/// # Errors
/// When something cannot be read or written; the boot loader then starts what it started before.
pub fn install(boot: &Path, profiles: &Path, default: &Path) -> Result<()> {
    let entries = boot.join("loader/entries");
    let files = boot.join("EFI/nixos");
    for folder in [&entries, &files] {
        fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let mut generations = newest(generations(profiles, "system")?);
    for profile in system_profiles(profiles)? {
        generations.extend(newest(self::generations(
            &profiles.join("system-profiles"),
            &profile,
        )?));
    }
    let mut known = Vec::new();
    for generation in &generations {
        let kernel = provide(boot, &generation.toplevel.join("kernel"))?;
        let initrd = provide(boot, &generation.toplevel.join("initrd"))?;
        let parameters = fs::read_to_string(generation.toplevel.join("kernel-params"))
            .with_context(|| {
                format!(
                    "cannot read {}/kernel-params",
                    generation.toplevel.display()
                )
            })?;
        write(
            &entries.join(generation.entry_name()),
            &entry(generation, &kernel, &initrd, parameters.trim()),
        )?;
        known.extend([generation.entry_name(), kernel, initrd]);
    }
    // The newest of equal ones, as the builder does.
    if let Some(chosen) = generations.iter().find(|g| g.toplevel == default) {
        let text = format!("timeout 0\ndefault {}\n", chosen.entry_name());
        // As nixpkgs' builder, which opens this file so that it must not be there (`write_loader_conf`).
        let new = boot.join("loader/loader.tmp");
        drop(File::create_new(&new).with_context(|| format!("cannot make {}", new.display()))?);
        fs::remove_file(&new).with_context(|| format!("cannot remove {}", new.display()))?;
        write(&boot.join("loader/loader.conf"), &text)?;
    }
    remove_stale(&entries, &known)?;
    remove_stale(&files, &known)
}

/// Removes the files of a folder that no generation needs; `known` are names, or paths that end
/// with them.
fn remove_stale(folder: &Path, known: &[String]) -> Result<()> {
    let listed =
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    for found in listed {
        let found = found.with_context(|| format!("cannot list {}", folder.display()))?;
        let name = found.file_name();
        let is_known = known
            .iter()
            .any(|path| Path::new(path).file_name() == Some(&name));
        if !is_known {
            fs::remove_file(found.path())
                .with_context(|| format!("cannot remove {}", found.path().display()))?;
        }
    }
    Ok(())
}

/// The newest generations of one profile.
fn newest(mut generations: Vec<Generation>) -> Vec<Generation> {
    generations.sort_by_key(|generation| std::cmp::Reverse(generation.number));
    generations.truncate(LIMIT);
    generations
}

/// The profiles beside `system` (nixpkgs, systemd-boot-builder.py, `get_profiles`).
fn system_profiles(profiles: &Path) -> Result<Vec<String>> {
    let folder = profiles.join("system-profiles");
    let listed = match fs::read_dir(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listed => listed.with_context(|| format!("cannot list {}", folder.display()))?,
    };
    let mut names = Vec::new();
    for link in listed {
        let link = link.with_context(|| format!("cannot list {}", folder.display()))?;
        names.extend(link.file_name().into_string().ok());
    }
    names.retain(|name| !name.ends_with("-link"));
    names.sort();
    Ok(names)
}

fn generations(profiles: &Path, profile: &str) -> Result<Vec<Generation>> {
    let mut found = Vec::new();
    let listed =
        fs::read_dir(profiles).with_context(|| format!("cannot list {}", profiles.display()))?;
    for link in listed {
        let link = link.with_context(|| format!("cannot list {}", profiles.display()))?;
        let name = link.file_name();
        let number = name
            .to_str()
            .and_then(|name| {
                name.strip_prefix(profile)?
                    .strip_prefix('-')?
                    .strip_suffix("-link")
            })
            .and_then(|number| number.parse().ok());
        if let Some(number) = number {
            let toplevel = fs::canonicalize(link.path())
                .with_context(|| format!("cannot follow {}", link.path().display()))?;
            let profile = (profile != "system").then(|| profile.to_owned());
            found.push(Generation {
                number,
                toplevel,
                profile,
            });
        }
    }
    Ok(found)
}

fn write(path: &Path, text: &str) -> Result<()> {
    if fs::read_to_string(path).is_ok_and(|old| old == text) {
        return Ok(());
    }
    replace(path, text.as_bytes())
}

/// Replaces a file so that a crash leaves the old one or the new one.
fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    let result = || -> io::Result<()> {
        let mut file = File::create(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        match path.parent() {
            Some(parent) => File::open(parent)?.sync_all(),
            None => Ok(()),
        }
    };
    // What a full disk left of it would take the room of the next try.
    result()
        .inspect_err(|_| drop(fs::remove_file(&new)))
        .with_context(|| format!("cannot write {}", path.display()))
}
