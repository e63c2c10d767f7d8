use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::decide::ledger::doubt::Doubt;
use crate::decide::ledger::{Backoff, Damage, Held, Jitter, Kept, Quarantined};
use nixus_switcher::protocol::Commit;

mod entry;

fn commit(letter: char) -> CommitId {
    CommitId::try_from(letter.to_string().repeat(40)).unwrap()
}

fn toplevel(letter: char) -> Toplevel {
    let path = format!("/nix/store/{}-nixos-system", letter.to_string().repeat(32));
    Toplevel::try_from(std::path::PathBuf::from(path)).unwrap()
}

fn kept(letter: char) -> Kept {
    Kept {
        commit: Commit {
            id: commit(letter).to_string(),
            subject: "subject".into(),
        },
        toplevel: toplevel(letter),
        generation: Some(1),
        since: Timestamp::UNIX_EPOCH,
    }
}

fn rejected(letter: char, built: bool) -> Quarantined {
    Quarantined {
        commit: commit(letter),
        toplevel: built.then(|| toplevel(letter)),
        reason: "broken".into(),
        since: Timestamp::UNIX_EPOCH,
        needs_reboot: false,
        by_what_was: false,
    }
}

/// A host that runs and keeps commit `a`.
#[derive(Debug)]
struct Host {
    ledger: Ledger,
    running: Toplevel,
    next_boot: Option<Toplevel>,
    drift: Drift,
    pinned: Option<&'static str>,
    booted_other: bool,
    suspension: Option<Suspension>,
    journal_damage: Option<String>,
    open: Option<OpenDeployment>,
    outcomes_unseen: bool,
    head: Head,
    ancestry: Ancestry,
    entry: Entry,
    without_entry: WithoutEntry,
    built: Option<Toplevel>,
    boot_unproven: bool,
    baseline: Baseline,
    peers_due: bool,
}

/// CI is waited for a minute first.
fn after_a_minute(then: Then) -> WithoutEntry {
    WithoutEntry {
        wait: Duration::from_secs(60),
        then,
    }
}

impl Host {
    fn new() -> Self {
        let mut ledger = Ledger::default();
        ledger.adopt(commit('a'));
        ledger.keep(kept('a'));
        Self {
            ledger,
            running: toplevel('a'),
            next_boot: None,
            drift: Drift::Correct,
            pinned: None,
            booted_other: false,
            suspension: None,
            journal_damage: None,
            open: None,
            outcomes_unseen: false,
            head: Head::Unknown,
            ancestry: Ancestry::NotFetched,
            entry: Entry::NotNeeded,
            without_entry: after_a_minute(Then::Wait),
            built: None,
            boot_unproven: false,
            baseline: Baseline::Unknown,
            peers_due: false,
        }
    }

    fn plan(&self) -> Action {
        plan(&Observation {
            now: Timestamp::from_second(1000).unwrap(),
            ledger: &self.ledger,
            running: &self.running,
            next_boot: self.next_boot.as_ref(),
            drift: self.drift,
            pinned: self.pinned,
            booted_other: self.booted_other,
            suspension: self.suspension.as_ref(),
            journal_damage: self.journal_damage.as_deref(),
            open: self.open.as_ref(),
            outcomes_unseen: self.outcomes_unseen,
            head: &self.head,
            ancestry: self.ancestry,
            entry: &self.entry,
            without_entry: self.without_entry,
            built: self.built.as_ref(),
            boot_unproven: self.boot_unproven,
            baseline: &self.baseline,
            peers_due: self.peers_due,
        })
    }
}

fn check(change: impl FnOnce(&mut Host), expected: Action) {
    let mut host = Host::new();
    change(&mut host);
    assert_eq!(host.plan(), expected);
}

fn deployment(stuck: bool) -> OpenDeployment {
    OpenDeployment {
        deployment: "1-aaaaaaa".parse().unwrap(),
        stuck,
        abandoned: false,
        unproved: false,
    }
}

