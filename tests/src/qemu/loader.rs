//! systemd-boot of a newer Debian, for machines that are NixOS, in a layer that lies below their disk.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::setup::{self, Machine};

/// nixpkgs' builder asks `bootctl` for `io.systemd.BootControl.Install`, and writes `preferred` to
/// `loader.conf` where boots are counted; both are new in systemd 260, and trixie has 257.
const SUITE: &str = "forky";
/// The index of a release that is not out yet is valid for a week. From a mirror that is older it is signed
/// all the same, and has what is needed here.
const MIRROR: &str = "deb [check-valid-until=no] http://deb.debian.org/debian forky main";
const INCLUDE: &str = "systemd-boot-efi,systemd-boot-tools";
/// Where the file is in Debian, and on the disk of a NixOS host. `bootctl` looks for its library and for the
/// loader at the first of these; packages of NixOS hosts link to the second.
const FILES: [(&str, &str); 3] = [
    ("usr/bin/bootctl", "debian/usr/bin/bootctl"),
    (
        "usr/lib/systemd/boot/efi/systemd-bootx64.efi",
        "usr/lib/systemd/boot/efi/systemd-bootx64.efi",
    ),
    // Where there is a signed one, as in trixie, bootctl takes that.
    (
        "usr/lib/systemd/boot/efi/systemd-bootx64.efi",
        "usr/lib/systemd/boot/efi/systemd-bootx64.efi.signed",
    ),
];
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu/systemd";

/// Makes the layer; takes about 20 s once, then nothing.
///
/// # Errors
/// When the packages cannot be had.
pub fn layer(machine: &Machine) -> Result<PathBuf> {
    let _lock = setup::lock(&machine.cache.join("setup.lock"))?;
    let mut hasher = DefaultHasher::new();
    (INCLUDE, SUITE, MIRROR, FILES, 1).hash(&mut hasher);
    let folder = machine
        .cache
        .join(format!("loader-{:016x}", hasher.finish()));
    if !folder.exists() {
        eprintln!("lab: fetching {SUITE}'s systemd-boot, once, about 20 s");
        make(&folder)?;
    }
    Ok(folder)
}

fn make(folder: &Path) -> Result<()> {
    let packages = folder.with_extension("packages");
    let new = folder.with_extension("new");
    for path in [&packages, &new] {
        setup::remove_tree(path)?;
    }
    setup::unpack(INCLUDE, SUITE, Some(MIRROR), &packages)?;
    for (from, to) in FILES {
        copy(&packages.join(from), &new.join(to))?;
    }
    let libraries = packages.join(LIBRARIES);
    let listed =
        fs::read_dir(&libraries).with_context(|| format!("cannot list {}", libraries.display()))?;
    for found in listed.flatten() {
        copy(&found.path(), &new.join(LIBRARIES).join(found.file_name()))?;
    }
    setup::remove_tree(&packages)?;
    fs::rename(&new, folder).with_context(|| format!("cannot make {}", folder.display()))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let folder = to.parent().context("a file is in a folder")?;
    fs::create_dir_all(folder)
        .and_then(|()| fs::copy(from, to))
        .with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}
