//! Makes the disk of a machine: a partition that the firmware reads, and one with the host's files.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::kernel;
use crate::command;
use crate::host::Host;
use crate::setup;

const MIB: u64 = 1 << 20;
/// Room for two kernels with their initrds, and not for three.
const BOOT_MIB: u64 = 48;
const ROOT_MIB: u64 = 1300;
/// Debian's files that packages of NixOS are linked to take more.
const NIXOS_ROOT_MIB: u64 = 2400;
const LIMIT: Duration = Duration::from_secs(120);

/// What is on the first partition of a new disk.
#[derive(Debug, Clone, Copy)]
pub enum Boot<'a> {
    /// systemd-boot of this layer, and what the host's own boot loader installation has written.
    Written(&'a Path),
    /// Nothing: NixOS' own installer is to run on the machine itself.
    Empty,
}

/// Turns the files of a host that was never switched on into a disk image at `image`, a path inside
/// the lab.
///
/// # Errors
/// When one of the programs fails.
pub fn make(host: &Host, first: Boot<'_>, image: &str) -> Result<()> {
    let path = host.access.path(image);
    let root_mib = match first {
        Boot::Written(_) => ROOT_MIB,
        Boot::Empty => NIXOS_ROOT_MIB,
    };
    let size = (BOOT_MIB + root_mib + 2) * MIB;
    let file = File::create(&path).with_context(|| format!("cannot make {}", path.display()))?;
    file.set_len(size).context("cannot make the disk large")?;
    let table = format!(
        "label: gpt\nstart=1MiB, size={BOOT_MIB}MiB, type=uefi\nstart={}MiB, size={root_mib}MiB, type=linux\n",
        BOOT_MIB + 1
    );
    run(host, &["sfdisk", "--quiet", image], Some(&table))?;
    let boot = format!("{image}.boot");
    make_boot(host, first, &boot)?;
    let boot = host.access.path(&boot);
    copy(&boot, &file, MIB)?;
    fs::remove_file(&boot).with_context(|| format!("cannot remove {}", boot.display()))?;
    for name in ["EFI", "loader"] {
        setup::remove_tree(&host.disk().join("boot").join(name))?;
    }
    let root = format!("{}/root", host.folder());
    let place = format!("offset={},lazy_itable_init=0", (BOOT_MIB + 1) * MIB);
    run(
        host,
        &[
            "mke2fs",
            "-q",
            "-t",
            "ext4",
            "-d",
            &root,
            "-E",
            &place,
            image,
            &format!("{root_mib}M"),
        ],
        None,
    )?;
    Ok(())
}

/// The partition that the firmware reads.
fn make_boot(host: &Host, first: Boot<'_>, image: &str) -> Result<()> {
    let blocks = (BOOT_MIB * 1024).to_string();
    run(
        host,
        &["mkfs.vfat", "-F", "32", "-s", "1", "-C", image, &blocks],
        None,
    )?;
    let Boot::Written(layer) = first else {
        return Ok(());
    };
    let boot = format!("{}/root/boot", host.folder());
    let loader = layer.join(kernel::LOADER);
    let loader = loader.to_string_lossy();
    for (from, to) in [
        (format!("{boot}/EFI"), "::/"),
        (format!("{boot}/loader"), "::/"),
    ] {
        run(host, &["mcopy", "-s", "-i", image, &from, to], None)?;
    }
    run(host, &["mmd", "-i", image, "::/EFI/BOOT"], None)?;
    run(
        host,
        &["mcopy", "-i", image, &loader, "::/EFI/BOOT/BOOTX64.EFI"],
        None,
    )?;
    Ok(())
}

fn run(host: &Host, arguments: &[&str], input: Option<&str>) -> Result<String> {
    let (program, rest) = arguments
        .split_first()
        .context("there is no program to run")?;
    let mut command: Command = host.access.command(program);
    // mtools asks a person about a file system that it finds odd.
    command.args(rest).env("MTOOLS_SKIP_CHECK", "1");
    command::must(&mut command, input.map(str::as_bytes), LIMIT)
}

/// Copies a file into another one, holes left out.
fn copy(from: &Path, to: &File, offset: u64) -> Result<()> {
    let copied = || -> io::Result<()> {
        let mut from = File::open(from)?;
        let mut chunk = vec![0; 64 << 10];
        let mut at = offset;
        loop {
            let length = from.read(&mut chunk)?;
            if length == 0 {
                return Ok(());
            }
            if chunk[..length].iter().any(|byte| *byte != 0) {
                to.write_all_at(&chunk[..length], at)?;
            }
            at += length as u64;
        }
    };
    copied().with_context(|| format!("cannot copy {}", from.display()))
}
