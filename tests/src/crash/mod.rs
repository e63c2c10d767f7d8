//! `lab crash`: shows that no crash loses a host, as figures that anybody can print again.

mod containers;
mod machine;
mod model;
mod simulation;
mod teeth;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use nixus_switcher::protocol::{Ending, Outcome};
use serde::Serialize;

/// What was asked for on the command line.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Try less of everything, in five minutes
    #[arg(long)]
    quick: bool,
    /// Only this section
    #[arg(long, value_name = "SECTION")]
    only: Option<String>,
    /// Only cases of real hosts with this text in their name
    #[arg(long, value_name = "TEXT")]
    case: Option<String>,
    /// Print the table as JSON
    #[arg(long)]
    json: bool,
    /// Tell what happens with one seed of the simulation, and nothing else
    #[arg(long, value_name = "NUMBER", conflicts_with_all = ["quick", "json"])]
    seed: Option<u64>,
    /// Write the table of a full run into the document that shows it
    #[arg(long, conflicts_with_all = ["quick", "only", "case", "json", "seed"])]
    pub markdown: bool,
}

impl Options {
    /// Whether only a part of the cases is tried; one that was asked for by its name always is.
    fn samples(&self) -> bool {
        self.quick && self.case.is_none()
    }

    /// Whether a case of this name was asked for.
    fn wants(&self, name: &str) -> bool {
        self.case.as_ref().is_none_or(|text| name.contains(text))
    }
}

/// Keeps what is known of a case that broke a promise; gives the file.
///
/// # Errors
/// When it cannot be written.
fn evidence(case: &str, text: &str) -> Result<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/crash");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let name: Vec<&str> = case
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|part| !part.is_empty())
        .collect();
    let path = folder.join(format!("{}.log", name.join("-")));
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(path)
}

/// Whether what runs is what the history says; without a word there, nothing can have changed.
fn agrees(outcome: Option<&Outcome>, before: &str, now: &str) -> Result<()> {
    match outcome {
        Some(outcome) if outcome.ending == Ending::Confirmed => ensure!(
            now == outcome.new.toplevel.to_string(),
            "it confirmed {} and runs {now}",
            outcome.new.toplevel
        ),
        Some(outcome) => ensure!(
            now == before && outcome.ending != Ending::Stuck,
            "it ended with {:?} and runs {now} instead of {before}",
            outcome.ending
        ),
        None => ensure!(
            now == before,
            "it runs {now}, and its history knows nothing of it"
        ),
    }
    Ok(())
}

/// What a section found broken. Each is told when it happens, as the table comes last and the sections
/// before may take an hour.
struct Violations {
    section: &'static str,
    found: Vec<String>,
}

impl Violations {
    const fn of(section: &'static str) -> Self {
        Self {
            section,
            found: Vec::new(),
        }
    }

    fn add(&mut self, problem: String) {
        eprintln!("{}: VIOLATION: {problem}", self.section);
        self.found.push(problem);
    }
}

/// One row of the table: one way of looking for a crash that loses a host.
#[derive(Debug, Serialize)]
pub struct Section {
    /// How it was looked for: `model`, `simulation`, `QEMU`.
    pub name: &'static str,
    /// At how many different points something went wrong; for the model, states.
    pub points: u64,
    /// In how many ways something can go wrong at a point.
    pub kinds: u64,
    /// Deployments in which something went wrong, each in a way of its own; for the model, steps.
    pub runs: u64,
    /// How much of what can be covered was.
    pub coverage: Option<Coverage>,
    /// What ended otherwise than promised, each with the way to see it again.
    pub violations: Vec<String>,
    /// What else there is to say, one line each.
    pub notes: Vec<String>,
    /// How long it took.
    pub seconds: f64,
}

/// A share of something that can be counted.
#[derive(Debug, Serialize)]
pub struct Coverage {
    /// What is counted, in the plural.
    pub what: &'static str,
    /// How many were seen.
    pub seen: u64,
    /// How many there are.
    pub all: u64,
}

/// Runs every section and prints the table; exit code 1 where a promise was broken.
///
/// # Errors
/// When a section could not be run to its end.
pub fn crash(options: &Options) -> Result<ExitCode> {
    if let Some(seed) = options.seed {
        return simulation::tell(seed).map(verdict);
    }
    let rows = rows(options);
    ensure!(!rows.is_empty(), "there is no such section");
    if options.json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
    } else {
        print!("{}", table(&rows));
    }
    let kept = rows.iter().all(|row| row.violations.is_empty());
    Ok(verdict(kept))
}

