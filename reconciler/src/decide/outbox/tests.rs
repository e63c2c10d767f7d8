use proptest::prelude::*;

use super::*;
use crate::decide::status::Status;

const ALL: Policy = Policy {
    hosts: 3,
    canary: false,
    repeats: true,
};

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_000_000 + seconds).unwrap()
}

fn item(report: &str, commit: &str, word: Word) -> Item {
    Item {
        report: report.to_owned(),
        status: Status {
            commit: commit.to_owned(),
            context: "nixus/web1".to_owned(),
            word,
            description: format!("{word} of {commit}"),
            link: None,
        },
        state: match word {
            Word::Success => "success",
            Word::Failure | Word::Error => "failed",
            Word::Waiting => "pending",
            _ => "running",
        }
        .to_owned(),
    }
}

fn taken() -> Judged {
    judged(Judgement::Taken)
}

fn judged(judgement: Judgement) -> Judged {
    Judged {
        judgement,
        pause: None,
    }
}

fn trouble() -> Judged {
    no_answer(false)
}

fn no_answer(answered: bool) -> Judged {
    let why = "503".to_owned();
    judged(Judgement::Trouble { why, answered })
}

fn limited_until(until: Option<i64>) -> Judged {
    let (until, why) = (until.map(at), "429".to_owned());
    judged(Judgement::Limited { until, why })
}

fn refused(for_good: bool) -> Judged {
    let why = "404 Not Found".to_owned();
    judged(Judgement::Refused { why, for_good })
}

fn settle(outbox: &mut Outbox, item: &Item, judged: Judged, now: i64) {
    outbox.settle(item, judged, ALL, &item.report, at(now), 0.5);
}

fn posts(outbox: &Outbox, waiting: &[Item], policy: Policy, now: i64) -> Option<String> {
    match outbox.next(waiting, policy, at(now)) {
        Next::Post(item) => Some(item.report),
        _ => None,
    }
}

#[test]
fn order_is_kept_and_a_second_is_between_two_requests() {
    let mut outbox = Outbox::default();
    let waiting = [
        item("1", "a", Word::Success),
        item("2", "b", Word::Building),
    ];
    assert_eq!(posts(&outbox, &waiting, ALL, 0).as_deref(), Some("1"));
    settle(&mut outbox, &waiting[0], taken(), 0);
    assert_eq!(outbox.settled.as_deref(), Some("1"));
    assert_eq!(outbox.next(&waiting[1..], ALL, at(0)), Next::Later(at(1)));
    assert_eq!(posts(&outbox, &waiting[1..], ALL, 1).as_deref(), Some("2"));
    settle(&mut outbox, &waiting[1], taken(), 1);
    assert_eq!(outbox.next(&[], ALL, at(2)), Next::Nothing);
}

#[test]
fn only_transitions_are_posted() {
    let mut outbox = Outbox::default();
    let skips = |outbox: &Outbox, item: &Item, policy| {
        let next = outbox.next(std::slice::from_ref(item), policy, at(100));
        next == Next::Skip(item.report.clone())
    };
    settle(&mut outbox, &item("1", "a", Word::Building), taken(), 0);
    let mut again = item("2", "a", Word::Building);
    again.status.description = "building more".into();
    assert!(skips(&outbox, &again, ALL));
    // GitLab refuses a status of the same state.
    let activating = item("3", "a", Word::Activating);
    assert!(!skips(&outbox, &activating, ALL));
    assert!(skips(
        &outbox,
        &activating,
        Policy {
            repeats: false,
            ..ALL
        }
    ));
    // A wait for another reason is news.
    settle(&mut outbox, &item("4", "a", Word::Waiting), taken(), 10);
    let mut other = item("5", "a", Word::Waiting);
    assert!(skips(&outbox, &other, ALL));
    other.status.description = "waiting for db1".into();
    assert!(!skips(&outbox, &other, ALL));
    // But not without end: GitHub takes 1000 for one commit and context.
    outbox.posted[0].count = MOST_POSTED;
    assert!(skips(&outbox, &other, ALL));
    assert!(!skips(&outbox, &item("6", "a", Word::Failure), ALL));
}

