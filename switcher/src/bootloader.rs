//! What the boot loader starts by default, read back from its files.
//!
//! systemd-boot: `loader/loader.conf` names an entry (Boot Loader Specification), whose file may count
//! boots in its name; GRUB: the first entry of `grub/grub.cfg`, as NixOS writes it (nixpkgs,
//! install-grub.pl). Either names the system by `init=<toplevel>/init`.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::disk::read_bounded;
use crate::layout::Layout;
use crate::protocol::Toplevel;
use crate::system::BootDefault;

const LIMIT: u64 = 4 << 20;
/// Where an EFI system partition, or the one beside it with the entries (XBOOTLDR), may be mounted.
const PARTITIONS: [&str; 3] = ["/boot", "/efi", "/boot/efi"];
const GRUB: &str = "/boot/grub/grub.cfg";
/// systemd-boot, and what it says of itself in its file (systemd, bootctl-util.c).
const LOADER: &str = "EFI/systemd/systemd-bootx64.efi";
const VERSION: &[u8] = b"#### LoaderInfo: systemd-boot ";
/// The first that knows `preferred`, which passes over an entry that has no tries left.
const KNOWS_PREFERRED: u32 = 260;
/// What nixpkgs' module of systemd-boot adds to the `boot.json` of its systems.
const OF_SYSTEMD_BOOT: &str = "org.nixos.systemd-boot";

/// Reads what the boot loader of this host starts.
pub fn default(layout: &Layout) -> BootDefault {
    let grub_first = installs_another(layout) && layout.at(GRUB).exists();
    for dir in PARTITIONS.iter().filter(|_| !grub_first) {
        let dir = layout.at(dir);
        let conf = dir.join("loader/loader.conf");
        match read_bounded(&conf, LIMIT) {
            Ok(bytes) => return systemd_boot(layout, &dir, &String::from_utf8_lossy(&bytes)),
            Err(error) if is_absent(&error) => {}
            Err(error) => return BootDefault::Broken(format!("{}: {error}", conf.display())),
        }
    }
    let conf = layout.at(GRUB);
    match read_bounded(&conf, LIMIT) {
        Ok(bytes) => grub(&String::from_utf8_lossy(&bytes)),
        Err(error) if is_absent(&error) => BootDefault::Unknown,
        Err(error) => BootDefault::Broken(format!("{}: {error}", conf.display())),
    }
}

/// Whether the system that is the profile says of its boot loader that it is none of systemd-boot's: a
/// `loader.conf` is left over then.
fn installs_another(layout: &Layout) -> bool {
    let described = layout.profiles().join("system/boot.json");
    let Ok(bytes) = read_bounded(&described, LIMIT) else {
        return false;
    };
    serde_json::from_slice::<serde_json::Value>(&bytes)
        .is_ok_and(|described| described.is_object() && described.get(OF_SYSTEMD_BOOT).is_none())
}

fn is_absent(error: &std::io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

fn systemd_boot(layout: &Layout, esp: &Path, conf: &str) -> BootDefault {
    let value = |key: &str| {
        conf.lines().find_map(|line| {
            let (name, value) = line.trim().split_once(char::is_whitespace)?;
            (name == key).then(|| value.trim().to_owned())
        })
    };
    // Where boots are counted, nixpkgs' builder writes `preferred <entry>` beside a pattern as default.
    let preferred = value("preferred").filter(|_| knows_preferred(esp));
    let Some(id) = preferred.or_else(|| value("default")) else {
        return BootDefault::Unknown;
    };
    if id.contains(['*', '?', '[', '/', '@']) {
        return BootDefault::Unknown;
    }
    let partitions = std::iter::once(esp.to_owned()).chain(PARTITIONS.map(|dir| layout.at(dir)));
    let folders = partitions.map(|dir| dir.join("loader/entries"));
    let Some(entry) = folders.into_iter().find_map(|dir| entry(&dir, &id)) else {
        let named = esp.join("loader/loader.conf");
        return BootDefault::Broken(format!(
            "{} names the entry {id}, which is not there",
            named.display()
        ));
    };
    if entry.tries_left == Some(0) {
        let path = entry.path.display();
        return BootDefault::Broken(format!("{path}: it has no tries left"));
    }
    let entry = entry.path;
    match read_bounded(&entry, LIMIT) {
        Err(error) => BootDefault::Broken(format!("{}: {error}", entry.display())),
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes);
            let options = text
                .lines()
                .filter_map(|line| line.trim().strip_prefix("options"))
                .collect::<Vec<_>>()
                .join(" ");
            match init_of(&options) {
                Some(toplevel) => BootDefault::System(toplevel),
                None => BootDefault::Broken(format!("{}: names no system", entry.display())),
            }
        }
    }
}

