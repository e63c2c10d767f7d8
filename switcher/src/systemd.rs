//! systemd, by its own programs: `systemd-run` and `systemctl`, with argument vectors.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::arrival::Arrivals;
use crate::exit_file::{self, Exit};
use crate::journal::Watch;
use crate::layout::Layout;
use crate::process::{find, run, run_well};
use crate::protocol::DeploymentId;
use crate::system::{Switch, SwitchEnd, SystemError, Units};
use crate::waits::{self, Kind};

/// The longest that systemd may take to answer; a daemon-reload can take long on a busy host.
const ANSWER: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(25);
/// How long killed processes may take to be gone.
const KILLED: Duration = Duration::from_secs(30);
/// A watchdog fires this much after its deadline, so that a switcher that works is not overtaken.
pub const GRACE_SECONDS: u64 = 5;

/// systemd's programs and ours, by their real paths.
#[derive(Debug, Clone)]
pub struct Systemd {
    layout: Layout,
    exe: PathBuf,
    systemctl: PathBuf,
    systemd_run: PathBuf,
    arrivals: Arrivals,
}

/// What systemd knows of `nixus-verify.service`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitState {
    /// The file that it was loaded from; empty where there is none.
    pub fragment: String,
    /// It has ended, and no job will start it again.
    pub ended: bool,
    /// How it ended, for people.
    pub how: String,
    /// What systemd could not follow of its file.
    pub refused: Option<&'static str>,
}

impl Systemd {
    /// Finds the programs. `exe` is the switcher that watchdogs run.
    pub fn find(layout: &Layout, exe: PathBuf) -> Result<Self, SystemError> {
        let program = |name: &str| {
            find(name).ok_or_else(|| SystemError::Command {
                what: name.to_owned(),
                how: "not found".to_owned(),
            })
        };
        Ok(Self {
            layout: layout.clone(),
            exe,
            systemctl: program("systemctl")?,
            systemd_run: program("systemd-run")?,
            arrivals: Arrivals::default(),
        })
    }

    fn systemctl(&self, args: &[&str], limit: Duration) -> Result<String, SystemError> {
        run_well(&self.systemctl, args, limit)
    }

    /// Starts the timer that ends a phase which nobody else ended, and sees that it is armed.
    pub fn arm(&self, deployment: &DeploymentId, watch: &Watch) -> Result<(), SystemError> {
        let args = arm_args(&self.exe.to_string_lossy(), deployment, watch);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        run_well(&self.systemd_run, &args, ANSWER)?;
        if self.is_armed(&watch.unit) {
            Ok(())
        } else {
            Err(SystemError::Command {
                what: format!("{}.timer", watch.unit),
                how: "it is not active".to_owned(),
            })
        }
    }

    /// Whether a watchdog's timer waits.
    pub fn is_armed(&self, unit: &str) -> bool {
        let timer = format!("{unit}.timer");
        self.systemctl(&["is-active", "--quiet", "--", &timer], ANSWER)
            .is_ok()
    }

    /// Drops a watchdog's timer. Its service is left alone: it may be the one that asks for this.
    pub fn disarm(&self, unit: &str) {
        let timer = format!("{unit}.timer");
        // A timer that stays does nothing: its deployment or phase is over when it fires.
        let _ = run(&self.systemctl, &["stop", "--", &timer], ANSWER);
    }

