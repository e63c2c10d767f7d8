//! Which units learn of a change: asked of switch-to-configuration, which does it once for all.
//!
//! Lists of units, as nixpkgs' manual says in "Activation script": `/run/nixos/activation-restart-list`,
//! `-reload-list`, and those of dry runs. A unit on the first that does not run would be started.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use thiserror::Error;

/// The longest list that is read, in bytes.
const LONGEST: u64 = 1024 * 1024;
/// How long systemd may take to take jobs.
const SYSTEMCTL_LIMIT: &str = "30";

/// Units that a change is told to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Units {
    /// To be restarted.
    pub restart: BTreeSet<String>,
    /// To be reloaded; none of them is restarted too.
    pub reload: BTreeSet<String>,
}

/// Who tells them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Teller {
    /// switch-to-configuration, when the activation script that runs this has ended.
    Switch,
    /// The same, which only says what it would do.
    DryRun,
    /// This program: it was started by systemd, and nobody reads lists.
    Itself,
}

/// A list could not be written.
#[derive(Debug, Error)]
#[error("cannot ask for units to be restarted in {}", path.display())]
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

    /// Writes the lists for switch-to-configuration; what others have asked for stays.
    pub fn write(&self, folder: &Path, teller: Teller) -> Result<(), ListError> {
        let prefix = match teller {
            Teller::Switch => "",
            Teller::DryRun => "dry-",
            Teller::Itself => return Ok(()),
        };
        append(
            &folder.join(format!("{prefix}activation-restart-list")),
            &self.restart,
        )?;
        append(
            &folder.join(format!("{prefix}activation-reload-list")),
            &self.reload,
        )
    }

    /// Has systemd do it, without waiting: it may wait for the unit that runs this.
    pub fn tell_systemd(&self) {
        for (verb, units) in [("try-restart", &self.restart), ("reload", &self.reload)] {
            if !units.is_empty() {
                let _ = systemctl()
                    .args(["--no-block", verb, "--"])
                    .args(units)
                    .status();
            }
        }
    }
}

fn append(path: &Path, units: &BTreeSet<String>) -> Result<(), ListError> {
    if units.is_empty() {
        return Ok(());
    }
    let write = || {
        let before = match crate::state::read_bounded(path, LONGEST) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
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
    let said = systemctl().args(["is-active", "--"]).args(&asked).output();
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

/// The units that a system does not have, as far as its folders tell.
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

/// An activation script's `PATH` lacks systemd (nixpkgs' activation-script.nix). A systemd that hangs is
/// given up.
fn systemctl() -> Command {
    let own = Path::new("/run/current-system/systemd/bin/systemctl");
    let program = if own.exists() {
        own
    } else {
        Path::new("systemctl")
    };
    let mut command = Command::new("timeout");
    command
        .arg(SYSTEMCTL_LIMIT)
        .arg(program)
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    command
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
        fs::write(
            folder.path().join("activation-restart-list"),
            "x.service\na.service",
        )
        .unwrap();
        for _ in 0..2 {
            units.write(folder.path(), Teller::Switch).unwrap();
            assert_eq!(
                read("activation-restart-list"),
                "x.service\na.service\nb.service\n"
            );
            assert_eq!(read("activation-reload-list"), "c.service\n");
        }
        assert_eq!(read("dry-activation-restart-list"), "");
        units.write(folder.path(), Teller::DryRun).unwrap();
        assert_eq!(
            read("dry-activation-restart-list"),
            "a.service\nb.service\n"
        );
        assert_eq!(read("dry-activation-reload-list"), "c.service\n");
        Units::default()
            .write(&folder.path().join("none"), Teller::Switch)
            .unwrap();
        assert!(!folder.path().join("none").exists());
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
