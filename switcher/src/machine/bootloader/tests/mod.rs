//! Boot loaders as their real installers leave them.
//!
//! Entries and `loader.conf` of systemd-boot are what nixpkgs' own builder wrote (`boot_file` and
//! `write_loader_conf` of systemd-boot-builder.py of 26.11pre, 2026-07, run on a folder with bootspecs of two
//! generations and a specialisation), but for names and systems that say what is meant. GRUB's menu is put together
//! from the lines of install-grub.pl that set a default and of its `addEntry`; it needs Perl's libraries and
//! a boot partition. Images are as lanzaboote makes them, whose builder signs: `.osrel` as os_release.rs,
//! `.cmdline` as install.rs.

use std::fs;
use std::path::PathBuf;

use super::default;
use crate::machine::system::{BootDefault, Pin};
use crate::protocol::Toplevel;
use crate::state::layout::Layout;

mod grub;
mod images;
mod installer;
mod systemd_boot;
mod variables;

pub(super) const A: &str = "/nix/store/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-nixos-system-web1";
pub(super) const B: &str = "/nix/store/bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb-nixos-system-web1";
/// A specialisation of either.
pub(super) const S: &str = "/nix/store/cccccccccccccccccccccccccccccccc-nixos-system-web1";
pub(super) const VENDOR: &str = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";

/// A host with these files.
#[derive(Default)]
pub(super) struct Files(Vec<(String, Vec<u8>)>);

impl Files {
    pub(super) fn with(mut self, path: &str, text: impl Into<Vec<u8>>) -> Self {
        self.0.push((path.to_owned(), text.into()));
        self
    }

    /// An entry as nixpkgs' builder writes it.
    pub(super) fn entry(self, path: &str, system: &str, generation: u64) -> Self {
        self.with(path, format!(
            "title NixOS\nversion Generation {generation} NixOS 26.11, built on 2026-11-30\nlinux /EFI/nixos/k-bzImage.efi\ninitrd /EFI/nixos/i-initrd.efi\noptions init={system}/init loglevel=4\nmachine-id 0123456789abcdef0123456789abcdef\nsort-key nixos"
        ))
    }

    pub(super) fn variable(self, name: &str, value: &str) -> Self {
        let mut bytes = vec![7, 0, 0, 0];
        let units = value.encode_utf16().chain([0]);
        bytes.extend(units.flat_map(u16::to_le_bytes));
        self.with(&format!("sys/firmware/efi/efivars/{name}-{VENDOR}"), bytes)
    }

    pub(super) fn write(&self) -> (tempfile::TempDir, Layout) {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in &self.0 {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let layout = Layout::below(dir.path());
        (dir, layout)
    }

    pub(super) fn read_back(&self) -> BootDefault {
        let (_dir, layout) = self.write();
        default(&layout)
    }

    /// What is started; of what is broken or unknown only that it is.
    pub(super) fn starts(&self, expected: &BootDefault) {
        let found = self.read_back();
        match (&found, expected) {
            (BootDefault::Broken(_), BootDefault::Broken(_))
            | (BootDefault::Unknown(_), BootDefault::Unknown(_)) => {}
            _ => assert_eq!(&found, expected),
        }
    }

    pub(super) fn pin(&self) -> Pin {
        match self.read_back() {
            BootDefault::Pinned(pin) => pin,
            other => panic!("not pinned: {other:?}"),
        }
    }
}

pub(super) fn toplevel(path: &str) -> Toplevel {
    Toplevel::try_from(PathBuf::from(path)).unwrap()
}

pub(super) fn on(path: &str) -> BootDefault {
    BootDefault::System(toplevel(path))
}

pub(super) fn broken() -> BootDefault {
    BootDefault::Broken(String::new())
}

pub(super) fn unknown() -> BootDefault {
    BootDefault::Unknown(String::new())
}

/// Generations 4, of A, and 5, of B.
pub(super) fn two(conf: &str) -> Files {
    Files::default()
        .with("boot/loader/loader.conf", conf)
        .entry("boot/loader/entries/nixos-generation-4.conf", A, 4)
        .entry("boot/loader/entries/nixos-generation-5.conf", B, 5)
}

/// With a `loader.conf` as nixpkgs' builder writes it where boots are counted, an entry in this file, and
/// these files.
pub(super) fn counting(entry: &str) -> Files {
    Files::default()
        .with(
            "boot/loader/loader.conf",
            "timeout 5\npreferred nixos-4f.conf\ndefault nixos-*\n",
        )
        .entry(entry, A, 4)
}

/// As install-grub.pl writes it, with this default.
pub(super) fn grub_cfg(default: &str) -> String {
    let entry = |title: &str, system: &str| {
        format!(
            "menuentry \"{title}\" --class nixos {{\nsearch --set=drive1 --fs-uuid 1234-ABCD\n  linux ($drive1)//kernels/k-bzImage init={system}/init loglevel=4\n  initrd ($drive1)//kernels/i-initrd\n}}\n\n"
        )
    };
    format!(
        "# Automatically generated.\nif [ \"${{next_entry}}\" ]; then\n  set default=\"${{next_entry}}\"\n  set boot_once=true\nelse\n  set default={default}\n  set timeout=5\nfi\nfunction savedefault {{\n  if [ -z \"${{boot_once}}\"]; then\n  saved_entry=\"${{chosen}}\"\n  fi\n}}\n{}submenu \"NixOS - All configurations\" --class submenu {{\n{}{}}}\n",
        entry("NixOS", B),
        entry("NixOS - Configuration 5 (2026-11-30 - 26.11)", B),
        entry("NixOS - Configuration 4 (2026-11-29 - 26.11)", A),
    )
}