#[test]
fn without_the_switchers_journal_nothing_is_done() {
    let mut host = Host::new();
    host.head = Head::At(commit('b'));
    host.ancestry = Ancestry::Descends;
    host.outcomes_unseen = true;
    host.journal_damage = Some("torn".into());
    let why = "torn".to_owned();
    assert_eq!(host.plan(), Action::Wait(Reason::JournalDamaged { why }));
}

#[test]
fn a_poll_without_news_lists_the_branch_and_ends() {
    check(|_| {}, Action::List);
    check(
        |host| host.head = Head::At(commit('a')),
        Action::Wait(Reason::UpToDate {
            commit: commit('a'),
        }),
    );
    check(
        |host| host.head = Head::Missing,
        Action::Wait(Reason::NoBranch),
    );
}

#[test]
fn a_first_boot_that_could_not_be_judged_is_tried_again_once_the_repository_answers() {
    let mut host = Host::new();
    host.boot_unproven = true;
    assert_eq!(host.plan(), Action::List);
    host.head = Head::At(commit('a'));
    assert_eq!(host.plan(), Action::ProveBoot);
    // A newer commit comes first.
    host.head = Head::At(commit('b'));
    assert_eq!(host.plan(), Action::Fetch(commit('b')));
}

#[test]
fn a_new_commit_is_fetched_accepted_built_and_activated() {
    let mut host = Host::new();
    host.head = Head::At(commit('b'));
    assert_eq!(host.plan(), Action::Fetch(commit('b')));
    host.ancestry = Ancestry::Descends;
    assert_eq!(host.plan(), Action::Accept(commit('b')));
    host.ledger.accept(commit('b'));
    assert_eq!(host.plan(), Action::Build(commit('b')));
    host.built = Some(toplevel('b'));
    assert_eq!(host.plan(), Action::LookAtBaseline);
    host.baseline = Baseline::Sound;
    assert_eq!(host.plan(), Action::Activate(commit('b'), toplevel('b')));
    host.running = toplevel('b');
    host.ledger.keep(kept('b'));
    assert!(matches!(host.plan(), Action::Wait(Reason::UpToDate { .. })));
}

#[test]
fn a_commit_that_leaves_the_toplevel_unchanged_is_kept_without_an_activation() {
    check(
        |host| {
            host.head = Head::At(commit('b'));
            host.ancestry = Ancestry::Descends;
            host.ledger.accept(commit('b'));
            host.built = Some(toplevel('a'));
        },
        Action::Keep(commit('b'), toplevel('a')),
    );
    // Somebody only tries it out: the next boot would be of another system.
    check(
        |host| {
            host.next_boot = Some(toplevel('z'));
            host.head = Head::At(commit('b'));
            host.ancestry = Ancestry::Descends;
            host.ledger.accept(commit('b'));
            host.built = Some(toplevel('a'));
        },
        Action::LookAtBaseline,
    );
}

#[test]
fn a_default_that_is_pinned_is_told_and_stops_no_commit_unless_that_is_asked_for() {
    let how = "the firmware variable LoaderEntryDefault names x; what undoes it: y";
    let pinned = Action::Wait(Reason::BootPinned {
        commit: commit('a'),
        how: how.to_owned(),
    });
    let check = |drift, head, expected: Action| {
        let host = Host {
            drift,
            pinned: Some(how),
            head: Head::At(commit(head)),
            ..Host::new()
        };
        assert_eq!(host.plan(), expected, "{drift:?}");
    };
    for drift in [Drift::Correct, Drift::Report] {
        check(drift, 'a', pinned.clone());
        check(drift, 'b', Action::Fetch(commit('b')));
    }
    check(Drift::Refuse, 'b', pinned);
    // It led to an older generation, which nobody has picked: the commit is deployed again.
    let mut booted = Host::new();
    booted.running = toplevel('y');
    booted.pinned = Some(how);
    booted.next_boot = Some(toplevel('a'));
    booted.head = Head::At(commit('a'));
    assert_eq!(booted.plan(), Action::Fetch(commit('a')));
}

