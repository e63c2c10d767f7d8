//! Takes out each step that makes something durable or comes before another, and sees that the
//! simulation notices.

use anyhow::Result;
use nixus_switcher::simulation::{TEETH, catch};

use super::{Coverage, Options, Section};

/// So many seeds have a chance to notice.
const SEEDS: u64 = 200_000;

/// Takes out one after the other.
///
/// # Errors
/// Never; the signature is that of all sections.
pub fn section(_: &Options) -> Result<Section> {
    let mut section = Section {
        name: "taken out",
        points: TEETH.len() as u64,
        kinds: 1,
        runs: 0,
        coverage: None,
        violations: Vec::new(),
        notes: Vec::new(),
        seconds: 0.0,
    };
    let mut caught = 0;
    for tooth in TEETH {
        match catch(*tooth, SEEDS) {
            Some(by) => {
                caught += 1;
                section.runs += by.runs;
                section.notes.push(format!(
                    "{tooth}: caught by seed {}: {}",
                    by.seed, by.promise
                ));
            }
            None => {
                section.runs += SEEDS;
                section
                    .violations
                    .push(format!("{tooth}: {SEEDS} seeds did not miss it"));
            }
        }
    }
    section.coverage = Some(Coverage {
        what: "caught",
        seen: caught,
        all: TEETH.len() as u64,
    });
    Ok(section)
}
