//! `lab bench poll`: what it costs to look whether there is something to do.

use std::env;
use std::fmt::Write as _;
use std::fs;

use anyhow::{Context as _, Result, ensure};
use lab::fleet;
use lab::story::status;
use lab::{Host, Lab, command};

use super::figures::{Figure, Table};
use super::relay::counted;
use super::trace::{self, Process};
use super::yardstick::{Pairs, start_of_git, used_by, used_by_all};
use super::{as_shipped, deployment};

mod over_https;

const PASSES: usize = 21;
const COUNTED: usize = 5;
/// As many branches, and as many tags.
const OTHER_REFS: usize = 2500;
pub const UNIT: &str = "nixus-reconcile.service";
const SERVER: &str = "/srv/git/.ssh/authorized_keys";
const LAB: &str = "usr/local/bin/lab";
const COUNTS: &str = "/srv/git/sent";
/// How many times the processor time of a git that starts and reads the same files a pass may use. The
/// limit was 5 ms where a pass used 2.69 ms (2026-11-27): 5 / 2.69 of the 1.89 times of 2026-11-30.
const PASS_TO_START: f64 = 3.5;
/// Another name of the git server, under which plain git finds key and host keys.
const ALIAS: &str = "bench-git";

/// Measures passes with nothing to do, and deployments.
pub fn poll() -> Result<Vec<Table>> {
    let story = as_shipped(&["web1"])?;
    let host = story.host("web1")?;
    let plain = plain_git(host)?;
    let deployments = deployment::measure(&story, &plain)?;
    host.stop_passes()?;
    make_other_refs(story.lab())?;
    leaves_nothing_behind(host)?;
    Ok(vec![
        passes(host, &plain)?,
        bytes(story.lab(), host, &plain)?,
        over_https::passes(story.lab(), host)?,
        deployments,
    ])
}

/// What an operator with as many projects as branches has.
fn make_other_refs(lab: &Lab) -> Result<()> {
    let server = lab.host("git")?;
    let commit = lab.first_commit();
    let mut updates = String::new();
    for number in 0..OTHER_REFS {
        let _ = writeln!(
            updates,
            "create refs/heads/feature/topic-{number:04} {commit}"
        );
        let _ = writeln!(updates, "create refs/tags/release-{number:04} {commit}");
    }
    let git = |arguments: &[&str]| {
        let mut command = vec!["git", "-c", "safe.directory=*", "--git-dir", fleet::DEPLOY];
        command.extend(arguments);
        server.command(command)
    };
    let limit = std::time::Duration::from_secs(120);
    let input = Some(updates.as_bytes());
    command::must(&mut git(&["update-ref", "--stdin"])?, input, limit)?;
    command::must(&mut git(&["pack-refs", "--all"])?, None, limit)?;
    server.must(["chown", "-R", "git", fleet::DEPLOY])?;
    Ok(())
}

/// A bare `git ls-remote --heads` with nothing around it; ssh's own configuration has the keys.
pub fn plain_git(host: &Host) -> Result<Vec<String>> {
    host.write(
        "/root/.ssh/config",
        &format!(
            "Host {ALIAS}\n  HostName {}\n  IdentityFile /etc/nixus/deploy_key\n  \
             UserKnownHostsFile /etc/nixus/known_hosts\n",
            fleet::GIT_SERVER
        ),
    )?;
    let url = fleet::url(fleet::DEPLOY).replace(fleet::GIT_SERVER, ALIAS);
    Ok(["git", "ls-remote", "--heads", &url, "main"]
        .map(str::to_owned)
        .to_vec())
}

/// As the unit runs it: with the journal as its log.
pub const PASS: [&str; 5] = [
    "env",
    "HOME=/var/lib/nixus/home",
    "JOURNAL_STREAM=1:1",
    "nixus",
    "reconcile",
];

fn is_up_to_date(host: &Host) -> Result<()> {
    let status = status(host)?;
    let reason = status.pointer("/last_pass/waits_for/reason").cloned();
    ensure!(
        reason.as_ref().and_then(|reason| reason.as_str()) == Some("up-to-date"),
        "that was not a pass with nothing to do: {status}"
    );
    Ok(())
}

/// Runs the real unit and sees that its control group and all processes of Nixus are gone after.
fn leaves_nothing_behind(host: &Host) -> Result<()> {
    host.must(["systemctl", "start", UNIT])?;
    is_up_to_date(host)?;
    let group = format!("/sys/fs/cgroup/system.slice/{UNIT}");
    ensure!(
        !host.exec(["test", "-e", &group])?.ok(),
        "{group} is still there after a pass"
    );
    let left = host.exec(["pgrep", "--list-full", "nixus"])?;
    ensure!(
        left.stdout.is_empty(),
        "processes stay behind: {}",
        left.stdout
    );
    Ok(())
}

