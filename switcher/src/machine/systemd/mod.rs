//! systemd, by its own programs: `systemd-run` and `systemctl`, with argument vectors.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use crate::decide::phase::PhaseName;
use crate::machine::arrival::Arrivals;
use crate::machine::exit_file::Exit;
use crate::machine::process::{find, run, run_well};
use crate::machine::system::Stopped;
use crate::machine::system::{Switch, SwitchEnd, SystemError, Units};
use crate::protocol::DeploymentId;
use crate::state::bounded::read_bounded;
use crate::state::journal::Watch;
use crate::state::layout::Layout;
use crate::waits::{self, Kind};

mod answers;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;

use answers::{
    STOPPED_PROPERTIES, idle, parse_failing, parse_running_jobs, parse_state, parse_stopped,
    parse_units, restarting, sort_units,
};

/// The longest that systemd may take to answer; a daemon-reload can take long on a busy host.
const ANSWER: Duration = Duration::from_secs(60);
/// The same where it did not answer the last time.
const SILENT: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(25);
/// What of the words of one run is read, in bytes.
const SAID_LIMIT: u64 = 4 << 20;
/// How long after the end of all its processes a unit's exit may take to be recorded; PID 1 may be busy.
const UNRECORDED: Duration = Duration::from_secs(15);
/// The exit code that stands for SIGKILL.
const KILLED_CODE: i32 = 137;
/// How long killed processes may take to be gone.
const KILLED: Duration = Duration::from_secs(30);
/// A watchdog fires this much after its deadline, so that a switcher that works is not overtaken.
pub const GRACE_SECONDS: u64 = 5;
/// The second watchdog fires this much after the first.
const SECOND_SECONDS: u64 = 15;
/// What the units of the first watchdogs are called, before the deployment and the phase.
const FIRST: &str = "nixus-expire-";
/// The same of the second ones: no order to stop or mask `nixus-*` ends them.
pub(crate) const SECOND: &str = "deployment-deadline-";

/// What a transient unit needs to survive an order that is meant for all others: `systemctl isolate`, or
/// the emergency mode that a failed mount leads to, which ends `sysinit.target` and all that needs it
/// (systemd.unit(5), `IgnoreOnIsolate=`; systemd.service(5), "Default Dependencies"). Only a shutdown
/// ends it.
pub const UNDISTURBED: [&str; 4] = [
    "IgnoreOnIsolate=yes",
    "DefaultDependencies=no",
    "Conflicts=shutdown.target",
    "Before=shutdown.target",
];

/// systemd's programs and ours, by their real paths.
#[derive(Debug, Clone)]
pub struct Systemd {
    layout: Layout,
    exe: PathBuf,
    systemctl: PathBuf,
    systemd_run: PathBuf,
    arrivals: Arrivals,
    silent: Cell<bool>,
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
    /// Its program came to its own end, and was not killed.
    pub by_itself: bool,
    /// What systemd could not follow of its file.
    pub refused: Option<&'static str>,
}

