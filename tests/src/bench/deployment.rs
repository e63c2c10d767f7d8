//! From a commit being seen to the new system confirmed: whose time it was.

use anyhow::{Context as _, Result};
use lab::fleet;
use lab::story::Story;
use nixus_switcher::waits::{Line, VARIABLE};

use super::WAITS;
use super::figures::{Figure, Table};
use super::partition::{Name, Stretch, Use, seen_and_confirmed};

const DEPLOYMENTS: usize = 5;

/// Deploys some commits, and tells what the time between was spent on.
pub fn measure(story: &Story) -> Result<Table> {
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
        ("ours", Use::Own),
    ];
    let mut all = Vec::new();
    let mut parts = vec![Vec::new(); uses.len()];
    for number in 0..DEPLOYMENTS {
        host.write(WAITS, "")?;
        let more = format!(r#"environment.etc."bench".text = "{number}";"#);
        let commit = story.lab().deploy("web1", &more, "measure a deployment")?;
        story.kept("web1", &commit)?;
        let lines = waits(&host.read(WAITS)?)?;
        let (seen, confirmed) =
            seen_and_confirmed(&lines).context("the waits tell of no deployment")?;
        let stretch = Stretch::new(&lines, seen, confirmed);
        all.push(stretch.length());
        for (values, (_, what)) in parts.iter_mut().zip(uses) {
            values.push(stretch.spent(what));
        }
    }
    host.must(["systemctl", "unset-environment", VARIABLE])?;
    let mut figures = vec![Figure::of("in all", "ms", &all)];
    figures.extend(uses.iter().zip(&parts).map(|((name, what), values)| {
        let figure = Figure::of(format!("of it {name}"), "ms", values);
        match what {
            Use::Own => figure.at_most(150.0),
            _ => figure,
        }
    }));
    Ok(Table {
        title: format!("From the commit being seen to the new system confirmed ({DEPLOYMENTS} deployments)"),
        figures,
        notes: vec![
            "Ours: no child, sync or soak of the pass, the switcher or the verification was waited for; the start of our own programs by systemd is in it.".to_owned(),
        ],
    })
}

/// The waits for a deployment. Reports are sent beside it: nothing waits for them.
pub fn waits(text: &str) -> Result<Vec<Line>> {
    let lines: Result<Vec<Line>> = text
        .lines()
        .map(|line| serde_json::from_str(line).with_context(|| format!("no wait: {line}")))
        .collect();
    let mut lines = lines?;
    lines.retain(|line| !line.what.contains(fleet::REPORTS) && !line.what.contains("/reports.git"));
    Ok(lines)
}
