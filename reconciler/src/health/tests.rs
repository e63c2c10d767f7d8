use CheckOutcome::{Fail, Pass, Unknown};
use proptest::prelude::*;

use super::*;

/// A finding as tests write it: `repository`, or `peer db1`, or `peer db1 on trial`.
fn finding(text: &str, outcome: CheckOutcome) -> Finding {
    let words: Vec<&str> = text.split(' ').collect();
    Finding {
        by: words.get(1).map(|peer| (*peer).to_owned()),
        on_trial: words.len() > 2,
        ..Finding::new(words[0], outcome, "as the test says")
    }
}

fn rule(check: &str, required: bool, quorum: Quorum) -> Rule {
    let check = check.to_owned();
    Rule {
        check,
        required,
        quorum,
    }
}

fn before(found: &[(&str, CheckOutcome)]) -> Vec<CheckResult> {
    let told = found
        .iter()
        .map(|(text, outcome)| finding(text, *outcome).told(None));
    told.collect()
}

#[test]
fn each_verdict_follows_from_what_was_found_before_and_after() {
    let rules = [
        rule("repository", true, Quorum::Any),
        rule("shop", true, Quorum::Any),
        rule("news", false, Quorum::Any),
    ];
    type Found<'a> = &'a [(&'a str, CheckOutcome)];
    let table: &[(Found<'_>, Found<'_>, CheckOutcome)] = &[
        // No evidence is never a keep.
        (&[], &[], Unknown),
        (&[], &[("news", Pass)], Unknown),
        (&[("peer db1", Unknown)], &[("peer db1", Unknown)], Unknown),
        (&[], &[("repository", Pass)], Pass),
        (&[], &[("repository", Pass), ("ssh", Pass)], Pass),
        (&[], &[("repository", Pass), ("ssh", Unknown)], Unknown),
        (&[], &[("repository", Unknown), ("ssh", Fail)], Fail),
        // What was as bad before is no reason to go back,
        (
            &[("shop", Fail)],
            &[("repository", Pass), ("shop", Fail)],
            Pass,
        ),
        (
            &[("shop", Fail)],
            &[("repository", Pass), ("shop", Unknown)],
            Pass,
        ),
        (
            &[("shop", Unknown)],
            &[("repository", Pass), ("shop", Unknown)],
            Pass,
        ),
        (
            &[("shop", Unknown)],
            &[("repository", Pass), ("shop", Fail)],
            Fail,
        ),
        (
            &[("shop", Pass)],
            &[("repository", Pass), ("shop", Fail)],
            Fail,
        ),
        (&[], &[("repository", Pass), ("shop", Fail)], Fail),
        // but for these two.
        (&[("repository", Fail)], &[("repository", Fail)], Fail),
        (
            &[("ssh", Fail)],
            &[("repository", Pass), ("ssh", Fail)],
            Fail,
        ),
        // What is only wanted is only said.
        (&[], &[("repository", Pass), ("news", Fail)], Pass),
        // A peer counts if it saw the host well before.
        (
            &[("peer db1", Pass)],
            &[("repository", Pass), ("peer db1", Fail)],
            Fail,
        ),
        (
            &[("peer db1", Pass)],
            &[("repository", Pass), ("peer db1", Unknown)],
            Unknown,
        ),
        (
            &[("peer db1", Unknown)],
            &[("repository", Pass), ("peer db1", Unknown)],
            Pass,
        ),
        (
            &[("peer db1", Fail)],
            &[("repository", Pass), ("peer db1", Fail)],
            Pass,
        ),
        (&[], &[("repository", Pass), ("peer db1", Fail)], Pass),
        // One who is on trial too cannot speak against another,
        (
            &[("peer db1", Pass)],
            &[("repository", Pass), ("peer db1 on trial", Fail)],
            Unknown,
        ),
        // but for it.
        (
            &[("peer db1", Pass)],
            &[("repository", Pass), ("peer db1 on trial", Pass)],
            Pass,
        ),
    ];
    for (was, found, expected) in table {
        let found: Vec<_> = found
            .iter()
            .map(|(text, one)| finding(text, *one))
            .collect();
        let verdict = judge(&before(was), &found, &rules);
        assert_eq!(verdict.outcome, *expected, "{was:?} {found:?}");
        assert_eq!(verdict.checks.len(), found.len());
        let blamed = verdict
            .checks
            .iter()
            .any(|one| one.outcome == *expected && one.disregarded.is_none());
        assert!(
            blamed || found.is_empty() || *expected == Unknown,
            "{verdict:?}"
        );
    }
}

#[test]
fn so_many_peers_as_the_quorum_says_must_get_in() {
    let was = before(&[
        ("peer a", Pass),
        ("peer b", Pass),
        ("peer c", Pass),
        ("peer d", Fail),
    ]);
    let check = |quorum, found: [CheckOutcome; 4], expected| {
        let mut all = vec![finding("repository", Pass)];
        let peers = ["peer a", "peer b", "peer c", "peer d"].iter().zip(found);
        all.extend(peers.map(|(text, one)| finding(text, one)));
        let verdict = judge(&was, &all, &[rule(PEER, true, quorum)]);
        assert_eq!(verdict.outcome, expected, "{quorum:?} {found:?}");
    };
    check(Quorum::Any, [Pass, Fail, Fail, Fail], Pass);
    check(Quorum::Any, [Unknown, Fail, Fail, Pass], Unknown);
    check(Quorum::Any, [Fail, Fail, Fail, Pass], Fail);
    check(Quorum::All, [Pass, Pass, Pass, Fail], Pass);
    check(Quorum::All, [Pass, Pass, Fail, Pass], Fail);
    check(Quorum::All, [Pass, Pass, Unknown, Pass], Unknown);
    check(Quorum::Number(2), [Pass, Pass, Fail, Fail], Pass);
    check(Quorum::Number(2), [Pass, Fail, Fail, Pass], Fail);
    check(Quorum::Number(9), [Pass, Pass, Pass, Fail], Pass);
    check(Quorum::Number(9), [Pass, Pass, Fail, Fail], Fail);
}

fn outcomes() -> impl Strategy<Value = CheckOutcome> {
    prop::sample::select(vec![Pass, Fail, Unknown])
}

/// Findings before and after of the same checks and peers; some were not looked at before.
fn trials() -> impl Strategy<Value = (Vec<CheckResult>, Vec<Finding>, Vec<Rule>)> {
    let names = [
        "repository",
        "ssh",
        "shop",
        "news",
        "peer a",
        "peer b",
        "peer c",
    ];
    let one = (
        any::<bool>(),
        outcomes(),
        any::<bool>(),
        outcomes(),
        any::<bool>(),
    );
    let quorum = prop::sample::select(vec![Quorum::Any, Quorum::All, Quorum::Number(2)]);
    (
        prop::collection::vec(one, names.len()),
        quorum,
        any::<bool>(),
    )
        .prop_map(move |(rows, quorum, required)| {
            let mut was = Vec::new();
            let mut found = Vec::new();
            for (name, (seen, earlier, here, now, on_trial)) in names.iter().zip(rows) {
                if seen {
                    was.push(finding(name, earlier).told(None));
                }
                if here {
                    let mut one = finding(name, now);
                    one.on_trial = on_trial && one.by.is_some();
                    found.push(one);
                }
            }
            let rules = vec![
                rule("news", false, Quorum::Any),
                rule(PEER, required, quorum),
            ];
            (was, found, rules)
        })
}

#[test]
fn a_way_back_that_an_operator_wants_has_only_to_be_no_worse() {
    type Found<'a> = &'a [(&'a str, CheckOutcome)];
    let check = |was: Found<'_>, now: Found<'_>, forward, back| {
        let found: Vec<Finding> = now.iter().map(|(text, one)| finding(text, *one)).collect();
        let was = before(was);
        assert_eq!(judge(&was, &found, &[]).outcome, forward, "{was:?} {now:?}");
        let verdict = judge_rollback(&was, &found, &[]);
        assert_eq!(verdict.outcome, back, "{was:?} {now:?}");
    };
    let timer = ("timer", Pass);
    for name in [REPOSITORY, SSH] {
        check(&[(name, Fail)], &[(name, Fail), timer], Fail, Pass);
        check(&[(name, Fail)], &[(name, Unknown), timer], Unknown, Pass);
        check(&[(name, Unknown)], &[(name, Unknown), timer], Unknown, Pass);
        check(&[(name, Unknown)], &[(name, Fail), timer], Fail, Fail);
        check(&[(name, Pass)], &[(name, Fail), timer], Fail, Fail);
        check(&[(name, Pass)], &[(name, Pass), timer], Pass, Pass);
        // Nobody has looked before.
        check(&[], &[(name, Fail), timer], Fail, Fail);
        // It is no evidence of anything else.
        check(&[(name, Fail)], &[(name, Fail)], Fail, Unknown);
    }
}

proptest! {
    #[test]
    fn more_passes_never_turn_a_keep_into_a_revert(
        (was, found, rules) in trials(),
        which in any::<prop::sample::Index>(),
    ) {
        prop_assume!(!found.is_empty());
        let one = judge(&was, &found, &rules).outcome;
        let mut better = found.clone();
        better[which.index(found.len())].outcome = Pass;
        let other = judge(&was, &better, &rules).outcome;
        prop_assert!(one != Pass || other == Pass);
        // Nor does it make a failure of what was none.
        prop_assert!(one == Fail || other != Fail);
    }

    #[test]
    fn what_failed_before_never_causes_a_revert(
        (was, found, rules) in trials(),
        now in outcomes(),
    ) {
        for name in ["shop", "peer a"] {
            let mut was = was.clone();
            let mut without = found.clone();
            let failed = finding(name, Fail);
            was.retain(|one| (&one.check, &one.by) != (&failed.check, &failed.by));
            without.retain(|one| (&one.check, &one.by) != (&failed.check, &failed.by));
            was.push(failed.told(None));
            let mut with = without.clone();
            with.push(Finding { outcome: now, ..failed });
            let (with, without) = (judge(&was, &with, &rules), judge(&was, &without, &rules));
            prop_assert!(without.outcome != Pass || with.outcome == Pass);
            prop_assert!(with.outcome != Fail || without.outcome == Fail);
        }
    }

    #[test]
    fn without_evidence_nothing_is_kept((was, found, rules) in trials()) {
        let verdict = judge(&was, &found, &rules);
        let counted = |one: &CheckResult| one.outcome == Pass && one.disregarded.is_none();
        prop_assert!(verdict.outcome != Pass || verdict.checks.iter().any(counted));
    }

    #[test]
    fn a_peer_on_trial_never_makes_another_host_fail((was, found, rules) in trials()) {
        let one = judge(&was, &found, &rules).outcome;
        let mut flagged = found.clone();
        for finding in flagged.iter_mut().filter(|one| one.by.is_some()) {
            finding.on_trial = true;
        }
        let other = judge(&was, &flagged, &rules).outcome;
        prop_assert!(one == Fail || other != Fail);
        // Whoever fails with all peers on trial fails without their word, too.
        flagged.retain(|one| one.by.is_none());
        prop_assert!(other != Fail || judge(&was, &flagged, &rules).outcome == Fail);
    }
}
