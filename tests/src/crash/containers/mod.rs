//! Real hosts, each of which loses its switcher, all of Nixus, or its power at a named point of a
//! deployment.
//!
//! The points are not written down here: deployments that are kept, that fail, that cannot be made
//! permanent, and those whose first boot is well or is not, tell which places they pass.

mod courses;
mod strike;

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use lab::fleet::Files;
use lab::story::{Story, switcher_status};
use lab::{Host, Lab};
use nixus::decide::report::State;
use nixus_switcher::protocol::Ending;
use nixus_switcher::state::status::Status;

use self::courses::{
    AT_BOOT, COMMON, COURSES, Case, Course, KINDS, Kind, PASSED_AT_BOOT, QUICK_COURSES,
};
use super::{Coverage, Options, Section, Violations, agrees, evidence};

/// How long one host may take for one step, when all share a machine that is busy with more.
const PATIENCE: Duration = Duration::from_secs(240);
const TRIGGER: &str = "/run/nixus/fault";
const REACHED: &str = "/run/nixus/fault-reached";
const PASSED: &str = "/run/nixus/faults-passed";
const STEP: Duration = Duration::from_millis(100);

/// The section's row.
pub fn section(options: &Options) -> Result<Section> {
    let courses: &[Course] = if options.samples() {
        &QUICK_COURSES
    } else {
        &COURSES
    };
    let hosts: Vec<String> = (1..=courses.len())
        .map(|number| format!("web{number}"))
        .collect();
    let names: Vec<&str> = hosts.iter().map(String::as_str).collect();
    let lab = Lab::of(&names).common(COMMON).start()?;
    let story = Story::adopt(lab, PATIENCE)?;
    let points = discover(&story, courses)?;
    let case = |(course, point): &(Course, String), kind| Case {
        course: *course,
        point: point.clone(),
        kind,
    };
    let count = points.len() * KINDS.len();
    let chosen: Vec<Case> = if options.samples() {
        // One for each host, far from each other, and all kinds.
        let places = (0..hosts.len()).map(|at| &points[at * points.len() / hosts.len()]);
        let kinds = KINDS.into_iter().cycle();
        places.zip(kinds).map(|(at, kind)| case(at, kind)).collect()
    } else {
        let all = points
            .iter()
            .flat_map(|at| KINDS.map(|kind| case(at, kind)));
        all.filter(|case| options.wants(&case.name())).collect()
    };
    ensure!(!chosen.is_empty(), "no case has such a name");
    let mut violations = Violations::of("containers");
    let mut standing = names.clone();
    let mut runs = 0;
    let mut left = chosen.as_slice();
    while !left.is_empty() {
        ensure!(
            !standing.is_empty(),
            "no host is left to go on with: {}",
            violations.found.join("; ")
        );
        let (now, later) = left.split_at(standing.len().min(left.len()));
        left = later;
        let round: Vec<(&str, &Case)> = standing.iter().copied().zip(now).collect();
        let broken = play(&story, &round, runs)?;
        runs += now.len();
        for (host, problem) in broken {
            // It may be in any state now, and would only say the same again.
            standing.retain(|name| *name != host);
            violations.add(problem);
        }
        eprintln!("containers: {runs} of {} cases", chosen.len());
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
        violations: violations.found,
        notes: vec![format!(
            "deployments pass {} points, and first boots {} more",
            points
                .iter()
                .filter(|(course, _)| !course.is_of_a_boot())
                .count(),
            points
                .iter()
                .filter(|(course, _)| course.is_of_a_boot())
                .count()
        )],
        seconds: 0.0,
    })
}

