//! What to do with each unit: pure, from the live unit files and the candidate's.

use std::collections::{BTreeMap, BTreeSet};

use super::unit_file::UnitFile;

/// How two versions of a unit file differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// Nothing that matters to a running unit.
    Equal,
    /// Only what a reload takes in.
    NeedsReload,
    /// Something else.
    NeedsRestart,
}

/// Settings of `[Unit]` that change nothing about a running unit (compare_units in nixpkgs' stc).
const HARMLESS: [&str; 12] = [
    "Description",
    "Documentation",
    "OnFailure",
    "OnSuccess",
    "OnFailureJobMode",
    "IgnoreOnIsolate",
    "StopWhenUnneeded",
    "RefuseManualStart",
    "RefuseManualStop",
    "AllowIsolate",
    "CollectMode",
    "SourcePath",
];

/// Compares the live unit file with the candidate's.
pub fn compare(old: &UnitFile, new: &UnitFile) -> Comparison {
    let mut result = Comparison::Equal;
    let empty = BTreeMap::new();
    let names: BTreeSet<&String> = old.sections().keys().chain(new.sections().keys()).collect();
    for section in names {
        if section == "Install" {
            continue;
        }
        let before = old.sections().get(section).unwrap_or(&empty);
        let after = new.sections().get(section).unwrap_or(&empty);
        let keys: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        for key in keys {
            if before.get(key) == after.get(key) {
                continue;
            }
            match (section.as_str(), key.as_str()) {
                ("Unit", "X-Reload-Triggers") | ("Mount", "Options") => {
                    result = Comparison::NeedsReload;
                }
                ("Unit", key) if HARMLESS.contains(&key) => {}
                _ => return Comparison::NeedsRestart,
            }
        }
    }
    result
}

/// The units to stop, reload, restart and start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// Stopped before the activation.
    pub stop: BTreeSet<String>,
    /// Reloaded after it.
    pub reload: BTreeSet<String>,
    /// Restarted after it, in one go.
    pub restart: BTreeSet<String>,
    /// Started after it.
    pub start: BTreeSet<String>,
    /// Changed, and left alone on purpose.
    pub skip: BTreeSet<String>,
}

/// An active unit with its file in the live directory and in the candidate's.
#[derive(Debug, Clone)]
pub struct Active {
    /// The unit's name.
    pub name: String,
    /// The live file.
    pub old: UnitFile,
    /// The candidate's file; `None` if it has none or masks it.
    pub new: Option<UnitFile>,
    /// The active socket units that start this service and are in the candidate too.
    pub sockets: Vec<String>,
}

/// Targets that describe a state of the machine which nobody wants to enter again.
const TRANSIENT_TARGETS: [&str; 5] = [
    "suspend.target",
    "hibernate.target",
    "hybrid-sleep.target",
    "suspend-then-hibernate.target",
    "shutdown.target",
];

impl Plan {
    /// Decides about one active unit.
    pub fn consider(&mut self, unit: &Active) {
        let Some(new) = &unit.new else {
            if unit.old.flag("Unit", "X-StopOnRemoval", true) {
                self.stop.insert(unit.name.clone());
            }
            return;
        };
        if unit.name.ends_with(".target") {
            self.consider_target(&unit.name, new);
            return;
        }
        match compare(&unit.old, new) {
            Comparison::Equal => {}
            Comparison::NeedsReload if !self.restart.contains(&unit.name) => {
                self.reload.insert(unit.name.clone());
            }
            Comparison::NeedsReload => {}
            Comparison::NeedsRestart => self.consider_changed(unit, new),
        }
    }

    /// Takes what the activation script asked for: this unit is to be restarted.
    pub fn wish(&mut self, unit: String, file: &UnitFile, ran: bool) {
        if !ran {
            self.start.insert(unit);
        } else if file.flag("Service", "X-ReloadIfChanged", false) {
            self.reload.insert(unit);
        } else if !file.flag("Service", "X-RestartIfChanged", true)
            || file.flag("Unit", "RefuseManualStop", false)
            || file.flag("Unit", "X-OnlyManualStart", false)
        {
            self.skip.insert(unit);
        } else {
            // It may be among those that were stopped to be started: once is enough.
            self.start.remove(&unit);
            self.restart.insert(unit);
        }
    }

    fn consider_target(&mut self, name: &str, new: &UnitFile) {
        let startable = !TRANSIENT_TARGETS.contains(&name)
            && !new.flag("Unit", "RefuseManualStart", false)
            && !new.flag("Unit", "X-OnlyManualStart", false);
        if startable {
            self.start.insert(name.to_owned());
        }
        if new.flag("Unit", "X-StopOnReconfiguration", false) {
            self.stop.insert(name.to_owned());
        }
    }