#[test]
fn a_default_that_was_changed_by_hand_is_met_as_the_configuration_says() {
    let drifted = Action::Wait(Reason::Drifted {
        commit: commit('a'),
        next_boot: toplevel('z'),
    });
    let check = |drift, head, expected: Action| {
        for booted_other in [false, true] {
            let host = Host {
                drift,
                next_boot: Some(toplevel('z')),
                // The profile names another system than the one that was booted, and that still runs.
                booted_other,
                head: Head::At(commit(head)),
                ..Host::new()
            };
            assert_eq!(host.plan(), expected, "{drift:?}");
        }
    };
    check(Drift::Correct, 'a', Action::Fetch(commit('a')));
    check(Drift::Correct, 'b', Action::Fetch(commit('b')));
    check(Drift::Report, 'a', drifted.clone());
    check(Drift::Report, 'b', Action::Fetch(commit('b')));
    check(Drift::Refuse, 'a', drifted.clone());
    check(Drift::Refuse, 'b', drifted);
    // What was kept does not run: somebody picked another generation in the boot menu.
    let mut rescue = Host::new();
    rescue.running = toplevel('y');
    rescue.booted_other = true;
    rescue.next_boot = Some(toplevel('a'));
    rescue.head = Head::At(commit('a'));
    assert_eq!(rescue.plan(), Action::Wait(Reason::BootedOther));
}

#[test]
fn a_system_that_somebody_switched_to_by_hand_is_replaced() {
    check(
        |host| {
            host.head = Head::At(commit('a'));
            host.running = toplevel('c');
            host.ancestry = Ancestry::Descends;
            host.built = Some(toplevel('a'));
            host.baseline = Baseline::Sound;
        },
        Action::Activate(commit('a'), toplevel('a')),
    );
}

#[test]
fn a_rewritten_history_is_refused_once() {
    let mut host = Host::new();
    host.head = Head::At(commit('b'));
    host.ancestry = Ancestry::Rewritten;
    assert_eq!(host.plan(), Action::Refuse(commit('b')));
    host.ledger.refused = Some(commit('b'));
    assert!(matches!(
        host.plan(),
        Action::Wait(Reason::HistoryRewritten { .. })
    ));
}

#[test]
fn what_failed_is_not_tried_again() {
    for built in [false, true] {
        check(
            |host| {
                host.head = Head::At(commit('b'));
                host.ledger.accept(commit('b'));
                host.ledger.reject(rejected('b', built));
                host.built = built.then(|| toplevel('b'));
            },
            Action::Wait(Reason::Quarantined {
                commit: commit('b'),
                why: "broken".into(),
            }),
        );
    }
}

#[test]
fn waits_name_their_reason() {
    check(
        |host| host.ledger = Ledger::default(),
        Action::Wait(Reason::NotAdopted),
    );
    check(
        |host| host.open = Some(deployment(false)),
        Action::Wait(Reason::DeploymentOpen {
            deployment: "1-aaaaaaa".parse().unwrap(),
        }),
    );
    check(
        |host| {
            host.open = Some(deployment(true));
            host.head = Head::At(commit('b'));
        },
        Action::Wait(Reason::Stuck {
            deployment: "1-aaaaaaa".parse().unwrap(),
        }),
    );
    check(|host| host.outcomes_unseen = true, Action::Absorb);
    check(
        |host| {
            host.outcomes_unseen = true;
            host.ledger.damage = Some(Damage {
                file: "ledger.json.damaged-1".into(),
                problem: "was damaged and is set aside".into(),
                newer: false,
            });
        },
        Action::Wait(Reason::StateDamaged {
            file: "ledger.json.damaged-1".into(),
            why: "was damaged and is set aside".into(),
        }),
    );
    check(
        |host| {
            host.ledger.back_off(
                Timestamp::from_second(999).unwrap(),
                "no route",
                Jitter::NONE,
            );
        },
        Action::Wait(Reason::BackingOff {
            until: Timestamp::from_second(1014).unwrap(),
            why: "no route".into(),
        }),
    );
    check(
        |host| {
            host.head = Head::At(commit('a'));
            host.running = toplevel('y');
            host.booted_other = true;
        },
        Action::Wait(Reason::BootedOther),
    );
}

