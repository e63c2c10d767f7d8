//! `lab bench poll`: what it costs to look whether there is something to do.

use std::env;
use std::fmt::Write as _;
use std::fs;

use anyhow::{Context as _, Result, ensure};
use lab::fleet;
use lab::story::{Story, status};
use lab::{Host, Lab, command};

use super::deployment;
use super::figures::{Figure, Table};
use super::relay::counted;
use super::trace::{self, Process};

const PASSES: usize = 21;
const COUNTED: usize = 5;
/// As many branches, and as many tags.
const OTHER_REFS: usize = 2500;
pub const UNIT: &str = "nixus-reconcile.service";
const SERVER: &str = "/srv/git/.ssh/authorized_keys";
const LAB: &str = "usr/local/bin/lab";
const COUNTS: &str = "/srv/git/sent";
/// Another name of the git server, under which plain git finds key and host keys.
const ALIAS: &str = "bench-git";

/// Measures passes with nothing to do, and deployments.
pub fn poll() -> Result<Vec<Table>> {
    let story = Story::begin(&["web1"])?;
    let host = story.host("web1")?;
    let deployments = deployment::measure(&story)?;
    host.must(["systemctl", "stop", "nixus-reconcile.timer"])?;
    make_other_refs(story.lab())?;
    let plain = plain_git(host)?;
    leaves_nothing_behind(host)?;
    Ok(vec![
        passes(host, &plain)?,
        bytes(story.lab(), host, &plain)?,
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
fn plain_git(host: &Host) -> Result<Vec<String>> {
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
        "that was no pass with nothing to do: {status}"
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
    let plain: Vec<&str> = plain.iter().map(String::as_str).collect();
    let mut memory = Vec::new();
    let mut cpu = Vec::new();
    let mut wall = Vec::new();
    let mut children = Pairs::default();
    for _ in 0..PASSES {
        let traced = trace::on(host, &PASS, &[0])?;
        is_up_to_date(host)?;
        let (ours, others) = split(&traced)?;
        memory.push(ours.peak as f64 * 1024.0 / 1e6);
        cpu.push(sum(&ours.images) + borrowed(&others));
        wall.push(ours.ended - ours.begun);
        let bare = trace::on(host, &plain, &[0])?;
        let bare: Vec<&Process> = bare.iter().filter(|one| !is_of_the_lab(one)).collect();
        children.add(&others, &bare);
    }
    Ok(Table {
        title: format!("A pass with nothing to do ({PASSES} passes, {} other refs)", 2 * OTHER_REFS),
        figures: vec![
            Figure::of("nixus: peak memory", "MB", &memory).at_most(15.0),
            Figure::of("nixus: processor", "ms", &cpu).at_most(5.0),
            Figure::of("the whole pass: time", "ms", &wall),
            Figure::of("its children (network): processor", "ms", &children.cpu),
            Figure::of("its children (network): time", "ms", &children.wall),
            Figure::of("git ls-remote --heads URL main: processor", "ms", &children.bare_cpu),
            Figure::of("git ls-remote --heads URL main: time", "ms", &children.bare_wall),
            Figure::of("children to git ls-remote: processor", "times", &children.cpu_ratio),
            Figure::of("children to git ls-remote: time", "times", &children.wall_ratio),
        ],
        notes: vec![
            "Processor and memory are each process's own; git ls-remote ran alternately, with its ssh.".to_owned(),
            format!("After a run of {UNIT} its control group was gone, and no process of Nixus was left."),
        ],
    })
}

/// Children and bare git, run by run.
#[derive(Default)]
struct Pairs {
    cpu: Vec<f64>,
    wall: Vec<f64>,
    bare_cpu: Vec<f64>,
    bare_wall: Vec<f64>,
    cpu_ratio: Vec<f64>,
    wall_ratio: Vec<f64>,
}

impl Pairs {
    fn add(&mut self, children: &[&Process], bare: &[&Process]) {
        let cpu = |processes: &[&Process]| {
            let images = processes.iter().flat_map(|process| &process.images);
            let others: Vec<_> = images.filter(|image| !image.is("nixus")).cloned().collect();
            sum(&others)
        };
        let wall = |processes: &[&Process]| {
            let begun = processes.iter().map(|one| one.begun);
            let ended = processes.iter().map(|one| one.ended);
            ended.fold(0.0, f64::max) - begun.fold(f64::INFINITY, f64::min)
        };
        self.cpu.push(cpu(children));
        self.wall.push(wall(children));
        self.bare_cpu.push(cpu(bare));
        self.bare_wall.push(wall(bare));
        self.cpu_ratio.push(cpu(children) / cpu(bare));
        self.wall_ratio.push(wall(children) / wall(bare));
    }
}

fn sum(images: &[trace::Image]) -> f64 {
    images.iter().map(|image| image.cpu).sum()
}

/// What nixus used in processes that became another program: git's ssh is nixus at first.
fn borrowed(others: &[&Process]) -> f64 {
    let images = others.iter().flat_map(|process| &process.images);
    let ours: Vec<_> = images.filter(|image| image.is("nixus")).cloned().collect();
    sum(&ours)
}

/// The pass itself, and the children that it had.
fn split(traced: &[Process]) -> Result<(Process, Vec<&Process>)> {
    let ours = traced
        .iter()
        .find(|process| process.is("nixus"))
        .context("nixus was not run")?;
    let others = traced
        .iter()
        .filter(|process| !process.is("nixus") && !is_of_the_lab(process))
        .collect();
    let mut ours = ours.clone();
    ours.images.retain(|image| image.is("nixus"));
    Ok((ours, others))
}

fn is_of_the_lab(process: &Process) -> bool {
    process.is("nsenter")
}

/// Lets the git server count what it sends to the host.
fn bytes(lab: &Lab, host: &Host, plain: &[String]) -> Result<Table> {
    let server = lab.host("git")?;
    let own = env::current_exe().context("cannot tell where the lab's program is")?;
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
