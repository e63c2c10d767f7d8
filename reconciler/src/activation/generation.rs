//! Generations of the system profile: what an operator can go back to.

use std::path::PathBuf;

use nixus_switcher::protocol::{Commit, Toplevel};
use nixus_switcher::state::profile::ProfileError;
use thiserror::Error;

use crate::decide::report::{Report, State};

/// Why there is nothing to go back to.
#[derive(Debug, Error)]
pub enum GenerationError {
    /// The profile could not be read.
    #[error("the system profile is not usable")]
    Profile(#[source] ProfileError),
    /// There is no generation of that number.
    #[error("there is no generation {number}: this host has {}", known(.have))]
    None {
        /// The number.
        number: u64,
        /// Those that there are.
        have: Vec<u64>,
    },
    /// Nothing came before what runs.
    #[error("there is no generation before the one that runs: this host has {}", known(.have))]
    Oldest {
        /// Those that there are.
        have: Vec<u64>,
    },
    /// It runs already.
    #[error("generation {number} runs already")]
    Runs {
        /// The number.
        number: u64,
    },
    /// A generation is of something else than a system in the store.
    #[error("generation {number} is not a system in the store")]
    NoSystem {
        /// The number.
        number: u64,
    },
    /// A deployment is of a commit, and success would be reported of it.
    #[error("generation {number} is of no commit that this host has reported as kept")]
    NoCommit {
        /// The number.
        number: u64,
    },
}

fn known(numbers: &[u64]) -> String {
    let numbers: Vec<String> = numbers.iter().map(u64::to_string).collect();
    match numbers.as_slice() {
        [] => "none".to_owned(),
        numbers => numbers.join(", "),
    }
}

/// A generation of the system profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    number: u64,
    toplevel: Toplevel,
    commit: Commit,
}

impl Generation {
    /// Its number.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Its system.
    pub fn toplevel(&self) -> &Toplevel {
        &self.toplevel
    }

    /// The commit that it was kept for.
    pub fn commit(&self) -> &Commit {
        &self.commit
    }
}

/// The generation of this number, or the newest one before what runs. Of which commit it is, the
/// host's own reports tell, newest first.
///
/// # Errors
/// There is no such generation, it runs already, or it is not of a commit that this host has reported
/// as kept.
pub fn find(
    all: Vec<(u64, PathBuf)>,
    number: Option<u64>,
    running: &Toplevel,
    reports: &[Report],
) -> Result<Generation, GenerationError> {
    let all: Vec<(u64, Option<Toplevel>)> = all
        .into_iter()
        .map(|(number, path)| (number, Toplevel::try_from(path).ok()))
        .collect();
    let (number, toplevel) = choose(&all, number, running)?;
    let kept = reports.iter().find(|report| {
        report.state == State::Success && report.toplevel.as_ref() == Some(&toplevel)
    });
    let commit = kept
        .map(|report| report.commit.clone())
        .ok_or(GenerationError::NoCommit { number })?;
    Ok(Generation {
        number,
        toplevel,
        commit,
    })
}

/// Which of all generations, sorted by number, is meant.
fn choose(
    all: &[(u64, Option<Toplevel>)],
    number: Option<u64>,
    running: &Toplevel,
) -> Result<(u64, Toplevel), GenerationError> {
    let have = || all.iter().map(|(number, _)| *number).collect();
    let found = match number {
        Some(number) => {
            all.iter()
                .find(|(one, _)| *one == number)
                .ok_or_else(|| GenerationError::None {
                    number,
                    have: have(),
                })?
        }
        None => {
            let runs = all
                .iter()
                .rposition(|(_, toplevel)| toplevel.as_ref() == Some(running))
                .unwrap_or(all.len());
            all.iter()
                .take(runs)
                .rfind(|(_, toplevel)| toplevel.as_ref() != Some(running))
                .ok_or_else(|| GenerationError::Oldest { have: have() })?
        }
    };
    match found {
        (number, Some(toplevel)) if toplevel == running => {
            Err(GenerationError::Runs { number: *number })
        }
        (number, Some(toplevel)) => Ok((*number, toplevel.clone())),
        (number, None) => Err(GenerationError::NoSystem { number: *number }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::report::Reporter;

    fn toplevel(name: char) -> Toplevel {
        let hash = String::from(name).repeat(32);
        Toplevel::try_from(std::path::PathBuf::from(format!(
            "/nix/store/{hash}-system"
        )))
        .unwrap()
    }

    #[test]
    fn a_generation_is_of_the_commit_that_it_was_kept_for_and_of_no_other() {
        let commit = |id: char| Commit {
            id: id.to_string().repeat(40),
            subject: "subject".into(),
        };
        let reporter = Reporter {
            host: "web1",
            now: jiff::Timestamp::UNIX_EPOCH,
        };
        let reports = [
            reporter.building(&commit('c')),
            reporter.unchanged(&commit('b'), &toplevel('a'), Some(1)),
            reporter.unchanged(&commit('a'), &toplevel('a'), Some(1)),
        ];
        let all = || {
            let path = |name| toplevel(name).path().to_owned();
            vec![(1, path('a')), (2, path('b')), (3, path('c'))]
        };
        let found = find(all(), Some(1), &toplevel('c'), &reports).unwrap();
        assert_eq!((found.number(), found.commit()), (1, &commit('b')));
        let unknown = find(all(), Some(2), &toplevel('c'), &reports).unwrap_err();
        assert!(matches!(unknown, GenerationError::NoCommit { number: 2 }));
    }

    #[test]
    fn the_one_before_what_runs_is_meant_unless_a_number_is_given() {
        let check = |all: &[(u64, char)], number, running, expected: Result<u64, &str>| {
            let all: Vec<_> = all
                .iter()
                .map(|(number, name)| (*number, (*name != '-').then(|| toplevel(*name))))
                .collect();
            let found = choose(&all, number, &toplevel(running));
            let found = found.map(|(number, _)| number);
            assert_eq!(
                found.map_err(|error| error.to_string()),
                expected.map_err(str::to_owned)
            );
        };
        let all = &[(1, 'a'), (4, 'b'), (5, 'c')];
        check(all, None, 'c', Ok(4));
        check(all, None, 'b', Ok(1));
        check(all, Some(1), 'c', Ok(1));
        // Somebody has set a system by hand that is not a generation.
        check(all, None, 'x', Ok(5));
        // It was gone back to once already, as a generation of its own.
        check(&[(1, 'a'), (2, 'b'), (3, 'a')], None, 'a', Ok(2));
        check(
            all,
            Some(3),
            'c',
            Err("there is no generation 3: this host has 1, 4, 5"),
        );
        check(all, Some(5), 'c', Err("generation 5 runs already"));
        check(
            all,
            None,
            'a',
            Err("there is no generation before the one that runs: this host has 1, 4, 5"),
        );
        check(
            &[],
            None,
            'a',
            Err("there is no generation before the one that runs: this host has none"),
        );
        check(
            &[(1, '-'), (2, 'a')],
            None,
            'a',
            Err("generation 1 is not a system in the store"),
        );
    }
}