    /// Runs `switch-to-configuration` in a unit of its own, to its end or to the limit.
    pub fn switch(&self, switch: &Switch) -> SwitchEnd {
        let unit = switch_unit(switch);
        let file = self.layout.exit_file(&unit);
        let log = self.layout.log(&switch.deployment);
        let _ = fs::remove_file(&file);
        if let Err(error) = fs::create_dir_all(self.layout.logs())
            .and_then(|()| fs::create_dir_all(self.layout.run()))
        {
            return SwitchEnd::NotRun(error.to_string());
        }
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let args = switch_args(switch, &text(&self.exe), &text(&file), &text(&log));
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let what = || format!("switch-to-configuration {}", switch.action.as_str());
        let _wait = waits::begin(Kind::Child, what);
        let end = Instant::now() + switch.limit;
        let started = run_well(&self.systemd_run, &args, ANSWER.min(switch.limit));
        // An activation may cut systemd-run off from systemd; the file tells what happened.
        let soon = Instant::now() + Duration::from_secs(3);
        let end = if started.is_ok() { end } else { end.min(soon) };
        loop {
            match Exit::read(&file) {
                Ok(Some(exit)) => {
                    let _ = fs::remove_file(&file);
                    return SwitchEnd::Exited(exit.as_code());
                }
                _ if Instant::now() < end => self.arrivals.wait(&self.layout.run(), POLL * 20),
                _ => break,
            }
        }
        let killed = self.kill(&unit);
        let _ = fs::remove_file(&file);
        match (started, killed) {
            (Err(error), _) => SwitchEnd::NotRun(error.to_string()),
            (Ok(_), _) => SwitchEnd::TimedOut,
        }
    }

