//! Plays one case after the other on one machine.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail, ensure};
use lab::Lab;
use lab::qemu::disk::Survival;
use lab::qemu::kernel;
use lab::qemu::machine::{Machine, Start};
use lab::setup;
use nixus::decide::report::State;
use nixus_switcher::protocol::{Ending, Outcome};
use serde_json::Value;

use super::cases::{Case, Fault, Then};
use crate::crash::agrees;

/// How long the machine may take for one step; it is slow, and may share this one with others.
const PATIENCE: Duration = Duration::from_secs(400);
/// A watchdog that fires at its time: the trial's limit below, and more.
const WATCHDOG: Duration = Duration::from_secs(180 + 400);
const POLL: Duration = Duration::from_millis(300);
const NAME: &str = "web1";
const TRIGGER: &str = "/run/nixus/fault";
const FILLER: &str = "/boot/filler";
const COMMON: &str = include_str!("lean.nix");

/// A machine that follows the deploy repository.
pub struct Play {
    machine: Machine,
    lab: Lab,
    /// Makes each system another one.
    number: u32,
    /// What ran before the last deployment.
    before: String,
    /// A case whose machine went down, and has not been looked at since.
    pending: Option<Pending>,
}

struct Pending {
    name: &'static str,
    then: Then,
    commit: String,
    before: String,
    start: Start,
}

impl Play {
    /// Boots a machine and adopts it.
    pub fn begin() -> Result<Self> {
        let layer = kernel::layer(&setup::prepare()?)?;
        let lab = Lab::of(&[NAME])
            .off()
            .layer(&layer)
            .common(COMMON)
            .start()?;
        let console = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/crash");
        std::fs::create_dir_all(&console).context("cannot make a folder for the console")?;
        let console = console.join("machine.console");
        let mut machine = Machine::new(lab.host(NAME)?, lab.operator(), &layer, &console)?;
        machine.start(&Start::default())?;
        machine.must(&["nixus", "adopt"])?;
        let before = lab.first_toplevel(NAME)?.to_owned();
        Ok(Self {
            machine,
            lab,
            number: 0,
            before,
            pending: None,
        })
    }

    /// Where the console is.
    pub fn console(&self) -> &Path {
        self.machine.console_path()
    }

    /// What there is to say of the machine.
    pub fn note(&self) -> String {
        let counts = self.machine.counts();
        let sum =
            |count: fn(&lab::qemu::disk::Counts) -> u64| counts.iter().map(count).sum::<u64>();
        format!(
            "{} times without power; the disk took {} writes and {} flushes, and lost {} blocks that were not flushed while {} survived",
            counts.len(),
            sum(|c| c.writes),
            sum(|c| c.flushes),
            sum(|c| c.lost),
            sum(|c| c.survived)
        )
    }

    /// Deploys what a case says, and lets its fault happen.
    pub fn next(&mut self, case: &Case) -> Result<()> {
        self.number += 1;
        let describe = format!(
            "environment.etc.\"mark\".text = \"{} {}\";\n{}",
            self.number, case.name, case.describe
        );
        let console = self.machine.console_end();
        let commit;
        if let Some(pending) = self.pending.take() {
            // It boots into a repository with a newer commit than the one that met a fault.
            commit = self.lab.deploy(NAME, &describe, case.name)?;
            let mut start = pending.start.clone();
            if let Some(second) = &start.fault {
                self.machine.power_on(&start)?;
                self.reaches(second, console)?;
                self.machine.power_cut(Survival::None)?;
            }
            start.fault = Some(case.point.to_owned()).filter(|point| !point.is_empty());
            self.machine.start(&start)?;
            self.look(&pending)?;
            self.before = self.readlink("/run/booted-system")?;
        } else {
            self.before = self.readlink("/run/current-system")?;
            // Before the commit: a pass may begin at any moment.
            self.machine.write(TRIGGER, case.point)?;
            commit = self.lab.deploy(NAME, &describe, case.name)?;
        }
        self.machine.must(&[
            "systemctl",
            "start",
            "--no-block",
            "nixus-reconcile.service",
        ])?;
        if case.point.is_empty() {
            return self.keeps(&commit);
        }
        self.reaches(case.point, console)?;
        self.disturb(case, commit)
    }

    /// Looks at what the last case has left.
    pub fn end(&mut self) -> Result<()> {
        match self.pending.take() {
            None => Ok(()),
            Some(pending) => {
                self.machine.start(&pending.start)?;
                self.look(&pending)
            }
        }
    }