impl Systemd {
    /// Finds the programs. `exe` is the switcher that watchdogs run.
    ///
    /// # Errors
    /// A program of systemd is not to be found.
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
            silent: Cell::new(false),
        })
    }

    fn systemctl(&self, args: &[&str], limit: Duration) -> Result<String, SystemError> {
        self.patiently(limit, |limit| run_well(&self.systemctl, args, limit))
    }

    /// Asks for something whose answer does not matter.
    fn tell(&self, args: &[&str], limit: Duration) {
        let _ = self.patiently(limit, |limit| run(&self.systemctl, args, limit));
    }

    /// A systemd that did not answer once is not waited for long again, until it does: the way to
    /// the last resort has many questions on it.
    fn patiently<T>(
        &self,
        limit: Duration,
        ask: impl FnOnce(Duration) -> Result<T, SystemError>,
    ) -> Result<T, SystemError> {
        let limit = match self.silent.get() {
            true => limit.min(SILENT),
            false => limit,
        };
        let begun = Instant::now();
        let answer = ask(limit);
        self.silent.set(answer.is_err() && begun.elapsed() >= limit);
        answer
    }

    /// Starts the timers that end a phase which nobody else ended, and sees that they are armed.
    ///
    /// # Errors
    /// systemd refuses them, or does not show them as armed.
    pub fn arm(&self, deployment: &DeploymentId, watch: &Watch) -> Result<(), SystemError> {
        let exe = self.exe.to_string_lossy();
        let mut refused = None;
        for (unit, seconds) in watchdogs(watch) {
            let args = arm_args(&exe, deployment, watch.phase, &unit, seconds);
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let armed = self.patiently(ANSWER, |limit| run_well(&self.systemd_run, &args, limit));
            refused = refused.or(armed.err());
        }
        if let Some(error) = refused {
            return Err(error);
        }
        if self.is_armed(&watch.unit) {
            Ok(())
        } else {
            Err(SystemError::Command {
                what: format!("{}.timer", watch.unit),
                how: "it is not active".to_owned(),
            })
        }
    }

    /// Whether one of a watchdog's timers waits.
    pub fn is_armed(&self, unit: &str) -> bool {
        // Exit code 0 where at least one is active (systemctl(1), `is-active`).
        let [first, second] = timers(unit);
        self.systemctl(&["is-active", "--quiet", "--", &first, &second], ANSWER)
            .is_ok()
    }

    /// Drops a watchdog's timers. Their services are left alone: one may be what asks for this.
    pub fn disarm(&self, unit: &str) {
        // A timer that stays does nothing: its deployment or phase is over when it fires.
        let [first, second] = timers(unit);
        self.tell(&["stop", "--", &first, &second], ANSWER);
    }

    /// Runs `switch-to-configuration` in a unit of its own, to its end or to the limit; gives what it
    /// printed as well, as far as that can be known.
    pub fn switch(&self, switch: &Switch) -> (SwitchEnd, String) {
        let unit = switch_unit(switch);
        // A switch-to-configuration that cannot write what it has to say dies of it, in the middle of
        // its work. The host's journal takes everything; a full disk must not end a rollback.
        let log = self.log(switch).filter(|_| !switch.unchecked);
        let size = |log: &PathBuf| fs::metadata(log).map_or(0, |data| data.len());
        let before = log.as_ref().map_or(0, size);
        let end = self.run_switch(switch, &unit, log.as_deref());
        let said = match &log {
            Some(log) => read_from(log, before),
            None => self.printed(&unit),
        };
        if log.is_none()
            && let Some(log) = self.log(switch)
        {
            append(&log, &said);
        }
        (end, said)
    }

    /// What a unit printed, by the host's journal.
    fn printed(&self, unit: &str) -> String {
        let Some(journalctl) = find("journalctl") else {
            return String::new();
        };
        let unit = format!("_SYSTEMD_UNIT={unit}");
        let args = [
            "--quiet",
            "--no-pager",
            "--output=cat",
            "--lines=2000",
            &unit,
        ];
        let printed = run(&journalctl, &args, Duration::from_secs(5));
        printed.map(|output| output.stdout).unwrap_or_default()
    }

    fn run_switch(&self, switch: &Switch, unit: &str, log: Option<&Path>) -> SwitchEnd {
        let file = self.layout.exit_file(unit);
        let _ = fs::remove_file(&file);
        if let Err(error) = fs::create_dir_all(self.layout.run()) {
            return SwitchEnd::NotRun(error.to_string());
        }
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let args = switch_args(switch, &text(&self.exe), &text(&file), log);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let what = || format!("switch-to-configuration {}", switch.action.as_str());
        let _wait = waits::begin(Kind::Child, what);
        let end = Instant::now() + switch.limit;
        let started = self.patiently(ANSWER.min(switch.limit), |limit| {
            run_well(&self.systemd_run, &args, limit)
        });
        // An activation may cut systemd-run off from systemd; the file shows what happened.
        let soon = Instant::now() + Duration::from_secs(3);
        let end = if started.is_ok() { end } else { end.min(soon) };
        let group = self.group(unit);
        let (mut ran, mut gone) = (false, None);
        loop {
            let runs = is_populated(&group);
            ran |= runs;
            gone = gone.filter(|_| !runs).or((ran && !runs).then(Instant::now));
            match Exit::read(&file) {
                Ok(Some(exit)) => {
                    let _ = fs::remove_file(&file);
                    return SwitchEnd::Exited(exit.as_code());
                }
                // Whoever kills all of a unit kills what would have recorded its end as well.
                _ if gone.is_some_and(|since: Instant| since.elapsed() > UNRECORDED) => {
                    return SwitchEnd::Exited(KILLED_CODE);
                }
                _ if Instant::now() < end => self.arrivals.wait(&self.layout.run(), POLL * 20),
                _ => break,
            }
        }
        let waits_for = self.running_jobs();
        let killed = self.kill(unit);
        let _ = fs::remove_file(&file);
        match (started, killed) {
            (Err(error), _) => SwitchEnd::NotRun(error.to_string()),
            (Ok(_), _) => SwitchEnd::TimedOut { waits_for },
        }
    }

    /// The units that systemd is starting or stopping right now; none where it does not say.
    fn running_jobs(&self) -> Vec<String> {
        let args = ["list-jobs", "--no-legend", "--plain"];
        let listed = self.systemctl(&args, ANSWER);
        listed.map_or_else(|_| Vec::new(), |listed| parse_running_jobs(&listed))
    }

    /// Where a run writes to. systemd does not start what cannot write to its file, so that where
    /// there can be none, as on a disk that is read-only, only the host's journal has what it says.
    fn log(&self, switch: &Switch) -> Option<PathBuf> {
        let log = self.layout.log(&switch.deployment);
        let mut options = fs::OpenOptions::new();
        options.append(true).create(true).mode(0o600);
        fs::create_dir_all(self.layout.logs())
            .and_then(|()| options.open(&log))
            .ok()
            .map(|_| log)
    }

    /// The cgroup of a unit that this program has started.
    fn group(&self, unit: &str) -> PathBuf {
        self.layout.at("/sys/fs/cgroup/system.slice").join(unit)
    }

    /// Kills all processes of a unit at once and waits until they are gone. A unit that is not
    /// there is gone already.
    ///
    /// # Errors
    /// Something of it still runs at the end of the time.
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
                self.tell(
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
    ///
    /// # Errors
    /// Something of it still runs at the end of the time.
    pub fn end(&self, unit: &str) -> Result<(), SystemError> {
        let killed = self.kill(unit);
        self.tell(&["stop", "--no-block", "--", unit], ANSWER);
        killed.and_then(|()| self.kill(unit))
    }

    /// The names of loaded units that match a pattern.
    ///
    /// # Errors
    /// systemd does not answer in time, or with something else than a list.
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
    ///
    /// # Errors
    /// systemd does not answer in time, or with something else than a list.
    pub fn units(&self) -> Result<Units, SystemError> {
        let json = self.systemctl(&["list-units", "--all", "--output=json"], ANSWER)?;
        let listed = parse_units(&json)?;
        let failing = self.failing(&restarting(&listed))?;
        let dir = self.layout.units();
        let in_etc = |file: &str| dir.join(file).exists();
        let by_connection = |file: &str| is_by_connection(&dir, file);
        Ok(sort_units(listed, &failing, in_etc, by_connection))
    }

    /// Those of these services whose program failed when it ended last.
    fn failing(&self, units: &[&str]) -> Result<Vec<String>, SystemError> {
        if units.is_empty() {
            return Ok(Vec::new());
        }
        let args = [
            &["show", "--property=Id,ExecMainStatus,Result", "--"],
            units,
        ]
        .concat();
        Ok(parse_failing(&self.systemctl(&args, ANSWER)?))
    }

    /// Of these units, that were active before, those that do not run although something wants them that
    /// is there now: `wanted` has each unit with all that want it.
    ///
    /// # Errors
    /// systemd does not answer in time, or with something else than a list.
    pub fn stopped(
        &self,
        before: &[String],
        wanted: &BTreeMap<String, BTreeSet<String>>,
    ) -> Result<Vec<Stopped>, SystemError> {
        let json = self.systemctl(&["list-units", "--all", "--output=json"], ANSWER)?;
        let now = parse_units(&json)?;
        let idle = idle(before, wanted, &now);
        if idle.is_empty() {
            return Ok(Vec::new());
        }
        let mut args = vec!["show", STOPPED_PROPERTIES, "--"];
        args.extend(idle.iter().copied());
        let shown = self.systemctl(&args, ANSWER)?;
        Ok(parse_stopped(&shown))
    }

    /// Starts units and waits for them.
    ///
    /// # Errors
    /// systemd does not answer in time, or one of them fails.
    pub fn start(&self, units: &[String]) -> Result<(), SystemError> {
        let with = |verb| {
            let mut args = vec![verb, "--"];
            args.extend(units.iter().map(String::as_str));
            args
        };
        // One that has failed too often is not even tried (systemd.unit(5), StartLimitBurst=).
        self.tell(&with("reset-failed"), ANSWER);
        self.systemctl(&with("start"), Duration::from_secs(90))
            .map(drop)
    }

    /// Has the switcher come back once all is up that a boot starts, in the unit of its deployment.
    ///
    /// # Errors
    /// systemd refuses to start the unit.
    pub fn await_units(&self, deployment: &DeploymentId) -> Result<(), SystemError> {
        let args = await_args(&self.exe.to_string_lossy(), deployment);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        run_well(&self.systemd_run, &args, ANSWER).map(drop)
    }

    /// Lets a unit run from its beginning, without waiting for it.
    ///
    /// # Errors
    /// systemd does not answer in time, or refuses it.
    pub fn restart(&self, unit: &str) -> Result<(), SystemError> {
        self.tell(&["reset-failed", "--", unit], ANSWER);
        self.systemctl(&["restart", "--no-block", "--", unit], ANSWER)
            .map(drop)
    }

    /// Asks systemd to stop or start a unit some time; whether it does is not important.
    pub fn ask(&self, verb: &str, unit: &str) {
        self.tell(&[verb, "--no-block", "--", unit], ANSWER);
    }

    /// Stops a unit whose word counts no longer, and leaves no failure behind: killed on the way out, it would
    /// stay a failed unit for everybody who looks.
    pub fn dismiss(&self, unit: &str) {
        self.tell(&["stop", "--", unit], ANSWER);
        self.tell(&["reset-failed", "--", unit], ANSWER);
    }

    /// How a unit is.
    ///
    /// # Errors
    /// systemd does not answer in time.
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

    /// Reboots in order; the caller goes further where nothing happens. `systemctl reboot` would ask logind,
    /// and wait for the answer of one that D-Bus has lost; this is what it does where there is none.
    ///
    /// # Errors
    /// systemd does not answer in time, or refuses it.
    pub fn reboot(&self) -> Result<(), SystemError> {
        let how = ["start", "--no-block", "--job-mode=replace-irreversibly"];
        self.systemctl(&[&how[..], &["reboot.target"]].concat(), ANSWER)
            .map(drop)
    }
}

