//! Which units learn of a change. An activation cannot restart them: systemd still has the units of the system
//! before. It leaves lists, and `nixus-secrets-units.service` of the new system, which each switch starts with
//! `sysinit-reactivation.target` once systemd has the new units, does what they say.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use thiserror::Error;

/// The longest list that is read, in bytes.
const LONGEST: u64 = 1024 * 1024;
/// How long systemd may take to say which units run, in seconds.
const SYSTEMCTL_LIMIT: &str = "30";

/// Units that a change is told to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Units {
    /// To be restarted.
    pub restart: BTreeSet<String>,
    /// To be reloaded; none of them is restarted too.
    pub reload: BTreeSet<String>,
}

/// The lists in the folder that is given.
const RESTART: &str = "secrets-restart-list";
const RELOAD: &str = "secrets-reload-list";
/// What switch-to-configuration has yet to do when it restarts `sysinit-reactivation.target` (nixpkgs'
/// switch-to-configuration-ng, for a switch that is interrupted): each of these units has the secrets by that.
const PLANNED: [&str; 3] = ["start-list", "restart-list", "reload-list"];

/// A list could not be written, read or removed.
#[derive(Debug, Error)]
#[error("cannot use the list of units in {}", path.display())]
pub struct ListError {
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl Units {
    /// Adds what a secret names.
    pub fn add(&mut self, restart: &[String], reload: &[String]) {
        self.restart.extend(restart.iter().cloned());
        self.reload.extend(reload.iter().cloned());
    }

    /// Whether there is nobody to tell.
    pub fn is_empty(&self) -> bool {
        self.restart.is_empty() && self.reload.is_empty()
    }

    /// Leaves out what does not run, and of the reloads what is restarted.
    pub fn settle(&mut self, runs: impl Fn(&str) -> bool) {
        self.restart.retain(|unit| runs(unit));
        let restart = &self.restart;
        self.reload
            .retain(|unit| runs(unit) && !restart.contains(unit));
    }

    /// Adds them to the lists; what an activation before has asked for stays.
    ///
    /// # Errors
    /// A list cannot be read or written.
    pub fn write(&self, folder: &Path) -> Result<(), ListError> {
        append(&folder.join(RESTART), &self.restart)?;
        append(&folder.join(RELOAD), &self.reload)
    }

    /// What the lists say.
    fn read(folder: &Path) -> Result<Self, ListError> {
        let read = |name: &str| -> Result<BTreeSet<String>, ListError> {
            let path = folder.join(name);
            let text = text_of(&path).map_err(|source| ListError { path, source })?;
            Ok(text.lines().map(str::to_owned).collect())
        };
        Ok(Self {
            restart: read(RESTART)?,
            reload: read(RELOAD)?,
        })
    }

    /// Has systemd do it, and waits for it.
    fn tell(&self) {
        for (verb, units) in [("try-restart", &self.restart), ("reload", &self.reload)] {
            if !units.is_empty() {
                // Which of them failed is known to systemd, and so to whoever switches.
                let _ = Command::new(systemctl())
                    .args([verb, "--"])
                    .args(units)
                    .stdin(Stdio::null())
                    .status();
            }
        }
    }
}

/// Does what the lists in `folder` ask for, but for what a switch has yet to do itself by those in `switch`; gives
/// the units.
///
/// # Errors
/// When a list cannot be read or removed.
pub fn tell(folder: &Path, switch: &Path) -> Result<Units, ListError> {
    let mut units = due(folder, switch)?;
    if !units.is_empty() {
        let runs = running(&units);
        units.settle(|unit| runs.contains(unit));
        units.tell();
    }
    // Only now: whoever is interrupted does it again.
    for name in [RESTART, RELOAD] {
        let path = folder.join(name);
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(ListError { path, source });
            }
            _ => {}
        }
    }
    Ok(units)
}

/// What the lists ask for and a switch does not do by itself.
fn due(folder: &Path, switch: &Path) -> Result<Units, ListError> {
    let mut units = Units::read(folder)?;
    for name in PLANNED {
        // It is somebody else's, and may not be there one day: then a unit is restarted twice.
        let planned = text_of(&switch.join(name)).unwrap_or_default();
        let is_planned = |unit: &String| planned.lines().any(|line| line == unit);
        // What is only reloaded does not have another secret by that.
        if name != "reload-list" {
            units.restart.retain(|unit| !is_planned(unit));
        }
        units.reload.retain(|unit| !is_planned(unit));
    }
    Ok(units)
}

/// A list, which is empty where it is not there.
fn text_of(path: &Path) -> io::Result<String> {
    match crate::host::files::read_bounded(path, LONGEST) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(error),
    }
}

fn append(path: &Path, units: &BTreeSet<String>) -> Result<(), ListError> {
    if units.is_empty() {
        return Ok(());
    }
    let write = || {
        let before = text_of(path)?;
        let mut text: String = before.lines().map(|line| format!("{line}\n")).collect();
        for unit in units {
            if !before.lines().any(|line| line == unit) {
                text.push_str(unit);
                text.push('\n');
            }
        }
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, text)
    };
    write().map_err(|source| ListError {
        path: path.to_owned(),
        source,
    })
}

