use std::collections::BTreeSet;

use super::*;

/// Rounds of several seeds.
fn many() -> impl Iterator<Item = Plan> {
    (0..20).flat_map(|seed| (0..60).map(move |round| Plan::of(seed, round)))
}

#[test]
fn the_same_seed_and_round_give_the_same_plan_and_others_another() {
    for seed in [0, 1, u64::MAX] {
        for round in 0..50 {
            assert_eq!(Plan::of(seed, round), Plan::of(seed, round));
        }
    }
    let plans: BTreeSet<String> = many().map(|plan| format!("{plan:?}")).collect();
    assert_eq!(plans.len(), many().count());
}

#[test]
fn every_kind_of_commit_comes_within_as_many_rounds_as_there_are_kinds() {
    let all = Kind::value_variants();
    for seed in 0..20 {
        let rounds = 0..all.len() as u64;
        let drawn: BTreeSet<Kind> = rounds
            .flat_map(|round| Plan::of(seed, round).commits)
            .flat_map(|commit| commit.hosts.into_values())
            .collect();
        assert_eq!(drawn.len(), all.len(), "seed {seed}");
    }
}

#[test]
fn every_kind_of_fault_comes_within_two_hundred_rounds() {
    let all = FaultKind::value_variants();
    for seed in 0..20 {
        let drawn: BTreeSet<FaultKind> = (0..200)
            .flat_map(|round| Plan::of(seed, round).faults)
            .map(|fault| fault.kind)
            .collect();
        let missing: Vec<_> = all.iter().filter(|one| !drawn.contains(one)).collect();
        assert!(missing.is_empty(), "seed {seed}: {missing:?}");
    }
}

#[test]
fn plans_are_bounded_and_can_be_judged() {
    for plan in many() {
        assert!(matches!(plan.commits.len(), 1 | 2) && plan.faults.len() <= 3);
        assert!(plan.commits.iter().all(|one| !one.hosts.is_empty()));
        for fault in &plan.faults {
            let after = match fault.moment {
                Moment::AfterPush(after) | Moment::In(_, after) => after,
            };
            assert!(after < LATEST && fault.pause < LONGEST, "{plan}");
            assert!((1..=3).contains(&fault.times), "{plan}");
            let confirms = fault.kind == FaultKind::Confirm;
            assert!(!confirms || plan.is_harmless(&fault.host), "{plan}");
        }
        for kind in [FaultKind::DiskFull, FaultKind::ServerAway] {
            let met = plan.faults.iter().filter(|fault| fault.kind == kind);
            assert!(met.count() <= 1, "{plan}");
        }
    }
}

fn plan(commits: &[&[(&str, Kind)]], faults: &[(&str, FaultKind, u32)]) -> Plan {
    let commits = commits.iter().map(|hosts| Commit {
        after: 0,
        hosts: hosts
            .iter()
            .map(|(host, kind)| ((*host).to_owned(), *kind))
            .collect(),
    });
    let faults = faults.iter().map(|(host, kind, times)| Fault {
        kind: *kind,
        host: (*host).to_owned(),
        moment: Moment::AfterPush(0),
        times: *times,
        pause: 0,
    });
    Plan {
        seed: 1,
        round: 2,
        commits: commits.collect(),
        faults: faults.collect(),
    }
}

#[test]
fn a_good_commit_is_to_be_kept_unless_something_speaks_against_it() {
    let good: &[&[(&str, Kind)]] = &[&[("web1", Kind::Plain)]];
    let keeps = |plan: &Plan| matches!(plan.duty("web1"), Duty::Keep(_));
    assert_eq!(plan(good, &[]).duty("web1"), Duty::Keep("s1-r2-c0".into()));
    for (fault, kept) in [
        (("web1", FaultKind::KillSwitcher, 1), true),
        (("web1", FaultKind::KillSwitcher, 2), false),
        (("web2", FaultKind::KillSwitcher, 2), true),
        (("web1", FaultKind::PowerCut, 1), true),
        (("web1", FaultKind::PowerCutAgain, 2), false),
        (("web1", FaultKind::KillNix, 3), true),
        (("web1", FaultKind::Revert, 1), false),
        (("web1", FaultKind::RollbackWrong, 1), true),
    ] {
        assert_eq!(keeps(&plan(good, &[fault])), kept, "{fault:?}");
    }
    let both = &[
        &[("web1", Kind::UnitFails)][..],
        &[("web1", Kind::Plain)][..],
    ];
    assert_eq!(plan(both, &[]).duty("web1"), Duty::Keep("s1-r2-c1".into()));
    assert_eq!(plan(both, &[]).refused("web1"), ["s1-r2-c0"]);
    // What changes nothing leaves what was said before.
    let same = &[
        &[("web1", Kind::UnitFails)][..],
        &[("web1", Kind::Unchanged)][..],
    ];
    assert!(!keeps(&plan(same, &[])));
    let broken = &[&[("web1", Kind::Plain), ("web2", Kind::DoesNotEvaluate)][..]];
    assert!(!keeps(&plan(broken, &[])));
    assert!(!keeps(&plan(&[&[("web2", Kind::Plain)]], &[])));
}
