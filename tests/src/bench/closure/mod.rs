//! `lab bench closure`: what a host is spared that fetches its system instead of evaluating it.

use std::time::SystemTime;

use anyhow::{Context as _, Result, ensure};
use lab::caches::{self, Caches};
use lab::ci::{CREATE, Ci, Signer};
use lab::pipeline::Pipeline;
use lab::signing_key::SigningKey;
use lab::story::{PATIENCE, Story, deployments};
use lab::{Host, Lab};

use self::evaluation::evaluations;
use super::figures::{Figure, Table};
use super::poll::{PASS, UNIT};
use super::trace::{self, Process};
use super::yardstick::{Pairs, used_by_all};

mod evaluation;

const COMMITS: usize = 5;
/// All of them are in every evaluation of CI's; two are switched on.
const FLEET: [&str; 10] = [
    "web1", "web2", "web3", "web4", "web5", "web6", "web7", "web8", "web9", "web10",
];
const FETCHES: &str = "web1";
const BUILDS: &str = "web2";
const TIMER: &str = "nixus-reconcile.timer";
/// Has a push begin a pass; goes with the timer.
const PUSH: &str = "lab-push.path";
/// What web2 has in each of its descriptions.
const EVALUATE: &str = r#"services.nixus.settings.closure.from = lib.mkForce "flake";"#;

/// Measures the same commits on a host that fetches and on one that evaluates.
pub fn closure() -> Result<Vec<Table>> {
    let pipeline = begin()?;
    let mut ci = Costs::default();
    let mut fetches = Costs::default();
    let mut builds = Costs::default();
    for number in 0..COMMITS {
        let commit = push(&pipeline, &number.to_string())?;
        let traced = build(&pipeline, &commit)?;
        ci.add_processes(&traced);
        fetches.add(&pipeline, FETCHES, &commit)?;
        builds.add(&pipeline, BUILDS, &commit)?;
    }
    Ok(vec![
        deployments_table(&fetches, &builds),
        evaluations_table(&ci, &fetches, &builds),
    ])
}

/// A fleet of ten, of which one host fetches and one evaluates, both at rest.
fn begin() -> Result<Pipeline> {
    // Nobody waits for peers that are off.
    let alone = "  services.nixus.settings.peers = lib.mkForce [ ];\n";
    let common = caches::follow_manifests(&[caches::HTTP])?;
    let lab = Lab::of(&FLEET)
        .common(&common)
        .common(alone)
        .shipped()
        .off()
        .start()?;
    for name in [FETCHES, BUILDS] {
        lab.host(name)?.start()?;
    }
    let ci = Ci::on(&lab)?;
    let caches = Caches::on(&lab)?;
    caches.serve()?;
    let first = lab.first_commit().to_owned();
    ci.publish(&first, &caches)?;
    let story = Story::over(lab);
    for name in [FETCHES, BUILDS] {
        story.host(name)?.must(["nixus", "adopt"])?;
        story.kept(name, &first)?;
    }
    let pipeline = Pipeline { story, ci, caches };
    let commit = pipeline.deploy(BUILDS, EVALUATE, "evaluate on one host")?;
    for name in [FETCHES, BUILDS] {
        pipeline.story.kept(name, &commit)?;
        passes_by_hand(pipeline.host(name)?)?;
    }
    Ok(pipeline)
}

/// Leaves a host its timer, without which no generation is healthy, but for an hour to come, and does
/// not let a push begin a pass either.
fn passes_by_hand(host: &Host) -> Result<()> {
    let place = |unit: &str| format!("/run/systemd/system/{unit}.d/bench.conf");
    host.write(&place(TIMER), "[Timer]\nOnActiveSec=\nOnActiveSec=1h\n")?;
    host.write(
        &place(PUSH),
        "[Path]\nPathChanged=\nPathChanged=/run/no-push\n",
    )?;
    host.must(["systemctl", "daemon-reload"])?;
    host.must(["systemctl", "restart", TIMER])?;
    // The last pass that the timer has begun.
    host.must(["systemctl", "start", UNIT]).map(drop)
}

