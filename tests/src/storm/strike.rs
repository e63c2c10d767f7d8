//! Lets happen what a plan says, at its moment.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use lab::story::switcher_status;
use lab::{Host, Lab};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::faults::{Fault, Kind, Moment, Phase};

/// How long a host is looked at for a phase.
const WATCHED: Duration = Duration::from_secs(25);
/// How long something to be killed is waited for.
const SOUGHT: Duration = Duration::from_secs(6);
/// Between two looks.
const STEP: Duration = Duration::from_millis(60);
/// Where a login finds the programs, whatever its `PATH` is.
const PROGRAMS: &str = "/run/current-system/sw/bin";
/// Exit codes of commands in order, and that of ssh where there is no way to the host.
const IN_ORDER: [i32; 5] = [0, 1, 2, 3, 255];

/// What became of a fault.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Strike {
    pub kind: Kind,
    pub host: String,
    /// Whether there was anything to be met.
    pub hit: bool,
    /// What was met, or why nothing was.
    pub note: String,
    /// What a command did that it should not have done.
    pub wrong: Option<String>,
}

/// Waits for the moment of a fault, and lets it happen; comes back when it is over.
pub fn strike(lab: &Lab, fault: &Fault, begun: Instant, pushed: &AtomicBool) -> Strike {
    wait(lab, fault, begun, pushed);
    let mut strike = Strike {
        kind: fault.kind,
        host: fault.host.clone(),
        hit: false,
        note: String::new(),
        wrong: None,
    };
    match happen(lab, fault) {
        Ok(met) => {
            strike.hit = met.hit;
            strike.note = met.note;
            strike.wrong = met.wrong;
        }
        // The host is off, or something else happens to it.
        Err(error) => strike.note = format!("{error:#}").lines().take(1).collect(),
    }
    strike
}

#[derive(Default)]
struct Met {
    hit: bool,
    note: String,
    wrong: Option<String>,
}

fn met(hit: bool, note: impl Into<String>) -> Met {
    Met {
        hit,
        note: note.into(),
        wrong: None,
    }
}

fn wait(lab: &Lab, fault: &Fault, begun: Instant, pushed: &AtomicBool) {
    while fault.kind.meets_pushes() && !pushed.load(Ordering::Acquire) {
        thread::sleep(STEP);
    }
    match fault.moment {
        Moment::AfterPush(after) => {
            let at = Duration::from_millis(after);
            thread::sleep(at.saturating_sub(begun.elapsed()));
        }
        Moment::In(phase, after) => {
            let seen = Instant::now();
            while !is_in(lab, &fault.host, phase) && seen.elapsed() < WATCHED {
                thread::sleep(STEP);
            }
            thread::sleep(Duration::from_millis(after));
        }
    }
}

fn is_in(lab: &Lab, host: &str, phase: Phase) -> bool {
    let said = lab.host(host).and_then(switcher_status);
    said.is_ok_and(|said| {
        said.pointer("/open/phase").and_then(Value::as_str) == Some(phase.name().as_str())
    })
}

