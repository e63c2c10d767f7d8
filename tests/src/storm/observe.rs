//! What is seen of a host from outside.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use lab::story::{deployments, status};
use lab::{Host, Lab};
use nixus::decide::report::{Report, State};
use nixus_switcher::protocol::Outcome;
use serde_json::Value;

use super::commits::MARK;
use super::judge::{Observation, Status};

/// The reasons of passes that wait for another commit.
const AT_REST: [&str; 4] = ["up-to-date", "quarantined", "inconclusive", "reboot-needed"];
/// Between two looks at a host.
const STEP: Duration = Duration::from_millis(300);
/// What is left over, of these kinds, where files lie that last.
const LEFT_OVER: &str = "find /var/lib/nixus /run/nixus /boot /nix/var/nix/profiles /nix/var/nix/gcroots /etc /run \
    -maxdepth 4 -xdev ( -name *.new -o -name *.tmp -o -name *.damaged* -o -name request-*.json ) -print";
const MOUNTS: &str = "findmnt --raw --noheadings --output TARGET";
const UNITS: &str =
    "systemctl list-units --all --plain --no-legend --no-pager nixus-* deployment-*";
const ACTIVE: &str = "systemctl list-units --state=active --type=service,socket,timer,path,target --plain --no-legend --no-pager";
const FAILED: &str = "systemctl list-units --state=failed --plain --no-legend --no-pager";

/// What a host has before anything happened.
#[derive(Debug, Clone)]
pub struct Usual {
    active: BTreeSet<String>,
    units: BTreeSet<String>,
    mounts: BTreeSet<String>,
    files: BTreeSet<String>,
}

impl Usual {
    /// What there is now.
    ///
    /// # Errors
    /// When the host does not answer.
    pub fn of(host: &Host) -> Result<Self> {
        let mut active = first_words(host, ACTIVE)?;
        active.retain(|unit| !comes_and_goes(unit));
        Ok(Self {
            active,
            units: first_words(host, UNITS)?,
            mounts: first_words(host, MOUNTS)?,
            files: first_words(host, LEFT_OVER)?,
        })
    }
}

/// Waits until a host has nothing more to do with the head; says why not after this time.
pub fn wait_quiet(host: &Host, head: &str, since: Timestamp, limit: Duration) -> Option<String> {
    let begun = Instant::now();
    loop {
        let why = unquiet(host, head, since)?;
        if begun.elapsed() > limit {
            return Some(format!("after {} s: {why}", limit.as_secs()));
        }
        thread::sleep(STEP);
    }
}

/// Why a host is not quiet: no pass since then that ended with the head, or something is under way.
fn unquiet(host: &Host, head: &str, since: Timestamp) -> Option<String> {
    let Some(noted) = host.peek("/run/nixus/last-pass.json") else {
        return Some("no pass has ended since it booted".to_owned());
    };
    let noted: Value = serde_json::from_str(&noted).unwrap_or_default();
    let word = |path: &str| noted.pointer(path).and_then(Value::as_str).unwrap_or("");
    let reason = word("/waits_for/reason");
    let is_about_it = word("/waits_for/commit") == head;
    if !AT_REST.contains(&reason) || !is_about_it {
        return Some(format!("the last pass ended with {}", noted["waits_for"]));
    }
    let ended: Option<Timestamp> = word("/time").parse().ok();
    if ended.is_none_or(|ended| ended < since) {
        return Some("no pass has ended since all was well again".to_owned());
    }
    match status(host) {
        Err(error) => return Some(format!("it does not say its status: {error:#}")),
        Ok(said) if said["open"] != Value::Null => {
            return Some(format!("a deployment is open: {}", said["open"]));
        }
        Ok(_) => {}
    }
    let state = host.exec(["systemctl", "is-system-running"]);
    match state {
        Ok(said) if matches!(said.stdout.trim(), "running" | "degraded") => None,
        Ok(said) => Some(format!("systemd is {}", said.stdout.trim())),
        Err(error) => Some(format!("it does not answer: {error:#}")),
    }
}

/// Looks at a host; `unquiet` is what it was waited for in vain.
pub fn observe(
    lab: &Lab,
    host: &Host,
    usual: &Usual,
    head: &str,
    unquiet: Option<String>,
) -> Observation {
    let shut = enter(lab, host).err().map(|error| format!("{error:#}"));
    let mut seen = Observation {
        shut,
        ..Observation::default()
    };
    if let Err(error) = look(lab, host, usual, head, &mut seen) {
        seen.unquiet = Some(format!("it cannot be looked at: {error:#}"));
    }
    if unquiet.is_some() {
        seen.unquiet = unquiet;
    }
    seen
}

/// Sees that the operator gets in.
fn enter(lab: &Lab, host: &Host) -> Result<()> {
    let operator = lab.operator();
    let to = format!("root@{}", host.address);
    let said = operator.ssh(operator.key(), &to, &["hostname"])?;
    let hostname = said.stdout.trim();
    ensure!(hostname == host.name, "{hostname} {}", said.stderr.trim());
    Ok(())
}