type Run = fn(&Options) -> Result<Section>;
/// What computes.
const COMPUTED: [(&str, Run); 3] = [
    ("model", model::section),
    ("simulation", simulation::section),
    ("taken out", teeth::section),
];
/// What waits for hosts most of its time.
const PLAYED: [(&str, Run); 2] = [
    ("containers", containers::section),
    ("machine", machine::section),
];

/// Runs what was asked for. Both on hosts go on at once; what computes has the processors to itself
/// before that, where its speed is a figure of the table.
fn rows(options: &Options) -> Vec<Section> {
    let computed = || COMPUTED.iter().filter_map(|one| row(one, options));
    let mut rows = Vec::new();
    if !options.quick {
        rows.extend(computed());
    }
    thread::scope(|scope| {
        let played = PLAYED.map(|one| scope.spawn(move || row(&one, options)));
        if options.quick {
            rows.extend(computed());
        }
        for one in played {
            rows.extend(one.join().unwrap_or_default());
        }
    });
    rows
}

/// The row of one section, where it is wanted. One that could not be run to its end has shown nothing.
fn row((name, run): &(&'static str, Run), options: &Options) -> Option<Section> {
    if options.only.as_ref().is_some_and(|only| only != name) {
        return None;
    }
    eprintln!("{name} ...");
    let begun = Instant::now();
    let mut row = run(options).unwrap_or_else(|error| Section {
        name,
        points: 0,
        kinds: 0,
        runs: 0,
        coverage: None,
        violations: vec![format!("it did not come to its end: {error:#}")],
        notes: Vec::new(),
        seconds: 0.0,
    });
    row.seconds = begun.elapsed().as_secs_f64();
    let count = row.violations.len();
    eprintln!(
        "{name}: {:.0} s, {} runs, {count} violations",
        row.seconds, row.runs
    );
    Some(row)
}

fn verdict(kept: bool) -> ExitCode {
    if kept {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The rows as a table for people, then their violations and notes.
fn table(rows: &[Section]) -> String {
    let head = [
        "section",
        "points",
        "kinds",
        "runs",
        "coverage",
        "violations",
        "time",
    ];
    let mut lines = vec![head.map(str::to_owned)];
    lines.extend(rows.iter().map(cells));
    let widths: [usize; 7] = std::array::from_fn(|column| {
        lines
            .iter()
            .map(|line| line[column].chars().count())
            .max()
            .unwrap_or_default()
    });
    let mut text = String::new();
    for line in &lines {
        let mut row = String::new();
        for (cell, width) in line.iter().zip(widths) {
            // Writing to a string cannot fail.
            let _ = write!(row, "{cell:<width$}  ");
        }
        text += row.trim_end();
        text.push('\n');
    }
    for row in rows {
        for violation in &row.violations {
            let _ = writeln!(text, "\n{}: VIOLATION: {violation}", row.name);
        }
    }
    for row in rows.iter().filter(|row| !row.notes.is_empty()) {
        let _ = writeln!(text, "\n{}:", row.name);
        for note in &row.notes {
            let _ = writeln!(text, "  {note}");
        }
    }
    text
}

fn cells(row: &Section) -> [String; 7] {
    [
        row.name.to_owned(),
        row.points.to_string(),
        row.kinds.to_string(),
        row.runs.to_string(),
        row.coverage.as_ref().map_or("-".to_owned(), |share| {
            format!("{}/{} {}", share.seen, share.all, share.what)
        }),
        row.violations.len().to_string(),
        format!("{:.0} s", row.seconds),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_shows_each_section_and_what_it_broke() {
        let rows = [
            Section {
                name: "model",
                points: 3,
                kinds: 2,
                runs: 1_000,
                coverage: Some(Coverage {
                    what: "pairs",
                    seen: 5,
                    all: 6,
                }),
                violations: Vec::new(),
                notes: vec!["depth 9".to_owned()],
                seconds: 1.4,
            },
            Section {
                name: "QEMU",
                points: 1,
                kinds: 1,
                runs: 1,
                coverage: None,
                violations: vec!["the host is lost".to_owned()],
                notes: Vec::new(),
                seconds: 61.0,
            },
        ];
        assert_eq!(
            table(&rows),
            "section  points  kinds  runs  coverage   violations  time\n\
             model    3       2      1000  5/6 pairs  0           1 s\n\
             QEMU     1       1      1     -          1           61 s\n\
             \nQEMU: VIOLATION: the host is lost\n\
             \nmodel:\n  depth 9\n"
        );
    }
}
