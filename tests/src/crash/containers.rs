//! Real hosts, each of which loses its switcher, all of Nixus, or its power at a named point of a
//! deployment.
//!
//! The points are not written down here: three deployments, of which one is kept, one fails, and one
//! cannot be made permanent, tell which places they pass.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use lab::fleet::Files;
use lab::story::{Story, switcher_status};
use lab::{Host, Lab};
use nixus::report::State;
use nixus_switcher::protocol::Ending;
use nixus_switcher::state::Status;
use serde_json::Value;

use super::{Coverage, Options, Section, agrees, evidence};

/// How long one host may take for one step, when all share a machine that is busy with more.
const PATIENCE: Duration = Duration::from_secs(240);
/// Nothing here waits for a time limit of a deployment: watchdogs are fired by hand.
const COMMON: &str = r#"  imports = [
    (
      { lib, ... }:
      {
        services.nixus.settings.switch.activation_timeout = lib.mkForce "5m";
        services.nixus.settings.switch.trial_timeout = lib.mkForce "5m";
      }
    )
  ];
"#;
const TRIGGER: &str = "/run/nixus/fault";
const REACHED: &str = "/run/nixus/fault-reached";
const PASSED: &str = "/run/nixus/faults-passed";
const STEP: Duration = Duration::from_millis(100);
/// A quick run tries one case of so many; no divisor of the kinds, so that it has all of them.
const QUICK: usize = 17;

/// What happens at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `kill -9` of the process that got there.
    Killed,
    /// `kill -9` of everything of ours.
    AllKilled,
    /// The host's processes and `/run` are lost.
    PowerCut,
}

const KINDS: [Kind; 3] = [Kind::Killed, Kind::AllKilled, Kind::PowerCut];

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::AllKilled => "all-killed",
            Self::PowerCut => "power-cut",
        }
    }
}

/// What becomes of a deployment with which nothing interferes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Course {
    Kept,
    Fails,
    CannotBePermanent,
}

const COURSES: [Course; 3] = [Course::Kept, Course::Fails, Course::CannotBePermanent];

impl Course {
    /// The host's description; `mark` makes it another system than all before.
    fn describe(self, mark: &str) -> String {
        let broken = match self {
            Self::Kept => "",
            Self::Fails => {
                r#"systemd.services.broken = {
          wantedBy = [ "multi-user.target" ];
          serviceConfig = { Type = "oneshot"; ExecStart = "/bin/false"; };
        };"#
            }
            Self::CannotBePermanent => r#"lab.break.bootloader = "fail";"#,
        };
        format!("environment.etc.\"mark\".text = \"{mark}\";\n{broken}")
    }
}

/// One thing to try.
#[derive(Debug, Clone)]
struct Case {
    course: Course,
    point: String,
    kind: Kind,
}

impl Case {
    fn name(&self) -> String {
        format!("{} at {}", self.kind.name(), self.point)
    }
}

/// The section's row.
pub fn section(options: &Options) -> Result<Section> {
    let hosts: Vec<String> = (1..=if options.quick { 3 } else { 5 })
        .map(|number| format!("web{number}"))
        .collect();
    let names: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let lab = Lab::of(&names).fault_points().common(COMMON).start()?;
    let story = Story::adopt(lab, PATIENCE)?;
    let points = discover(&story)?;
    let all: Vec<Case> = points
        .iter()
        .flat_map(|(course, point)| {
            KINDS.map(|kind| Case {
                course: *course,
                point: point.clone(),
                kind,
            })
        })
        .collect();
    let count = all.len();
    let chosen: Vec<Case> = all
        .into_iter()
        .filter(|case| options.wants(&case.name()))
        .enumerate()
        .filter(|(at, _)| !options.quick || options.case.is_some() || at % QUICK == 0)
        .map(|(_, case)| case)
        .collect();
    ensure!(!chosen.is_empty(), "no case has such a name");
    let mut violations = Vec::new();
    let mut standing = names.clone();
    let mut runs = 0;
    let mut left = chosen.as_slice();
    while !left.is_empty() {
        ensure!(
            !standing.is_empty(),
            "no host is left to go on with: {}",
            violations.join("; ")
        );
        let (now, later) = left.split_at(standing.len().min(left.len()));
        left = later;
        let round: Vec<(&str, &Case)> = standing.iter().copied().zip(now).collect();
        let broken = play(&story, &round, runs)?;
        runs += now.len();
        for (host, problem) in broken {
            // It may be in any state now, and would only say the same again.
            standing.retain(|name| *name != host);
            violations.push(problem);
        }
        eprintln!("  {runs} of {} cases", chosen.len());
    }
    let tried: BTreeSet<&str> = chosen.iter().map(|case| case.point.as_str()).collect();
    Ok(Section {
        name: "containers",
        points: tried.len() as u64,
        kinds: KINDS.len() as u64,
        runs: runs as u64,
        coverage: Some(Coverage {
            what: "cases",
            seen: runs as u64,
            all: count as u64,
        }),
        violations,
        notes: vec![format!(
            "a deployment that is kept, one that fails, and one that cannot be made permanent pass {} points",
            points.len()
        )],
        seconds: 0.0,
    })
}