/// Finds the points, each with the first course that passes it.
fn discover(story: &Story, courses: &[Course]) -> Result<Vec<(Course, String)>> {
    let hosts: Vec<&str> = story.lab().members().keys().map(String::as_str).collect();
    let mut files = Files::new();
    let pairs: Vec<(&str, Course)> = hosts.into_iter().zip(courses.iter().copied()).collect();
    for (host, course) in &pairs {
        story.host(host)?.write(PASSED, "")?;
        let (path, text) = story.lab().describe(host, &course.describe("discover"))?;
        files.insert(path, text);
    }
    let commit = story.lab().operator().deploy(&files, "find the points")?;
    for (host, _) in &pairs {
        look(story.host(host)?)?;
    }
    let mut points: Vec<(Course, String)> = Vec::new();
    for (name, course) in &pairs {
        let report = story.ended(name, &commit)?;
        ensure!(
            (report.state == State::Success) == course.is_kept(),
            "{name} ended with {}",
            report.text
        );
        let host = story.host(name)?;
        let passed = if course.is_of_a_boot() {
            host.write(PASSED_AT_BOOT, "")?;
            host.power_cut()?;
            host.power_on()?;
            is_judged(story, host, &commit)?;
            let passed = host.read(PASSED_AT_BOOT)?;
            host.must(["rm", "/run/nixus/faults-passed", PASSED_AT_BOOT])?;
            passed
        } else {
            host.read(PASSED)?
        };
        for point in passed.lines() {
            let is_known = points
                .iter()
                .any(|(of, known)| known == point && of.is_of_a_boot() == course.is_of_a_boot());
            if !is_known {
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
    for known in courses.iter().filter(|course| course.is_of_a_boot()) {
        ensure!(
            points.iter().any(|(course, _)| course == known),
            "no point was passed at a boot: {known:?}"
        );
    }
    Ok(points)
}

/// Waits until the first boot of a commit was judged, and the host is where that leads to.
fn is_judged(story: &Story, host: &Host, commit: &str) -> Result<()> {
    host.wait_until("has judged its first boot", PATIENCE, |host| {
        let reports = story.lab().operator().reports(&host.name)?;
        Ok(reports
            .iter()
            .any(|one| one.commit.id == commit && one.text.contains("boot-proven")))
    })?;
    host.wait_booted()?;
    is_settled(host)
}

/// Waits until nothing is open any more; the host may be rebooting meanwhile.
fn is_settled(host: &Host) -> Result<()> {
    host.wait_until("has no open deployment", PATIENCE, |host| {
        Ok(said(host).is_some_and(|status| status.open.is_none()))
    })
}

/// What the switcher says of itself, where the host answers at all.
fn said(host: &Host) -> Option<Status> {
    serde_json::from_value(switcher_status(host).ok()?).ok()
}

/// Begins a pass, as the timer would a few seconds later.
fn look(host: &Host) -> Result<()> {
    host.must([
        "systemctl",
        "start",
        "--no-block",
        "nixus-reconcile.service",
    ])?;
    Ok(())
}

/// Boots what a host runs, until that is boot-proven: a first boot that fails leads back to it.
fn prove(host: &Host) -> Result<()> {
    let is_proven = |host: &Host| {
        said(host).is_some_and(|status| status.open.is_none() && status.unproven.is_none())
    };
    if is_proven(host) {
        return Ok(());
    }
    host.power_cut()?;
    host.start()?;
    host.wait_until("is boot-proven", PATIENCE, |host| Ok(is_proven(host)))
}

/// Plays one case on each host, then sees that all of them take the next commit. Gives the hosts that
/// broke a promise, with the promise.
fn play<'a>(
    story: &Story,
    round: &[(&'a str, &Case)],
    number: usize,
) -> Result<Vec<(&'a str, String)>> {
    let lab = story.lab();
    let unproven = each(story, round, |_, host, case| {
        if case.course.is_of_a_boot() {
            prove(host)?;
        }
        Ok(())
    })?;
    if let Some((at, problem)) = unproven.into_iter().next() {
        return Err(problem.context(format!("{} is not ready for its case", round[at].0)));
    }
    let mut files = Files::new();
    for (host, case) in round {
        if !case.course.is_of_a_boot() {
            story.host(host)?.write(TRIGGER, &case.point)?;
        }
        let mark = format!("{number}, {}", case.name());
        let (path, text) = lab.describe(host, &case.course.describe(&mark))?;
        files.insert(path, text);
    }
    let before: Vec<String> = round
        .iter()
        .map(|(host, _)| story.host(host)?.current_system())
        .collect::<Result<_>>()?;
    let faulty = lab.operator().deploy(&files, "meet a fault")?;
    for (host, _) in round {
        look(story.host(host)?)?;
    }
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
        look(host)?;
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

/// Whether nothing is open, nor about to be: the trial of a first boot that was killed early is begun
/// again a moment later.
fn is_over(status: &Status, boots: bool) -> bool {
    let judged = status
        .unproven
        .as_ref()
        .is_none_or(|unproven| unproven.told_nothing.is_some());
    status.open.is_none() && (judged || !boots)
}

/// Lets the fault happen, and sees that the host is on the old system, or on the new one and it was
/// confirmed, and says so.
fn survive(story: &Story, host: &Host, case: &Case, before: &str, commit: &str) -> Result<()> {
    let boots = case.course.is_of_a_boot();
    if boots {
        story.kept(&host.name, commit)?;
        host.must(["nixus", "suspend"])?;
        host.write(AT_BOOT, &case.point)?;
        host.power_cut()?;
        host.power_on()?;
    }
    host.wait_until(&format!("gets to {}", case.point), PATIENCE, |host| {
        Ok(host.peek(REACHED).as_ref() == Some(&case.point))
    })?;
    // What the fault leaves is to be looked at before the next try of the same commit.
    if boots {
        host.must(["rm", AT_BOOT])?;
    } else {
        host.must(["nixus", "suspend"])?;
    }
    match case.kind {
        Kind::Killed => strike::kill_stopped(host)?,
        Kind::AllKilled => strike::kill_all(host)?,
        Kind::PowerCut => {
            host.power_cut()?;
            host.power_on()?;
        }
    }
    match case.kind {
        Kind::PowerCut => {}
        _ if boots => strike::settle_at_boot(host)?,
        _ => strike::settle(host)?,
    }
    host.wait_booted()?;
    host.wait_until("has settled it", PATIENCE, |host| {
        Ok(said(host).is_some_and(|status| is_over(&status, boots)))
    })?;
    host.wait_booted()?;
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
