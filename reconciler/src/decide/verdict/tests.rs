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

/// What was found before, by peers none of whom is lost.
fn before(found: &[(&str, CheckOutcome)]) -> Before {
    let told = found
        .iter()
        .map(|(text, outcome)| finding(text, *outcome).told(None));
    Before {
        checks: told.collect(),
        lost: Some(Vec::new()),
        ..Before::default()
    }
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
        // What was as bad before is not a reason to go back,
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
        // but for these two, of which a door that was shut before is not this commit's doing.
        (&[("repository", Fail)], &[("repository", Fail)], Fail),
        (
            &[("ssh", Fail)],
            &[("repository", Pass), ("ssh", Fail)],
            Unknown,
        ),
        (
            &[("ssh", Fail)],
            &[("repository", Pass), ("ssh", Unknown)],
            Unknown,
        ),
        (
            &[("ssh", Fail)],
            &[("repository", Pass), ("ssh", Pass)],
            Pass,
        ),
        (
            &[("ssh", Fail)],
            &[("repository", Fail), ("ssh", Fail)],
            Fail,
        ),
        (
            &[("ssh", Unknown)],
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
            &[("peer db1", Pass), ("peer web2", Fail)],
            &[
                ("repository", Pass),
                ("peer db1", Pass),
                ("peer web2", Fail),
            ],
            Pass,
        ),
        // Where none did, one must now;
        (
            &[("peer db1", Unknown)],
            &[("repository", Pass), ("peer db1", Unknown)],
            Unknown,
        ),
        (
            &[("peer db1", Fail)],
            &[("repository", Pass), ("peer db1", Fail)],
            Unknown,
        ),
        (
            &[("peer db1", Fail), ("peer web2", Unknown)],
            &[
                ("repository", Pass),
                ("peer db1", Fail),
                ("peer web2", Pass),
            ],
            Pass,
        ),
        // but for one that was none before, or is none any more.
        (&[], &[("repository", Pass), ("peer db1", Fail)], Pass),
        (&[("peer db1", Pass)], &[("repository", Pass)], Pass),
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
        let asides = [UNWITNESSED, REPAIRED];
        let told = verdict.checks.iter();
        let told = told.filter(|one| !asides.contains(&one.check.as_str()));
        assert_eq!(told.count(), found.len());
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
fn a_generation_that_no_peer_has_seen_is_kept_only_where_all_are_lost_and_says_so() {
    type Found<'a> = &'a [(&'a str, CheckOutcome)];
    let check = |was: Found<'_>, lost: Option<&[&str]>, now: Found<'_>, expected, noted| {
        let mut all = vec![finding("repository", Pass)];
        all.extend(now.iter().map(|(text, one)| finding(text, *one)));
        let lost = lost.map(|lost| lost.iter().map(|name| (*name).to_owned()).collect());
        let was = Before {
            lost,
            ..before(was)
        };
        let verdict = judge(&was, &all, &[]);
        let said = verdict.checks.iter().any(|one| one.check == UNWITNESSED);
        assert_eq!(
            (verdict.outcome, said),
            (expected, noted),
            "{was:?} {now:?}"
        );
    };
    let db1 = |outcome| ("peer db1", outcome);
    let web2 = |outcome| ("peer web2", outcome);
    check(&[db1(Unknown)], Some(&["db1"]), &[db1(Unknown)], Pass, true);
    check(&[db1(Unknown)], Some(&["db1"]), &[db1(Fail)], Pass, true);
    // One that comes back has its word.
    check(&[db1(Unknown)], Some(&["db1"]), &[db1(Pass)], Pass, false);
    check(&[db1(Unknown)], Some(&[]), &[db1(Unknown)], Unknown, false);
    check(
        &[db1(Unknown), web2(Unknown)],
        Some(&["db1"]),
        &[db1(Unknown), web2(Unknown)],
        Unknown,
        false,
    );
    // The candidate has removed the one that is not lost.
    check(
        &[db1(Unknown), web2(Pass)],
        Some(&["db1"]),
        &[db1(Unknown)],
        Pass,
        true,
    );
    check(&[db1(Pass)], Some(&[]), &[], Pass, true);
    // It is another's first time with this host.
    check(&[], Some(&[]), &[db1(Unknown)], Pass, true);
    check(&[], Some(&[]), &[db1(Pass)], Pass, false);
    // A host that never had peers says nothing of them.
    check(&[], Some(&[]), &[], Pass, false);
    // An earlier release has looked before, and did not tell who is lost.
    check(&[db1(Unknown)], None, &[db1(Unknown)], Pass, false);
}

#[test]
fn what_is_put_right_is_said_and_what_only_a_commit_changes_is_known() {
    let after = |outcome, lasts| {
        let ssh = Finding {
            lasts,
            ..finding("ssh", outcome)
        };
        [finding("repository", Pass), ssh]
    };
    let check = |was: &[(&str, CheckOutcome)], outcome, lasts, repaired, for_good| {
        let verdict = judge(&before(was), &after(outcome, lasts), &[]);
        let said = verdict.checks.iter().any(|one| one.check == REPAIRED);
        assert_eq!(
            (said, verdict.for_good),
            (repaired, for_good),
            "{verdict:?}"
        );
    };
    check(&[("ssh", Fail)], Pass, Lasts::Perhaps, true, false);
    check(&[("ssh", Pass)], Pass, Lasts::Perhaps, false, false);
    check(&[("ssh", Pass)], Fail, Lasts::Perhaps, false, false);
    check(&[("ssh", Pass)], Fail, Lasts::UntilACommit, false, true);
    // It was so before: there is nothing to go back to any sooner.
    check(&[("ssh", Fail)], Fail, Lasts::UntilACommit, false, false);
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
fn trials() -> impl Strategy<Value = (Before, Vec<Finding>, Vec<Rule>)> {
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
    let all = ["a", "b", "c"].map(str::to_owned).to_vec();
    let lost = prop::option::of(prop::sample::subsequence(all, 0..=3));
    (
        prop::collection::vec(one, names.len()),
        quorum,
        any::<bool>(),
        lost,
    )
        .prop_map(move |(rows, quorum, required, lost)| {
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
            let was = Before {
                checks: was,
                lost,
                ..Before::default()
            };
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
        // A door that was shut before is not this commit's doing, and not kept shut either.
        let forward = if name == SSH { Unknown } else { Fail };
        check(&[(name, Fail)], &[(name, Fail), timer], forward, Pass);
        check(&[(name, Fail)], &[(name, Unknown), timer], Unknown, Pass);
        check(&[(name, Unknown)], &[(name, Unknown), timer], Unknown, Pass);
        check(&[(name, Unknown)], &[(name, Fail), timer], Fail, Fail);
        check(&[(name, Pass)], &[(name, Fail), timer], Fail, Fail);
        check(&[(name, Pass)], &[(name, Pass), timer], Pass, Pass);
        // Nobody has looked before.
        check(&[], &[(name, Fail), timer], Fail, Fail);
        // It is not evidence of anything else.
        check(&[(name, Fail)], &[(name, Fail)], forward, Unknown);
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
            was.checks.retain(|one| (&one.check, &one.by) != (&failed.check, &failed.by));
            without.retain(|one| (&one.check, &one.by) != (&failed.check, &failed.by));
            was.checks.push(failed.told(None));
            // The only one who could see this host is missed where nobody else does.
            let awaited = was.lost.as_ref().is_some_and(|lost| {
                failed.by.as_ref().is_some_and(|by| !lost.contains(by))
            });
            let mut with = without.clone();
            with.push(Finding { outcome: now, ..failed });
            let (with, without) = (judge(&was, &with, &rules), judge(&was, &without, &rules));
            let missed = awaited && with.outcome == Unknown;
            prop_assert!(without.outcome != Pass || with.outcome == Pass || missed);
            prop_assert!(with.outcome != Fail || without.outcome == Fail);
        }
    }

    #[test]
    fn nothing_is_kept_unseen_by_peers_of_whom_one_may_be_on_trial(
        (was, found, mut rules) in trials(),
    ) {
        rules.retain(|rule| rule.check != PEER);
        let verdict = judge(&was, &found, &rules);
        let is_awaited = |one: &Finding| {
            let lost = was.lost.as_ref();
            let here = |lost: &Vec<String>| one.by.as_ref().is_some_and(|by| !lost.contains(by));
            lost.is_some_and(here) && found_before(&was.checks, one).is_some()
        };
        let seen = |one: &Finding| one.by.is_some() && one.outcome == Pass;
        prop_assert!(
            verdict.outcome != Pass || !found.iter().any(is_awaited) || found.iter().any(seen)
        );
    }

    #[test]
    fn without_evidence_nothing_is_kept((was, found, rules) in trials()) {
        let verdict = judge(&was, &found, &rules);
        prop_assert!(!verdict.for_good || verdict.outcome == Fail);
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
