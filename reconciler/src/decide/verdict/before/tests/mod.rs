use CheckOutcome::{Fail, Pass, Unknown};

use super::super::PEER;
use super::*;

mod fleet;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const NOW: i64 = 10_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// What a peer says, if anything.
fn peer(name: &str, says: Option<(CheckOutcome, bool)>) -> Finding {
    let (outcome, on_trial) = says.unwrap_or((Unknown, false));
    Finding {
        by: Some(name.to_owned()),
        on_trial,
        answered: says.is_some(),
        ..Finding::new(PEER, outcome, "as the test says")
    }
}

/// db1 was seen a minute ago, web2 is silent for two days, and web3 was never seen.
fn sightings() -> Sightings {
    let mut sightings = Sightings::default();
    sightings.answered("db1", at(NOW - 60));
    sightings.answered("web2", at(NOW - 200_000));
    for ago in [180_000, 150_000, 120_000, 90_000, 60_000, 30_000] {
        sightings.silent("web2", at(NOW - ago), DAY);
    }
    sightings
}

fn check(found: &[Finding], stay: Option<&[&str]>, expected: &Baseline) {
    let sightings = sightings();
    let stay: Option<Vec<String>> = stay.map(|all| all.iter().map(|&one| one.into()).collect());
    let known = Known {
        sightings: &sightings,
        lost_after: DAY,
        now: at(NOW),
        stay: stay.as_deref(),
    };
    let decided = fitness(found, &known, |_| true);
    match (&decided, expected) {
        (Baseline::Unfit(why), Baseline::Unfit(words)) => {
            assert!(why.contains(words), "{why}");
        }
        _ => assert_eq!(decided, *expected, "{found:?}"),
    }
    // What nobody requires holds nothing up.
    let decided = fitness(found, &known, |_| false);
    assert!(!matches!(decided, Baseline::Unfit(_)), "{found:?}");
}

#[test]
fn a_host_waits_for_a_peer_that_was_there_and_for_no_other() {
    let waits = |words: &str| Baseline::Unfit(words.to_owned());
    let sound = Baseline::Sound;
    let (gone, new) = (peer("web2", None), peer("web3", None));
    check(&[], None, &sound);
    check(&[peer("db1", Some((Pass, false)))], None, &sound);
    check(
        &[peer("db1", None)],
        None,
        &waits("db1 (as the test says, last seen at 1970-04-26T17:45:40Z)"),
    );
    check(
        &[peer("db1", None), gone.clone(), new.clone()],
        None,
        &waits("is waited for: db1 ("),
    );
    // Another sees this host, or answers that it does not, which the commit may mend.
    for says in [Pass, Fail, Unknown] {
        let other = peer("web2", Some((says, false)));
        check(&[peer("db1", None), other], None, &sound);
    }
    check(std::slice::from_ref(&gone), None, &sound);
    check(&[gone.clone(), new], None, &sound);
    // The candidate does without it.
    check(&[peer("db1", None)], Some(&["db1"]), &waits("db1"));
    check(&[peer("db1", None)], Some(&[]), &sound);
    check(&[peer("db1", None), gone], Some(&["web2"]), &sound);
    check(
        &[peer("db1", None), peer("web2", Some((Pass, false)))],
        Some(&["db1"]),
        &waits("db1"),
    );
    // Those who are on trial go first.
    let first = Baseline::PeersOnTrial(vec!["db1".to_owned()]);
    for says in [Pass, Unknown] {
        check(&[peer("db1", Some((says, true)))], None, &first);
    }
}

#[test]
fn a_shut_door_is_waited_for_only_where_it_may_open_by_itself() {
    let ssh = |outcome, lasts| Finding {
        lasts,
        ..Finding::new(SSH, outcome, "as the test says")
    };
    let waits = Baseline::Unfit("ssh: as the test says".to_owned());
    check(&[ssh(Pass, Lasts::Perhaps)], None, &Baseline::Sound);
    check(&[ssh(Fail, Lasts::Perhaps)], None, &Baseline::Sound);
    check(&[ssh(Fail, Lasts::UntilACommit)], None, &Baseline::Sound);
    check(&[ssh(Fail, Lasts::Briefly)], None, &waits);
    check(&[ssh(Unknown, Lasts::Perhaps)], None, &waits);
    // A peer then says that it does not get in, too.
    let shut = [ssh(Fail, Lasts::Perhaps), peer("db1", Some((Fail, false)))];
    check(&shut, None, &Baseline::Sound);
}

#[test]
fn those_who_are_silent_and_lost_are_named() {
    let sightings = sightings();
    let known = Known {
        sightings: &sightings,
        lost_after: DAY,
        now: at(NOW),
        stay: None,
    };
    let found = [
        peer("db1", None),
        peer("web2", None),
        peer("web3", None),
        Finding::new(SSH, Fail, ""),
    ];
    assert_eq!(lost(&found, &known), ["web2", "web3"]);
    assert!(lost(&[peer("web2", Some((Fail, false)))], &known).is_empty());
}
