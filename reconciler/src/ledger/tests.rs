use nixus_switcher::protocol::{Cause, SystemRef};

use super::release::Retry;
use super::*;

fn toplevel(letter: char) -> Toplevel {
    let path = format!("/nix/store/{}-nixos-system", letter.to_string().repeat(32));
    Toplevel::try_from(std::path::PathBuf::from(path)).unwrap()
}

fn commit(letter: char) -> CommitId {
    CommitId::try_from(letter.to_string().repeat(40)).unwrap()
}

fn outcome(sequence: u64, letter: char, cause: Option<Cause>) -> Outcome {
    let system = |letter| SystemRef {
        toplevel: toplevel(letter),
        generation: Some(1),
    };
    Outcome {
        version: VERSION,
        sequence,
        deployment: format!("{}-{letter}", sequence + 10).parse().unwrap(),
        commit: Commit {
            id: commit(letter).to_string(),
            subject: "subject".into(),
        },
        old: system('a'),
        new: system(letter),
        ending: match cause {
            Some(_) => Ending::Reverted,
            None => Ending::Confirmed,
        },
        cause,
        evidence: None,
        started: 100,
        ended: 200,
    }
}

fn damaged() -> Ledger {
    Ledger {
        damage: Some(Damage {
            file: "ledger.json.damaged-1".into(),
            problem: "was damaged".into(),
            newer: false,
        }),
        ..Ledger::default()
    }
}

#[test]
fn a_lost_ledger_still_forbids_what_failed_after_it_was_adopted_again() {
    let failed = Cause::NotConfirmed { seconds: 5 };
    let history = [
        outcome(1, 'b', None),
        outcome(2, 'c', Some(failed)),
        outcome(3, 'd', Some(Cause::Crashed)),
    ];
    let mut ledger = damaged();
    ledger.rebuild(&history);
    assert_eq!(ledger.kept.as_ref().unwrap().toplevel, toplevel('b'));
    ledger.adopt(commit('e'));
    assert_eq!(ledger.damage, None);
    assert_eq!(ledger.accepted, Some(commit('e')));
    assert!(
        ledger
            .quarantined(&commit('e'), Some(&toplevel('c')))
            .is_some()
    );
    assert_eq!(ledger.quarantine.len(), 1);
    // The next deployment has an id that none had before, and nothing is said twice.
    assert_eq!((ledger.deployments, ledger.outcomes_seen), (13, 3));
}

#[test]
fn an_operator_who_adopts_again_with_a_good_ledger_forgets_what_was_quarantined() {
    let mut ledger = Ledger::default();
    ledger.absorb(
        &outcome(1, 'c', Some(Cause::NoVerification)),
        Timestamp::UNIX_EPOCH,
    );
    ledger.rebuild(&[outcome(9, 'b', Some(Cause::NoVerification))]);
    assert_eq!(ledger.quarantine.len(), 1);
    ledger.adopt(commit('e'));
    assert_eq!(ledger.quarantine, []);
}

#[test]
fn a_retry_releases_what_it_names_and_nothing_else() {
    let entry = |of, built: Option<char>| Quarantined {
        commit: commit(of),
        toplevel: built.map(toplevel),
        reason: "broken".into(),
        since: Timestamp::UNIX_EPOCH,
    };
    let check = |retry: Retry, left: &[char]| {
        let mut ledger = Ledger::default();
        ledger.adopt(commit('a'));
        ledger.accept(commit('d'));
        // The head makes the system that failed for an earlier commit.
        ledger.build(Built {
            commit: commit('d'),
            toplevel: toplevel('b'),
        });
        for entry in [entry('b', Some('b')), entry('c', None)] {
            ledger.reject(entry);
        }
        ledger.back_off(Timestamp::UNIX_EPOCH, "no route");
        assert!(ledger.release(&retry).backoff.is_some());
        assert_eq!(ledger.backoff, None);
        let rest: Vec<_> = ledger
            .quarantine
            .iter()
            .map(|entry| &entry.commit)
            .collect();
        let left: Vec<_> = left.iter().map(|letter| commit(*letter)).collect();
        assert_eq!(rest, left.iter().collect::<Vec<_>>());
    };
    check(Retry::Head, &['c']);
    check("ccccccc".parse().unwrap(), &['b']);
    check(toplevel('b').to_string().parse().unwrap(), &['c']);
    check("ddddddd".parse().unwrap(), &['b', 'c']);
    for wrong in ["", "abc", "/etc", "zzzzzzzz"] {
        wrong.parse::<Retry>().unwrap_err();
    }
}
