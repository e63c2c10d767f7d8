//! What machines boot with: Debian's kernel, an initrd, and systemd-boot, in a layer that lies below
//! a host's disk.

use std::collections::hash_map::DefaultHasher;
use std::ffi::OsString;
use std::fs;
use std::hash::{Hash as _, Hasher as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::command;
use crate::setup::{self, Machine, PATH};

/// Where a machine's systems find their kernel and initrd (`lab.bootFiles`).
pub const BOOT_FILES: &str = "/usr/lib/lab-boot";
/// The same files at another place: another kernel, which needs room of its own in `/boot`.
pub const NEXT_BOOT_FILES: &str = "/usr/lib/lab-boot-next";
/// systemd-boot, in the layer.
pub const LOADER: &str = "usr/lib/lab-boot/systemd-bootx64.efi";
/// What checks `/boot` before it is mounted, in the layer; the C library is the host's own.
const FSCK: &str = "usr/lib/lab-boot/fsck.fat";

/// The programs that emulation needs, each with its Debian package.
const PROGRAMS: [(&str, &str); 9] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("sfdisk", "fdisk"),
    ("mkfs.vfat", "dosfstools"),
    ("mcopy", "mtools"),
    ("mke2fs", "e2fsprogs"),
    ("cpio", "cpio"),
    ("xz", "xz-utils"),
    ("depmod", "kmod"),
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "ovmf"),
];
/// The cloud kernel is small and has what QEMU emulates.
const INCLUDE: &str = "linux-image-cloud-amd64,systemd-boot-efi,busybox-static,dosfstools";
const SUITE: &str = "trixie";
const INITRD: &str = include_str!("initrd.sh");
/// What the disks and the network need, in an order in which they can be loaded.
const MODULES: [&str; 8] = [
    "drivers/block/virtio_blk",
    "fs/nls/nls_cp437",
    "fs/nls/nls_ascii",
    "fs/fat/fat",
    "fs/fat/vfat",
    "net/core/failover",
    "drivers/net/net_failover",
    "drivers/net/virtio_net",
];
const QUICK: Duration = Duration::from_secs(60);

/// Installs what emulation needs, and makes the layer; takes about a minute once, then nothing.
///
/// # Errors
/// When a package cannot be had.
pub fn layer(machine: &Machine) -> Result<PathBuf> {
    let _lock = setup::lock(&machine.cache.join("setup.lock"))?;
    setup::install(&PROGRAMS)?;
    let mut hasher = DefaultHasher::new();
    (INCLUDE, SUITE, INITRD, MODULES, 1).hash(&mut hasher);
    let folder = machine
        .cache
        .join(format!("kernel-{:016x}", hasher.finish()));
    if !folder.exists() {
        eprintln!("lab: fetching a kernel for machines that really boot, once, about 20 s");
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
    setup::unpack(INCLUDE, SUITE, None, &packages)?;
    let boot = new.join(BOOT_FILES.trim_start_matches('/'));
    fs::create_dir_all(&boot).with_context(|| format!("cannot make {}", boot.display()))?;
    let version = only(&packages.join("usr/lib/modules"))?;
    let modules = Path::new("usr/lib/modules").join(&version);
    let mut kernel = OsString::from("boot/vmlinuz-");
    kernel.push(&version);
    copy(&packages.join(kernel), &boot.join("kernel"))?;
    copy(
        &packages.join("usr/lib/systemd/boot/efi/systemd-bootx64.efi"),
        &new.join(LOADER),
    )?;
    copy(&packages.join("usr/sbin/fsck.fat"), &new.join(FSCK))?;
    let staging = packages.join("initrd");
    fill_initrd(&packages, &packages.join(&modules), &staging)?;
    pack_initrd(&staging, &boot.join("initrd"))?;
    fs::create_dir_all(new.join("usr/lib/modules")).context("cannot make the modules' folder")?;
    fs::rename(packages.join(&modules), new.join(&modules)).context("cannot keep the modules")?;
    // As in the root below; depmod looks here.
    symlink("usr/lib", new.join("lib")).context("cannot link /lib")?;
    let mut depmod = Command::new("depmod");
    depmod
        .arg("--basedir")
        .arg(&new)
        .arg(&version)
        .env("PATH", PATH);
    command::must(&mut depmod, None, QUICK)?;
    let next = new.join(NEXT_BOOT_FILES.trim_start_matches('/'));
    fs::create_dir_all(&next).with_context(|| format!("cannot make {}", next.display()))?;
    for name in ["kernel", "initrd"] {
        copy(&boot.join(name), &next.join(name))?;
    }
    setup::remove_tree(&packages)?;
    fs::rename(&new, folder).with_context(|| format!("cannot make {}", folder.display()))
}

/// The name of the only entry of a folder.
fn only(folder: &Path) -> Result<OsString> {
    let mut found = fs::read_dir(folder)
        .with_context(|| format!("cannot list {}", folder.display()))?
        .filter_map(|entry| Some(entry.ok()?.file_name()));
    found
        .next()
        .with_context(|| format!("there is nothing in {}", folder.display()))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}

fn fill_initrd(packages: &Path, modules: &Path, staging: &Path) -> Result<()> {
    for name in ["bin", "dev", "proc", "sys", "run", "root", "modules"] {
        let path = staging.join(name);
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
    }
    copy(
        &packages.join("usr/bin/busybox"),
        &staging.join("bin/busybox"),
    )?;
    symlink("busybox", staging.join("bin/sh")).context("cannot link the initrd's shell")?;
    let init = staging.join("init");
    fs::write(&init, INITRD)
        .and_then(|()| fs::set_permissions(&init, fs::Permissions::from_mode(0o755)))
        .context("cannot write the initrd's init")?;
    let mut order = String::new();
    for module in MODULES {
        let name = module.rsplit('/').next().unwrap_or(module);
        let packed = staging.join(format!("modules/{name}.ko.xz"));
        copy(&modules.join(format!("kernel/{module}.ko.xz")), &packed)?;
        let mut unpack = Command::new("xz");
        unpack.arg("--decompress").arg(&packed).env("PATH", PATH);
        command::must(&mut unpack, None, QUICK)?;
        order.push_str(&format!("{name}\n"));
    }
    fs::write(staging.join("modules/order"), order).context("cannot write the order of modules")
}

/// A cpio archive that is not compressed: the emulated machine would take longer to unpack it than
/// to read it.
fn pack_initrd(staging: &Path, to: &Path) -> Result<()> {
    let mut names = Vec::new();
    list(staging, Path::new(""), &mut names)?;
    let mut command = Command::new("cpio");
    command
        .args([
            "--create",
            "--quiet",
            "--format=newc",
            "--null",
            "--owner=0:0",
        ])
        .arg("--file")
        .arg(to)
        .current_dir(staging)
        .env("PATH", PATH);
    let names: Vec<u8> = names
        .iter()
        .flat_map(|name| [name.as_bytes(), b"\0"].concat())
        .collect();
    command::must(&mut command, Some(&names), QUICK)?;
    Ok(())
}

/// All that is below a folder, each folder before what is in it.
fn list(folder: &Path, below: &Path, names: &mut Vec<String>) -> Result<()> {
    let here = folder.join(below);
    for found in fs::read_dir(&here).with_context(|| format!("cannot list {}", here.display()))? {
        let found = found.with_context(|| format!("cannot list {}", here.display()))?;
        let name = below.join(found.file_name());
        names.push(name.to_string_lossy().into_owned());
        if found.file_type().is_ok_and(|kind| kind.is_dir()) {
            list(folder, &name, names)?;
        }
    }
    Ok(())
}
