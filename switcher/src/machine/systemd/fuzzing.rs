//! What must hold of what systemd's programs print.

use std::collections::{BTreeMap, BTreeSet};

use super::answers;
use crate::fuzzing::text;
use crate::holds;

/// Whatever one of them printed.
pub fn answers(bytes: &[u8]) -> Result<(), String> {
    let text = text(bytes);
    let jobs = answers::parse_running_jobs(&text);
    holds!(
        jobs.iter().all(|unit| !unit.starts_with("nixus-")),
        "{jobs:?} has own units"
    );
    let stopped = answers::parse_stopped(&text);
    holds!(
        stopped.iter().all(|one| !one.unit.is_empty()),
        "a unit without a name has stopped"
    );
    let _ = (answers::parse_failing(&text), answers::parse_state(&text));
    if let Ok(units) = answers::parse_units(&text) {
        let names: BTreeSet<&str> = units.iter().map(|unit| unit.unit.as_str()).collect();
        let waiting = answers::restarting(&units);
        holds!(
            waiting.iter().all(|unit| names.contains(unit)),
            "{waiting:?} were not listed"
        );
        let _ = answers::idle(std::slice::from_ref(&text), &BTreeMap::new(), &units);
    }
    Ok(())
}