/// Finds the points, each with the first course that passes it.
fn discover(story: &Story) -> Result<Vec<(Course, String)>> {
    let hosts: Vec<&str> = story.lab().members().keys().map(String::as_str).collect();
    let mut files = Files::new();
    let pairs: Vec<(&str, Course)> = hosts.iter().copied().zip(COURSES).collect();
    for (host, course) in &pairs {
        story.host(host)?.write(PASSED, "")?;
        let (path, text) = story.lab().describe(host, &course.describe("discover"))?;
        files.insert(path, text);
    }
    let commit = story.lab().operator().deploy(&files, "find the points")?;
    let mut points: Vec<(Course, String)> = Vec::new();
    for (host, course) in &pairs {
        let report = story.ended(host, &commit)?;
        let kept = report.state == State::Success;
        ensure!(
            kept == (*course == Course::Kept),
            "{host} ended with {}",
            report.text
        );
        for point in story.host(host)?.read(PASSED)?.lines() {
            if points.iter().all(|(_, known)| known != point) {
                points.push((*course, point.to_owned()));
            }
        }
    }
    // A switcher without the feature would pass no point, and every case would be missing.
    for known in [
        "before-stage",
        "after-journal-on-trial",
        "after-set-profile",
        "before-restore-system",
        "before-restore-boot",
    ] {
        ensure!(
            points.iter().any(|(_, point)| point == known),
            "no deployment passed {known}"
        );
    }
    Ok(points)
}

