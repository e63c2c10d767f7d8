//! The parts of a system that only a boot replaces, as its toplevel names them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::decide::change::Parts;
use crate::protocol::Toplevel;
use crate::state::bounded::read_bounded;
use crate::state::layout::Layout;

/// The longest list of inhibitors or parameters that is read, in bytes.
const LONGEST: u64 = 1 << 20;

/// Reads the parts of a system. What is not there, or cannot be read, is left out: a system without a kernel
/// is a container's.
pub fn of(layout: &Layout, system: &Toplevel) -> Parts {
    let folder = layout.at(system.path());
    let text = |name: &str| {
        let bytes = read_bounded(&folder.join(name), LONGEST).ok()?;
        Some(String::from_utf8_lossy(&bytes).trim().to_owned())
    };
    Parts {
        inhibitors: inhibitors(&folder),
        dbus: dbus(layout, system),
        init_interface: text("init-interface-version"),
        kernel: resolved(&folder.join("kernel")),
        modules: resolved(&folder.join("kernel-modules")),
        initrd: resolved(&folder.join("initrd")),
        parameters: text("kernel-params")
            .unwrap_or_default()
            .split_whitespace()
            .map(str::to_owned)
            .collect(),
    }
}

fn inhibitors(folder: &Path) -> Option<BTreeMap<String, String>> {
    let path = folder.join("switch-inhibitors");
    if !path.exists() {
        return None;
    }
    let bytes = read_bounded(&path, LONGEST).unwrap_or_default();
    // The check of nixpkgs itself fails for what is not a map; here it forbids nothing.
    Some(serde_json::from_slice(&bytes).unwrap_or_default())
}

/// `dbus.service` is an alias of dbus-broker.service where that is the implementation
/// (nixos/modules/services/system/dbus.nix).
fn dbus(layout: &Layout, system: &Toplevel) -> Option<String> {
    let units = layout.at(system.path()).join("etc/systemd/system");
    let units = match fs::read_link(layout.at(system.path()).join("etc")) {
        // The links of a NixOS `etc` point into the store, absolute.
        Ok(etc) if etc.is_absolute() => layout.at(etc).join("systemd/system"),
        _ => units,
    };
    let units = match fs::read_link(&units) {
        Ok(target) if target.is_absolute() => layout.at(target),
        _ => units,
    };
    let unit = units.join("dbus.service");
    let data = fs::symlink_metadata(&unit).ok()?;
    let alias = data.is_symlink().then(|| fs::read_link(&unit).ok());
    let is_broker = alias.flatten().is_some_and(|target| {
        target
            .file_name()
            .is_some_and(|it| it == "dbus-broker.service")
    });
    Some(if is_broker { "broker" } else { "dbus" }.to_owned())
}

fn resolved(path: &Path) -> Option<PathBuf> {
    fs::canonicalize(path).ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn the_parts_are_read_as_nixos_lays_them_out() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::below(dir.path());
        let store = layout.at("/nix/store");
        let make = |name: &str| {
            let path = store.join(name);
            fs::create_dir_all(&path).unwrap();
            path
        };
        let system = format!("/nix/store/{}-nixos-system-web1", "a".repeat(32));
        let system = Toplevel::try_from(PathBuf::from(system)).unwrap();
        let top = layout.at(system.path());
        fs::create_dir_all(&top).unwrap();
        assert_eq!(of(&layout, &system), Parts::default());

        let kernel = make("bbbb-linux-6.12.8").join("bzImage");
        fs::write(&kernel, "").unwrap();
        symlink(&kernel, top.join("kernel")).unwrap();
        let units = make("cccc-system-units");
        fs::create_dir_all(make("dddd-etc").join("etc/systemd")).unwrap();
        symlink(
            "/nix/store/cccc-system-units",
            store.join("dddd-etc/etc/systemd/system"),
        )
        .unwrap();
        symlink("/nix/store/dddd-etc/etc", top.join("etc")).unwrap();
        fs::write(top.join("kernel-params"), "quiet  loglevel=4\n").unwrap();
        fs::write(top.join("init-interface-version"), "systemd 2").unwrap();
        symlink(
            "/nix/store/eeee-unit/dbus.service",
            units.join("dbus.service"),
        )
        .unwrap();
        let mut expected = Parts {
            inhibitors: None,
            dbus: Some("dbus".to_owned()),
            init_interface: Some("systemd 2".to_owned()),
            kernel: Some(fs::canonicalize(&kernel).unwrap()),
            parameters: vec!["quiet".to_owned(), "loglevel=4".to_owned()],
            ..Parts::default()
        };
        assert_eq!(of(&layout, &system), expected);

        fs::remove_file(units.join("dbus.service")).unwrap();
        symlink("dbus-broker.service", units.join("dbus.service")).unwrap();
        fs::write(
            top.join("switch-inhibitors"),
            r#"{"dbus-implementation":"broker"}"#,
        )
        .unwrap();
        expected.dbus = Some("broker".to_owned());
        let name = "dbus-implementation".to_owned();
        expected.inhibitors = Some(BTreeMap::from([(name, "broker".to_owned())]));
        assert_eq!(of(&layout, &system), expected);
        fs::write(top.join("switch-inhibitors"), "nonsense").unwrap();
        expected.inhibitors = Some(BTreeMap::new());
        assert_eq!(of(&layout, &system), expected);
    }
}