fn look(lab: &Lab, host: &Host, usual: &Usual, head: &str, seen: &mut Observation) -> Result<()> {
    seen.runs = host.current_system()?;
    seen.boots = host.boot_default()?;
    seen.profile = host.profile()?;
    seen.booted = host.booted_system()?;
    let mark = format!("{}/etc/{MARK}", seen.runs);
    // The first system has none.
    seen.mark = host.peek(&mark).unwrap_or_default();
    seen.failed = first_words(host, FAILED)?.into_iter().collect();
    let active = first_words(host, ACTIVE)?;
    seen.gone = usual.active.difference(&active).cloned().collect();
    seen.status = said(host);
    let reports = lab.operator().reports(&host.name)?;
    let of_head = reports.iter().rfind(|report| report.commit.id == head);
    seen.reported = of_head.map(|report| report.state.word().to_owned());
    seen.unreported = unreported(host, &reports)?;
    let units = first_words(host, UNITS)?;
    let mounts = first_words(host, MOUNTS)?;
    let files = first_words(host, LEFT_OVER)?;
    let beyond = |now: BTreeSet<String>, usual: &BTreeSet<String>| -> Vec<String> {
        now.difference(usual).cloned().collect()
    };
    seen.units = beyond(units, &usual.units);
    seen.units.retain(|unit| !comes_and_goes(unit));
    seen.mounts = beyond(mounts, &usual.mounts);
    // systemd makes them for the units that run just now.
    seen.mounts.retain(|mount| {
        let beginnings = [
            "/run/credentials/",
            "/run/user/",
            "/run/systemd/",
            "/var/tmp/",
        ];
        !beginnings.iter().any(|begin| mount.starts_with(begin))
    });
    seen.files = beyond(files, &usual.files);
    let size = host.must(["du", "--summarize", "-k", "/var/lib/nixus"])?;
    let files = host.must(["find", "/var/lib/nixus", "-type", "f"])?;
    let size = size.split_whitespace().next().unwrap_or_default();
    seen.state = (size.parse()?, files.lines().count() as u64);
    Ok(())
}

/// Units that run for a moment: those of a pass, and what is started by whoever asks for it.
fn comes_and_goes(unit: &str) -> bool {
    let kinds = [
        "nixus-reconcile.service",
        "nixus-verify.service",
        "nixus-recover.service",
        "nixus-post.service",
        "nixus-probe@",
        "system-nixus",
        "user",
        "session",
        "systemd-hostnamed",
    ];
    kinds.iter().any(|kind| unit.starts_with(kind))
}

/// What `nixus status` says.
fn said(host: &Host) -> Status {
    let said = match status(host) {
        Ok(said) => said,
        Err(error) => {
            return Status {
                silent: Some(format!("{error:#}")),
                ..Status::default()
            };
        }
    };
    let word = |path: &str| {
        let found = said.pointer(path).and_then(Value::as_str);
        found.unwrap_or_default().to_owned()
    };
    let empty = [Value::Null, Value::Array(Vec::new())];
    let complaints = [
        "damage",
        "journal_damage",
        "history_damage",
        "set_aside",
        "passes_stopped",
        "suspended",
    ];
    Status {
        silent: None,
        running: word("/running"),
        booted: word("/boot/booted"),
        kept: word("/kept/toplevel"),
        commit: word("/kept/commit/id"),
        waits: word("/last_pass/waits_for/reason"),
        about: word("/last_pass/waits_for/commit"),
        open: said
            .pointer("/open/phase")
            .and_then(Value::as_str)
            .map(str::to_owned),
        unsent: said["reports_unsent"] == Value::Bool(true),
        complaints: complaints
            .iter()
            .filter(|name| !empty.contains(&said[**name]))
            .map(|name| format!("{name}: {}", said[*name]))
            .collect(),
    }
}

/// Deployments that have ended more often than a report says so.
fn unreported(host: &Host, reports: &[Report]) -> Result<Vec<String>> {
    let mut missing = Vec::new();
    let mut counted: Vec<String> = Vec::new();
    for path in deployments(host)? {
        let outcome: Outcome = serde_json::from_str(&host.read(&path)?)
            .with_context(|| format!("{path} is not an outcome"))?;
        let deployment = outcome.deployment.to_string();
        counted.push(deployment.clone());
        let ended = counted.iter().filter(|one| **one == deployment).count();
        let is_end = |report: &&Report| {
            !matches!(report.state, State::Building | State::Activating)
                && report.deployment.as_ref() == Some(&outcome.deployment)
        };
        if reports.iter().filter(is_end).count() < ended {
            missing.push(deployment);
        }
    }
    Ok(missing)
}

/// The first word of each line that a command prints; its arguments have no spaces in them.
fn first_words(host: &Host, command: &str) -> Result<BTreeSet<String>> {
    // What vanishes while it is looked at makes `find` fail.
    let said = host.exec(command.split_whitespace())?;
    let first = |line: &str| line.split_whitespace().next().map(str::to_owned);
    Ok(said.stdout.lines().filter_map(first).collect())
}

/// The last lines of a host's journal that are Nixus'.
pub fn journal(host: &Host) -> String {
    let words = "journalctl --boot --no-pager --lines=40 --output=short-precise --unit=nixus-*";
    match host.exec(words.split_whitespace()) {
        Ok(said) => said.stdout,
        Err(error) => format!("{error:#}\n{}", host.console().unwrap_or_default()),
    }
}
