//! What the boot loader starts by default, read back from the files of the one that the system's own
//! installer writes, and from the firmware's variables.
//!
//! What is read is gathered here; what follows from it is decided without looking at the machine. A
//! default that cannot be determined is not a mistake: it is compared with how it was before.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::machine::system::BootDefault;
use crate::protocol::Toplevel;
use crate::state::bounded::read_bounded;
use crate::state::layout::Layout;
use installer::Installer;

mod entries;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod grub;
mod image;
mod installer;
mod pattern;
mod systemd_boot;
mod variables;
mod version;

const LIMIT: u64 = 4 << 20;
/// Where an EFI system partition, or the one beside it with the entries (XBOOTLDR), may be mounted.
pub(crate) const PARTITIONS: [&str; 3] = ["/boot", "/efi", "/boot/efi"];
/// Where GRUB's menu is, where nothing else is said.
const GRUB: &str = "/boot";
const CONF: &str = "loader/loader.conf";
/// systemd-boot, and what it says of itself in its file (systemd, bootctl-util.c).
const LOADERS: [&str; 2] = [
    "EFI/systemd/systemd-bootx64.efi",
    "EFI/systemd/systemd-bootaa64.efi",
];
const VERSION: &[u8] = b"#### LoaderInfo: systemd-boot ";

/// Reads what the boot loader of this host starts.
pub fn default(layout: &Layout) -> BootDefault {
    let menu = || grub(&layout.at(GRUB));
    let not_there = |name| Some(BootDefault::Broken(format!("{name}'s files are not there")));
    let found = match installer::installer(layout) {
        Installer::SystemdBoot(points) => {
            systemd_boot(layout, points).or_else(|| not_there("systemd-boot"))
        }
        Installer::Grub(folder) => grub(&folder).or_else(|| not_there("GRUB")),
        Installer::Other(name) => {
            return BootDefault::Unknown(format!("{name}'s files are not read here"));
        }
        // What is left over of another one says nothing.
        Installer::Another => menu().or_else(|| systemd_boot(layout, Vec::new())),
        Installer::Unknown => systemd_boot(layout, Vec::new()).or_else(menu),
    };
    found.unwrap_or_else(|| {
        BootDefault::Unknown("there is no boot loader whose files are known here".to_owned())
    })
}

/// What nixpkgs' builder leaves when the power goes while it writes: it opens this file so that it must not be
/// there, and would fail at each later try (systemd-boot-builder.py, `write_loader_conf`).
pub fn leftovers(layout: &Layout) -> Vec<PathBuf> {
    let points = match installer::installer(layout) {
        Installer::SystemdBoot(points) => points,
        Installer::Another | Installer::Unknown => Vec::new(),
        Installer::Grub(_) | Installer::Other(_) => return Vec::new(),
    };
    let partitions = partitions(layout, points).into_iter();
    let mut files: Vec<_> = partitions
        .map(|partition| partition.join(CONF).with_extension("tmp"))
        .collect();
    files.retain(|file| file.is_file());
    files
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// Those that an installer names, or else all that there may be.
fn partitions(layout: &Layout, points: Vec<PathBuf>) -> Vec<PathBuf> {
    match points.is_empty() {
        true => PARTITIONS.map(|point| layout.at(point)).to_vec(),
        false => points,
    }
}

fn text(path: &Path) -> Option<Result<String, BootDefault>> {
    match read_bounded(path, LIMIT) {
        Ok(bytes) => Some(Ok(String::from_utf8_lossy(&bytes).into_owned())),
        Err(error) if is_absent(&error) => None,
        Err(error) => Some(Err(BootDefault::Broken(format!(
            "{}: {error}",
            path.display()
        )))),
    }
}

fn systemd_boot(layout: &Layout, points: Vec<PathBuf>) -> Option<BootDefault> {
    let partitions = partitions(layout, points);
    let (esp, conf) = partitions
        .iter()
        .find_map(|partition| Some((partition, text(&partition.join(CONF))?)))?;
    let conf = match conf {
        Ok(conf) => conf,
        Err(broken) => return Some(broken),
    };
    let entries = entries::menu(&partitions);
    Some(systemd_boot::decide(&systemd_boot::Read {
        conf: &conf,
        entries: &entries,
        variables: variables::read(layout),
        version: loader_version(esp),
    }))
}

fn grub(folder: &Path) -> Option<BootDefault> {
    let conf = match text(&folder.join("grub/grub.cfg"))? {
        Ok(conf) => conf,
        Err(broken) => return Some(broken),
    };
    // Without one, nothing is remembered.
    let environment = text(&folder.join("grub/grubenv")).and_then(Result::ok);
    Some(grub::decide(&conf, &environment.unwrap_or_default()))
}

/// The version of the loader that is installed, as far as it says what it is.
fn loader_version(esp: &Path) -> Option<u32> {
    let mut files = LOADERS.iter();
    let bytes = files.find_map(|file| read_bounded(&esp.join(file), LIMIT).ok())?;
    let at = bytes
        .windows(VERSION.len())
        .position(|text| text == VERSION)?;
    let digits = bytes.get(at + VERSION.len()..)?;
    let end = digits.iter().position(|byte| !byte.is_ascii_digit())?;
    std::str::from_utf8(digits.get(..end)?).ok()?.parse().ok()
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
mod tests;