/// The lab's systems are evaluated in next to no time. This takes a quarter of a gigabyte, which is
/// still less than a small NixOS.
const EVALUATED: &str = r#"environment.etc."evaluated".text = toString (
  builtins.length (
    builtins.filter (text: text != "") (
      builtins.genList (n: toString n + "abcdefghijklmnopqrstuvwxyz") 1000000
    )
  )
);"#;

/// A commit that changes both hosts alike.
fn push(pipeline: &Pipeline, text: &str) -> Result<String> {
    let more = format!("environment.etc.bench.text = \"{text}\";\n{EVALUATED}");
    let lab = pipeline.story.lab();
    let files = [
        lab.describe(FETCHES, &more)?,
        lab.describe(BUILDS, &format!("{EVALUATE}\n{more}"))?,
    ];
    lab.operator().deploy(&files.into(), "measure a closure")
}

/// What CI does for a commit; gives the processes that built it.
fn build(pipeline: &Pipeline, commit: &str) -> Result<Vec<Process>> {
    let ci = &pipeline.ci;
    ci.check_out(commit)?;
    let traced = trace::on(pipeline.host("git")?, &ci.words(&CREATE), &[0])?;
    ci.keep()?;
    let key = SigningKey::trusted()?;
    pipeline.caches.fill(&ci.paths()?, Some(&key))?;
    let pushed = ci.push(Signer::Ci, false)?;
    ensure!(pushed.ok(), "{pushed:?}");
    Ok(traced)
}

/// What each of several commits took.
#[derive(Debug, Default)]
struct Costs {
    /// Time on a processor, in milliseconds.
    cpu: Vec<f64>,
    /// The greatest process, in megabytes.
    memory: Vec<f64>,
    /// What came in over the network until the system was confirmed, in kilobytes.
    received: Vec<f64>,
    /// Until the pass had handed over, in milliseconds.
    handed_over: Vec<f64>,
    /// Until the switcher had ended, in milliseconds.
    confirmed: Vec<f64>,
    evaluations: Vec<f64>,
}

impl Costs {
    fn add_processes(&mut self, traced: &[Process]) {
        self.cpu.push(used_by_all(traced));
        let peak = traced.iter().map(|process| process.peak).max();
        self.memory.push(peak.unwrap_or(0) as f64 * 1024.0 / 1e6);
        self.evaluations.push(evaluations(traced));
    }

    /// Deploys a commit that CI has published on a host whose passes are begun by hand.
    fn add(&mut self, pipeline: &Pipeline, name: &str, commit: &str) -> Result<()> {
        let host = pipeline.host(name)?;
        let known = deployments(host)?.len();
        let received = received(host)?;
        let begun = SystemTime::now();
        let traced = trace::on(host, &PASS, &[0])?;
        let pass = traced.iter().find(|process| process.is("nixus"));
        let pass = pass.context("nixus was not run")?;
        ensure!(
            traced.iter().any(|process| process.is("nix")),
            "{name}: another pass was first"
        );
        host.wait_until("has ended the deployment", PATIENCE, |host| {
            Ok(deployments(host)?.len() > known)
        })?;
        host.must(["systemctl", "start", UNIT])?;
        let since = begun.duration_since(SystemTime::UNIX_EPOCH)?;
        let confirmed = last_ended(host)? - since.as_secs_f64();
        self.confirmed.push(confirmed * 1e3);
        self.handed_over.push(pass.ended - pass.begun);
        self.received.push((self::received(host)? - received) / 1e3);
        self.add_processes(&traced);
        pipeline.story.kept(name, commit)?;
        Ok(())
    }
}

