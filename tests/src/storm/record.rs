//! What is written down of each round: one line of JSON in the log.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::judge::{Observation, Violation};
use super::plan::Plan;
use super::strike::Strike;

/// After what a host is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum After {
    /// The commits and faults of the round.
    Faults,
    /// The clean commit that ends it.
    CleanCommit,
}

/// A host that was judged.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Judgement {
    pub host: String,
    pub after: After,
    /// How long it took to be quiet, in seconds.
    pub seconds: f64,
    pub seen: Observation,
    pub violations: Vec<Violation>,
    /// The last lines of the host's journal, where it broke a promise.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub journal: String,
}

/// A round.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Record {
    pub plan: Plan,
    pub strikes: Vec<Strike>,
    pub judgements: Vec<Judgement>,
    /// What the round itself could not do.
    pub problem: Option<String>,
    pub seconds: f64,
}

impl Record {
    /// How many promises were broken.
    pub fn violations(&self) -> usize {
        let wrong = self
            .strikes
            .iter()
            .filter(|one| one.wrong.is_some())
            .count();
        let broken = self.judgements.iter().map(|one| one.violations.len());
        wrong + broken.sum::<usize>() + usize::from(self.problem.is_some())
    }
}

/// Adds a round to a log.
///
/// # Errors
/// When it cannot be written.
pub fn append(path: &Path, record: &Record) -> Result<()> {
    let line = serde_json::to_string(record).context("cannot describe a round")?;
    let mut file = fs::File::options()
        .create(true)
        .append(true)
        .open(path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    writeln!(file, "{line}").with_context(|| format!("cannot write {}", path.display()))
}

/// The rounds of a log.
///
/// # Errors
/// When it cannot be read, with the line that is not a round.
pub fn read(path: &Path) -> Result<Vec<Record>> {
    let text =
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    text.lines()
        .enumerate()
        .map(|(number, line)| {
            serde_json::from_str(line)
                .with_context(|| format!("{}:{}: no round", path.display(), number + 1))
        })
        .collect()
}
