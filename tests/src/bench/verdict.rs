//! `lab bench verdict`: what it costs to tell whether a host with a peer is healthy.

use anyhow::{Context as _, Result};
use lab::Host;
use lab::story::Story;
use nixus_switcher::waits::{Kind, Line, VARIABLE};

use super::WAITS;
use super::deployment;
use super::figures::{Figure, Table};
use super::partition::{Stretch, Use};
use super::trace;

const DEPLOYMENTS: usize = 5;
const LOOKS: usize = 11;
/// What is our own of a verdict, in milliseconds.
const LIMIT: f64 = 100.0;

/// Measures verdicts of trials, and of `nixus check`.
pub fn verdict() -> Result<Vec<Table>> {
    let story = Story::begin(&["web1", "db1"])?;
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
    let mut own = Vec::new();
    for number in 0..DEPLOYMENTS {
        host.write(WAITS, "")?;
        let more = format!(r#"environment.etc."bench".text = "{number}";"#);
        let commit = story.lab().deploy("web1", &more, "measure a verdict")?;
        story.kept("web1", &commit)?;
        let lines = of_the_verification(deployment::waits(&host.read(WAITS)?)?);
        let begun = lines.iter().map(|line| line.begun).min();
        let ended = lines.iter().map(|line| line.ended).max();
        let (begun, ended) = begun.zip(ended).context("there was no verification")?;
        let stretch = Stretch::new(&lines, begun, ended);
        all.push(stretch.length());
        own.push(stretch.spent(Use::Own));
    }
    host.must(["systemctl", "unset-environment", VARIABLE])?;
    Ok(Table {
        title: format!("A verdict on a healthy host with one peer ({DEPLOYMENTS} trials)"),
        figures: vec![
            Figure::of("in all", "ms", &all),
            Figure::of("of it ours", "ms", &own).at_most(LIMIT),
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

fn looks(host: &Host) -> Result<Table> {
    let mut cpu = Vec::new();
    let mut wall = Vec::new();
    for _ in 0..LOOKS {
        let traced = trace::on(host, &["nixus", "check"], &[0])?;
        let ours = traced.iter().find(|process| process.is("nixus"));
        let ours = ours.context("nixus was not run")?;
        let images = ours.images.iter().filter(|image| image.is("nixus"));
        cpu.push(images.map(|image| image.cpu).sum());
        wall.push(ours.ended - ours.begun);
    }
    Ok(Table {
        title: format!("nixus check, of the same host ({LOOKS} times)"),
        figures: vec![
            Figure::of("nixus: processor", "ms", &cpu).at_most(LIMIT),
            Figure::of("in all, with the peer's look at this host", "ms", &wall),
        ],
        notes: Vec::new(),
    })
}
