//! Runs the tests on hosts, as many at a time as the machine has room for, and reports what each of
//! them cost.
//!
//! It takes the arguments of Rust's own test programs that people use, and ends with the same line.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use clap::Parser as _;

pub use inventory::submit;

use self::arguments::Arguments;
use self::load::Load;
use self::schedule::Schedule;
use crate::kind::Kind;
use crate::meter::{self, Cost};
use crate::pool;
use crate::{nixos, setup};

mod arguments;
mod forgotten;
mod load;
mod sample;
mod schedule;
mod table;
mod uses;

/// How many tests of weight 1 run at a time for each processor. Most of a test's time is waiting; where
/// the processors idle nevertheless, more of them run.
const AT_A_TIME: usize = 3;

/// A test on hosts.
#[derive(Debug, Clone, Copy)]
pub struct Test {
    /// The module and the function.
    pub name: &'static str,
    /// The source file.
    pub file: &'static str,
    /// The place of how many light tests it takes.
    pub weight: usize,
    /// Whether it waits for so long that it is started among the first.
    pub long: bool,
    /// Whether it boots an emulated machine, which takes minutes.
    pub machine: bool,
    /// On which kinds of hosts it runs.
    pub kinds: &'static [Kind],
    /// Why it cannot run on NixOS, where it cannot.
    pub only_stand_in: Option<&'static str>,
    /// The test itself.
    pub run: fn() -> Result<()>,
}

inventory::collect!(Test);

impl Test {
    /// The name without that of the program, as it is shown and filtered by.
    pub fn shown(&self) -> &'static str {
        self.name
            .split_once("::")
            .map_or(self.name, |(_, rest)| rest)
    }

    /// A test for each kind of hosts. One that runs on two has another name on the second.
    fn of_each_kind(self, asked: Option<Kind>) -> impl Iterator<Item = Self> {
        let kinds = match asked {
            Some(Kind::Nixos) if self.only_stand_in.is_some() => &[][..],
            Some(Kind::Nixos) => &[Kind::Nixos],
            Some(Kind::StandIn) if self.kinds.contains(&Kind::StandIn) => &[Kind::StandIn],
            Some(Kind::StandIn) => &[][..],
            None => self.kinds,
        };
        kinds.iter().map(move |kind| {
            let name = match kind {
                Kind::StandIn => self.name,
                // There are as many of them as tests, and they last as long as the program.
                Kind::Nixos => format!("{}::nixos", self.name).leak(),
            };
            let kinds: &'static [Kind] = match kind {
                Kind::StandIn => &[Kind::StandIn],
                Kind::Nixos => &[Kind::Nixos],
            };
            // Its hosts evaluate NixOS, which takes a processor for seconds; and where fewer run at a time, more
            // of them find a lab that has begun.
            let weight = match kind {
                Kind::StandIn => self.weight,
                Kind::Nixos => self.weight * 2,
            };
            Self {
                name,
                weight,
                kinds,
                ..self
            }
        })
    }
}

#[cfg(test)]
impl Test {
    /// A light test of the stand-in's hosts, for the harness's own tests.
    fn named(name: &'static str) -> Self {
        Self {
            name,
            file: "",
            weight: 1,
            long: false,
            machine: false,
            kinds: &[Kind::StandIn],
            only_stand_in: None,
            run: || Ok(()),
        }
    }
}

/// What a test may end with.
pub trait Ending {
    /// As a result.
    ///
    /// # Errors
    /// Why the test failed.
    fn ending(self) -> Result<()>;
}

impl Ending for () {
    fn ending(self) -> Result<()> {
        Ok(())
    }
}

impl Ending for Result<()> {
    fn ending(self) -> Result<()> {
        self
    }
}

/// How a test ended.
#[derive(Debug)]
struct Ended {
    test: Test,
    failure: Option<String>,
    cost: Cost,
}