/// Which of these units run. All, if systemd does not say.
pub fn running(units: &Units) -> BTreeSet<String> {
    let asked: Vec<&String> = units.restart.union(&units.reload).collect();
    let all = || asked.iter().map(|unit| (*unit).clone()).collect();
    // A systemd that hangs is given up.
    let said = Command::new("timeout")
        .arg(SYSTEMCTL_LIMIT)
        .arg(systemctl())
        .args(["is-active", "--"])
        .args(&asked)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    let Ok(said) = said else { return all() };
    let states = String::from_utf8_lossy(&said.stdout).into_owned();
    let states: Vec<&str> = states.lines().collect();
    if states.len() != asked.len() {
        return all();
    }
    let runs = |state: &str| matches!(state, "active" | "activating" | "reloading" | "refreshing");
    asked
        .into_iter()
        .zip(states)
        .filter(|(_, state)| runs(state))
        .map(|(unit, _)| unit.clone())
        .collect()
}

/// The units that a system does not have, as far as its folders show.
pub fn unknown<'a>(system: &Path, units: impl Iterator<Item = &'a String>) -> Vec<&'a String> {
    let folders = [
        system.join("etc/systemd/system"),
        "/run/systemd/system".into(),
        "/usr/lib/systemd/system".into(),
    ];
    let known = |unit: &str| {
        let template = match (unit.split_once('@'), unit.rsplit_once('.')) {
            (Some((name, _)), Some((_, kind))) => format!("{name}@.{kind}"),
            _ => unit.to_owned(),
        };
        folders.iter().any(|folder| {
            fs::symlink_metadata(folder.join(unit)).is_ok()
                || fs::symlink_metadata(folder.join(&template)).is_ok()
        })
    };
    let unknown: BTreeSet<&String> = units.filter(|unit| !known(unit)).collect();
    unknown.into_iter().collect()
}

/// An activation script's `PATH` lacks systemd (nixpkgs' activation-script.nix).
fn systemctl() -> &'static Path {
    let own = Path::new("/run/current-system/systemd/bin/systemctl");
    if own.exists() {
        own
    } else {
        Path::new("systemctl")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(units: &[&str]) -> BTreeSet<String> {
        units.iter().map(|unit| (*unit).to_owned()).collect()
    }

    #[test]
    fn each_unit_is_asked_for_once_beside_what_others_ask_for() {
        let folder = tempfile::tempdir().unwrap();
        let units = Units {
            restart: set(&["a.service", "b.service"]),
            reload: set(&["c.service"]),
        };
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap_or_default();
        fs::write(folder.path().join(RESTART), "x.service\na.service").unwrap();
        for _ in 0..2 {
            units.write(folder.path()).unwrap();
            assert_eq!(read(RESTART), "x.service\na.service\nb.service\n");
            assert_eq!(read(RELOAD), "c.service\n");
        }
        let none = folder.path().join("none");
        Units::default().write(&none).unwrap();
        assert!(!none.exists());
    }

    #[test]
    fn what_a_switch_does_itself_is_left_to_it() {
        let lists = tempfile::tempdir().unwrap();
        let switch = tempfile::tempdir().unwrap();
        assert!(due(lists.path(), switch.path()).unwrap().is_empty());
        let units = Units {
            restart: set(&["a.service", "b.service", "c.service", "d.service"]),
            reload: set(&["e.service", "f.service", "g.service"]),
        };
        units.write(lists.path()).unwrap();
        // No switch is under way, or it has no such lists.
        assert_eq!(due(lists.path(), switch.path()).unwrap(), units);
        for (name, text) in [
            ("start-list", "b.service\nmulti-user.target\n"),
            ("restart-list", "c.service\nf.service"),
            ("reload-list", "d.service\ng.service\n"),
        ] {
            fs::write(switch.path().join(name), text).unwrap();
        }
        let left = due(lists.path(), switch.path()).unwrap();
        assert_eq!(left.restart, set(&["a.service", "d.service"]));
        assert_eq!(left.reload, set(&["e.service"]));
    }

    #[test]
    fn what_does_not_run_stays_so_and_what_restarts_is_not_reloaded() {
        let mut units = Units::default();
        units.add(
            &["a.service".into(), "off.service".into()],
            &["a.service".into()],
        );
        units.add(&[], &["c.service".into(), "off.socket".into()]);
        units.settle(|unit| !unit.starts_with("off."));
        assert_eq!(units.restart, set(&["a.service"]));
        assert_eq!(units.reload, set(&["c.service"]));
    }

    #[test]
    fn a_misspelt_unit_is_known_as_such() {
        let system = tempfile::tempdir().unwrap();
        let folder = system.path().join("etc/systemd/system");
        fs::create_dir_all(&folder).unwrap();
        for unit in ["shop.service", "mail@.service"] {
            fs::write(folder.join(unit), "").unwrap();
        }
        let asked = ["shop.service", "mail@in.service", "shopp.service"].map(str::to_owned);
        assert_eq!(unknown(system.path(), asked.iter()), ["shopp.service"]);
    }
}