#[test]
fn in_a_large_fleet_only_canaries_and_failures_post() {
    let large = |hosts, canary| Policy {
        hosts,
        canary,
        repeats: true,
    };
    let outbox = Outbox::default();
    for word in Word::ALL {
        let one = [item("1", "a", word)];
        let posted = |policy| posts(&outbox, &one, policy, 0).is_some();
        let bad = matches!(word, Word::Failure | Word::Error);
        assert!(posted(large(250, false)), "{word}");
        assert_eq!(posted(large(251, false)), bad, "{word}");
        assert!(posted(large(251, true)), "{word}");
    }
    // What was said is corrected.
    let mut outbox = Outbox::default();
    settle(&mut outbox, &item("1", "a", Word::Failure), taken(), 0);
    let corrected = [item("2", "a", Word::Success)];
    assert!(posts(&outbox, &corrected, large(10_000, false), 10).is_some());
}

#[test]
fn a_time_that_the_forge_named_is_kept_whatever_comes() {
    let mut outbox = Outbox::default();
    let first = item("1", "a", Word::Building);
    settle(&mut outbox, &first, limited_until(Some(600)), 0);
    let wait = outbox.wait.clone().unwrap();
    assert!(
        wait.until > at(600) && wait.until < at(600 + 60),
        "{wait:?}"
    );
    let waiting = [first, item("2", "b", Word::Failure)];
    assert_eq!(outbox.next(&waiting, ALL, at(599)), Next::Later(wait.until));
    // Where none is named, a minute at least, and longer each time.
    let mut outbox = Outbox::default();
    let mut before = 0;
    for _ in 0..5 {
        let now = before;
        settle(&mut outbox, &waiting[0], limited_until(None), now);
        let until = outbox.wait.as_ref().unwrap().until;
        let waited = until.as_second() - at(now).as_second();
        assert!(waited >= 60 && waited > before / 4, "{waited}");
        before = now + waited;
    }
    // A pause that is named with the last request that was allowed.
    let mut outbox = Outbox::default();
    let judged = Judged {
        judgement: Judgement::Taken,
        pause: Some(at(900)),
    };
    settle(&mut outbox, &waiting[0], judged, 0);
    assert_eq!(outbox.settled.as_deref(), Some("1"));
    assert_eq!(posts(&outbox, &waiting[1..], ALL, 900), None);
    assert!(posts(&outbox, &waiting[1..], ALL, 961).is_some());
}

#[test]
fn a_forge_in_trouble_is_asked_ever_more_seldom_but_for_news_of_an_end() {
    let mut outbox = Outbox::default();
    let first = item("1", "a", Word::Activating);
    let mut now = 0;
    let mut waits = Vec::new();
    for _ in 0..12 {
        settle(&mut outbox, &first, trouble(), now);
        let wait = outbox.wait.clone().unwrap();
        waits.push(wait.until.as_second() - at(now).as_second());
        now = wait.until.as_second() - at(0).as_second();
    }
    assert_eq!(waits[..3], [5, 10, 20]);
    assert_eq!(waits[11], TROUBLE_LONGEST);
    // The same report waits; how the deployment ended does not.
    settle(&mut outbox, &first, trouble(), now);
    assert_eq!(posts(&outbox, &[first], ALL, now + 5), None);
    let ended = [item("2", "a", Word::Failure)];
    assert!(posts(&outbox, &ended, ALL, now + 5).is_some());
    settle(&mut outbox, &ended[0], trouble(), now + 5);
    assert_eq!(posts(&outbox, &ended, ALL, now + 10), None);
}

#[test]
fn what_is_refused_is_tried_a_few_times_and_holds_up_nothing_else() {
    let mut outbox = Outbox::default();
    let first = item("1", "a", Word::Success);
    let mut now = 0;
    settle(&mut outbox, &first, refused(false), now);
    assert_eq!(outbox.settled.as_deref(), Some("1"));
    let other = [item("2", "b", Word::Success)];
    assert!(posts(&outbox, &other, ALL, 2).is_some());
    let mut tries = 1;
    while let Some(held) = outbox.held.first().cloned() {
        now = held.until.as_second() - at(0).as_second();
        assert_eq!(posts(&outbox, &[], ALL, now - 1), None);
        assert_eq!(posts(&outbox, &[], ALL, now).as_deref(), Some("1"));
        settle(&mut outbox, &held.item, refused(false), now);
        tries += 1;
        assert!(tries < 20, "never given up");
    }
    assert_eq!(tries, 1 + REFUSED.len());
    assert_eq!(outbox.given_up.len(), 1);
    assert_eq!(outbox.given_up[0].why, "404 Not Found");
    assert_eq!(outbox.next(&[], ALL, at(now + 10_000_000)), Next::Nothing);
    // What will never be taken is given up at once.
    settle(
        &mut outbox,
        &item("3", "c", Word::Success),
        refused(true),
        now,
    );
    assert_eq!((outbox.held.len(), outbox.given_up.len()), (0, 2));
}

