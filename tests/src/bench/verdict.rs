//! `lab bench verdict`: what it costs to tell whether a host with a peer is healthy.

use anyhow::{Context as _, Result};
use lab::Host;
use lab::story::Story;
use nixus_switcher::waits::{Kind, Line, VARIABLE};

use super::figures::{Figure, Table};
use super::partition::{Stretch, Use};
use super::poll::plain_git;
use super::yardstick::{Pairs, used_by, used_by_all};
use super::{WAITS, as_shipped, deployment, trace};

const DEPLOYMENTS: usize = 5;
const LOOKS: usize = 11;
/// How many times the time of Nix and `switch-to-configuration` in the same deployment is our own of a
/// verdict at most. The limit was 100 ms, and on 2026-11-27 these took 199 + 185 ms: 100 / 384.
const OWN_TO_PROGRAMS: f64 = 0.26;
/// How many times the processor time of `git ls-remote` a look may use. The limit was 100 ms, and on
/// 2026-11-27 `git ls-remote` used 14.5 ms: 100 / 14.5.
const LOOK_TO_LISTING: f64 = 6.9;

/// Measures verdicts of trials, and of `nixus check`.
pub fn verdict() -> Result<Vec<Table>> {
    let story = as_shipped(&["web1", "db1"])?;
    let host = story.host("web1")?;
    let trials = trials(&story, host)?;
    // The passes go on: without their timer a host is not healthy.
    Ok(vec![trials, looks(host)?])
}

/// The verification's own waits say what was not its own time.
fn trials(story: &Story, host: &Host) -> Result<Table> {
    let set = format!("{VARIABLE}={WAITS}");
    host.must(["systemctl", "set-environment", &set])?;
    let mut all = Vec::new();
    let mut own = Pairs::default();
    for number in 0..DEPLOYMENTS {
        host.write(WAITS, "")?;
        let more = format!(r#"environment.etc."bench".text = "{number}";"#);
        let commit = story.lab().deploy("web1", &more, "measure a verdict")?;
        story.kept("web1", &commit)?;
        let lines = deployment::waits(host)?;
        let programs = deployment::programs(&deployment::stretch(&lines)?);
        let lines = of_the_verification(lines);
        let begun = lines.iter().map(|line| line.begun).min();
        let ended = lines.iter().map(|line| line.ended).max();
        let (begun, ended) = begun.zip(ended).context("there was no verification")?;
        let stretch = Stretch::new(&lines, begun, ended);
        all.push(stretch.length());
        own.add(stretch.spent(Use::Own), programs);
    }
    host.must(["systemctl", "unset-environment", VARIABLE])?;
    Ok(Table {
        title: format!("A verdict on a healthy host with one peer ({DEPLOYMENTS} trials)"),
        figures: vec![
            Figure::of("in all", "ms", &all),
            own.ours("of it ours"),
            own.yardstick("Nix and switch-to-configuration in the same deployment"),
            own.ratio("ours to Nix and switch-to-configuration")
                .at_most(OWN_TO_PROGRAMS),
        ],
        notes: vec![
            "Ours: neither a child, another host, a sync nor the soak was waited for.".to_owned(),
        ],
    })
}

/// Only the verification soaks.
fn of_the_verification(lines: Vec<Line>) -> Vec<Line> {
    let soaks = lines.iter().find(|line| line.kind == Kind::Soak);
    let process = soaks.map(|line| line.process);
    let of_it = |line: &Line| Some(line.process) == process;
    lines.into_iter().filter(of_it).collect()
}

/// Judged by `git ls-remote`: both speak to another host, with the cryptography of SSH.
fn looks(host: &Host) -> Result<Table> {
    let plain = plain_git(host)?;
    let mut cpu = Pairs::default();
    let mut wall = Vec::new();
    for _ in 0..LOOKS {
        let traced = trace::on(host, &["nixus", "check"], &[0])?;
        let bare = trace::on(host, &plain, &[0])?;
        let ours = traced.iter().find(|process| process.is("nixus"));
        let ours = ours.context("nixus was not run")?;
        cpu.add(used_by("nixus", &traced), used_by_all(&bare));
        wall.push(ours.ended - ours.begun);
    }
    Ok(Table {
        title: format!("nixus check, of the same host ({LOOKS} times)"),
        figures: vec![
            cpu.ours("nixus: processor"),
            cpu.yardstick("git ls-remote --heads URL main: processor"),
            cpu.ratio("nixus to git ls-remote: processor")
                .at_most(LOOK_TO_LISTING),
            Figure::of("in all, with the peer's look at this host", "ms", &wall),
        ],
        notes: Vec::new(),
    })
}