/// Whether the loader on this partition knows `preferred`, as far as it says what it is.
fn knows_preferred(esp: &Path) -> bool {
    let Ok(bytes) = read_bounded(&esp.join(LOADER), LIMIT) else {
        return true;
    };
    let at = bytes
        .windows(VERSION.len())
        .position(|text| text == VERSION);
    let version = at.and_then(|at| {
        let digits = bytes.get(at + VERSION.len()..)?;
        let end = digits.iter().position(|byte| !byte.is_ascii_digit())?;
        std::str::from_utf8(digits.get(..end)?).ok()?.parse().ok()
    });
    version.is_none_or(|version: u32| version >= KNOWS_PREFERRED)
}

/// The file of an entry.
struct Entry {
    path: PathBuf,
    /// Where boots are counted.
    tries_left: Option<u32>,
}

/// The file of this entry, in whose name systemd-boot counts boots: `id+LEFT-DONE.conf`.
fn entry(dir: &Path, id: &str) -> Option<Entry> {
    let id = id.strip_suffix(".conf").unwrap_or(id);
    let plain = dir.join(format!("{id}.conf"));
    if plain.exists() {
        return Some(Entry {
            path: plain,
            tries_left: None,
        });
    }
    let names = std::fs::read_dir(dir).ok()?.flatten();
    names.into_iter().find_map(|found| {
        let name = found.file_name().into_string().ok()?;
        let counters = name
            .strip_suffix(".conf")?
            .strip_prefix(id)?
            .strip_prefix('+')?;
        let (left, done) = counters.split_once('-').unwrap_or((counters, "0"));
        done.parse::<u32>().ok()?;
        Some(Entry {
            path: found.path(),
            tries_left: Some(left.parse().ok()?),
        })
    })
}

fn grub(conf: &str) -> BootDefault {
    let Some(start) = conf.find("menuentry ") else {
        return BootDefault::Broken("grub.cfg has no entry".to_owned());
    };
    // `default=saved` or a number other than 0 starts another entry than the first. `next_entry` is
    // grub-reboot's, for one boot only.
    let default = conf
        .lines()
        .filter_map(|line| line.trim().strip_prefix("set default="))
        .map(|value| value.trim_matches('"'))
        .find(|value| *value != "0" && *value != "${next_entry}");
    if default.is_some() {
        return BootDefault::Unknown;
    }
    let rest = &conf[start..];
    let first = rest
        .match_indices("menuentry ")
        .nth(1)
        .map_or(rest, |(end, _)| &rest[..end]);
    match init_of(first) {
        Some(toplevel) => BootDefault::System(toplevel),
        None => BootDefault::Broken("the first entry of grub.cfg names no system".to_owned()),
    }
}

/// The system of the first `init=<toplevel>/init`.
fn init_of(text: &str) -> Option<Toplevel> {
    let path = text
        .split_whitespace()
        .find_map(|word| word.strip_prefix("init="))?
        .strip_suffix("/init")?;
    Toplevel::try_from(PathBuf::from(path)).ok()
}

#[cfg(test)]
#[path = "bootloader_tests.rs"]
mod tests;