#[test]
fn a_status_that_a_forge_fails_at_holds_up_nothing_else_and_is_not_lost() {
    let mut outbox = Outbox::default();
    let gone = item("1", "gone", Word::Success);
    let mut now = 0;
    while outbox.settled.is_none() {
        settle(&mut outbox, &gone, no_answer(true), now);
        now += 1000;
        assert!(now < 20_000, "the queue stands still");
    }
    assert!(outbox.held[0].failed);
    let other = item("2", "b", Word::Success);
    assert!(posts(&outbox, std::slice::from_ref(&other), ALL, now).is_some());
    settle(&mut outbox, &other, taken(), now);
    // The forge is well again: no day is waited for.
    assert!(posts(&outbox, &[], ALL, now + TROUBLE_LONGEST).is_some());
    // It ends all the same.
    let mut tries = 0;
    while let Some(held) = outbox.held.first().cloned() {
        now = held.until.as_second() - at(0).as_second() + 1000;
        settle(&mut outbox, &held.item, no_answer(true), now);
        tries += 1;
        assert!(tries < 100);
    }
    assert_eq!(outbox.given_up[0].commit, "gone");
    // One that is not reached at all loses nothing, however long.
    let mut outbox = Outbox::default();
    for now in 0..1000 {
        settle(&mut outbox, &other, trouble(), now * 1000);
    }
    assert_eq!((outbox.settled, outbox.held.len()), (None, 0));
}

#[test]
fn a_newer_report_takes_the_place_of_one_that_was_refused() {
    let mut outbox = Outbox::default();
    settle(
        &mut outbox,
        &item("1", "a", Word::Building),
        refused(false),
        0,
    );
    let newer = item("2", "a", Word::Success);
    assert!(posts(&outbox, std::slice::from_ref(&newer), ALL, 5).is_some());
    settle(&mut outbox, &newer, taken(), 5);
    assert!(outbox.held.is_empty());
    assert_eq!(outbox.settled.as_deref(), Some("2"));
    assert_eq!(outbox.posted("a").unwrap().word, Word::Success);
}

fn any_judged() -> impl Strategy<Value = Judged> {
    prop_oneof![
        Just(taken()),
        Just(trouble()),
        Just(no_answer(true)),
        Just(refused(false)),
        Just(refused(true)),
        Just(limited_until(None)),
    ]
}

proptest! {
    /// Whatever a forge answers, everything is settled in the end, in bounded space, and a forge
    /// that has answered well at last has the newest status of every commit.
    #[test]
    fn every_report_is_settled(
        answers in proptest::collection::vec((any_judged(), 0.0_f64..1.0), 0..60),
        commits in proptest::collection::vec(0_usize..5, 1..12),
    ) {
        let words = [Word::Building, Word::Activating, Word::Success, Word::Failure];
        let items: Vec<Item> = commits.iter().enumerate().map(|(index, commit)| {
            item(&format!("{index:03}"), &commit.to_string(), words[index % 4])
        }).collect();
        let mut outbox = Outbox::default();
        let mut answers = answers.into_iter();
        let (mut now, mut steps) = (at(0), 0);
        loop {
            let settled = outbox.settled.clone().unwrap_or_default();
            let mut waiting: Vec<Item> = Vec::new();
            for one in items.iter().filter(|one| one.report > settled) {
                waiting.retain(|other| other.status.commit != one.status.commit);
                waiting.push(one.clone());
            }
            match outbox.next(&waiting, ALL, now) {
                Next::Nothing => break,
                Next::Skip(report) => outbox.skip(report),
                Next::Later(time) => {
                    prop_assert!(time > now);
                    now = time;
                }
                Next::Post(item) => {
                    let (judged, chance) = answers.next().unwrap_or((taken(), 0.0));
                    let newest = waiting.last().map_or("", |one| &one.report).to_owned();
                    outbox.settle(&item, judged, ALL, &newest, now, chance);
                }
            }
            steps += 1;
            prop_assert!(steps < 1000);
        }
        prop_assert_eq!(outbox.settled.as_ref(), items.last().map(|one| &one.report));
        prop_assert!(outbox.held.is_empty());
        let text = serde_json::to_string(&outbox).unwrap();
        prop_assert_eq!(serde_json::from_str::<Outbox>(&text).unwrap(), outbox);
    }
}
