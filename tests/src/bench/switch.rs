//! `lab bench switch`: what one deployment costs in the switcher itself.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use lab::story::{Story, switcher_status};
use lab::{Host, binaries, setup};
use nixus_switcher::protocol::{Commit, FailedUnits, Policy, Request, VERSION};
use nixus_switcher::waits::{Kind, Line, VARIABLE};

use super::WAITS;
use super::figures::{Figure, Table};
use super::partition::{Name, Stretch, Use};
use super::yardstick::{Pairs, used_by, used_by_all};
use super::{as_shipped, trace};

const DEPLOYMENTS: u32 = 5;
/// How many times the processor time of `switch-to-configuration` the switcher may use itself. The limit
/// was 20 ms where a deployment used 9.86 ms (2026-11-27): 20 / 9.86 of the 0.22 times of 2026-11-30.
const SWITCHER_TO_SWITCH: f64 = 0.45;
/// What a deployment calls, with all that it starts; here it goes to the system that runs already. Both
/// start programs, read and write small files and ask systemd.
const SWITCH: [&str; 2] = ["/run/current-system/bin/switch-to-configuration", "test"];
const REQUEST: &str = "/run/bench-request.json";

/// A deployment to be measured: lines of Nix, and how `nixus-switcher run` ends.
struct Deployment {
    name: &'static str,
    nix: &'static str,
    code: i32,
}

const KINDS: [Deployment; 2] = [
    Deployment {
        name: "confirmed",
        nix: "",
        code: 0,
    },
    Deployment {
        name: "reverted",
        nix: "lab.break.activation = \"exit1\";",
        code: 1,
    },
];

/// Measures deployments that are confirmed, and such that go back.
pub fn switch() -> Result<Vec<Table>> {
    let machine = setup::prepare()?;
    let size = fs::metadata(binaries::build_shipped(&machine)?.switcher)
        .context("cannot measure nixus-switcher")?
        .len();
    let story = as_shipped(&["web1"])?;
    let host = story.host("web1")?;
    // Passes go on, as the verification demands, but leave the deployments to the bench.
    host.must(["nixus", "suspend", "the bench deploys"])?;
    let record = record_exit(host)?;
    let mut tables = vec![Table {
        title: "nixus-switcher".to_owned(),
        figures: vec![Figure::of("size, stripped", "MB", &[size as f64 / 1e6]).at_most(4.0)],
        notes: Vec::new(),
    }];
    for kind in &KINDS {
        tables.push(measure(&story, host, kind, record)?);
    }
    Ok(tables)
}

fn measure(story: &Story, host: &Host, kind: &Deployment, record: f64) -> Result<Table> {
    let mut cpu = Pairs::default();
    let [mut memory, mut all, mut children, mut syncs, mut rest] = [const { Vec::new() }; 5];
    for number in 0..DEPLOYMENTS {
        let mark = format!("{}-{number}", kind.name);
        let more = format!(r#"environment.etc."bench".text = "{mark}"; {}"#, kind.nix);
        let id = story.lab().deploy("web1", &more, &mark)?;
        request(host, &mark, &id)?;
        host.write(WAITS, "")?;
        let waits = format!("{VARIABLE}={WAITS}");
        let command = ["env", &waits, "nixus-switcher", "run", "--request", REQUEST];
        let traced = trace::on(host, &command, &[kind.code])?;
        let status = switcher_status(host)?;
        let ended = status.pointer("/last/ending").cloned().unwrap_or_default();
        ensure!(
            ended == kind.name,
            "{mark} was to be {}: {status}",
            kind.name
        );
        let ours = traced.iter().find(|process| process.is("nixus-switcher"));
        let ours = ours.context("the switcher was not run")?;
        let lines = host.read(WAITS)?;
        let lines: Result<Vec<Line>, _> = lines.lines().map(serde_json::from_str).collect();
        let lines = lines.context("the switcher's waits cannot be read")?;
        let begun = lines.iter().map(|line| line.begun).min().unwrap_or(0);
        let end = lines.iter().map(|line| line.ended).max().unwrap_or(0);
        let stretch = Stretch::new(&lines, begun, end);
        let names = [Name::Git, Name::Nix, Name::Switch, Name::Other];
        let runs = lines.iter().filter(|line| {
            line.kind == Kind::Child && line.what.starts_with("switch-to-configuration")
        });
        let own = used_by("nixus-switcher", &traced) + runs.count() as f64 * record;
        let switched = trace::on(host, &SWITCH, &[0])?;
        cpu.add(own, used_by_all(&switched));
        memory.push(ours.peak as f64 * 1024.0 / 1e6);
        all.push(ours.ended - ours.begun);
        children.push(
            names
                .map(|name| stretch.spent(Use::Child(name)))
                .iter()
                .sum(),
        );
        syncs.push(stretch.spent(Use::Sync));
        rest.push(stretch.spent(Use::Own));
    }
    Ok(Table {
        title: format!(
            "A deployment that is {} ({DEPLOYMENTS} deployments)",
            kind.name
        ),
        figures: vec![
            cpu.ours("the switcher's own processor"),
            cpu.yardstick("switch-to-configuration: processor"),
            cpu.ratio("the switcher to it: processor")
                .at_most(SWITCHER_TO_SWITCH),
            Figure::of("its peak memory", "MB", &memory).at_most(8.0),
            Figure::of("time in all", "ms", &all),
            Figure::of("of it children", "ms", &children),
            Figure::of("of it syncs to disk", "ms", &syncs),
            Figure::of(
                "of it the rest (while on trial, the verification's)",
                "ms",
                &rest,
            ),
        ],
        notes: vec![format!(
            "In the processor time is `nixus-switcher record-exit`, {record:.2} ms for each run of switch-to-configuration."
        )],
    })
}

/// What systemd runs after each `switch-to-configuration`, so outside the traced tree.
fn record_exit(host: &Host) -> Result<f64> {
    let mut values = Vec::new();
    for _ in 0..DEPLOYMENTS {
        let command = [
            "env",
            "EXIT_CODE=exited",
            "EXIT_STATUS=0",
            "nixus-switcher",
            "record-exit",
            "/run/bench-exit",
        ];
        let traced = trace::on(host, &command, &[0])?;
        values.push(used_by("nixus-switcher", &traced));
    }
    Ok(Figure::of("", "ms", &values).median)
}

fn request(host: &Host, mark: &str, id: &str) -> Result<()> {
    let candidate = std::path::PathBuf::from(host.build(id)?);
    let request = Request {
        version: VERSION,
        deployment: format!("bench-{mark}")
            .parse()
            .context("no deployment id")?,
        candidate: candidate.try_into().context("that is not a toplevel")?,
        commit: Commit {
            id: id.to_owned(),
            subject: mark.to_owned(),
        },
        policy: Policy {
            activation_seconds: 60,
            trial_seconds: 60,
            commit_seconds: 60,
            failed_units: FailedUnits::Revert,
            carrier_seconds: 60,
        },
        before: None,
    };
    let text = serde_json::to_string(&request).context("cannot write the request")?;
    host.write(REQUEST, &text)
}
