use nixus_switcher::protocol::{BootId, Cause, CheckOutcome, CheckResult, Evidence, SystemRef};
use proptest::prelude::*;

use super::release::Retry;
use super::*;
use crate::decide::verdict::sightings::Heard;

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
        version: newest_version(),
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
        left_alone: None,
        boot_trial: false,
        not_running: Vec::new(),
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
fn what_fails_at_its_first_boot_is_not_deployed_again() {
    let mut ledger = Ledger::default();
    ledger.absorb(&outcome(1, 'b', None), Timestamp::UNIX_EPOCH, Jitter::NONE);
    let proven = Outcome {
        boot_trial: true,
        ..outcome(2, 'b', None)
    };
    let kept = ledger.kept.clone();
    ledger.absorb(&proven, Timestamp::UNIX_EPOCH, Jitter::NONE);
    assert_eq!((ledger.kept.clone(), ledger.outcomes_seen), (kept, 2));
    // Whatever the cause: it would be deployed, booted and taken back for ever.
    for cause in [Cause::Crashed, Cause::NotConfirmed { seconds: 5 }] {
        let mut ledger = ledger.clone();
        let failed = Outcome {
            boot_trial: true,
            ..outcome(3, 'b', Some(cause))
        };
        ledger.absorb(&failed, Timestamp::UNIX_EPOCH, Jitter::NONE);
        let entry = ledger.quarantined(
            &CommitId::try_from("b".repeat(40)).unwrap(),
            Some(&failed.new.toplevel),
        );
        assert!(entry.unwrap().reason.starts_with("its first boot failed"));
        assert_eq!(ledger.backoff, None);
    }
}