/// Runs the registered tests that the arguments of this program ask for. `folder` has their source
/// files, each of which must have registered its tests.
pub fn main(folder: &Path) -> ExitCode {
    let arguments = Arguments::parse();
    let all: Vec<Test> = inventory::iter::<Test>.into_iter().copied().collect();
    match run(&arguments, &all, folder) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(101),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Whether somebody asked for all that there is on NixOS.
static ALL_OF_NIXOS: AtomicBool = AtomicBool::new(false);

/// Some rows of a table whose rows take long: so many, chosen by the commit that is checked out, and all of them
/// where a run is asked for NixOS (`--hosts nixos`) or no commit is checked out.
pub fn some_rows(rows: Vec<String>, count: usize) -> Vec<String> {
    match sample::commit() {
        Some(commit) if !ALL_OF_NIXOS.load(Ordering::Relaxed) => {
            sample::choose(rows, count, &commit, String::as_str)
        }
        _ => rows,
    }
}

fn run(arguments: &Arguments, registered: &[Test], folder: &Path) -> Result<bool> {
    forgotten::check(registered, folder)?;
    let all: Vec<Test> = registered
        .iter()
        .flat_map(|test| test.of_each_kind(arguments.hosts))
        .collect();
    let mut chosen: Vec<Test> = all
        .iter()
        .filter(|test| arguments.choose(test))
        .copied()
        .collect();
    let out = &mut io::stdout();
    // An emulated processor takes a quarter of an hour for each, so only who asks for them, or for NixOS, has them.
    if arguments.hosts.is_none() && !chosen.iter().all(|test| test.machine) {
        let before = chosen.len();
        chosen.retain(|test| !test.machine);
        let machines = before - chosen.len();
        if machines > 0 {
            writeln!(
                out,
                "\n{machines} tests with an emulated machine are left out: ask for them with `machines`"
            )?;
        }
    }
    if arguments.is_everything() {
        chosen.extend(sampled(out, registered)?);
    }
    chosen.sort_by_key(|test| test.name);
    if arguments.hosts == Some(Kind::Nixos) {
        ALL_OF_NIXOS.store(true, Ordering::Relaxed);
        left_out(out, registered)?;
    }
    if arguments.list {
        return list(out, &chosen).map(|()| true).context("cannot print");
    }
    let asked = chosen.len();
    if let Some(why) = without_nixos(&mut chosen)? {
        writeln!(
            out,
            "\n{} tests on NixOS hosts are skipped: {why}",
            asked - chosen.len()
        )?;
    }
    let ignored = asked - chosen.len();
    let places = arguments
        .test_threads
        .unwrap_or_else(|| AT_A_TIME * thread::available_parallelism().map_or(1, usize::from));
    writeln!(out, "\nrunning {} tests, {places} places", chosen.len())?;
    let begun = Instant::now();
    pool::open();
    let ended = run_all(out, chosen, places, arguments.test_threads.is_none())?;
    let labs = pool::close();
    let took = begun.elapsed();

    let failed: Vec<&Ended> = ended.iter().filter(|one| one.failure.is_some()).collect();
    if !failed.is_empty() {
        writeln!(out, "\nfailures:")?;
        for one in &failed {
            writeln!(out, "    {}", one.test.shown())?;
        }
    }
    if !ended.is_empty() {
        writeln!(out, "\n{}", table::of(&ended, took))?;
        writeln!(out, "{labs}")?;
    }
    let result = if failed.is_empty() { "ok" } else { "FAILED" };
    writeln!(
        out,
        "\ntest result: {result}. {} passed; {} failed; {ignored} ignored; 0 measured; {} filtered out; \
         finished in {:.2}s\n",
        ended.len() - failed.len(),
        failed.len(),
        all.len().saturating_sub(asked),
        took.as_secs_f64()
    )?;
    Ok(failed.is_empty())
}

/// The tests that run on NixOS this time although they need not.
fn sampled(out: &mut impl Write, registered: &[Test]) -> Result<Vec<Test>> {
    let Some(commit) = sample::commit() else {
        writeln!(
            out,
            "\nNo commit is checked out that would choose more tests for NixOS hosts"
        )?;
        return Ok(Vec::new());
    };
    let tests: Vec<Test> = sample::of(registered, &commit)
        .into_iter()
        .flat_map(|test| test.of_each_kind(Some(Kind::Nixos)))
        .collect();
    let names: Vec<&str> = tests.iter().map(Test::shown).collect();
    let start: String = commit.chars().take(7).collect();
    writeln!(
        out,
        "\nOn NixOS hosts in addition, chosen by commit {start}: {}",
        names.join(", ")
    )?;
    Ok(tests)
}

/// Which tests cannot run on NixOS, and why.
fn left_out(out: &mut impl Write, registered: &[Test]) -> Result<()> {
    for test in registered {
        if let Some(why) = test.only_stand_in {
            writeln!(out, "not on NixOS: {}: {why}", test.shown())?;
        }
    }
    Ok(())
}

/// Takes away what needs NixOS where there is none, and says why.
fn without_nixos(chosen: &mut Vec<Test>) -> Result<Option<String>> {
    let on_nixos = |test: &Test| test.kinds.contains(&Kind::Nixos);
    if !chosen.iter().any(on_nixos) {
        return Ok(None);
    }
    let missing = nixos::missing(&setup::prepare()?);
    if missing.is_some() {
        chosen.retain(|test| !on_nixos(test));
    }
    Ok(missing)
}

fn list(out: &mut impl Write, chosen: &[Test]) -> io::Result<()> {
    for test in chosen {
        writeln!(out, "{}: test", test.shown())?;
    }
    writeln!(out, "\n{} tests, 0 benchmarks", chosen.len())
}

fn run_all(
    out: &mut impl Write,
    chosen: Vec<Test>,
    places: usize,
    adapts: bool,
) -> Result<Vec<Ended>> {
    let mut schedule = Schedule::new(chosen, places);
    let mut load = Load::begin();
    let (sender, receiver) = mpsc::channel();
    let mut running = BTreeMap::new();
    let mut all = Vec::new();
    loop {
        while let Some(test) = schedule.next() {
            let sender = sender.clone();
            let started = thread::Builder::new()
                .name(test.shown().to_owned())
                .spawn(move || sender.send(run_one(test)).is_ok())
                .context("cannot start a thread")?;
            running.insert(test.name, started);
        }
        if running.is_empty() {
            return Ok(all);
        }
        // Whoever asks for a number of threads gets that number.
        if let (true, Some(idled)) = (adapts, load.idled()) {
            schedule.adapt(idled);
        }
        let ended: Ended = match receiver.recv_timeout(load::WINDOW) {
            Ok(ended) => ended,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => bail!("a test vanished"),
        };
        running.remove(ended.test.name);
        schedule.ended(&ended.test);
        let word = if ended.failure.is_some() {
            "FAILED"
        } else {
            "ok"
        };
        let took = Duration::from_nanos(ended.cost.ended - ended.cost.begun);
        writeln!(
            out,
            "test {} ... {word} ({:.1} s)",
            ended.test.shown(),
            took.as_secs_f64()
        )?;
        if let Some(why) = &ended.failure {
            writeln!(out, "{why}")?;
        }
        out.flush()?;
        all.push(ended);
    }
}

fn run_one(test: Test) -> Ended {
    let kind = test.kinds.first().copied().unwrap_or_default();
    let (result, cost) = meter::measure(|| {
        kind.make_current();
        let result = panic::catch_unwind(AssertUnwindSafe(test.run));
        pool::settle(matches!(result, Ok(Ok(()))));
        result
    });
    // The panic hook has printed where it was.
    let result = result.unwrap_or_else(|panic| Err(anyhow!("{}", said(panic.as_ref()))));
    Ended {
        test,
        failure: result.err().map(|error| format!("Error: {error:#}")),
        cost,
    }
}

/// The words of a panic.
fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let words = panic.downcast_ref::<String>().cloned();
    words
        .or_else(|| panic.downcast_ref::<&str>().map(|&words| words.to_owned()))
        .unwrap_or_else(|| "it panicked".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_runs_on_the_kinds_that_it_names_or_on_the_one_that_is_asked_for() {
        let test = |kinds| Test {
            kinds,
            ..Test::named("main::a::one")
        };
        let names = |kinds, asked| -> Vec<&str> {
            let tests = test(kinds).of_each_kind(asked);
            tests.map(|test| test.shown()).collect()
        };
        let (stand_in, both, nixos): (&[Kind], &[Kind], &[Kind]) = (
            &[Kind::StandIn],
            &[Kind::StandIn, Kind::Nixos],
            &[Kind::Nixos],
        );
        assert_eq!(names(stand_in, None), ["a::one"]);
        assert_eq!(names(both, None), ["a::one", "a::one::nixos"]);
        assert_eq!(names(nixos, None), ["a::one::nixos"]);
        assert_eq!(names(stand_in, Some(Kind::Nixos)), ["a::one::nixos"]);
        assert_eq!(names(both, Some(Kind::StandIn)), ["a::one"]);
        assert!(names(nixos, Some(Kind::StandIn)).is_empty());
    }
}