/// Whether a unit is one of Nixus' own.
pub(crate) fn is_ours(unit: &str) -> bool {
    unit.starts_with("nixus-") || unit.starts_with(SECOND)
}

/// Whether the units of a template such as `sshd@.service` are each for one connection: its socket says
/// `Accept=yes` (systemd.socket(5)).
fn is_by_connection(units: &Path, template: &str) -> bool {
    let Some(name) = template.strip_suffix("@.service") else {
        return false;
    };
    let socket = read_bounded(&units.join(format!("{name}.socket")), 1 << 20);
    socket.is_ok_and(|text| {
        String::from_utf8_lossy(&text).lines().any(|line| {
            let accepts = line.trim().strip_prefix("Accept=");
            // What systemd takes for true (src/basic/parse-util.c, parse_boolean).
            accepts.is_some_and(|value| matches!(value, "1" | "yes" | "y" | "true" | "t" | "on"))
        })
    })
}

/// The text of a file from some place on, bounded.
fn read_from(path: &Path, start: u64) -> String {
    let mut bytes = Vec::new();
    let read = fs::File::open(path).and_then(|mut file| {
        file.seek(SeekFrom::Start(start))?;
        file.take(SAID_LIMIT).read_to_end(&mut bytes)
    });
    // What cannot be read shows nothing.
    match read {
        Ok(_) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(_) => String::new(),
    }
}

