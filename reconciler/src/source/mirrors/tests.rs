use super::super::tests::{Place, mirror};
use super::*;
use crate::host::process::in_words;
use crate::host::testing::run;

/// A first URL that has `one`, a mirror that has `two` as well, and a host that has seen `one`.
fn ahead() -> (Place, Source, CommitId, CommitId) {
    let place = Place::new();
    let one = place.commit("main", "one", None);
    let two = place.commit("main", "two", Some(&one));
    let ahead = mirror(&place, "ahead.git", &two);
    place.reset("main", &one);
    let mut source = place.source("main");
    run(source.fetch()).unwrap();
    source.remotes.push(ahead);
    (place, source, one, two)
}

fn dead(remote: &Remote) -> Remote {
    Remote {
        url: "file:///no/such/deploy.git".into(),
        ..remote.clone()
    }
}

#[test]
fn what_a_mirror_alone_has_does_not_count_while_the_first_url_answers() {
    let (_place, source, one, _) = ahead();
    for mirrors_count in [false, true] {
        let source = Source::believing(
            Source::new(source.remotes.clone(), "main".into(), source.local.clone()),
            mirrors_count,
            None,
        );
        assert_eq!(run(source.list()).unwrap(), Head::At(one.clone()));
        assert!(source.is_of_the_first());
        assert_eq!(run(source.fetch()).unwrap(), one);
        assert!(!source.pass_over() || mirrors_count);
    }
}

#[test]
fn what_a_mirror_alone_has_counts_once_the_first_url_is_silent_for_long_enough() {
    let (place, mut source, one, two) = ahead();
    source.remotes[0] = dead(&source.remotes[0]);
    let error = run(source.list()).unwrap_err();
    let words = in_words(&error);
    assert!(
        matches!(&error, SourceError::Unconfirmed { commit, .. } if *commit == two),
        "{words}"
    );
    assert!(
        words.contains(
            "does not count while file:///no/such/deploy.git has not said so: cannot list"
        ),
        "{words}"
    );
    assert!(run(source.fetch()).is_err());
    // Nothing of it stays behind.
    assert_eq!(source.fetched(), Some(one.clone()));

    let source = source.believing(true, None);
    assert_eq!(run(source.list()).unwrap(), Head::At(two.clone()));
    assert!(!source.is_of_the_first());
    assert_eq!(run(source.fetch()).unwrap(), two);
    assert!(!source.is_of_the_first());
    drop(place);
}

#[test]
fn what_the_first_url_has_said_may_come_from_a_mirror() {
    let place = Place::new();
    let one = place.commit("main", "one", None);
    let mut source = place.source("main");
    run(source.fetch()).unwrap();
    source.remotes.push(mirror(&place, "same.git", &one));
    source.remotes[0] = dead(&source.remotes[0]);
    assert_eq!(run(source.list()).unwrap(), Head::At(one.clone()));
    assert_eq!(run(source.fetch()).unwrap(), one);
    assert!(!source.is_of_the_first());
}

#[test]
fn a_head_that_is_refused_hides_no_better_one() {
    let place = Place::new();
    let one = place.commit("main", "one", None);
    let good = place.commit("main", "good", Some(&one));
    let good_mirror = mirror(&place, "good.git", &good);
    let bogus = place.commit("main", "bogus", None);
    let bogus_mirror = mirror(&place, "bogus.git", &bogus);
    let source = place.source("main");
    run(source.fetch()).unwrap();
    let first = source.remotes[0].clone();
    let asks = |remotes: Vec<Remote>, refused: Option<&CommitId>| {
        let source = Source::new(remotes, "main".into(), source.local.clone());
        source.believing(true, refused.cloned())
    };
    // The first URL was rewritten, and refused: for ever, in an earlier pass.
    let rewritten = asks(vec![first.clone(), good_mirror.clone()], Some(&bogus));
    assert_eq!(run(rewritten.list()).unwrap(), Head::At(good.clone()));
    assert!(!rewritten.is_of_the_first());
    // A mirror has something bogus, which nobody has refused yet: the next one is asked, and there is an end to it.
    let silent = dead(&first);
    let quick = asks(
        vec![silent.clone(), bogus_mirror.clone(), good_mirror.clone()],
        None,
    );
    let mut found = vec![];
    for _ in 0..3 {
        let Ok(Head::At(head)) = run(quick.list()) else {
            break;
        };
        found.push(head.clone());
        if head == good || !quick.pass_over() {
            break;
        }
    }
    assert_eq!(found.last(), Some(&good), "{found:?}");
    // In the next pass it is known.
    let quick = asks(
        vec![silent.clone(), bogus_mirror.clone(), good_mirror],
        Some(&bogus),
    );
    assert_eq!(run(quick.list()).unwrap(), Head::At(good));
    // Where there is nothing else, it is told.
    let alone = asks(vec![silent, bogus_mirror], Some(&bogus));
    assert_eq!(run(alone.list()).unwrap(), Head::At(bogus));
}

#[test]
fn a_trial_takes_what_this_host_has_accepted_from_anywhere_and_nothing_else_from_a_mirror() {
    let (place, mut source, one, two) = ahead();
    let same = mirror(&place, "same.git", &one);
    let ahead = source.remotes[1].clone();
    let first = source.remotes[0].clone();
    // The first URL or the one that is the same, never the one that has more.
    source.remotes = vec![first.clone(), ahead.clone(), same.clone()];
    let source = source.any_will_do();
    assert_eq!(run(source.list()).unwrap(), Head::At(one.clone()));
    let remotes = vec![dead(&first), ahead.clone(), same];
    let source = Source::new(remotes, "main".into(), source.local.clone()).any_will_do();
    assert_eq!(run(source.list()).unwrap(), Head::At(one.clone()));
    assert_eq!(run(source.fetch()).unwrap(), one);
    // Where there is nothing else, it is known that it is a mirror's.
    let remotes = vec![dead(&first), ahead];
    let source = Source::new(remotes, "main".into(), source.local.clone()).any_will_do();
    assert_eq!(run(source.list()).unwrap(), Head::At(two));
    assert!(!source.is_of_the_first());
}
