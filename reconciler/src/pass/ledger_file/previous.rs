//! The copy of the ledger that was replaced last: what a damaged or lost one is restored from.
//!
//! It is another file on the disk, so that what damages the one leaves the other. Trust goes forward only: a copy
//! that knows less than the switcher's history and the roots show is not taken, and a person decides.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use nixus_switcher::protocol::{Outcome, Toplevel};

use super::{MAX_BYTES, understand};
use crate::decide::ledger::Ledger;
use crate::host::files::read_bounded;

/// Where the copy is.
pub fn copy_of(path: &Path) -> PathBuf {
    beside(path, "previous")
}

fn beside(path: &Path, word: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{word}"));
    PathBuf::from(name)
}

/// Makes the ledger that is there now the copy, before it is replaced. One that cannot be kept leaves none: an
/// older one would be taken for it.
pub(super) fn keep(path: &Path) {
    let (copy, new) = (copy_of(path), beside(path, "previous.new"));
    let kept = remove(&new)
        .and_then(|()| fs::hard_link(path, &new))
        .and_then(|()| fs::rename(&new, &copy));
    if let Err(error) = kept {
        if error.kind() != ErrorKind::NotFound {
            tracing::warn!("no copy of {} is kept: {error}", path.display());
        }
        let _ = remove(&copy);
    }
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// What else on the host shows how far it had come.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    /// The switcher's history.
    pub history: &'a [Outcome],
    /// What the root of the system that was built last names.
    pub built: Option<&'a Toplevel>,
}

/// The copy, where it can stand in for the ledger; or why not.
///
/// # Errors
/// There is no such copy, it is damaged, or the host has come further since.
pub fn restored(path: &Path, shown: Shown<'_>) -> Result<Ledger, String> {
    let copy = copy_of(path);
    let bytes = read_bounded(&copy, MAX_BYTES)
        .map_err(|error| format!("its copy {} cannot be read: {error}", copy.display()))?;
    let previous = understand(&bytes)
        .map_err(|(problem, _)| format!("its copy {} {problem}", copy.display()))?;
    is_as_new(&previous, shown).map_err(|why| format!("its copy {} {why}", copy.display()))?;
    Ok(previous)
}