#[test]
fn what_was_stopped_is_tried_once_more_and_not_at_once() {
    let killed = || Cause::ActivationFailed {
        exit_code: 137,
        units: Vec::new(),
        findings: Vec::new(),
    };
    for cause in [Cause::Crashed, Cause::SwitcherDied, killed()] {
        let mut ledger = Ledger::default();
        let now = Timestamp::UNIX_EPOCH;
        let first = outcome(1, 'b', Some(cause.clone()));
        ledger.absorb(&first, now, Jitter::NONE);
        assert_eq!(ledger.quarantine, [], "{cause}");
        assert!(ledger.backoff.as_ref().is_some_and(|wait| wait.until > now));
        let second = outcome(2, 'b', Some(cause.clone()));
        ledger.absorb(&second, now, Jitter::NONE);
        assert!(
            ledger.quarantine[0].reason.ends_with("twice in a row"),
            "{cause}"
        );
        assert_eq!(ledger.backoff, None);
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
        Jitter::NONE,
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
        needs_reboot: false,
        by_what_was: false,
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
        ledger.back_off(Timestamp::UNIX_EPOCH, "no route", Jitter::NONE);
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

/// A trial of `c` that ended at second 200 and told nothing of the repository.
fn told_nothing(sequence: u64, reach: CheckOutcome) -> Outcome {
    let check = |check: &str, outcome| CheckResult::new(check, outcome, "no answer");
    let checks = vec![
        check("repository", CheckOutcome::Unknown),
        check("reach", reach),
    ];
    let cause = Cause::VerificationInconclusive {
        checks: checks[..1].to_vec(),
    };
    Outcome {
        evidence: Some(Evidence {
            version: newest_version(),
            deployment: "1-c".parse().unwrap(),
            boot: BootId("b".to_owned()),
            toplevel: toplevel('c'),
            verdict: CheckOutcome::Unknown,
            checks,
        }),
        ..outcome(sequence, 'c', Some(cause))
    }
}

/// What comes of trials that were inconclusive, each with whether the host was seen to accept
/// connections, and after how many seconds the system before reached the repository, if it did.
#[test]
fn the_system_before_tells_an_outage_from_a_generation_that_cannot_reach_its_repository() {
    use CheckOutcome::{Pass, Unknown};
    let check = |trials: &[(CheckOutcome, Option<i64>)], quarantined: bool, inconclusive: bool| {
        let mut ledger = Ledger::default();
        ledger.adopt(commit('a'));
        for (number, (reach, reached)) in trials.iter().enumerate() {
            let told = told_nothing(number as u64 + 1, *reach);
            ledger.absorb(&told, Timestamp::from_second(201).unwrap(), Jitter::NONE);
            assert!(ledger.wants_witness() && ledger.backoff.is_some());
            let now = Timestamp::from_second(200 + reached.unwrap_or(1)).unwrap();
            ledger.witnessed(now, reached.is_some(), &[]);
            assert!(!ledger.wants_witness());
        }
        let found = ledger.quarantined(&commit('c'), Some(&toplevel('c')));
        assert_eq!(found.is_some(), quarantined, "{trials:?}");
        let found = ledger.inconclusive(&toplevel('c')).is_some();
        assert_eq!(found, inconclusive, "{trials:?}");
    };
    check(&[(Unknown, None)], false, false);
    check(&[(Pass, None)], false, false);
    check(&[(Unknown, Some(1))], false, false);
    check(&[(Unknown, Some(1)), (Unknown, Some(1))], true, false);
    check(&[(Unknown, Some(1)), (Unknown, None)], false, false);
    // The repository's host was there all the while and refused the new generation only.
    check(&[(Pass, Some(1))], true, false);
    // Minutes later says nothing of the time of the trial.
    check(&[(Pass, Some(121))], false, false);
    check(&[(Pass, None), (Pass, None), (Unknown, None)], false, true);
}

#[test]
fn what_was_inconclusive_is_forgotten_after_a_retry_and_a_success() {
    let doubted = || {
        let mut ledger = Ledger::default();
        ledger.adopt(commit('a'));
        ledger.accept(commit('c'));
        for sequence in 1..=3 {
            let told = told_nothing(sequence, CheckOutcome::Unknown);
            ledger.absorb(&told, Timestamp::UNIX_EPOCH, Jitter::NONE);
        }
        assert!(ledger.inconclusive(&toplevel('c')).is_some());
        ledger
    };
    let mut ledger = doubted();
    ledger.release(&Retry::Head);
    assert_eq!(ledger.doubts, []);
    let mut ledger = doubted();
    ledger.absorb(&outcome(4, 'd', None), Timestamp::UNIX_EPOCH, Jitter::NONE);
    assert_eq!(ledger.doubts, []);
}

#[test]
fn a_system_that_needs_a_reboot_is_not_called_failed() {
    let mut ledger = Ledger::default();
    ledger.absorb(
        &outcome(
            1,
            'c',
            Some(Cause::RebootNeeded {
                changes: Vec::new(),
            }),
        ),
        Timestamp::UNIX_EPOCH,
        Jitter::NONE,
    );
    assert!(ledger.quarantine[0].needs_reboot);
}

#[test]
fn who_gets_in_is_asked_anew_once_another_system_is_kept() {
    let check = |failing: &[&str], left: usize| {
        let mut ledger = Ledger::default();
        let mut absorb = |outcome: &Outcome| {
            ledger.absorb(outcome, Timestamp::UNIX_EPOCH, Jitter::NONE);
            ledger.quarantine.len()
        };
        absorb(&outcome(1, 'a', None));
        let failing = failing.iter();
        let checks = failing.map(|check| CheckResult::new(check, CheckOutcome::Fail, "no"));
        let cause = Cause::VerificationFailed {
            checks: checks.collect(),
        };
        assert_eq!(absorb(&outcome(2, 'b', Some(cause))), 1);
        // The same system kept again says nothing new.
        assert_eq!(absorb(&outcome(3, 'a', None)), 1);
        assert_eq!(absorb(&outcome(4, 'c', None)), left);
    };
    check(&["ssh"], 0);
    check(&["ssh", "peer"], 0);
    check(&["ssh", "units"], 1);
    check(&["repository"], 1);
}

proptest! {
    #[test]
    fn errors_make_polling_slower_up_to_a_cap_and_never_quarantine(
        jitters in prop::collection::vec(any::<u8>(), 1..20)
    ) {
        let mut ledger = Ledger::default();
        let mut least = 0;
        for jitter in jitters {
            ledger.back_off(Timestamp::UNIX_EPOCH, "no route", Jitter::of(jitter));
            let wait = ledger.backoff.as_ref().unwrap().until.as_second();
            let bare = BACKOFF_FIRST << (ledger.backoff.as_ref().unwrap().failures - 1).min(BACKOFF_STEPS);
            prop_assert!(wait >= bare && wait <= bare * 3 / 2);
            prop_assert!(bare >= least);
            least = bare;
        }
        prop_assert!(least <= BACKOFF_FIRST << BACKOFF_STEPS);
        prop_assert_eq!(&ledger.quarantine, &[]);
    }
}

#[test]
fn a_wait_for_peers_has_one_end_however_often_they_are_asked() {
    let at = |second| Timestamp::from_second(second).unwrap();
    let mut ledger = Ledger::default();
    let bound = std::time::Duration::from_secs(100);
    ledger.hold(commit('b'), at(0), bound, Jitter::NONE);
    ledger.hold(commit('b'), at(50), bound, Jitter::of(255));
    let held = ledger.held(&commit('b')).unwrap();
    assert_eq!((held.since, held.until), (at(0), at(100)));
    // Chance lengthens the pause, so that those who wait together do not go together.
    assert_eq!(held.look_again, at(56));
    // Another commit waits for itself.
    assert!(ledger.held(&commit('c')).is_none());
    ledger.hold(commit('c'), at(60), bound, Jitter::NONE);
    assert_eq!(ledger.held(&commit('c')).unwrap().until, at(160));
}

/// A peer that gave no answer on trial, and whether it finds the system before well.
#[test]
fn what_is_well_again_with_the_system_before_speaks_against_the_other() {
    let check = |passed: &[&str], quarantined: bool| {
        let mut ledger = Ledger::default();
        ledger.adopt(commit('a'));
        let passed: Vec<String> = passed.iter().map(|name| (*name).to_owned()).collect();
        for sequence in 1..=2 {
            let mut told = told_nothing(sequence, CheckOutcome::Unknown);
            let mut peer = CheckResult::new("peer", CheckOutcome::Unknown, "no answer");
            peer.by = Some("db1".to_owned());
            told.evidence.as_mut().unwrap().checks = vec![peer];
            ledger.absorb(&told, at_once(), Jitter::NONE);
            assert_eq!(ledger.witness_asks(), ["peer"]);
            ledger.witnessed(at_once(), true, &passed);
        }
        let found = ledger.quarantined(&commit('c'), Some(&toplevel('c')));
        assert_eq!(found.is_some(), quarantined, "{passed:?}");
    };
    check(&["peer"], true);
    check(&[], false);
    check(&["ssh"], false);
}

fn at_once() -> Timestamp {
    Timestamp::from_second(201).unwrap()
}

#[test]
fn peers_that_a_trial_or_a_pass_has_heard_of_are_remembered_and_outlast_an_adoption() {
    let mut ledger = Ledger::default();
    let mut kept = outcome(1, 'b', None);
    let by = |peer: &str, outcome| CheckResult {
        by: Some(peer.into()),
        ..CheckResult::new(PEER, outcome, "")
    };
    kept.evidence = Some(Evidence {
        version: newest_version(),
        deployment: kept.deployment.clone(),
        boot: nixus_switcher::protocol::BootId("b".into()),
        toplevel: kept.new.toplevel.clone(),
        verdict: CheckOutcome::Pass,
        checks: vec![
            by("db1", CheckOutcome::Pass),
            by("web2", CheckOutcome::Unknown),
        ],
    });
    let at = |second| Timestamp::from_second(second).unwrap();
    ledger.absorb(&kept, at(300), Jitter::NONE);
    assert_eq!(ledger.sightings.seen("db1"), Some(at(200)));
    assert_eq!(ledger.sightings.seen("web2"), None);
    let day = Duration::from_secs(24 * 60 * 60);
    let heard = [("db1", false), ("web2", true)].map(|(peer, answered)| Heard {
        peer: peer.to_owned(),
        answered,
        passes_stopped: None,
    });
    ledger.hear_of_peers(&heard, at(400), day);
    assert_eq!(ledger.sightings.seen("db1"), Some(at(200)));
    assert_eq!(ledger.sightings.seen("web2"), Some(at(400)));
    ledger.adopt(commit('a'));
    assert!(!ledger.sightings.is_lost("db1", at(400), day));
    // Who is a peer no more is forgotten.
    ledger.hear_of_peers(&heard[1..], at(500), day);
    assert_eq!(ledger.sightings.seen("db1"), None);
}

/// A first boot without a network, which ended at the second 200.
fn dark(sequence: u64) -> Outcome {
    let check = CheckResult::new(
        nixus_switcher::protocol::NETWORK,
        CheckOutcome::Unknown,
        "no carrier on eth0",
    );
    let cause = Cause::VerificationInconclusive {
        checks: vec![check],
    };
    Outcome {
        boot_trial: true,
        ..outcome(sequence, 'b', Some(cause))
    }
}

#[test]
fn a_first_boot_without_a_network_is_tried_again_and_fails_when_only_the_other_system_has_one_twice()
 {
    /// Whether the system before reached the repository after each boot, and when it was asked.
    fn check(boots: &[(bool, i64)], fails: bool) {
        let mut ledger = Ledger::default();
        let mut told = None;
        for (sequence, (reached, second)) in (1..).step_by(2).zip(boots) {
            ledger.absorb(
                &outcome(sequence, 'b', None),
                Timestamp::UNIX_EPOCH,
                Jitter::NONE,
            );
            ledger.absorb(&dark(sequence + 1), Timestamp::UNIX_EPOCH, Jitter::NONE);
            assert_eq!(ledger.quarantine, [], "{boots:?}");
            assert!(ledger.wants_network_witness() && ledger.backoff.is_some());
            let now = Timestamp::from_second(*second).unwrap();
            told = ledger.network_witnessed(now, *reached);
            assert!(!ledger.wants_network_witness());
        }
        assert_eq!(told.is_some(), fails, "{boots:?}");
        let found = ledger.quarantined(&commit('b'), Some(&toplevel('b')));
        assert_eq!(found.is_some(), fails, "{boots:?}");
    }
    check(&[(true, 210)], false);
    check(&[(true, 210), (true, 210)], true);
    // An outage that the system before sees too clears it.
    check(&[(true, 210), (false, 210), (true, 210)], false);
    // Long after it the system before says nothing of that time.
    check(&[(true, 210), (true, 2000)], false);
}

#[test]
fn a_system_that_boots_well_at_last_is_doubted_no_more() {
    let mut ledger = Ledger::default();
    let at = Timestamp::from_second(210).unwrap();
    ledger.absorb(&dark(1), at, Jitter::NONE);
    ledger.network_witnessed(at, true);
    assert!(ledger.dark_boot(&toplevel('b')).is_some());
    let proven = Outcome {
        boot_trial: true,
        ..outcome(2, 'b', None)
    };
    ledger.absorb(&proven, at, Jitter::NONE);
    assert!(ledger.dark_boot(&toplevel('b')).is_none());
}

#[test]
fn failures_of_builders_are_counted_for_one_commit() {
    let mut ledger = Ledger::default();
    assert_eq!(ledger.count_builder_failure(&commit('b')), 1);
    assert_eq!(ledger.count_builder_failure(&commit('b')), 2);
    assert_eq!(ledger.count_builder_failure(&commit('c')), 1);
    ledger.build(Built {
        commit: commit('c'),
        toplevel: toplevel('c'),
    });
    assert_eq!(ledger.count_builder_failure(&commit('c')), 1);
    ledger.release(&Retry::Head);
    assert_eq!(ledger.count_builder_failure(&commit('c')), 1);
}