/// Adds to a log that people read; the host's journal has it as well.
fn append(path: &Path, text: &str) {
    let _ = fs::OpenOptions::new()
        .append(true)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
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

/// The start waits for whatever else is to be started, since units come up in an order
/// (systemd.unit(5), `After=`); where nothing is, it does not wait.
fn await_args(exe: &str, deployment: &DeploymentId) -> Vec<String> {
    let mut args: Vec<String> = [
        "--quiet",
        "--no-ask-password",
        "--collect",
        "--no-block",
        "--expand-environment=no",
        "--service-type=exec",
        "--property=After=multi-user.target",
        "--property=RuntimeMaxSec=2h",
        "--property=Restart=on-failure",
        "--property=RestartSec=1s",
        "--property=StartLimitIntervalSec=1h",
        "--property=StartLimitBurst=10",
        "--property=OOMScoreAdjust=-900",
    ]
    .map(str::to_owned)
    .to_vec();
    args.extend(undisturbed("--property"));
    args.push(format!("--unit=nixus-switch-{deployment}"));
    args.extend(["--", exe, "boot-trial"].map(str::to_owned));
    args
}

/// The units of a watchdog, and after how many seconds each fires.
fn watchdogs(watch: &Watch) -> [(String, u64); 2] {
    let seconds = watch.limit + GRACE_SECONDS;
    [
        (watch.unit.clone(), seconds),
        (second(&watch.unit), seconds + SECOND_SECONDS),
    ]
}

/// The second watchdog's unit, by the first one's.
fn second(unit: &str) -> String {
    format!("{SECOND}{}", unit.strip_prefix(FIRST).unwrap_or(unit))
}

fn timers(unit: &str) -> [String; 2] {
    [format!("{unit}.timer"), format!("{}.timer", second(unit))]
}

fn arm_args(
    exe: &str,
    deployment: &DeploymentId,
    phase: PhaseName,
    unit: &str,
    seconds: u64,
) -> Vec<String> {
    let mut args: Vec<String> = [
        "--quiet",
        "--no-ask-password",
        "--collect",
        "--expand-environment=no",
        "--service-type=exec",
        "--timer-property=AccuracySec=100ms",
        // The rollback must not end because somebody kills it, or because it hangs.
        "--property=Restart=on-failure",
        "--property=RestartSec=1s",
        "--property=StartLimitIntervalSec=1h",
        "--property=StartLimitBurst=10",
        "--property=RuntimeMaxSec=2h",
        "--property=OOMScoreAdjust=-900",
    ]
    .map(str::to_owned)
    .to_vec();
    args.extend(undisturbed("--property"));
    args.extend(undisturbed("--timer-property"));
    args.push(format!("--on-active={seconds}s"));
    args.push(format!("--unit={unit}"));
    args.push(format!(
        "--description=Watchdog of Nixus deployment {deployment}, {phase}"
    ));
    args.extend(
        [
            "--",
            exe,
            "expire",
            "--deployment",
            deployment.as_str(),
            "--phase",
            phase.as_str(),
        ]
        .map(str::to_owned),
    );
    args
}

fn undisturbed(option: &str) -> impl Iterator<Item = String> {
    UNDISTURBED
        .map(|property| format!("{option}={property}"))
        .into_iter()
}

fn switch_args(switch: &Switch, exe: &str, file: &str, log: Option<&Path>) -> Vec<String> {
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
    args.extend(undisturbed("--property"));
    args.push(format!("--unit={}", switch_unit(switch)));
    if let Some(log) = log {
        for stream in ["StandardOutput", "StandardError"] {
            args.push(format!("--property={stream}=append:{}", log.display()));
        }
    }
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

#[cfg(test)]
mod tests;
