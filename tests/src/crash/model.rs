//! Every interleaving of an abstract machine, driven by the switcher's own decisions.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, Result};
use nixus_switcher::decide::transaction::step;
use nixus_switcher::simulation::kinds::{KINDS, PHASES};
use nixus_switcher::simulation::model::{Bounds, Explored, explore};

use super::{Coverage, Options, Section, Violations};

/// What may happen to it: a power cut, a switcher that is killed or hangs, units that the candidate has
/// stopped, a third system that is booted by hand; a watchdog, a write, a part of the rollback that fails; an
/// operator.
const KINDS_OF_TROUBLE: u64 = 9;

/// What is reached within the bounds of a quick run, explored once for all sections that ask.
///
/// # Errors
/// When the model cannot be built.
pub fn reached() -> Result<Arc<Explored>> {
    static REACHED: Mutex<Option<Arc<Explored>>> = Mutex::new(None);
    let mut reached = REACHED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = &*reached {
        return Ok(Arc::clone(known));
    }
    let explored = explore(&step, Bounds::QUICK).context("cannot build the model")?;
    Ok(Arc::clone(reached.insert(Arc::new(explored))))
}

/// Explores all of it within the bounds.
///
/// # Errors
/// When the model cannot be built.
pub fn section(options: &Options) -> Result<Section> {
    let (bounds, explored) = if options.quick {
        (Bounds::QUICK, reached()?)
    } else {
        let explored = explore(&step, Bounds::FULL).context("cannot build the model")?;
        (Bounds::FULL, Arc::new(explored))
    };
    let mut violations = Violations::of("model");
    for violation in &explored.violations {
        let trace = violation.trace.join("\n  ");
        violations.add(format!("{}\n  {trace}", violation.promise));
    }
    Ok(Section {
        name: "model",
        points: explored.states as u64,
        kinds: KINDS_OF_TROUBLE,
        runs: explored.transitions as u64,
        coverage: Some(Coverage {
            what: "pairs",
            seen: explored.pairs.len() as u64,
            all: (PHASES.len() * KINDS.len()) as u64,
        }),
        violations: violations.found,
        notes: vec![
            format!(
                "{} states, {} transitions, at most {} steps from the start",
                explored.states, explored.transitions, explored.depth
            ),
            format!(
                "with up to {} crashes, {} faults, {} step of an operator",
                bounds.crashes, bounds.faults, bounds.operators
            ),
            "pairs of phase and event: the others do not come up, and are decided all the same"
                .to_owned(),
        ],
        seconds: 0.0,
    })
}