/// All that came in on a host's network so far, in bytes.
fn received(host: &Host) -> Result<f64> {
    let text = host.read("/sys/class/net/host0/statistics/rx_bytes")?;
    text.trim().parse().context("no count of received bytes")
}

/// When the switcher wrote its last record, in seconds since 1970 of the machine's clock.
fn last_ended(host: &Host) -> Result<f64> {
    let records = deployments(host)?;
    let stat = ["stat", "--format=%.9Y", "--"].map(str::to_owned);
    let times = host.must(stat.into_iter().chain(records))?;
    let times: Result<Vec<f64>> = times
        .lines()
        .map(|time| {
            time.parse()
                .with_context(|| format!("{time:?} is not a time"))
        })
        .collect();
    Ok(times?.into_iter().fold(0.0, f64::max))
}

fn deployments_table(fetches: &Costs, builds: &Costs) -> Table {
    let both = |what: &str, unit: &'static str, of: fn(&Costs) -> &Vec<f64>| {
        let figure = |how: &str, costs| Figure::of(format!("{how}: {what}"), unit, of(costs));
        [
            figure("from a manifest", fetches),
            figure("evaluated", builds),
        ]
    };
    // What a host is spared is the point: here the yardstick is what the other host did.
    let mut cpu = Pairs::default();
    for (fetched, built) in fetches.cpu.iter().zip(&builds.cpu) {
        cpu.add(*fetched, *built);
    }
    let [memory, built] = both("peak memory of the pass", "MB", |costs| &costs.memory);
    let memory = [memory.at_most(built.median), built];
    let mut figures = vec![
        cpu.ours("from a manifest: processor of the pass"),
        cpu.yardstick("evaluated: processor of the pass"),
        cpu.ratio("from a manifest to evaluated: processor")
            .at_most(1.0),
    ];
    let others = [
        memory,
        both("received", "kB", |costs| &costs.received),
        both("until handed over", "ms", |costs| &costs.handed_over),
        both("until confirmed", "ms", |costs| &costs.confirmed),
    ];
    figures.extend(others.into_iter().flatten());
    Table {
        title: format!("A commit that CI has built, fetched and evaluated ({COMMITS} commits)"),
        figures,
        notes: vec![
            "Processor is that of the pass and all its children, Nix and git among them; memory is that of the greatest of these processes.".to_owned(),
            "The systems are the lab's stand-ins with a list of a million texts to evaluate: what a real NixOS takes was not measured.".to_owned(),
            "Received: all that came in on the host's network interface until the switcher had ended.".to_owned(),
        ],
    }
}

fn evaluations_table(ci: &Costs, fetches: &Costs, builds: &Costs) -> Table {
    let fleet = FLEET.len() as f64;
    let counted = |what: &str, values: &[f64]| Figure::of(what, "", values);
    let all =
        |each: &Costs| -> Vec<f64> { each.evaluations.iter().map(|count| count * fleet).collect() };
    let pairs = ci.evaluations.iter().zip(all(fetches));
    let with_manifests: Vec<f64> = pairs.map(|(own, hosts)| own + hosts).collect();
    Table {
        title: format!("Evaluations of one commit in a fleet of {} ({COMMITS} commits)", FLEET.len()),
        figures: vec![
            counted("CI, for all hosts", &ci.evaluations).at_most(1.0),
            counted("a host, from the manifest", &fetches.evaluations).at_most(0.0),
            counted("a host that evaluates", &builds.evaluations),
            counted("the fleet, from the manifest", &with_manifests).at_most(1.0),
            counted("the fleet, each host by itself", &all(builds)),
            Figure::of("CI: processor", "ms", &ci.cpu),
            Figure::of("CI: peak memory", "MB", &ci.memory),
        ],
        notes: vec![
            "Counted are processes that became a Nix which evaluates, in CI and in the pass of a host.".to_owned(),
            "A host that evaluates does so once more on trial, which is not counted.".to_owned(),
        ],
    }
}
