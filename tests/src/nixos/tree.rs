//! The disk of a NixOS host: Debian's files under `/debian/usr`, where packages link to, and nothing else
//! of Debian's in sight.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::command;
use crate::setup;

/// The packages of Debian that nixpkgs' names are linked to (`nix/nixos/debian.nix`), and what wrappers are
/// compiled with.
pub const PACKAGES: &str = ",acl,attr,bind9-dnsutils,cpio,curl,dbus-broker,dbus-user-session,dosfstools,e2fsprogs,gawk,gcc,grub-efi-amd64-bin,grub2-common,iptables,iputils-ping,jq,kbd,libc6-dev,libcap2-bin,libfile-copy-recursive-perl,libfile-slurp-perl,libjson-perl,liblist-compare-perl,libxml-libxml-perl,libxml-sax-perl,make,netbase,nginx,patch,patchelf,perl,postgresql-17,python3,sudo,systemd-boot,systemd-boot-tools,systemd-container,systemd-coredump,systemd-cryptsetup,systemd-dev,systemd-resolved,tzdata,uidmap,xsltproc,xutils-dev,zstd";
/// Hides Debian's configuration and units, and keeps the paths that its builds have compiled in.
pub const HIDE: &str = include_str!("hide.sh");
const COPY: Duration = Duration::from_secs(120);

/// Debian with these packages; systems are built in it.
///
/// # Errors
/// When the packages cannot be had.
pub fn debian(root: &Path) -> Result<()> {
    eprintln!("lab: making the Debian behind the NixOS hosts, once, about 1 minute");
    let new = setup::debian(root, PACKAGES)?;
    // So that a link to /debian/usr leads somewhere where systems are built, too.
    let place = new.join("debian");
    fs::create_dir(&place)
        .and_then(|()| std::os::unix::fs::symlink("../usr", place.join("usr")))
        .with_context(|| format!("cannot make {}", place.display()))?;
    fs::rename(&new, root).with_context(|| format!("cannot make {}", root.display()))
}

/// The layer that makes a git server's disk of it.
///
/// # Errors
/// When it cannot be written.
pub fn server(debian: &Path, folder: &Path) -> Result<()> {
    let root = super::root(&[debian])?;
    setup::make_bare(&root.path("/"))?;
    root.keep(folder, |_| Ok(()))
}

/// The layer that makes a NixOS host's disk of it.
///
/// # Errors
/// When it cannot be written.
pub fn hide(debian: &Path, folder: &Path) -> Result<()> {
    let root = super::root(&[debian])?;
    root.change(HIDE, &[])?;
    root.keep(folder, |new| {
        let layer = new.join("layer");
        let boot = layer.join("lab-boot");
        fs::write(&boot, setup::BOOT)
            .and_then(|()| fs::set_permissions(&boot, fs::Permissions::from_mode(0o755)))
            .with_context(|| format!("cannot write {}", boot.display()))?;
        let usr = layer.join("debian/usr");
        // The same files under another name take no room.
        let mut copy = Command::new("cp");
        copy.args(["--archive", "--link"])
            .arg(debian.join("usr"))
            .arg(&usr);
        command::must(&mut copy, None, COPY).map(drop)
    })
}
