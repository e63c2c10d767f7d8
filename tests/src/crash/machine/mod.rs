//! A machine that really boots: power cuts on a disk that loses what was not flushed, a kernel that
//! panics, a system that hangs, a full `/boot`, a clock that jumps.
//!
//! Cases follow each other on one machine: the next deployment is the next commit that the one before
//! has to take. A full run lets a commit with nothing wrong come in between.

mod cases;
mod play;

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use self::cases::{CASES, Case, PLAIN};
use self::play::Play;
use super::{Coverage, Options, Section, Violations, evidence};

/// So many broken promises are enough to know.
const MACHINES: usize = 5;

/// The section's row.
pub fn section(options: &Options) -> Result<Section> {
    let cases: Vec<&Case> = CASES
        .iter()
        .filter(|case| options.wants(case.name))
        .filter(|case| !options.samples() || case.quick)
        .collect();
    ensure!(!cases.is_empty(), "no case has such a name");
    lab::qemu::come_first();
    let mut schedule = Vec::new();
    for case in &cases {
        schedule.push(*case);
        if !options.quick {
            schedule.push(&PLAIN);
        }
    }
    if options.quick {
        schedule.push(&PLAIN);
    }
    let mut violations = Violations::of("machine");
    let mut notes = Vec::new();
    let mut left = schedule.as_slice();
    while !left.is_empty() {
        // A machine that does not even come up says nothing of the cases, and ends nothing but itself.
        let begun = Instant::now();
        let mut play = match Play::begin() {
            Ok(play) => {
                let seconds = begun.elapsed().as_secs_f32();
                eprintln!("machine: a new one follows the repository ({seconds:.0} s)");
                play
            }
            Err(problem) if violations.found.len() < MACHINES => {
                violations.add(format!("a new machine did not come up: {problem:#}"));
                continue;
            }
            Err(problem) => return Err(problem),
        };
        while let Some((case, later)) = left.split_first() {
            left = later;
            let begun = Instant::now();
            let played = play.next(case);
            eprintln!(
                "machine: {} ({:.0} s)",
                case.name,
                begun.elapsed().as_secs_f32()
            );
            if let Err(problem) = played {
                violations.add(blame(&play, case, &problem)?);
                // Its machine may be in any state now.
                break;
            }
        }
        if let Err(problem) = play.end() {
            let last = schedule.last().copied().unwrap_or(&PLAIN);
            violations.add(blame(&play, last, &problem)?);
        }
        notes.push(play.note());
    }
    let points = cases
        .iter()
        .map(|case| case.point)
        .collect::<std::collections::BTreeSet<_>>();
    let kinds = cases.iter().map(|case| std::mem::discriminant(&case.fault));
    Ok(Section {
        name: "machine",
        points: points.len() as u64,
        kinds: kinds.collect::<std::collections::HashSet<_>>().len() as u64,
        runs: cases.len() as u64,
        coverage: Some(Coverage {
            what: "cases",
            seen: cases.len() as u64,
            all: CASES.len() as u64,
        }),
        violations: violations.found,
        notes,
        seconds: 0.0,
    })
}

/// What to say of a case that broke a promise; its console is kept.
fn blame(play: &Play, case: &Case, problem: &anyhow::Error) -> Result<String> {
    let text = format!("{problem:#}\n");
    let file = evidence(case.name, &text)?;
    let console = file.with_extension("console");
    std::fs::copy(play.console(), &console)
        .with_context(|| format!("cannot keep {}", console.display()))?;
    Ok(format!(
        "{}: {}; see {} and {}, or again with --only machine --case '{}'",
        case.name,
        text.lines().next().unwrap_or_default(),
        file.display(),
        console.display(),
        case.name
    ))
}
