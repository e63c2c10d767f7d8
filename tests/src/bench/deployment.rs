//! From a commit being seen to the new system confirmed: whose time it was.

use std::time::Duration;

use anyhow::{Context as _, Result};
use lab::story::Story;
use lab::{Host, fleet};
use nixus_switcher::waits::{Line, VARIABLE};

use super::WAITS;
use super::figures::{Figure, Table};
use super::partition::{Name, Stretch, Use, seen_and_confirmed};
use super::poll::time;
use super::trace;
use super::yardstick::Pairs;

const DEPLOYMENTS: usize = 5;
/// So long after the confirmation the switcher's history is written at the latest.
const WRITTEN: Duration = Duration::from_secs(10);
/// How many times the time of Nix and `switch-to-configuration` is ours at most. On 2026-11-27 these
/// took 199 + 185 ms, ours 25 ms, and the limit was 150 ms: 150 / 384.
const OWN_TO_PROGRAMS: f64 = 0.39;

/// How many times the time of `git ls-remote` over SSH, which is nearly all of it one connection, passes until
/// Nix is started. On 2026-11-30 that took 114 ms, and 200 ms were wanted.
const NIX_TO_LISTING: f64 = 1.75;

/// Deploys some commits, and tells what the time between was spent on; `plain` is the plain `git ls-remote`.
pub fn measure(story: &Story, plain: &[String]) -> Result<Table> {
    let host = story.host("web1")?;
    host.must([
        "systemctl",
        "set-environment",
        &format!("{VARIABLE}={WAITS}"),
    ])?;
    let uses = [
        ("git and ssh (network)", Use::Child(Name::Git)),
        ("Nix", Use::Child(Name::Nix)),
        ("switch-to-configuration", Use::Child(Name::Switch)),
        ("systemd's programs", Use::Child(Name::Other)),
        ("syncs to disk", Use::Sync),
        ("sshd (network)", Use::Network),
        ("the configured soak", Use::Soak),
        ("the timer of the generation on trial", Use::Timer),
        ("ours", Use::Own),
    ];
    let mut all = Vec::new();
    let mut own = Pairs::default();
    let mut until_nix = Pairs::default();
    let mut parts = vec![Vec::new(); uses.len()];
    for number in 0..DEPLOYMENTS {
        host.write(WAITS, "")?;
        let more = format!(r#"environment.etc."bench".text = "{number}";"#);
        let commit = story.lab().deploy("web1", &more, "measure a deployment")?;
        story.kept("web1", &commit)?;
        let lines = waits(host)?;
        let stretch = stretch(&lines)?;
        all.push(stretch.length());
        let nix = stretch.until(Name::Nix).context("Nix was not started")?;
        until_nix.add(nix, time(&trace::on(host, plain, &[0])?));
        own.add(stretch.spent(Use::Own), programs(&stretch));
        for (values, (_, what)) in parts.iter_mut().zip(uses) {
            values.push(stretch.spent(what));
        }
    }
    host.must(["systemctl", "unset-environment", VARIABLE])?;
    let mut figures = vec![Figure::of("in all", "ms", &all)];
    let parts = uses.iter().zip(&parts);
    figures
        .extend(parts.map(|((name, _), values)| Figure::of(format!("of it {name}"), "ms", values)));
    figures.extend([
        until_nix.ours("until Nix is started"),
        until_nix.yardstick("git ls-remote --heads URL main: time"),
        until_nix
            .ratio("until Nix is started to git ls-remote: time")
            .at_most(NIX_TO_LISTING),
    ]);
    figures.push(
        own.ratio("ours to Nix and switch-to-configuration")
            .at_most(OWN_TO_PROGRAMS),
    );
    Ok(Table {
        title: format!("From the commit being seen to the new system confirmed ({DEPLOYMENTS} deployments)"),
        figures,
        notes: vec![
            "Ours: no child, sync or soak of the pass, the switcher or the verification was waited for; the start of our own programs by systemd is in it.".to_owned(),
        ],
    })
}

/// The time between a commit being seen and the new system confirmed.
pub fn stretch(lines: &[Line]) -> Result<Stretch<'_>> {
    let (seen, confirmed) = seen_and_confirmed(lines).context("the waits tell of no deployment")?;
    Ok(Stretch::new(lines, seen, confirmed))
}

/// The time of the two programs that each deployment waits for in any case, and that are not ours.
/// They start programs, read small files and speak to systemd, as we do. git is not among them, since
/// it waits for the network, nor are systemd's programs: who calls more of them would get more time.
pub fn programs(stretch: &Stretch<'_>) -> f64 {
    let names = [Name::Nix, Name::Switch];
    names
        .map(|name| stretch.spent(Use::Child(name)))
        .iter()
        .sum()
}

/// The waits for a deployment, once all of them are written: the switcher writes its history after it has
/// confirmed. Reports are sent beside it: nothing waits for them.
pub fn waits(host: &Host) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    let written = host.wait_until("the waits for a deployment", WRITTEN, |host| {
        lines = parse(&host.read(WAITS)?)?;
        Ok(seen_and_confirmed(&lines).is_some())
    });
    written.with_context(|| format!("{} waits, and no fetch or no end among them", lines.len()))?;
    Ok(lines)
}

fn parse(text: &str) -> Result<Vec<Line>> {
    let lines: Result<Vec<Line>> = text
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("no wait: {line}")))
        .collect();
    let mut lines = lines?;
    lines.retain(|line| !line.what.contains(fleet::REPORTS) && !line.what.contains("/reports.git"));
    Ok(lines)
}
