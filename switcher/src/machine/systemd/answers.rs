//! What systemd's programs print, read.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::{UnitState, is_ours};
use crate::machine::exit_file;
use crate::machine::system::Stopped;
use crate::machine::system::{SystemError, Units};

#[derive(Debug, Deserialize)]
pub(super) struct ListedUnit {
    pub(super) unit: String,
    pub(super) active: String,
    pub(super) sub: String,
}

/// So many units are named at most.
const MOST_JOBS: usize = 5;

/// The units of running jobs in `systemctl list-jobs --plain`: number, unit, type and state. Others wait for these.
pub(super) fn parse_running_jobs(listed: &str) -> Vec<String> {
    let running = listed.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (_, unit, _, state) = (words.next()?, words.next()?, words.next()?, words.next()?);
        // The deployment's own are not a reason.
        (state == "running" && !unit.starts_with("nixus-")).then(|| unit.to_owned())
    });
    running.take(MOST_JOBS).collect()
}

pub(super) fn parse_units(json: &str) -> Result<Vec<ListedUnit>, SystemError> {
    serde_json::from_str(json).map_err(|error| SystemError::Command {
        what: "systemctl list-units".to_owned(),
        how: format!("unexpected output: {error}"),
    })
}

/// The properties of [`parse_stopped`].
pub(super) const STOPPED_PROPERTIES: &str =
    "--property=Id,LoadState,ActiveState,Type,Result,ExecMainStatus,ConditionResult,Job";

/// Those of the units that were active before that are idle now and wanted by something that is active.
/// Targets and what comes and goes (scopes, slices, devices) say nothing.
pub(super) fn idle<'a>(
    before: &'a [String],
    wanted: &BTreeMap<String, BTreeSet<String>>,
    now: &[ListedUnit],
) -> Vec<&'a str> {
    let active = |name: &str| {
        let mut units = now.iter();
        units.any(|unit| unit.unit == name && unit.active == "active")
    };
    // One that systemd has forgotten does not run either.
    let runs = |name: &str| {
        let found = now.iter().find(|unit| unit.unit == name);
        found.is_some_and(|unit| unit.active != "inactive")
    };
    let is_wanted = |name: &str| {
        let by = wanted.get(name);
        by.is_some_and(|by| by.iter().any(|by| active(by)))
    };
    let kinds = [".service", ".socket", ".timer", ".path", ".mount"];
    before
        .iter()
        .map(String::as_str)
        .filter(|name| kinds.iter().any(|kind| name.ends_with(kind)))
        .filter(|name| !runs(name) && is_wanted(name))
        .collect()
}

/// Of units that are shown one after the other, those that do not run and have not ended well: a oneshot
/// that succeeded has, and one that is about to start is not a finding yet.
pub(super) fn parse_stopped(text: &str) -> Vec<Stopped> {
    let mut stopped = Vec::new();
    for shown in text.split("\n\n") {
        let get = |name: &str| property(shown, name);
        let succeeded = get("Type") == "oneshot" && get("Result") == "success";
        let is_loaded = get("LoadState") == "loaded";
        let is_queued = !matches!(get("Job"), "" | "0");
        let is_idle = get("ActiveState") == "inactive";
        let unit = get("Id").to_owned();
        if unit.is_empty() || (is_loaded && (succeeded || is_queued || !is_idle)) {
            continue;
        }
        let how = match (is_loaded, get("ConditionResult")) {
            (false, _) => format!("systemd does not take its unit: {}", get("LoadState")),
            (true, "no") => "a condition of its unit is not met".to_owned(),
            (true, _) => match (get("Result"), get("ExecMainStatus")) {
                ("" | "success", "" | "0") => "it does not run any more".to_owned(),
                (result, status) => {
                    format!("it does not run any more ({result}, exit code {status})")
                }
            },
        };
        stopped.push(Stopped { unit, how });
    }
    stopped
}

fn property<'a>(text: &'a str, name: &str) -> &'a str {
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
        .unwrap_or("")
}

/// The services that wait for their restart.
pub(super) fn restarting(listed: &[ListedUnit]) -> Vec<&str> {
    let waits = listed.iter().filter(|unit| unit.sub == "auto-restart");
    waits.map(|unit| unit.unit.as_str()).collect()
}

/// Of units that are shown one after the other (`Id`, `ExecMainStatus`, `Result`), those whose program
/// failed, or a program that has to come before it.
pub(super) fn parse_failing(text: &str) -> Vec<String> {
    text.split("\n\n")
        .filter(|shown| {
            !matches!(property(shown, "ExecMainStatus"), "" | "0")
                || !matches!(property(shown, "Result"), "" | "success")
        })
        .map(|shown| property(shown, "Id").to_owned())
        .collect()
}

/// Sorts units out: which can be started again if an activation stops them, and which are failed. A
/// service that waits for its restart counts as failed where its program did, as
/// switch-to-configuration has it; `failing` are those. An instance that a socket started for one
/// connection can be started by nobody else.
pub(super) fn sort_units(
    listed: Vec<ListedUnit>,
    failing: &[String],
    in_etc: impl Fn(&str) -> bool,
    by_connection: impl Fn(&str) -> bool,
) -> Units {
    let mut units = Units::default();
    for ListedUnit { unit, active, sub } in listed {
        // Ours are judged by their results; a verification that failed is not damage.
        if is_ours(&unit) {
            continue;
        }
        if active == "failed" || (sub == "auto-restart" && failing.contains(&unit)) {
            units.failed.push(unit);
        } else if active == "active" {
            let startable = [
                ".service", ".socket", ".timer", ".mount", ".path", ".target",
            ]
            .iter()
            .any(|kind| unit.ends_with(kind));
            let of_connection = template(&unit).is_some_and(|file| by_connection(&file));
            if startable
                && !of_connection
                && (in_etc(&unit) || template(&unit).is_some_and(|file| in_etc(&file)))
            {
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
    let get = |name: &str| property(text, name);
    let idle = matches!(get("ActiveState"), "inactive" | "failed" | "");
    UnitState {
        fragment: get("FragmentPath").to_owned(),
        ended: idle && matches!(get("Job"), "" | "0"),
        by_itself: matches!(get("Result"), "success" | "exit-code"),
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
