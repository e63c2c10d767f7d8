//! What systemd's programs print, read.

use serde::Deserialize;

use super::UnitState;
use crate::exit_file;
use crate::system::{SystemError, Units};

#[derive(Debug, Deserialize)]
pub(super) struct ListedUnit {
    pub(super) unit: String,
    pub(super) active: String,
    pub(super) sub: String,
}

pub(super) fn parse_units(json: &str) -> Result<Vec<ListedUnit>, SystemError> {
    serde_json::from_str(json).map_err(|error| SystemError::Command {
        what: "systemctl list-units".to_owned(),
        how: format!("unexpected output: {error}"),
    })
}

/// Sorts units out: which can be started again if an activation stops them, and which are failed.
/// As switch-to-configuration does, a service that waits for its restart counts as failed.
pub(super) fn sort_units(listed: Vec<ListedUnit>, in_etc: impl Fn(&str) -> bool) -> Units {
    let mut units = Units::default();
    for ListedUnit { unit, active, sub } in listed {
        // Ours are judged by their results; a verification that failed is no damage.
        if unit.starts_with("nixus-") {
            continue;
        }
        if active == "failed" || sub == "auto-restart" {
            units.failed.push(unit);
        } else if active == "active" {
            let startable = [
                ".service", ".socket", ".timer", ".mount", ".path", ".target",
            ]
            .iter()
            .any(|kind| unit.ends_with(kind));
            if startable && (in_etc(&unit) || template(&unit).is_some_and(|file| in_etc(&file))) {
                units.active.push(unit);
            }
        }
    }
    units.active.sort();
    units.failed.sort();
    units
}

/// `getty@.service` of `getty@tty1.service`.
fn template(unit: &str) -> Option<String> {
    let (name, rest) = unit.split_once('@')?;
    let (_, kind) = rest.rsplit_once('.')?;
    Some(format!("{name}@.{kind}"))
}

pub(super) fn parse_state(text: &str) -> UnitState {
    let get = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
            .unwrap_or("")
    };
    let idle = matches!(get("ActiveState"), "inactive" | "failed" | "");
    UnitState {
        fragment: get("FragmentPath").to_owned(),
        ended: idle && matches!(get("Job"), "" | "0"),
        refused: exit_file::refused_by_systemd(get("Result"), get("ExecMainStatus")),
        how: match get("LoadState") {
            "loaded" | "" => format!(
                "{} ({}, exit code {})",
                get("ActiveState"),
                get("Result"),
                get("ExecMainStatus")
            ),
            load => load.to_owned(),
        },
    }
}