#[test]
fn what_is_known_of_the_head_is_the_reason_to_wait() {
    let built = |host: &mut Host| {
        host.head = Head::At(commit('b'));
        host.ancestry = Ancestry::Descends;
        host.ledger.accept(commit('b'));
        host.built = Some(toplevel('b'));
    };
    check(
        |host| {
            built(host);
            host.baseline = Baseline::Unfit("systemd is stopping".into());
        },
        Action::Wait(Reason::Baseline {
            commit: commit('b'),
            why: "systemd is stopping".into(),
        }),
    );
    check(
        |host| {
            built(host);
            host.ledger.reject(Quarantined {
                needs_reboot: true,
                ..rejected('b', true)
            });
        },
        Action::Wait(Reason::RebootNeeded {
            commit: commit('b'),
            toplevel: toplevel('b'),
            why: rejected('b', true).reason,
        }),
    );
    for (trials, expected) in [
        (2, Action::LookAtBaseline),
        (
            3,
            Action::Wait(Reason::Inconclusive {
                commit: commit('b'),
                why: "no answer".into(),
            }),
        ),
    ] {
        check(
            |host| {
                built(host);
                host.ledger.doubts.push(Doubt {
                    toplevel: toplevel('b'),
                    commit: commit('b'),
                    trials,
                    against: 0,
                    reason: "no answer".into(),
                    awaits: None,
                    asks: Vec::new(),
                });
            },
            expected,
        );
    }
}

#[test]
fn what_is_left_over_is_settled_first() {
    check(
        |host| {
            host.open = Some(OpenDeployment {
                abandoned: true,
                ..deployment(false)
            });
        },
        Action::Recover("1-aaaaaaa".parse().unwrap()),
    );
    check(
        |host| {
            host.ledger.back_off(
                Timestamp::from_second(999).unwrap(),
                "no route",
                Jitter::NONE,
            );
            host.ledger.doubts.push(Doubt {
                toplevel: toplevel('b'),
                commit: commit('b'),
                trials: 1,
                against: 0,
                reason: "no answer".into(),
                awaits: Some((Timestamp::from_second(998).unwrap(), 1)),
                asks: Vec::new(),
            });
        },
        Action::Witness,
    );
}

#[test]
fn a_pass_of_what_is_on_trial_shows_what_it_can_do_and_nothing_else() {
    let unproved = OpenDeployment {
        unproved: true,
        ..deployment(false)
    };
    let id = unproved.deployment.clone();
    check(
        |host| {
            host.open = Some(unproved.clone());
            host.outcomes_unseen = true;
        },
        Action::Prove(id.clone()),
    );
    // Even where the host is not adopted, or its ledger is lost: the operator's own rollback is on trial too.
    check(
        |host| {
            host.open = Some(unproved.clone());
            host.ledger = Ledger::default();
        },
        Action::Prove(id.clone()),
    );
    // Nobody works on it any more: there is no trial.
    check(
        |host| {
            host.open = Some(OpenDeployment {
                abandoned: true,
                ..unproved.clone()
            });
        },
        Action::Recover(id),
    );
}