    /// Looks at what a case has left, whose machine has booted again since.
    fn look(&self, pending: &Pending) -> Result<()> {
        let name = pending.name;
        let booted = self.readlink("/run/booted-system")?;
        let expected = match pending.then {
            Then::Old => booted == pending.before,
            Then::New => booted != pending.before,
            Then::Either => true,
        };
        ensure!(
            expected,
            "after {name:?} it booted {booted}, and ran {} before",
            pending.before
        );
        let outcome = self.settled(&pending.commit)?;
        agrees(outcome.as_ref(), &pending.before, &booted)
            .with_context(|| format!("after {name:?}"))?;
        let kept = outcome.is_some_and(|outcome| outcome.ending == Ending::Confirmed);
        self.reports(&pending.commit, kept)
            .with_context(|| format!("after {name:?}"))
    }

    /// How the first deployment of a commit ended, once that one is not open any more; nothing where
    /// the switcher does not know of it.
    fn settled(&self, commit: &str) -> Result<Option<Outcome>> {
        let begun = Instant::now();
        loop {
            let status = self.machine.must(&["nixus-switcher", "status", "--json"])?;
            let status: Value = serde_json::from_str(&status).context("no JSON of the switcher")?;
            let outcome = self.outcome(commit)?;
            let open = status.pointer("/open/commit/id") == Some(&Value::String(commit.to_owned()));
            if outcome.is_some() || !open {
                return Ok(outcome);
            }
            ensure!(
                begun.elapsed() < PATIENCE,
                "the deployment is still open: {status}"
            );
            std::thread::sleep(POLL);
        }
    }

    fn outcome(&self, commit: &str) -> Result<Option<Outcome>> {
        // The folder is made with the first outcome.
        let text = self.machine.must(&[
            "find",
            "/var/lib/nixus",
            "-path",
            "/var/lib/nixus/switcher/history/*.json",
            "-exec",
            "cat",
            "{}",
            "+",
        ])?;
        let mut outcomes: Vec<Outcome> = serde_json::Deserializer::from_str(&text)
            .into_iter()
            .collect::<Result<_, _>>()
            .context("the history is damaged")?;
        outcomes.sort_by_key(|outcome| outcome.sequence);
        Ok(outcomes
            .into_iter()
            .find(|outcome| outcome.commit.id == commit))
    }

    /// Waits until the host has said what became of a commit.
    fn reports(&self, commit: &str, kept: bool) -> Result<()> {
        let begun = Instant::now();
        loop {
            let reports = self.lab.operator().reports(NAME)?;
            let said = reports.iter().rfind(|report| {
                report.commit.id == commit
                    && matches!(report.state, State::Success | State::Failure | State::Error)
            });
            match said {
                Some(report) if (report.state == State::Success) == kept => return Ok(()),
                Some(report) => bail!("it reports {:?}", report.text),
                None => ensure!(
                    begun.elapsed() < PATIENCE,
                    "it does not report what became of the commit\n{}",
                    self.machine.portrait()
                ),
            }
            std::thread::sleep(POLL);
        }
    }

    fn readlink(&self, link: &str) -> Result<String> {
        Ok(self
            .machine
            .must(&["readlink", "-f", link])?
            .trim()
            .to_owned())
    }

    /// Sees that a commit is kept: it runs, it is the profile, and it is what the next boot starts.
    fn keeps(&self, commit: &str) -> Result<()> {
        self.reports(commit, true)?;
        let outcome = self
            .settled(commit)?
            .context("the history does not know it")?;
        let now = self.readlink("/run/current-system")?;
        agrees(Some(&outcome), "", &now)?;
        ensure!(self.readlink("/nix/var/nix/profiles/system")? == now);
        let default = self.default()?;
        ensure!(default == now, "it runs {now}, and would boot {default}");
        Ok(())
    }

    /// What the boot loader starts.
    fn default(&self) -> Result<String> {
        let config = self.machine.must(&["cat", "/boot/loader/loader.conf"])?;
        let entry = config
            .lines()
            .find_map(|line| line.strip_prefix("default "))
            .context("loader.conf names no default")?;
        let path = format!("/boot/loader/entries/{}", entry.trim());
        let text = self.machine.must(&["cat", &path])?;
        text.split_whitespace()
            .find_map(|word| word.strip_prefix("init=")?.strip_suffix("/init"))
            .map(str::to_owned)
            .with_context(|| format!("{path} has no init="))
    }

