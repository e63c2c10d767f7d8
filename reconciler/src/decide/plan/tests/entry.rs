//! Hosts that fetch what CI has built.

use super::*;

/// A host that keeps `a`, has accepted the head `c`, and has learned this of CI's work on it. The time
/// is 1000 s; it has waited for CI since `since`.
fn check(entry: Entry, then: Then, since: Option<i64>, expected: Action) {
    let mut host = Host::new();
    host.ledger.accept(commit('c'));
    host.head = Head::At(commit('c'));
    host.ancestry = Ancestry::Descends;
    host.entry = entry.clone();
    host.without_entry = after_a_minute(then);
    host.ledger.no_entry_since = since.map(|since| Timestamp::from_second(since).unwrap());
    assert_eq!(host.plan(), expected, "{entry:?} {then:?} {since:?}");
}

fn waits(gap: Gap) -> Action {
    let commit = commit('c');
    Action::Wait(Reason::NoManifest { commit, gap })
}

#[test]
fn what_ci_has_not_built_is_waited_for_and_then_replaced_as_configured() {
    let none = Gap::NoManifest;
    let (head, older) = (commit('c'), commit('b'));
    let missing = || Entry::Missing(none);
    for then in [Then::Wait, Then::Build, Then::Older] {
        let look_up = Action::LookUp(head.clone());
        check(Entry::Unknown, then, Some(0), look_up);
        check(Entry::Found, then, Some(0), Action::Build(head.clone()));
        for gap in [Gap::NoManifest, Gap::NoEntry] {
            check(Entry::Missing(gap), then, None, waits(gap));
            check(Entry::Missing(gap), then, Some(941), waits(gap));
        }
    }
    check(missing(), Then::Wait, Some(940), waits(none));
    check(missing(), Then::Wait, Some(0), waits(none));
    let build = Action::Build(head.clone());
    check(missing(), Then::Build, Some(940), build);
    let look = Action::LookForOlder(head);
    check(missing(), Then::Older, Some(940), look);
    let entry = || Entry::Older(older.clone(), none);
    let build = Action::Build(older.clone());
    check(entry(), Then::Older, Some(940), build);
    let none_older = Entry::NoneOlder(none);
    check(none_older, Then::Older, Some(940), waits(none));
    // What is kept already is not news.
    let kept = Entry::Older(commit('a'), none);
    check(kept, Then::Older, Some(940), waits(none));
}

#[test]
fn an_older_commit_that_failed_is_not_tried_again() {
    let mut host = Host::new();
    host.ledger.accept(commit('c'));
    host.ledger.reject(rejected('b', true));
    host.head = Head::At(commit('c'));
    host.ancestry = Ancestry::Descends;
    host.entry = Entry::Older(commit('b'), Gap::NoManifest);
    assert_eq!(host.plan(), Action::Build(commit('b')));
    host.built = Some(toplevel('b'));
    assert!(matches!(
        host.plan(),
        Action::Wait(Reason::Quarantined { .. })
    ));
}

#[test]
fn a_host_that_is_up_to_date_asks_for_no_manifest() {
    let mut host = Host::new();
    host.entry = Entry::Unknown;
    host.head = Head::At(commit('a'));
    assert!(matches!(host.plan(), Action::Wait(Reason::UpToDate { .. })));
}