fn passes(host: &Host, plain: &[String]) -> Result<Table> {
    let start = start_of_git(host)?;
    let mut memory = Vec::new();
    let mut wall = Vec::new();
    let mut threads = Vec::new();
    let [
        mut own,
        mut listing,
        mut cpu_of_children,
        mut time_of_children,
    ]: [Pairs; 4] = Default::default();
    for _ in 0..PASSES {
        let traced = trace::on(host, &PASS, &[0])?;
        is_up_to_date(host)?;
        let started = trace::on(host, &start, &[0])?;
        let bare = trace::on(host, plain, &[0])?;
        let ours = traced.iter().find(|process| process.is("nixus"));
        let ours = ours.context("nixus was not run")?;
        let cpu = used_by("nixus", &traced);
        let listed = used_by_all(&bare);
        memory.push(ours.peak as f64 * 1024.0 / 1e6);
        threads.push(ours.threads as f64);
        wall.push(ours.ended - ours.begun);
        own.add(cpu, used_by("git", &started));
        listing.add(cpu, listed);
        cpu_of_children.add(used_by_all(&traced) - cpu, listed);
        let children = traced.iter().filter(|process| !process.is("nixus"));
        time_of_children.add(time(children), time(&bare));
    }
    Ok(Table {
        title: format!("A pass with nothing to do ({PASSES} passes, {} other refs)", 2 * OTHER_REFS),
        figures: vec![
            Figure::of("nixus: peak memory", "MB", &memory).at_most(15.0),
            Figure::of("nixus: threads that it started", "", &threads).at_most(0.0),
            own.ours("nixus: processor"),
            own.yardstick("git that reads the same files: processor"),
            own.ratio("nixus to that git: processor").at_most(PASS_TO_START),
            Figure::of("the whole pass: time", "ms", &wall),
            cpu_of_children.ours("its children (network): processor"),
            time_of_children.ours("its children (network): time"),
            listing.yardstick("git ls-remote --heads URL main: processor"),
            time_of_children.yardstick("git ls-remote --heads URL main: time"),
            listing.ratio("nixus to git ls-remote: processor"),
            cpu_of_children.ratio("children to git ls-remote: processor"),
            time_of_children.ratio("children to git ls-remote: time"),
        ],
        notes: vec![
            "Processor and memory are each process's own; git and git ls-remote, with its ssh, ran alternately.".to_owned(),
            format!("After a run of {UNIT} its control group was gone, and no process of Nixus was left."),
        ],
    })
}

/// From the first begin to the last end, without what leads into the host.
pub fn time<'a>(processes: impl IntoIterator<Item = &'a Process>) -> f64 {
    let (begun, ended) = processes
        .into_iter()
        .filter(|process| !process.is("nsenter"))
        .fold((f64::INFINITY, 0.0_f64), |(begun, ended), process| {
            (begun.min(process.begun), ended.max(process.ended))
        });
    ended - begun
}

/// Lets the git server count what it sends to the host.
fn bytes(lab: &Lab, host: &Host, plain: &[String]) -> Result<Table> {
    let server = lab.host("git")?;
    let own = env::current_exe().context("cannot determine where the lab's program is")?;
    fs::copy(&own, server.disk().join(LAB)).context("cannot put the relay on the git server")?;
    let keys = server.read(SERVER)?;
    let shell = "command=\"/usr/local/bin/nixus-git-shell";
    ensure!(keys.contains(shell), "the git server has no key of a host");
    let relay = format!("command=\"/{LAB} relay --to {COUNTS} -- /usr/local/bin/nixus-git-shell");
    server.write(SERVER, &keys.replace(shell, &relay))?;
    let file = server.disk().join(COUNTS.trim_start_matches('/'));
    let frames = |arguments: &[&str]| -> Result<f64> {
        let path = "/sys/class/net/host0/statistics/rx_bytes";
        let read = || -> Result<f64> {
            let text = host.read(path)?;
            text.trim().parse().context("no count of received bytes")
        };
        let before = read()?;
        host.must(arguments)?;
        Ok(read()? - before)
    };
    let mut received = (Vec::new(), Vec::new());
    for _ in 0..COUNTED {
        received.0.push(frames(&PASS)?);
    }
    let sent = counted(&file)?;
    let plain: Vec<&str> = plain.iter().map(String::as_str).collect();
    for _ in 0..COUNTED {
        received.1.push(frames(&plain)?);
    }
    let bare = counted(&file)?.split_off(sent.len());
    server.write(SERVER, &keys)?;
    ensure!(
        sent.len() == COUNTED,
        "{} polls, {COUNTED} passes",
        sent.len()
    );
    Ok(Table {
        title: format!(
            "Bytes of a poll ({COUNTED} polls, {} other refs: as many branches as tags)",
            2 * OTHER_REFS
        ),
        figures: vec![
            Figure::of("nixus: git protocol, from the server", "bytes", &sent).at_most(600.0),
            Figure::of("nixus: whole frames that the host received", "bytes", &received.0),
            Figure::of("git ls-remote --heads URL main: git protocol", "bytes", &bare),
            Figure::of("git ls-remote --heads URL main: whole frames", "bytes", &received.1),
        ],
        notes: vec![
            "Git protocol: what git-upload-pack wrote on its standard output, inside the SSH connection.".to_owned(),
            "Whole frames: all that came in on the host's network interface meanwhile, SSH's key exchange included.".to_owned(),
        ],
    })
}