    /// Kills all processes of a unit at once and waits until they are gone. A unit that is not
    /// there is gone already.
    pub fn kill(&self, unit: &str) -> Result<(), SystemError> {
        let asked = self.systemctl(
            &["show", "--property=ControlGroup", "--value", "--", unit],
            Duration::from_secs(5),
        );
        let group = match asked.as_deref().map(str::trim) {
            Ok(group) if group.starts_with('/') => group.trim_start_matches('/').to_owned(),
            _ => format!("system.slice/{unit}"),
        };
        let dir = self.layout.at("/sys/fs/cgroup").join(group);
        let end = Instant::now() + KILLED;
        // cgroup.kill is since Linux 5.14; it also gets what forks meanwhile.
        while is_populated(&dir) {
            if fs::write(dir.join("cgroup.kill"), "1").is_err() && is_populated(&dir) {
                let _ = run(
                    &self.systemctl,
                    &["kill", "--signal=KILL", "--kill-whom=all", "--", unit],
                    Duration::from_secs(5),
                );
            }
            if Instant::now() > end {
                return Err(SystemError::StillRunning {
                    unit: unit.to_owned(),
                });
            }
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// Stops a unit for good, also one that would be restarted, then kills what is left of it.
    pub fn end(&self, unit: &str) -> Result<(), SystemError> {
        let killed = self.kill(unit);
        let _ = run(&self.systemctl, &["stop", "--no-block", "--", unit], ANSWER);
        killed.and_then(|()| self.kill(unit))
    }

    /// The names of loaded units that match a pattern.
    pub fn names(&self, pattern: &str) -> Result<Vec<String>, SystemError> {
        let json = self.systemctl(
            &["list-units", "--all", "--output=json", "--", pattern],
            ANSWER,
        )?;
        Ok(parse_units(&json)?
            .into_iter()
            .map(|unit| unit.unit)
            .collect())
    }

    /// The units now.
    pub fn units(&self) -> Result<Units, SystemError> {
        let json = self.systemctl(&["list-units", "--all", "--output=json"], ANSWER)?;
        let dir = self.layout.units();
        Ok(sort_units(parse_units(&json)?, |file| {
            dir.join(file).exists()
        }))
    }

    /// Starts units and waits for them.
    pub fn start(&self, units: &[String]) -> Result<(), SystemError> {
        let mut args = vec!["start", "--"];
        args.extend(units.iter().map(String::as_str));
        self.systemctl(&args, Duration::from_secs(90)).map(drop)
    }

    /// Lets a unit run from its beginning, without waiting for it.
    pub fn restart(&self, unit: &str) -> Result<(), SystemError> {
        let _ = run(&self.systemctl, &["reset-failed", "--", unit], ANSWER);
        self.systemctl(&["restart", "--no-block", "--", unit], ANSWER)
            .map(drop)
    }

    /// Asks systemd to stop or start a unit some time; whether it does is not important.
    pub fn ask(&self, verb: &str, unit: &str) {
        let _ = run(&self.systemctl, &[verb, "--no-block", "--", unit], ANSWER);
    }

    /// How a unit is.
    pub fn state(&self, unit: &str) -> Result<UnitState, SystemError> {
        let text = self.systemctl(
            &[
                "show",
                "--property=LoadState,FragmentPath,ActiveState,SubState,Result,ExecMainStatus,Job",
                "--",
                unit,
            ],
            ANSWER,
        )?;
        Ok(parse_state(&text))
    }

    /// Reboots in order; the caller goes further where nothing happens.
    pub fn reboot(&self) -> Result<(), SystemError> {
        self.systemctl(&["reboot", "--no-block"], ANSWER).map(drop)
    }
}

/// `cgroup.events` says whether anybody is in a cgroup or below it (cgroups(7)).
fn is_populated(dir: &Path) -> bool {
    fs::read_to_string(dir.join("cgroup.events"))
        .is_ok_and(|text| text.lines().any(|line| line == "populated 1"))
}

/// The unit of one run of `switch-to-configuration`.
fn switch_unit(switch: &Switch) -> String {
    format!(
        "nixus-stc-{}-{}-{}.service",
        switch.deployment,
        switch.action.as_str(),
        switch.run
    )
}

fn arm_args(exe: &str, deployment: &DeploymentId, watch: &Watch) -> Vec<String> {
    let seconds = watch.limit + GRACE_SECONDS;
    let mut args: Vec<String> = [
        "--quiet",
        "--no-ask-password",
        "--collect",
        "--expand-environment=no",
        "--service-type=exec",
        "--timer-property=AccuracySec=100ms",
        // The way back must not end because somebody kills it, or because it hangs.
        "--property=Restart=on-failure",
        "--property=RestartSec=1s",
        "--property=StartLimitIntervalSec=1h",
        "--property=StartLimitBurst=10",
        "--property=RuntimeMaxSec=2h",
        "--property=OOMScoreAdjust=-900",
    ]
    .map(str::to_owned)
    .to_vec();
    args.push(format!("--on-active={seconds}s"));
    args.push(format!("--unit={}", watch.unit));
    args.push(format!(
        "--description=Watchdog of Nixus deployment {deployment}, {}",
        watch.phase
    ));
    args.extend(
        [
            "--",
            exe,
            "expire",
            "--deployment",
            deployment.as_str(),
            "--phase",
            watch.phase.as_str(),
        ]
        .map(str::to_owned),
    );
    args
}

fn switch_args(switch: &Switch, exe: &str, file: &str, log: &str) -> Vec<String> {
    let mut args: Vec<String> = [
        "--quiet",
        "--no-ask-password",
        "--collect",
        "--expand-environment=no",
        "--service-type=exec",
        "--working-directory=/",
        "--property=TimeoutStopSec=10s",
        // What systemd gives to services and must not leak into activation scripts.
        "--property=UnsetEnvironment=INVOCATION_ID JOURNAL_STREAM NOTIFY_SOCKET LISTEN_FDS LISTEN_PID",
    ]
    .map(str::to_owned)
    .to_vec();
    args.push(format!("--unit={}", switch_unit(switch)));
    args.push(format!("--property=StandardOutput=append:{log}"));
    args.push(format!("--property=StandardError=append:{log}"));
    args.push(format!("--property=ExecStopPost={exe} record-exit {file}"));
    if switch.unchecked {
        args.push("--setenv=NIXOS_NO_CHECK=1".to_owned());
    }
    args.push("--".to_owned());
    args.push(format!(
        "{}/bin/switch-to-configuration",
        switch.toplevel.path().display()
    ));
    args.push(switch.action.as_str().to_owned());
    args
}

#[derive(Debug, Deserialize)]
struct ListedUnit {
    unit: String,
    active: String,
    sub: String,
}

fn parse_units(json: &str) -> Result<Vec<ListedUnit>, SystemError> {
    serde_json::from_str(json).map_err(|error| SystemError::Command {
        what: "systemctl list-units".to_owned(),
        how: format!("unexpected output: {error}"),
    })
}

/// Sorts units out: which can be started again if an activation stops them, and which are failed.
/// As switch-to-configuration does, a service that waits for its restart counts as failed.
fn sort_units(listed: Vec<ListedUnit>, in_etc: impl Fn(&str) -> bool) -> Units {
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

fn parse_state(text: &str) -> UnitState {
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

#[cfg(test)]
#[path = "systemd_tests.rs"]
mod tests;