#[test]
fn a_host_that_is_stuck_is_looked_at_polls_and_reports_and_activates_nothing() {
    let mut host = Host::new();
    host.open = Some(OpenDeployment {
        abandoned: true,
        ..deployment(true)
    });
    assert_eq!(host.plan(), Action::Recover("1-aaaaaaa".parse().unwrap()));
    host.open = Some(deployment(true));
    host.outcomes_unseen = true;
    assert_eq!(host.plan(), Action::Absorb);
    host.outcomes_unseen = false;
    assert_eq!(host.plan(), Action::List);
    host.head = Head::At(commit('b'));
    host.ancestry = Ancestry::Descends;
    host.built = Some(toplevel('b'));
    host.baseline = Baseline::Sound;
    assert!(matches!(host.plan(), Action::Wait(Reason::Stuck { .. })));
}

fn suspension(until: Option<i64>) -> Suspension {
    Suspension {
        version: 1,
        since: Timestamp::UNIX_EPOCH,
        until: until.map(|second| Timestamp::from_second(second).unwrap()),
        why: Some("a freeze".into()),
    }
}

#[test]
fn a_suspended_host_watches_the_branch_and_builds_nothing() {
    let mut host = Host::new();
    host.suspension = Some(suspension(Some(1001)));
    assert_eq!(host.plan(), Action::List);
    host.head = Head::At(commit('b'));
    host.ancestry = Ancestry::Descends;
    assert_eq!(host.plan(), Action::Accept(commit('b')));
    host.ledger.accept(commit('b'));
    let expected = Reason::Suspended {
        until: Some(Timestamp::from_second(1001).unwrap()),
        why: Some("a freeze".into()),
    };
    assert_eq!(host.plan(), Action::Wait(expected.clone()));
    host.built = Some(toplevel('b'));
    assert_eq!(host.plan(), Action::Wait(expected));
    host.suspension = Some(suspension(Some(1000)));
    host.baseline = Baseline::Sound;
    assert_eq!(host.plan(), Action::Activate(commit('b'), toplevel('b')));
}

fn hosts() -> impl Strategy<Value = Host> {
    let letters = || prop::sample::select(vec!['a', 'b', 'c']);
    let heads = prop_oneof![
        Just(Head::Unknown),
        Just(Head::Missing),
        letters().prop_map(|letter| Head::At(commit(letter))),
    ];
    let ancestries = prop::sample::select(vec![
        Ancestry::NotFetched,
        Ancestry::Descends,
        Ancestry::Rewritten,
    ]);
    let opens = prop::option::of(any::<bool>().prop_map(deployment));
    let baselines = prop::sample::select(vec![
        Baseline::Unknown,
        Baseline::Sound,
        Baseline::Unfit("stopping".into()),
        Baseline::PeersOnTrial(vec!["db1".into()]),
    ]);
    let rejections = prop::collection::vec((letters(), any::<bool>()), 0..3);
    let entries = prop_oneof![
        Just(Entry::NotNeeded),
        Just(Entry::Unknown),
        Just(Entry::Missing(Gap::NoEntry)),
        Just(Entry::Found),
        letters().prop_map(|letter| Entry::Older(commit(letter), Gap::NoManifest)),
        Just(Entry::NoneOlder(Gap::NoManifest)),
    ];
    let drifts = prop::sample::select(vec![Drift::Correct, Drift::Report, Drift::Refuse]);
    let thens = prop::sample::select(vec![Then::Wait, Then::Build, Then::Older]);
    (
        (letters(), letters(), letters(), prop::option::of(letters())),
        (heads, ancestries, opens, rejections),
        (any::<bool>(), any::<bool>(), any::<bool>(), 0..2000i64),
        (any::<bool>(), any::<bool>(), drifts, baselines),
        (entries, thens, prop::option::of(0..1000i64)),
    )
        .prop_map(
            |(
                (running, keeps, accepted, built),
                (head, ancestry, open, rejections),
                (adopted, booted_other, outcomes_unseen, until),
                (suspended, persistent, drift, baseline),
                (entry, then, no_entry_since),
            )| {
                let mut ledger = Ledger::default();
                if adopted {
                    ledger.adopt(commit(accepted));
                    ledger.keep(kept(keeps));
                }
                for (letter, built) in rejections {
                    ledger.reject(rejected(letter, built));
                }
                ledger.no_entry_since =
                    no_entry_since.map(|since| Timestamp::from_second(since).unwrap());
                ledger.backoff = Some(Backoff {
                    failures: 1,
                    until: Timestamp::from_second(until).unwrap(),
                    reason: "x".into(),
                    head: None,
                });
                Host {
                    ledger,
                    running: toplevel(running),
                    next_boot: (!persistent).then(|| toplevel('z')),
                    drift,
                    pinned: None,
                    booted_other,
                    suspension: suspended.then(|| suspension(None)),
                    journal_damage: None,
                    open,
                    outcomes_unseen,
                    head,
                    ancestry,
                    entry,
                    without_entry: after_a_minute(then),
                    built: built.map(toplevel),
                    boot_unproven: false,
                    baseline,
                    peers_due: false,
                }
            },
        )
}