    fn consider_changed(&mut self, unit: &Active, new: &UnitFile) {
        let name = unit.name.clone();
        if new.flag("Service", "X-ReloadIfChanged", false) {
            self.reload.insert(name);
        } else if !new.flag("Service", "X-RestartIfChanged", true)
            || new.flag("Unit", "RefuseManualStop", false)
            || new.flag("Unit", "X-OnlyManualStart", false)
        {
            self.skip.insert(name);
        } else if !new.flag("Service", "X-StopIfChanged", true) {
            self.restart.insert(name);
        } else if new.flag("Service", "X-NotSocketActivated", false) || unit.sockets.is_empty() {
            self.stop.insert(name.clone());
            self.start.insert(name);
        } else {
            // The socket starts the service again, and answers while it is gone.
            self.stop.insert(name);
            self.stop.extend(unit.sockets.iter().cloned());
            self.start.extend(unit.sockets.iter().cloned());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, old: &str, new: Option<&str>, sockets: &[&str]) -> String {
        let mut plan = Plan::default();
        plan.consider(&Active {
            name: name.to_owned(),
            old: UnitFile::parse(old),
            new: new.map(UnitFile::parse),
            sockets: sockets.iter().map(|s| (*s).to_owned()).collect(),
        });
        let mut words = Vec::new();
        for (verb, units) in [
            ("stop", plan.stop),
            ("reload", plan.reload),
            ("restart", plan.restart),
            ("start", plan.start),
            ("skip", plan.skip),
        ] {
            words.extend(units.into_iter().map(|unit| format!("{verb} {unit}")));
        }
        words.join(", ")
    }

    #[test]
    fn each_difference_leads_to_what_nixpkgs_does() {
        let a = "[Service]\nExecStart=/a\n";
        let table: &[(&str, &str, Option<&str>, &str)] = &[
            ("a.service", a, Some(a), ""),
            (
                "a.service",
                a,
                Some("[Unit]\nDescription=x\n[Service]\nExecStart=/a\n"),
                "",
            ),
            (
                "a.service",
                a,
                Some("[Service]\nExecStart=/a\n[Install]\nAlias=x\n"),
                "",
            ),
            (
                "a.service",
                a,
                Some("[Service]\nExecStart=/b\n"),
                "stop a.service, start a.service",
            ),
            (
                "a.service",
                a,
                Some("[Service]\nExecStart=/b\nX-StopIfChanged=false\n"),
                "restart a.service",
            ),
            (
                "a.service",
                a,
                Some("[Service]\nExecStart=/b\nX-RestartIfChanged=false\n"),
                "skip a.service",
            ),
            (
                "a.service",
                a,
                Some("[Service]\nExecStart=/b\nX-ReloadIfChanged=true\n"),
                "reload a.service",
            ),
            (
                "a.service",
                a,
                Some("[Unit]\nX-OnlyManualStart=true\n[Service]\nExecStart=/b\n"),
                "skip a.service",
            ),
            (
                "a.service",
                a,
                Some("[Unit]\nX-Reload-Triggers=1\n[Service]\nExecStart=/a\n"),
                "reload a.service",
            ),
            (
                "a.service",
                a,
                Some("[Unit]\nX-Restart-Triggers=1\n[Service]\nExecStart=/a\n"),
                "stop a.service, start a.service",
            ),
            ("a.service", a, None, "stop a.service"),
            ("a.service", "[Unit]\nX-StopOnRemoval=false\n", None, ""),
            ("a.target", "", Some(""), "start a.target"),
            ("a.target", "", Some("[Unit]\nRefuseManualStart=yes\n"), ""),
            (
                "a.target",
                "",
                Some("[Unit]\nX-StopOnReconfiguration=true\n"),
                "stop a.target, start a.target",
            ),
            ("suspend.target", "", Some(""), ""),
        ];
        for (name, old, new, expected) in table {
            assert_eq!(
                check(name, old, *new, &[]),
                *expected,
                "{name} {old:?} {new:?}"
            );
        }
    }

    #[test]
    fn a_socket_activated_service_is_started_by_its_socket() {
        let planned = check(
            "a.service",
            "",
            Some("[Service]\nExecStart=/b\n"),
            &["a.socket"],
        );
        assert_eq!(planned, "stop a.service, stop a.socket, start a.socket");
    }

    #[test]
    fn what_the_activation_asks_for_is_done_once() {
        let table = [
            ("", true, "restart a.service"),
            ("", false, "start a.service"),
            (
                "[Service]\nX-ReloadIfChanged=true\n",
                true,
                "reload a.service",
            ),
            (
                "[Service]\nX-RestartIfChanged=false\n",
                true,
                "skip a.service",
            ),
        ];
        for (file, ran, expected) in table {
            let mut plan = Plan::default();
            plan.wish("a.service".to_owned(), &UnitFile::parse(file), ran);
            let lists = [
                ("restart", plan.restart),
                ("start", plan.start),
                ("reload", plan.reload),
                ("skip", plan.skip),
            ];
            let words: Vec<String> = lists
                .into_iter()
                .flat_map(|(verb, units)| {
                    units.into_iter().map(move |unit| format!("{verb} {unit}"))
                })
                .collect();
            assert_eq!(words, [expected]);
        }
        let mut changed = Plan::default();
        changed.start.insert("a.service".to_owned());
        changed.wish("a.service".to_owned(), &UnitFile::default(), true);
        assert!(changed.start.is_empty() && changed.restart.contains("a.service"));
    }

    #[test]
    fn an_empty_value_and_a_continued_line_mean_what_systemd_says() {
        let unit = UnitFile::parse("[Service]\nExecStart=/a\nExecStart=\nExecStart=/b \\\n  -x\n");
        assert_eq!(unit.get("Service", "ExecStart"), Some("/b    -x"));
    }
}