/// Plays one case on each host, then sees that all of them take the next commit. Gives the hosts that
/// broke a promise, with the promise.
fn play<'a>(
    story: &Story,
    round: &[(&'a str, &Case)],
    number: usize,
) -> Result<Vec<(&'a str, String)>> {
    let lab = story.lab();
    let mut files = Files::new();
    for (host, case) in round {
        story.host(host)?.write(TRIGGER, &case.point)?;
        let mark = format!("{number}, {}", case.name());
        let (path, text) = lab.describe(host, &case.course.describe(&mark))?;
        files.insert(path, text);
    }
    let before: Vec<String> = round
        .iter()
        .map(|(host, _)| story.host(host)?.current_system())
        .collect::<Result<_>>()?;
    let faulty = lab.operator().deploy(&files, "meet a fault")?;
    let mut found = each(story, round, |at, host, case| {
        survive(story, host, case, &before[at], &faulty)
    })?;
    let mut files = Files::new();
    for (host, _) in round {
        let mark = format!("{number}, the next");
        let (path, text) = lab.describe(host, &Course::Kept.describe(&mark))?;
        files.insert(path, text);
    }
    let next = lab.operator().deploy(&files, "the next commit")?;
    found.extend(each(story, round, |_, host, _| {
        host.must(["nixus", "resume"])?;
        story
            .kept(&host.name, &next)
            .context("it does not take the next commit")?;
        ensure!(host.read("/etc/mark")?.ends_with("the next"));
        Ok(())
    })?);
    let mut broken: Vec<(&'a str, String)> = Vec::new();
    for (at, problem) in found {
        let (host, case) = round[at];
        if broken.iter().all(|(known, _)| *known != host) {
            let file = evidence(&case.name(), &format!("{problem:#}"))?;
            let first = format!("{problem:#}");
            let first = first.lines().next().unwrap_or_default();
            broken.push((
                host,
                format!(
                    "{}: {first}; see {}, or again with --only containers --case '{}'",
                    case.name(),
                    file.display(),
                    case.name()
                ),
            ));
        }
    }
    Ok(broken)
}

/// Does something on all hosts of a round at once; gives what went wrong on which.
fn each(
    story: &Story,
    round: &[(&str, &Case)],
    act: impl Fn(usize, &Host, &Case) -> Result<()> + Sync,
) -> Result<Vec<(usize, anyhow::Error)>> {
    let mut hosts = Vec::new();
    for (name, case) in round {
        hosts.push((story.host(name)?, *case));
    }
    let act = &act;
    let ends: Vec<Result<()>> = thread::scope(|scope| {
        let running: Vec<_> = hosts
            .iter()
            .enumerate()
            .map(|(at, (host, case))| scope.spawn(move || act(at, host, case)))
            .collect();
        running
            .into_iter()
            .map(|one| one.join().unwrap_or_else(|_| bail!("the test itself died")))
            .collect()
    });
    Ok(ends
        .into_iter()
        .enumerate()
        .filter_map(|(at, end)| Some((at, end.err()?)))
        .collect())
}

/// Lets the fault happen, and sees that the host is on the old system, or on the new one and it was
/// confirmed, and says so.
fn survive(story: &Story, host: &Host, case: &Case, before: &str, commit: &str) -> Result<()> {
    host.wait_until(&format!("gets to {}", case.point), PATIENCE, |host| {
        Ok(host.exec(["cat", REACHED])?.stdout == case.point)
    })?;
    // What the fault leaves is to be looked at before the next try of the same commit.
    host.must(["nixus", "suspend"])?;
    match case.kind {
        Kind::Killed => {
            kill_stopped(host)?;
            settle(host)?;
        }
        Kind::AllKilled => {
            kill_all(host)?;
            settle(host)?;
        }
        Kind::PowerCut => {
            host.power_cut()?;
            host.start()?;
        }
    }
    host.wait_until("has no open deployment", PATIENCE, |host| {
        Ok(switcher_status(host)?.pointer("/open") == Some(&Value::Null))
    })?;
    let now = host.current_system()?;
    story.at_rest(&host.name, &now)?;
    let status: Status = serde_json::from_value(switcher_status(host)?)
        .context("cannot understand what the switcher says")?;
    let outcome = status.last.filter(|outcome| outcome.commit.id == commit);
    agrees(outcome.as_ref(), before, &now)?;
    if let Some(outcome) = outcome {
        let kept = outcome.ending == Ending::Confirmed;
        let state = if kept {
            &[State::Success][..]
        } else {
            &[State::Failure, State::Error][..]
        };
        story
            .report(&host.name, commit, state)
            .context("it does not report what became of the commit")?;
    }
    let operator = story.lab().operator();
    let to = format!("root@{}", host.address);
    let said = operator.ssh(operator.key(), &to, &["hostname"])?;
    ensure!(
        said.stdout.trim() == host.name,
        "the operator cannot get in: {}\n{}",
        said.stderr,
        host.portrait()
    );
    Ok(())
}

/// Kills the process that stopped at a fault point.
fn kill_stopped(host: &Host) -> Result<()> {
    let listed = host.must(["pgrep", "--full", "/bin/nixus-switcher "])?;
    let mut killed = 0;
    for pid in listed.lines() {
        let status = host.exec(["cat", &format!("/proc/{pid}/stat")])?.stdout;
        let stopped = status
            .rsplit_once(") ")
            .is_some_and(|(_, rest)| rest.starts_with('T'));
        if stopped {
            host.must(["kill", "-KILL", pid])?;
            killed += 1;
        }
    }
    ensure!(killed == 1, "{killed} switchers were stopped");
    Ok(())
}

/// Kills the switcher, its runs of `switch-to-configuration`, verifications, passes and watchdogs
/// that have fired.
fn kill_all(host: &Host) -> Result<()> {
    let units = units(host, "nixus-*.service")?;
    for unit in units.iter().filter(|unit| *unit != "nixus-recover.service") {
        // A unit that has ended meanwhile cannot be killed.
        host.exec(["systemctl", "kill", "--signal=KILL", "--", unit])?;
    }
    Ok(())
}

/// Sees that a watchdog is armed for a deployment that was left open, and lets each one fire now
/// instead of at its time. One whose phase never became durable has to do nothing.
fn settle(host: &Host) -> Result<()> {
    // What is killed releases its lock a moment later.
    thread::sleep(STEP);
    let open = switcher_status(host)?.pointer("/open") != Some(&Value::Null);
    let watchdogs = units(host, "nixus-expire-*.timer")?;
    ensure!(
        !open || !watchdogs.is_empty(),
        "a deployment is open, and no watchdog is armed\n{}",
        host.portrait()
    );
    for watchdog in watchdogs {
        let service = watchdog.replace(".timer", ".service");
        // It is gone where another one has settled everything meanwhile.
        host.exec(["systemctl", "start", "--", &service])?;
        host.wait_until("has a watchdog that has ended", PATIENCE, |host| {
            let state = host.exec(["systemctl", "is-active", "--", &service])?;
            Ok(!matches!(state.stdout.trim(), "active" | "activating"))
        })?;
        // It has had its say, earlier than systemd knows.
        host.exec(["systemctl", "stop", "--", &watchdog])?;
    }
    Ok(())
}

/// The active units that match a pattern.
fn units(host: &Host, pattern: &str) -> Result<Vec<String>> {
    let listed = host.must([
        "systemctl",
        "list-units",
        "--plain",
        "--no-legend",
        "--state=active,activating,deactivating,reloading",
        pattern,
    ])?;
    Ok(listed
        .lines()
        .filter_map(|line| Some(line.split_whitespace().next()?.to_owned()))
        .collect())
}
