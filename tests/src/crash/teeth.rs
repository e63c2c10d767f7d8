//! Takes out each step that makes something durable or comes before another, and sees that the
//! simulation notices.

use anyhow::Result;
use nixus_switcher::simulation::{TEETH, catch};

use super::{Coverage, Options, Section, Violations};

/// So many seeds have a chance to notice.
const SEEDS: u64 = 200_000;

/// Takes out one after the other.
///
/// # Errors
/// Never; the signature is that of all sections.
pub fn section(_: &Options) -> Result<Section> {
    let mut violations = Violations::of("taken out");
    let (mut caught, mut runs, mut notes) = (0, 0, Vec::new());
    for tooth in TEETH {
        match catch(*tooth, SEEDS) {
            Some(by) => {
                caught += 1;
                runs += by.runs;
                notes.push(format!(
                    "{tooth}: caught by seed {}: {}",
                    by.seed, by.promise
                ));
            }
            None => {
                runs += SEEDS;
                violations.add(format!("{tooth}: {SEEDS} seeds did not miss it"));
            }
        }
    }
    Ok(Section {
        name: "taken out",
        points: TEETH.len() as u64,
        kinds: 1,
        runs,
        coverage: Some(Coverage {
            what: "caught",
            seen: caught,
            all: TEETH.len() as u64,
        }),
        violations: violations.found,
        notes,
        seconds: 0.0,
    })
}