proptest! {
    #[test]
    fn activates_only_accepted_descendants_that_are_not_quarantined(host in hosts()) {
        if let Action::Activate(head, toplevel) = host.plan() {
            prop_assert!(host.open.is_none());
            prop_assert!(host.suspension.is_none());
            let older = matches!(&host.entry, Entry::Older(commit, _) if *commit == head);
            prop_assert!(older || host.ledger.accepted.as_ref() == Some(&head));
            prop_assert_eq!(host.ancestry, Ancestry::Descends);
            prop_assert_eq!(host.ledger.quarantined(&head, Some(&toplevel)), None);
            prop_assert!(toplevel != host.running || host.next_boot.is_some());
            prop_assert_eq!(host.baseline, Baseline::Sound);
        }
    }

    #[test]
    fn after_a_success_there_is_nothing_to_do(mut host in hosts()) {
        if let Action::Activate(head, toplevel) | Action::Keep(head, toplevel) = host.plan() {
            host.running = toplevel.clone();
            host.next_boot = None;
            host.ledger.keep(Kept {
                commit: Commit { id: head.to_string(), subject: String::new() },
                toplevel,
                generation: None,
                since: Timestamp::UNIX_EPOCH,
            });
            let now = host.plan();
            let older = matches!(&host.entry, Entry::Older(commit, _) if *commit == head);
            if older && host.head != Head::At(head.clone()) {
                prop_assert!(matches!(now, Action::Wait(_)), "{:?}", now);
            } else {
                prop_assert_eq!(now, Action::Wait(Reason::UpToDate { commit: head }));
            }
        }
    }

    #[test]
    fn nothing_is_asked_of_the_network_while_backing_off(host in hosts()) {
        // Of a wait for one head it is asked whether that still is the head; see below.
        let waiting = host.ledger.backoff.as_ref().unwrap().until > Timestamp::from_second(1000).unwrap();
        if waiting {
            let quiet = matches!(host.plan(), Action::Wait(_) | Action::Absorb);
            prop_assert!(quiet);
        }
    }
}

#[test]
fn a_fix_is_looked_at_while_what_it_mends_is_waited_with() {
    let mut host = Host::new();
    host.ledger.back_off(
        Timestamp::from_second(1000).unwrap(),
        "no space",
        Jitter::of(255),
    );
    host.ledger.back_off_from(Some(commit('b')));
    host.ledger.accepted = Some(commit('a'));
    host.head = Head::Unknown;
    assert_eq!(host.plan(), Action::List);
    host.head = Head::At(commit('b'));
    assert!(matches!(
        host.plan(),
        Action::Wait(Reason::BackingOff { .. })
    ));
    host.head = Head::At(commit('c'));
    host.ancestry = Ancestry::NotFetched;
    assert_eq!(host.plan(), Action::Fetch(commit('c')));
    // Where the branch was not to be had, it is not asked for.
    host.ledger.back_off_from(None);
    host.head = Head::Unknown;
    assert!(matches!(
        host.plan(),
        Action::Wait(Reason::BackingOff { .. })
    ));
}