/// Whether nothing shows that this host had come further than its ledger says.
fn is_as_new(ledger: &Ledger, shown: Shown<'_>) -> Result<(), String> {
    let Some(accepted) = &ledger.accepted else {
        return Err("is of a host that accepts no history".to_owned());
    };
    let built = ledger.built.as_ref();
    let kept = ledger.earlier.iter().chain(&ledger.kept);
    let kept: Vec<&str> = kept.map(|kept| kept.commit.id.as_str()).collect();
    let knows = |id: &str| {
        id == accepted.as_str()
            || built.is_some_and(|built| built.commit.as_str() == id)
            || kept.contains(&id)
    };
    // What it has not seen yet is taken into account as ever, if it is of a commit that it accepted.
    let unknown = shown
        .history
        .iter()
        .filter(|outcome| outcome.sequence > ledger.outcomes_seen)
        .find(|outcome| !knows(&outcome.commit.id));
    if let Some(outcome) = unknown {
        return Err(format!(
            "is older than deployment {} of commit {}",
            outcome.deployment,
            outcome.commit.short()
        ));
    }
    // A commit that is accepted and not built yet: the root may be of it.
    let is_due = built.is_none_or(|built| built.commit != *accepted);
    match (shown.built, built) {
        (Some(root), built) if !is_due && built.is_none_or(|built| built.toplevel != *root) => {
            Err(format!("is older than {root}, which was built last"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use nixus_switcher::protocol::{Commit, Ending, SystemRef, newest_version};

    use super::super::{load, save};
    use super::*;
    use crate::decide::commit_id::CommitId;
    use crate::decide::ledger::{Built, Kept};

    fn commit(letter: char) -> CommitId {
        CommitId::try_from(letter.to_string().repeat(40)).unwrap()
    }

    fn toplevel(letter: char) -> Toplevel {
        let path = format!("/nix/store/{}-nixos", letter.to_string().repeat(32));
        Toplevel::try_from(PathBuf::from(path)).unwrap()
    }

    fn named(letter: char) -> Commit {
        Commit {
            id: commit(letter).to_string(),
            subject: "subject".into(),
        }
    }

    fn outcome(sequence: u64, letter: char) -> Outcome {
        let system = |letter| SystemRef {
            toplevel: toplevel(letter),
            generation: None,
        };
        Outcome {
            version: newest_version(),
            sequence,
            deployment: format!("{sequence}-{letter}").parse().unwrap(),
            commit: named(letter),
            old: system('a'),
            new: system(letter),
            ending: Ending::Confirmed,
            cause: None,
            evidence: None,
            started: 1,
            ended: 2,
            left_alone: None,
            boot_trial: false,
            not_running: Vec::new(),
        }
    }

    /// On commit a, with b accepted and built, whose deployment has begun.
    fn ledger() -> Ledger {
        let mut ledger = Ledger::default();
        ledger.adopt(commit('a'));
        ledger.keep(Kept {
            commit: named('a'),
            toplevel: toplevel('a'),
            generation: Some(1),
            since: Timestamp::UNIX_EPOCH,
        });
        ledger.outcomes_seen = 3;
        ledger.accept(commit('b'));
        ledger.build(Built {
            commit: commit('b'),
            toplevel: toplevel('b'),
        });
        ledger
    }

    #[test]
    fn a_copy_that_knows_less_than_history_or_roots_show_is_not_taken() {
        let check = |ledger: &Ledger, history: &[Outcome], built: Option<char>, well: bool| {
            let built = built.map(toplevel);
            let shown = Shown {
                history,
                built: built.as_ref(),
            };
            let found = is_as_new(ledger, shown);
            assert_eq!(found.is_ok(), well, "{found:?}");
        };
        check(&ledger(), &[], None, true);
        check(&ledger(), &[outcome(3, 'f')], Some('b'), true);
        // The end of the deployment that it knows had begun.
        check(&ledger(), &[outcome(4, 'b')], Some('b'), true);
        // An operator went back by hand.
        check(&ledger(), &[outcome(4, 'a')], Some('b'), true);
        check(
            &ledger(),
            &[outcome(4, 'b'), outcome(5, 'c')],
            Some('b'),
            false,
        );
        check(&ledger(), &[outcome(4, 'b')], Some('c'), false);
        // It was about to build what it had accepted.
        let mut due = ledger();
        due.accept(commit('c'));
        check(&due, &[outcome(4, 'b')], Some('c'), true);
        check(&due, &[outcome(4, 'b')], Some('b'), true);
        check(&Ledger::default(), &[], None, false);
    }

    #[test]
    fn each_way_to_damage_the_ledger_leaves_the_copy_that_it_replaced() {
        let shown = Shown {
            history: &[],
            built: None,
        };
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ledger.json");
        let mut newest = ledger();
        newest.deployments += 1;
        let damages: [&dyn Fn(); 5] = [
            &|| std::fs::write(&path, "").unwrap(),
            &|| {
                let bytes = std::fs::read(&path).unwrap();
                std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
            },
            // One character of a commit's id: JSON as good as ever.
            &|| {
                let text = std::fs::read_to_string(&path).unwrap();
                std::fs::write(&path, text.replacen("bbbb", "bbab", 1)).unwrap();
            },
            &|| std::fs::remove_file(&path).unwrap(),
            &|| {
                std::fs::remove_file(&path).unwrap();
                std::fs::create_dir(&path).unwrap();
            },
        ];
        for (number, damage) in damages.into_iter().enumerate() {
            let _ = std::fs::remove_file(&path);
            save(&path, &ledger(), newest_version()).unwrap();
            save(&path, &newest, newest_version()).unwrap();
            assert_eq!(load(&path).unwrap(), newest);
            damage();
            if number < 3 {
                assert!(load(&path).unwrap().damage.is_some(), "{number}");
            }
            assert_eq!(restored(&path, shown).unwrap(), ledger(), "{number}");
            // Both at once are for a person.
            std::fs::write(copy_of(&path), "{").unwrap();
            assert!(restored(&path, shown).is_err());
        }
    }

    #[test]
    fn who_begins_anew_leaves_no_copy_of_what_was_before() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ledger.json");
        save(&path, &ledger(), newest_version()).unwrap();
        save(&path, &ledger(), newest_version()).unwrap();
        assert!(copy_of(&path).exists());
        std::fs::remove_file(&path).unwrap();
        save(&path, &Ledger::default(), newest_version()).unwrap();
        assert!(!copy_of(&path).exists());
    }
}
