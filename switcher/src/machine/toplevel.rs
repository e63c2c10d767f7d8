//! Whether a store path is a NixOS system (nixpkgs, nixos/modules/system/activation/top-level.nix).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::protocol::{Cause, Toplevel};
use crate::state::bounded::read_bounded;
use crate::state::layout::Layout;

/// What a candidate lacks, in words; empty where it can be activated.
pub fn missing(layout: &Layout, toplevel: &Toplevel) -> Vec<String> {
    let path = layout.at(toplevel.path());
    match fs::symlink_metadata(&path) {
        Err(_) => return vec![format!("{toplevel} does not exist")],
        Ok(data) if !data.is_dir() => return vec![format!("{toplevel} is not a directory")],
        Ok(_) => {}
    }
    let mut missing = Vec::new();
    if !can_switch(layout, toplevel) {
        missing.push("bin/switch-to-configuration is not an executable file".to_owned());
    }
    for file in ["nixos-version", "init-interface-version"] {
        if !path.join(file).exists() {
            missing.push(format!("{file} is missing"));
        }
    }
    match read_bounded(&path.join("system"), 256) {
        Err(_) => missing.push("system is missing".to_owned()),
        Ok(bytes) => {
            let system = String::from_utf8_lossy(&bytes).trim().to_owned();
            if !fits(&system, std::env::consts::ARCH) {
                missing.push(format!(
                    "system is {system:?}, this host is {}-linux",
                    std::env::consts::ARCH
                ));
            }
        }
    }
    missing
}

/// Whether a toplevel can be switched to at all; the system that runs must be able to, or there is
/// no rollback.
pub fn can_switch(layout: &Layout, toplevel: &Toplevel) -> bool {
    fs::metadata(
        layout
            .at(toplevel.path())
            .join("bin/switch-to-configuration"),
    )
    .is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

/// Why a candidate must not be activated, if anything speaks against it.
pub fn refusal(layout: &Layout, toplevel: &Toplevel) -> Option<Cause> {
    let missing = missing(layout, toplevel);
    if !missing.is_empty() {
        Some(Cause::NotAToplevel { missing })
    } else if layout.verify_unit(toplevel).is_none() {
        Some(Cause::NoVerification)
    } else {
        None
    }
}

/// How much `/boot` may need for the candidate's kernel and initrd: nothing where they are those of
/// the system that runs.
pub fn boot_bytes(layout: &Layout, candidate: &Toplevel, old: &Toplevel) -> u64 {
    ["kernel", "initrd"]
        .iter()
        .map(|file| {
            let new = resolve(layout, candidate, file);
            if new == resolve(layout, old, file) {
                return 0;
            }
            new.and_then(|path| fs::metadata(path).ok())
                .map_or(0, |data| data.len())
        })
        .sum()
}

fn resolve(layout: &Layout, toplevel: &Toplevel, file: &str) -> Option<PathBuf> {
    fs::canonicalize(layout.at(toplevel.path()).join(file)).ok()
}

/// Whether a system such as `x86_64-linux` runs on this kind of machine.
fn fits(system: &str, arch: &str) -> bool {
    match system.strip_suffix("-linux") {
        Some("i686") => arch == "x86" || arch == "x86_64",
        Some("armv7l" | "armv6l") => arch == "arm",
        Some(name) => name == arch,
        None => false,
    }
}

/// The units that a system wants, each with those that want it: what the folders `<unit>.wants`,
/// `.requires` and `.upholds` name (systemd.unit(5)). A masked one is not wanted.
pub fn wanted(layout: &Layout, toplevel: &Toplevel) -> BTreeMap<String, BTreeSet<String>> {
    let units = layout.at(toplevel.path()).join("etc/systemd/system");
    let mut wanted: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for folder in names(&units) {
        let Some((by, "wants" | "requires" | "upholds")) = folder.rsplit_once('.') else {
            continue;
        };
        for unit in names(&units.join(&folder)) {
            let is_masked = fs::read_link(units.join(&unit))
                .is_ok_and(|target| target == Path::new("/dev/null"));
            if !is_masked {
                wanted.entry(unit).or_default().insert(by.to_owned());
            }
        }
    }
    wanted
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(found) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let names = found.flatten().map(|entry| entry.file_name());
    names.filter_map(|name| name.into_string().ok()).collect()
}

/// The system that a link such as `/run/current-system` names.
pub fn named_by(link: &Path) -> Option<Toplevel> {
    Toplevel::try_from(fs::read_link(link).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::toplevel;

    /// Makes a system of a directory, takes one thing away from it, and looks what is missed.
    fn check(without: &str, expected: &[&str]) {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::below(dir.path());
        let candidate = toplevel("new");
        let root = layout.at(candidate.path());
        for (file, text, mode) in [
            ("bin/switch-to-configuration", "#!/bin/sh\n", 0o755),
            ("nixos-version", "26.05", 0o644),
            ("init-interface-version", "1", 0o644),
            (
                "system",
                &format!("{}-linux\n", std::env::consts::ARCH),
                0o644,
            ),
        ] {
            let path = root.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            match without.strip_prefix(file) {
                Some("") => fs::remove_file(&path).unwrap(),
                Some(" x") => {
                    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
                }
                Some(" riscv") => fs::write(&path, "riscv64-linux").unwrap(),
                _ => {}
            }
        }
        if without == "all" {
            fs::remove_dir_all(&root).unwrap();
        }
        let missing = missing(&layout, &candidate).join("; ");
        assert_eq!(missing.is_empty(), expected.is_empty(), "{missing}");
        for words in expected {
            assert!(missing.contains(words), "{words:?} in {missing:?}");
        }
    }

    #[test]
    fn what_a_candidate_lacks_is_said_in_words() {
        check("nothing", &[]);
        check("all", &["does not exist"]);
        for file in ["nixos-version", "init-interface-version", "system"] {
            check(file, &[file, "is missing"]);
        }
        check("system riscv", &["riscv64-linux", "this host is"]);
        for what in [
            "bin/switch-to-configuration",
            "bin/switch-to-configuration x",
        ] {
            check(what, &["bin/switch-to-configuration is not an executable"]);
        }
    }
}