    /// Lets the fault of a case happen, with the switcher stopped at its point.
    fn disturb(&mut self, case: &Case, commit: String) -> Result<()> {
        let mut start = Start::default();
        match case.fault {
            Fault::None => {}
            Fault::PowerCut(survival) => {
                self.cut(survival)?;
            }
            Fault::PowerCutTwice(point) => {
                start.fault = Some(point.to_owned());
                self.cut(Survival::None)?;
            }
            Fault::ClockLost(clock) => {
                start.clock = Some(clock.to_owned());
                self.cut(Survival::None)?;
            }
            Fault::Panic => {
                // By a unit: nobody could wait for a command that never answers.
                self.machine.must(&[
                    "systemd-run",
                    "--quiet",
                    "--no-block",
                    "sh",
                    "-c",
                    "echo c > /proc/sysrq-trigger",
                ])?;
                self.machine.is_off(Survival::None, PATIENCE)?;
            }
            Fault::Freeze => {
                // systemd stops doing anything at a fault of its own (systemd(1), "crash").
                self.machine.must(&["kill", "-SEGV", "1"])?;
                self.machine.is_off(Survival::None, PATIENCE)?;
            }
            Fault::FullBoot => return self.full_boot(case, &commit),
            Fault::ClockSet(date) => {
                self.machine.must(&["date", "--set", date])?;
                self.carry_on()?;
                self.keeps(&commit)?;
                return self.right_time();
            }
            Fault::ClockSetAndKilled(date) => {
                // What is left is to be looked at before the next try.
                self.machine.must(&["nixus", "suspend"])?;
                self.machine.must(&["date", "--set", date])?;
                self.machine
                    .must(&["pkill", "-KILL", "--full", "nixus-switcher run"])?;
                let begun = Instant::now();
                while self.outcome(&commit)?.is_none() {
                    ensure!(begun.elapsed() < WATCHDOG, "its watchdog did not fire");
                    std::thread::sleep(POLL);
                }
                self.went_back(&commit)?;
                self.right_time()?;
                self.machine.must(&["nixus", "resume"])?;
                return Ok(());
            }
        }
        self.pending = Some(Pending {
            name: case.name,
            then: case.then,
            commit,
            before: self.before.clone(),
            start,
        });
        Ok(())
    }

    fn cut(&mut self, survival: Survival) -> Result<()> {
        let counts = self.machine.power_cut_in_writes(survival)?;
        ensure!(
            counts.lost + counts.survived > 0,
            "the disk had nothing to lose: this power cut shows nothing"
        );
        Ok(())
    }

    fn carry_on(&self) -> Result<()> {
        self.machine
            .must(&["pkill", "-CONT", "--full", "nixus-switcher run"])?;
        Ok(())
    }

    fn right_time(&self) -> Result<()> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .context("this machine's clock is before 1970")?;
        let now = format!("@{}", now.as_secs());
        self.machine.must(&["date", "--set", &now])?;
        Ok(())
    }

    /// Sees that the host is on what ran before, and says so.
    fn went_back(&self, commit: &str) -> Result<()> {
        let outcome = self.settled(commit)?;
        ensure!(
            outcome
                .as_ref()
                .is_some_and(|o| o.ending == Ending::Reverted),
            "it did not go back: {outcome:?}"
        );
        let now = self.readlink("/run/current-system")?;
        agrees(outcome.as_ref(), &self.before, &now)?;
        self.reports(commit, false)
    }

    fn full_boot(&mut self, case: &Case, commit: &str) -> Result<()> {
        let filled = self.machine.exec(&[
            "dd",
            "if=/dev/zero",
            &format!("of={FILLER}"),
            "bs=64k",
            "conv=fsync",
        ])?;
        ensure!(!filled.ok(), "/boot has no end");
        self.carry_on()?;
        self.went_back(commit)?;
        self.machine.power_cut(Survival::None)?;
        self.machine.start(&Start::default())?;
        self.look(&Pending {
            name: case.name,
            then: case.then,
            commit: commit.to_owned(),
            before: self.before.clone(),
            start: Start::default(),
        })?;
        self.machine.must(&["rm", FILLER])?;
        Ok(())
    }

    fn reaches(&mut self, point: &str, console: usize) -> Result<()> {
        let words = format!("fault point {point} is reached");
        self.machine.sees(&words, console, PATIENCE)
    }
}
