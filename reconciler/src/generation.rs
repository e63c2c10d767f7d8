//! Generations of the system profile: what an operator can go back to.

use nixus_switcher::disk::HostDisk;
use nixus_switcher::layout::Layout;
use nixus_switcher::profile::{Profile, ProfileError};
use nixus_switcher::protocol::{Commit, Ending, Outcome, Toplevel};
use thiserror::Error;

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
    #[error("generation {number} is no system in the store")]
    NoSystem {
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

    /// The commit that it was deployed from; where nobody knows, the one that the host has accepted.
    pub fn commit(&self) -> &Commit {
        &self.commit
    }
}

/// The generation of this number, or the newest one before what runs.
pub fn find(
    layout: &Layout,
    number: Option<u64>,
    running: &Toplevel,
    history: &[Outcome],
    accepted: &Commit,
) -> Result<Generation, GenerationError> {
    let all = Profile::new(&HostDisk, layout.profiles())
        .generations()
        .map_err(GenerationError::Profile)?;
    let all: Vec<(u64, Option<Toplevel>)> = all
        .into_iter()
        .map(|(number, path)| (number, Toplevel::try_from(path).ok()))
        .collect();
    let (number, toplevel) = choose(&all, number, running)?;
    let deployed = history
        .iter()
        .rfind(|one| one.ending == Ending::Confirmed && one.new.toplevel == toplevel);
    Ok(Generation {
        number,
        toplevel,
        commit: deployed.map_or(accepted, |one| &one.commit).clone(),
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

    fn toplevel(name: char) -> Toplevel {
        let hash = String::from(name).repeat(32);
        Toplevel::try_from(std::path::PathBuf::from(format!(
            "/nix/store/{hash}-system"
        )))
        .unwrap()
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
        // Somebody has set a system by hand that is no generation.
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
            Err("generation 1 is no system in the store"),
        );
    }
}
