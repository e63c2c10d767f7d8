//! The switcher as it is shipped, on a machine that honours only what fsync promises.

use std::time::Instant;

use anyhow::{Context as _, Result};
use nixus_switcher::simulation::{FAULTS, Tally, run};

use super::{Coverage, Options, Section, Violations, model};

/// So many different faulty deployments are run.
const FULL: u64 = 1_000_000;
const QUICK: u64 = 20_000;
/// Seeds that are run before they are counted.
const BATCH: u64 = 10_000;

/// Runs seeds until enough different runs had a fault.
///
/// # Errors
/// When the model cannot be built.
pub fn section(options: &Options) -> Result<Section> {
    let wanted = if options.quick { QUICK } else { FULL };
    let begun = Instant::now();
    let mut tally = Tally::default();
    let mut violations = Violations::of("simulation");
    // Most runs have a fault and are like no other, so that this ends long before the seeds do.
    for batch in 0..=4 * wanted / BATCH {
        if tally.distinct.len() as u64 >= wanted {
            break;
        }
        tally.sweep(batch * BATCH..(batch + 1) * BATCH);
        for (seed, promise) in tally.first.iter().skip(violations.found.len()) {
            violations.add(format!("{promise}; lab crash --seed {seed} tells it"));
        }
    }
    let rate = tally.distinct.len() as f64 / begun.elapsed().as_secs_f64();
    let reached = &model::reached()?.pairs;
    let seen = reached.intersection(&tally.pairs).count();
    let mut notes = vec![
        format!(
            "{} different runs with a fault, of {} seeds from 0; {rate:.0} a second",
            tally.distinct.len(),
            tally.seeds
        ),
        "a run counts if something went wrong in it, and no other run was the same".to_owned(),
    ];
    let missing: Vec<_> = reached
        .difference(&tally.pairs)
        .map(|(phase, event)| format!("{phase} and {event}"))
        .collect();
    if !missing.is_empty() {
        notes.push(format!("seen in the model only: {}", missing.join(", ")));
    }
    if tally.broken > tally.first.len() as u64 {
        notes.push(format!("{} runs broke a promise", tally.broken));
    }
    Ok(Section {
        name: "simulation",
        points: tally.places().len() as u64,
        kinds: FAULTS.len() as u64,
        runs: tally.distinct.len() as u64,
        coverage: Some(Coverage {
            what: "pairs of the model",
            seen: seen as u64,
            all: reached.len() as u64,
        }),
        violations: violations.found,
        notes,
        seconds: 0.0,
    })
}

/// Tells what happens with one seed; whether it keeps all promises.
///
/// # Errors
/// When the machine cannot be built.
pub fn tell(seed: u64) -> Result<bool> {
    let run = run(seed, None, true).context("cannot build the machine")?;
    for line in &run.lines {
        println!("{line}");
    }
    match &run.broken {
        Some(promise) => println!("BROKEN: {promise}"),
        None => println!("all promises are kept"),
    }
    Ok(run.broken.is_none())
}