proptest! {
    #[test]
    fn under_constant_pushes_every_third_build_at_least_comes_to_its_end(
        pushed in proptest::collection::vec(any::<bool>(), 3..60)
    ) {
        let mut ledger = Ledger::default();
        let mut given_up = 0;
        for pushed in pushed {
            if pushed && may_be_overtaken(&ledger) {
                ledger.overtake();
                given_up += 1;
            } else {
                ledger.build(crate::decide::ledger::Built { commit: commit('b'), toplevel: toplevel('b') });
                given_up = 0;
            }
            prop_assert!(given_up <= MAX_OVERTAKEN);
        }
        prop_assert!(ledger.overtaken <= MAX_OVERTAKEN);
    }
}

/// A host with a new commit that it has built, and peers on trial. `held` are the seconds since when
/// it waits for them, until when it does so at most, and before which it does not ask again.
fn beside_peers_on_trial(held: Option<(i64, i64, i64)>, baseline: Baseline) -> Action {
    let mut host = Host::new();
    host.ledger.accept(commit('b'));
    host.head = Head::At(commit('b'));
    host.ancestry = Ancestry::Descends;
    host.built = Some(toplevel('b'));
    host.baseline = baseline;
    let at = |second| Timestamp::from_second(second).unwrap();
    host.ledger.held = held.map(|(since, until, look_again)| Held {
        commit: commit('b'),
        since: at(since),
        until: at(until),
        look_again: at(look_again),
    });
    host.plan()
}

#[test]
fn hosts_that_look_after_each_other_go_one_after_the_other_but_none_waits_for_ever() {
    let on_trial = || Baseline::PeersOnTrial(vec!["db1".into()]);
    let check = |held, baseline, expected| {
        assert_eq!(beside_peers_on_trial(held, baseline), expected, "{held:?}");
    };
    let waits = Action::Wait(Reason::PeersOnTrial {
        commit: commit('b'),
        since: Timestamp::from_second(900).unwrap(),
    });
    let activate = Action::Activate(commit('b'), toplevel('b'));
    // It is the time 1000. The first that it hears of them is noted, and then it waits.
    check(None, on_trial(), Action::Hold(commit('b')));
    check(Some((900, 1200, 1004)), on_trial(), waits.clone());
    // The next pass does not ask before its time,
    check(Some((900, 1200, 1004)), Baseline::Unknown, waits);
    // and then does.
    check(
        Some((900, 1200, 1000)),
        Baseline::Unknown,
        Action::LookAtBaseline,
    );
    check(
        Some((900, 1200, 1000)),
        on_trial(),
        Action::Hold(commit('b')),
    );
    check(Some((900, 1200, 1000)), Baseline::Sound, activate.clone());
    check(Some((900, 1000, 1000)), on_trial(), activate);
}

#[test]
fn peers_are_looked_for_where_nothing_else_is_to_be_done() {
    let mut host = Host::new();
    host.peers_due = true;
    assert_eq!(host.plan(), Action::List);
    host.head = Head::At(commit('a'));
    assert_eq!(host.plan(), Action::SeePeers);
    host.peers_due = false;
    let up_to_date = Action::Wait(Reason::UpToDate {
        commit: commit('a'),
    });
    assert_eq!(host.plan(), up_to_date);
    // Whoever has something to deploy asks them for more than that.
    host.peers_due = true;
    host.ledger.accept(commit('b'));
    host.head = Head::At(commit('b'));
    host.ancestry = Ancestry::Descends;
    host.built = Some(toplevel('b'));
    assert_eq!(host.plan(), Action::LookAtBaseline);
}
