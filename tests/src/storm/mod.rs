//! `lab storm`: random commits, faults and operators on three hosts, judged from outside.

mod commits;
mod faults;
mod judge;
mod observe;
mod plan;
mod record;
mod round;
mod strike;
mod summary;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use self::plan::Plan;
use self::record::Record;
use self::round::Fleet;
use self::summary::Summary;

/// What was asked for on the command line.
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "Examples:
  lab storm --minutes 3
  lab storm --minutes 30 --seed 7 --log storm.jsonl    again: it goes on where the log ends
  lab storm --seed 7 --from 12 --rounds 1              round 12 of that storm alone
  lab storm --summary storm.jsonl

Exit code 1 where a promise was broken.")]
pub struct Options {
    /// Begin rounds for so long; the last one is played to its end
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=1440))]
    minutes: u64,
    /// Play at most so many rounds, however long they take
    #[arg(long, value_name = "N", conflicts_with = "minutes", value_parser = clap::value_parser!(u64).range(1..))]
    rounds: Option<u64>,
    /// Draw everything from this number; default: that of the log, else a random one
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// Begin with this round; default: the one after the last in the log with this seed, else 0
    #[arg(long, value_name = "ROUND")]
    from: Option<u64>,
    /// Add each round to this file, as a line of JSON
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
    /// Print the figures of such a file, and play nothing
    #[arg(long, value_name = "FILE", conflicts_with_all = ["minutes", "rounds", "seed", "from", "log"])]
    summary: Option<PathBuf>,
    /// Print the figures as JSON
    #[arg(long)]
    json: bool,
    /// Write the figures into the document that shows them
    #[arg(long, conflicts_with = "json")]
    pub markdown: bool,
}

/// Plays rounds, or sums them up; exit code 1 where a promise was broken.
///
/// # Errors
/// When the lab cannot be made, or a log cannot be read or written.
pub fn storm(options: &Options) -> Result<ExitCode> {
    if let Some(log) = &options.summary {
        return print(&record::read(log)?, options.json);
    }
    let (seed, from) = begin(options)?;
    eprintln!("storm: seed {seed}, from round {from}");
    let begun = Instant::now();
    let time = Duration::from_secs(60 * options.minutes);
    let mut fleet: Option<Fleet> = None;
    let mut first = from;
    let mut records = Vec::new();
    for round in from.. {
        let enough = match options.rounds {
            Some(rounds) => round - from >= rounds,
            None => begun.elapsed() >= time,
        };
        if enough {
            break;
        }
        let mut standing = match fleet.take() {
            Some(fleet) => fleet,
            None => {
                first = round;
                Fleet::start()?
            }
        };
        let plan = Plan::of(seed, round);
        eprintln!("storm: round {round}: {plan}");
        let record = standing.play(&plan);
        tell(&record, first);
        if let Some(log) = &options.log {
            record::append(log, &record)?;
        }
        // After a broken promise a host may be in any state, and would break others for the same reason.
        if record.violations() == 0 {
            fleet = Some(standing);
        }
        records.push(record);
    }
    print(&records, options.json)
}

/// The seed and the first round: those that were asked for, or those with which a log goes on.
fn begin(options: &Options) -> Result<(u64, u64)> {
    let logged = match &options.log {
        Some(log) if log.exists() => record::read(log)?,
        _ => Vec::new(),
    };
    let last = logged.last().map(|record| record.plan.seed);
    let seed = options.seed.or(last).unwrap_or_else(|| fastrand::u64(..));
    let played = logged.iter().filter(|record| record.plan.seed == seed);
    let next = played.map(|record| record.plan.round + 1).max();
    Ok((seed, options.from.or(next).unwrap_or(0)))
}

fn print(records: &[Record], json: bool) -> Result<ExitCode> {
    let summary = Summary::of(records);
    if json {
        let text = serde_json::to_string_pretty(&summary).context("cannot describe the figures")?;
        println!("{text}");
    } else {
        print!("{summary}");
    }
    Ok(ExitCode::from(u8::from(summary.broken() > 0)))
}

/// Tells how a round went, and all that is known of each promise that was broken; `first` is the first round of its fleet.
fn tell(record: &Record, first: u64) {
    let Plan { seed, round, .. } = record.plan;
    for strike in &record.strikes {
        eprintln!("  {} {}: {}", strike.host, strike.kind.name(), strike.note);
    }
    let quiet = record.judgements.iter().map(|one| one.seconds);
    eprintln!(
        "  {:.0} s, at most {:.0} s until a host was quiet, {} violations",
        record.seconds,
        quiet.fold(0.0, f64::max),
        record.violations()
    );
    if record.violations() == 0 {
        return;
    }
    eprintln!("VIOLATION in round {round} of seed {seed}: {}", record.plan);
    if let Some(problem) = &record.problem {
        eprintln!("  the round did not come to its end: {problem}");
    }
    for wrong in record.strikes.iter().filter_map(|one| one.wrong.as_ref()) {
        eprintln!("  a command: {wrong}");
    }
    for judgement in record
        .judgements
        .iter()
        .filter(|one| !one.violations.is_empty())
    {
        eprintln!("  {} after {:?}:", judgement.host, judgement.after);
        for violation in &judgement.violations {
            eprintln!(
                "    {}: expected that {}; seen: {}",
                violation.what, violation.expected, violation.seen
            );
        }
        eprintln!("{}", judgement.journal);
    }
    eprintln!("  again: lab storm --seed {seed} --from {round} --rounds 1");
    if first < round {
        let rounds = round - first + 1;
        eprintln!(
            "  after what its fleet had met: lab storm --seed {seed} --from {first} --rounds {rounds}"
        );
    }
}