fn happen(lab: &Lab, fault: &Fault) -> Result<Met> {
    let host = lab.host(&fault.host)?;
    match fault.kind {
        Kind::KillSwitcher => kill(fault, || host.kill_units("nixus-switch-*.service")),
        Kind::KillSwitch => kill(fault, || host.kill_units("nixus-stc-*.service")),
        Kind::KillPass => kill(fault, || host.kill_units("nixus-reconcile.service")),
        Kind::KillVerify => kill(fault, || host.kill_units("nixus-verify.service")),
        Kind::KillAll => kill(fault, || host.kill_units("nixus-*.service")),
        Kind::KillNix => kill(fault, || kill_processes(host, &["pgrep", "-x", "nix"])),
        Kind::KillBuilders => kill(fault, || kill_builders(host)),
        Kind::PowerCut | Kind::PowerCutAgain => cut(host, fault),
        Kind::LinkLoss => {
            host.unplug()?;
            thread::sleep(fault.pause());
            host.plug().map(|()| met(true, ""))
        }
        Kind::ServerAway => {
            let server = lab.host("git")?;
            server.power_cut()?;
            thread::sleep(fault.pause());
            server.start().map(|()| met(true, ""))
        }
        Kind::DiskFull => {
            lab.fill_disk()?;
            thread::sleep(fault.pause());
            lab.relieve_disk().map(|()| met(true, ""))
        }
        Kind::Suspend => {
            let suspended = command(lab, host, &["nixus", "suspend", "storm"])?;
            thread::sleep(fault.pause());
            command(lab, host, &["nixus", "resume"])?;
            Ok(suspended)
        }
        Kind::Resume => command(lab, host, &["nixus", "resume"]),
        Kind::Revert => command(lab, host, &["nixus-switcher", "revert"]),
        Kind::Confirm => command(lab, host, &["nixus-switcher", "confirm"]),
        Kind::Reboot => {
            // The connection ends with the host.
            command(lab, host, &["/usr/bin/systemctl", "reboot"])?;
            Ok(met(true, ""))
        }
        Kind::Retry => command(lab, host, &["nixus", "retry"]),
        Kind::RollbackWrong => {
            let mut done = command(lab, host, &["nixus", "rollback", "--to", "9999"])?;
            if done.note == "exit code 0" {
                done.wrong = Some("it went back to a generation that is not there".to_owned());
            }
            Ok(done)
        }
        Kind::Check => command(lab, host, &["nixus", "check"]),
        Kind::Status => command(lab, host, &["nixus", "status"]),
    }
}

/// Kills as often as planned; what is not there yet is waited for a little, the first time.
fn kill(fault: &Fault, once: impl Fn() -> Result<usize>) -> Result<Met> {
    let sought = Instant::now();
    let mut killed = once()?;
    while killed == 0 && sought.elapsed() < SOUGHT {
        thread::sleep(STEP);
        killed = once()?;
    }
    for _ in 1..fault.times {
        thread::sleep(fault.pause());
        killed += once()?;
    }
    Ok(met(killed > 0, format!("{killed} killed")))
}

/// `kill -9` of the processes whose ids a command on the host prints.
fn kill_processes(host: &Host, listing: &[&str]) -> Result<usize> {
    let listed = host.exec(listing)?.stdout;
    let ids: Vec<&str> = listed.split_whitespace().collect();
    if !ids.is_empty() {
        host.exec(["kill", "-KILL"].iter().chain(&ids))?;
    }
    Ok(ids.len())
}

fn kill_builders(host: &Host) -> Result<usize> {
    let parents = host.exec(["pgrep", "-x", "nix"])?.stdout;
    let parents: Vec<&str> = parents.split_whitespace().collect();
    if parents.is_empty() {
        return Ok(0);
    }
    kill_processes(host, &["pgrep", "-P", &parents.join(",")])
}

fn cut(host: &Host, fault: &Fault) -> Result<Met> {
    for time in 0..fault.times {
        if time > 0 {
            thread::sleep(fault.pause());
        }
        host.power_cut()?;
        thread::sleep(Duration::from_millis(200));
        host.power_on()?;
    }
    Ok(met(true, format!("{} times", fault.times)))
}

/// A command that the operator gives by SSH.
fn command(lab: &Lab, host: &Host, words: &[&str]) -> Result<Met> {
    let operator = lab.operator();
    let Some((program, rest)) = words.split_first() else {
        bail!("there is no command");
    };
    let program = match program.starts_with('/') {
        true => (*program).to_owned(),
        false => format!("{PROGRAMS}/{program}"),
    };
    let words: Vec<&str> = [program.as_str()]
        .into_iter()
        .chain(rest.iter().copied())
        .collect();
    let said = operator.ssh(operator.key(), &format!("root@{}", host.address), &words)?;
    let code = said.code.unwrap_or(-1);
    let is_disorderly = !IN_ORDER.contains(&code) || said.stderr.contains("panicked");
    Ok(Met {
        hit: code != 255,
        note: format!("exit code {code}"),
        wrong: is_disorderly
            .then(|| format!("{} ended with {code}: {}", words.join(" "), said.stderr)),
    })
}
