//! The last system that proved that it boots: always rooted, and always in the boot menu.
//!
//! A GC root names it. A system profile of its own puts it into the menu, whatever becomes of the
//! generations of `system`: what installs a boot loader lists all of `system-profiles/`, each with a
//! limit of its own (nixpkgs, systemd-boot-builder.py, install-grub.pl), and of each profile
//! `nix-collect-garbage -d` keeps what it names.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::protocol::Toplevel;
use crate::state::disk::{Disk, link_over};
use crate::state::layout::Layout;
use crate::state::roots::{self, Root, RootError};

/// The name of the root.
const NAME: &str = "boot-proven";
/// The name of the profile: install-grub.pl leaves out one with a character that is not of a word.
pub const PROFILE: &str = "boot_proven";
/// What earlier releases called the profile.
const FORMER: &str = "boot-proven";

/// The system, where one has proved itself.
pub fn named(disk: &impl Disk, layout: &Layout) -> Option<Toplevel> {
    let path = disk.read_link(&layout.roots().join(NAME)).ok()?;
    Toplevel::try_from(path).ok()
}

/// Makes this system the one. The root is durable at once; the menu shows it from the next
/// installation of a boot loader on, after which all is synced.
pub fn keep(disk: &impl Disk, layout: &Layout, system: &Toplevel) -> Result<(), RootError> {
    // Made anew even where it names this system already: whoever made it may have been ended before it
    // was durable, and what a failed sync has lost is not synced again.
    roots::keep(disk, layout, Root::BootProven, system.path())?;
    let dir = layout.profiles().join("system-profiles");
    put_into_menu(disk, &dir, system.path()).map_err(|source| RootError::new(&dir, source))
}

/// The profile is laid out as Nix does it; it never has more than one generation for long.
fn put_into_menu(disk: &impl Disk, dir: &Path, system: &Path) -> io::Result<()> {
    disk.create_dir_all(dir)?;
    let profile = dir.join(PROFILE);
    let all = disk.list(dir)?;
    let of_before = |name: &String| *name == FORMER || number_of(FORMER, name).is_some();
    let former: Vec<String> = all.iter().filter(|name| of_before(name)).cloned().collect();
    let generations: Vec<(u64, String)> = all
        .into_iter()
        .filter_map(|name| Some((number_of(PROFILE, &name)?, name)))
        .collect();
    let current = disk.read_link(&profile).ok();
    let is_current = |name: &str| current.as_deref() == Some(Path::new(name));
    let there = generations.iter().any(|(_, name)| {
        is_current(name)
            && disk
                .read_link(&dir.join(name))
                .is_ok_and(|path| path == system)
    });
    if !there {
        let number = generations.iter().map(|(number, _)| number).max();
        let new = PathBuf::from(format!("{PROFILE}-{}-link", number.unwrap_or(&0) + 1));
        link_over(disk, system, &dir.join(&new))?;
        link_over(disk, &new, &profile)?;
    }
    let replaced = generations
        .into_iter()
        .filter(|(_, name)| !there || !is_current(name))
        .map(|(_, name)| name);
    for name in replaced.chain(former) {
        match disk.remove(&dir.join(&name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

fn number_of(profile: &str, name: &str) -> Option<u64> {
    name.strip_prefix(profile)?
        .strip_prefix('-')?
        .strip_suffix("-link")?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::disk::HostDisk;
    use crate::testing::toplevel;

    #[test]
    fn the_profile_has_one_generation_which_is_the_boot_proven_system() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::below(root.path());
        let dir = layout.profiles().join("system-profiles");
        let listed = || HostDisk.list(&dir).unwrap();
        assert_eq!(named(&HostDisk, &layout), None);
        for (system, generation) in [("old", 1), ("old", 1), ("new", 2), ("old", 3)] {
            keep(&HostDisk, &layout, &toplevel(system)).unwrap();
            assert_eq!(named(&HostDisk, &layout), Some(toplevel(system)));
            let link = format!("boot_proven-{generation}-link");
            assert_eq!(listed(), ["boot_proven".to_owned(), link.clone()]);
            let path = HostDisk.read_link(&dir.join("boot_proven")).unwrap();
            assert_eq!(path, PathBuf::from(&link));
            let path = HostDisk.read_link(&dir.join(link)).unwrap();
            assert_eq!(path, toplevel(system).path());
        }
    }

    #[test]
    fn a_profile_that_was_half_made_is_made_again() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::below(root.path());
        let dir = layout.profiles().join("system-profiles");
        HostDisk.create_dir_all(&dir).unwrap();
        let half = dir.join("boot_proven-1-link");
        HostDisk.symlink(toplevel("new").path(), &half).unwrap();
        keep(&HostDisk, &layout, &toplevel("old")).unwrap();
        assert_eq!(
            HostDisk.list(&dir).unwrap(),
            ["boot_proven", "boot_proven-2-link"]
        );
    }

    #[test]
    fn the_name_is_one_that_grub_lists_and_what_had_the_former_one_goes() {
        assert!(PROFILE.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'));
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::below(root.path());
        let dir = layout.profiles().join("system-profiles");
        HostDisk.create_dir_all(&dir).unwrap();
        let link = |to: &Path, name: &str| HostDisk.symlink(to, &dir.join(name)).unwrap();
        link(toplevel("old").path(), "boot-proven-7-link");
        link(Path::new("boot-proven-7-link"), "boot-proven");
        link(toplevel("old").path(), "rescue-1-link");
        keep(&HostDisk, &layout, &toplevel("old")).unwrap();
        assert_eq!(
            HostDisk.list(&dir).unwrap(),
            ["boot_proven", "boot_proven-1-link", "rescue-1-link"]
        );
    }
}
