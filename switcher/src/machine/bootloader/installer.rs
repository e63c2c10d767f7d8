//! Which boot loader a system installs, and where: by its own installer, not by the files that lie there.
//!
//! `bin/switch-to-configuration` is a wrapper that sets INSTALL_BOOTLOADER (nixpkgs,
//! switchable-system.nix), a script. systemd-boot's runs a builder that has its mount points inside
//! (systemd-boot.nix, systemd-boot-builder.py), GRUB's gives a file with `bootPath` to install-grub.pl
//! (grub.nix), lanzaboote's gives its ESP to lzbt (lanzaboote.nix). Where none of these is seen, `boot.json`
//! still says whether systemd-boot's module made it.

use std::path::PathBuf;

use crate::state::bounded::read_bounded;
use crate::state::layout::Layout;

const LIMIT: u64 = 4 << 20;
/// What the modules of systemd-boot and lanzaboote add to the `boot.json` of their systems.
const OF_SYSTEMD_BOOT: [&str; 2] = ["org.nixos.systemd-boot", "org.nix-community.lanzaboote"];
/// What the installers of other boot loaders of NixOS are called.
const OTHERS: [&str; 5] = [
    "limine",
    "refind",
    "extlinux",
    "init-script",
    "generations-dir",
];
/// What lanzaboote's command ends with.
const LINKS: &str = "/nix/var/nix/profiles/system-*-link";

/// The boot loader of the system that is the profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Installer {
    /// systemd-boot, with its ESP first of these mount points, where they are known.
    SystemdBoot(Vec<PathBuf>),
    /// GRUB, with its menu below this folder.
    Grub(PathBuf),
    /// One whose files are not read.
    Other(&'static str),
    /// Another than systemd-boot, and perhaps GRUB.
    Another,
    /// It does not say.
    Unknown,
}

/// What installs the boot loader of this host.
pub fn installer(layout: &Layout) -> Installer {
    named(layout).unwrap_or_else(|| described(layout))
}

fn described(layout: &Layout) -> Installer {
    let described = layout.profiles().join("system/boot.json");
    let Ok(bytes) = read_bounded(&described, LIMIT) else {
        return Installer::Unknown;
    };
    match serde_json::from_slice::<serde_json::Value>(&bytes) {
        Ok(serde_json::Value::Object(described)) => {
            match OF_SYSTEMD_BOOT
                .iter()
                .any(|key| described.contains_key(*key))
            {
                true => Installer::SystemdBoot(Vec::new()),
                false => Installer::Another,
            }
        }
        _ => Installer::Unknown,
    }
}

fn named(layout: &Layout) -> Option<Installer> {
    let read = |path: PathBuf| {
        let bytes = read_bounded(&path, LIMIT).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    let wrapper = read(layout.profiles().join("system/bin/switch-to-configuration"))?;
    let (_, script) = wrapper.split_once("INSTALL_BOOTLOADER=")?;
    let script = words(script).next()?;
    if let Some(other) = OTHERS.iter().find(|other| script.contains(**other)) {
        return Some(Installer::Other(other));
    }
    let script = read(layout.at(script))?;
    let all: Vec<&str> = words(&script).collect();
    let after = |end: &str| {
        let at = all.iter().position(|word| word.ends_with(end))?;
        Some((*all.get(at)?, all.get(at + 1).copied()))
    };
    if let Some((builder, _)) = after("/bin/systemd-boot") {
        let builder = read(layout.at(builder))?;
        let set = |name: &str| {
            let line = builder.lines().find_map(|line| line.strip_prefix(name))?;
            let (_, value) = line.split_once('"')?;
            let (path, _) = value.split_once('"')?;
            path.starts_with('/').then(|| layout.at(path))
        };
        let points = [set("EFI_SYS_MOUNT_POINT ="), set("BOOT_MOUNT_POINT =")];
        let mut points: Vec<PathBuf> = points.into_iter().flatten().collect();
        points.dedup();
        return Some(Installer::SystemdBoot(points));
    }
    if let Some((_, Some(written))) = after("install-grub.pl") {
        let written = read(layout.at(written))?;
        let (_, value) = written.split_once("name=\"bootPath\"")?;
        let (_, value) = value.split_once("value=\"")?;
        let (path, _) = value.split_once('"')?;
        return Some(Installer::Grub(layout.at(path)));
    }
    let links = all.iter().position(|word| *word == LINKS)?;
    let esp = all.get(links.checked_sub(1)?)?;
    let points = esp.starts_with('/').then(|| layout.at(esp));
    Some(Installer::SystemdBoot(points.into_iter().collect()))
}

/// Words of a shell's line, without their quotes: store paths and mount points have none inside.
fn words(script: &str) -> impl Iterator<Item = &str> {
    let words = script.split_whitespace();
    words.map(|word| word.trim_matches(['\'', '"']))
}
