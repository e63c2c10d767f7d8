//! `lab bench reports`: a fleet's statuses against GitHub's limits, in virtual time.
//!
//! Only the clock and the forge are made up. What is posted, when, and what an answer means is
//! decided by the very functions that decide on a host.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use anyhow::{Result, ensure};
use jiff::{SignedDuration, Timestamp};
use nixus::config::forge::Kind;
use nixus::config::statuses::Policy;
use nixus::decide::outbox::judgement::{Judged, Judgement};
use nixus::decide::outbox::{ALL_POST, Item, Next, Outbox};
use nixus::decide::status::{Status, Word, context};
use nixus::report::forge::answer::judge;

use self::github::GitHub;
use super::figures::{Figure, Table};

mod github;

/// The one commit that is deployed.
const COMMIT: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
/// The pause between two passes of a host: each notices the commit within it.
const POLL: f64 = 15.0 * 60.0;
/// No fleet is looked at for longer than this.
const END: i64 = 60 * 24 * 3600;
/// The runs of each story, with different chance.
const RUNS: u64 = 3;

/// A fleet, and how it fares with the commit.
#[derive(Debug, Clone, Copy)]
struct Story {
    name: &'static str,
    hosts: u32,
    canaries: u32,
    /// The share of hosts that go back.
    failing: f64,
    /// From when until when the forge does not answer, in seconds.
    outage: Option<(i64, i64)>,
}

const STORIES: [Story; 5] = [
    Story {
        name: "250 hosts, which all post",
        hosts: 250,
        canaries: 0,
        failing: 0.02,
        outage: None,
    },
    Story {
        name: "10,000 hosts, 10 canaries, 1 in 100 goes back",
        hosts: 10_000,
        canaries: 10,
        failing: 0.01,
        outage: None,
    },
    Story {
        name: "the same, and the forge does not answer for an hour",
        hosts: 10_000,
        canaries: 10,
        failing: 0.01,
        outage: Some((300, 3900)),
    },
    Story {
        name: "10,000 hosts, and every one goes back",
        hosts: 10_000,
        canaries: 10,
        failing: 1.0,
        outage: None,
    },
    Story {
        name: "10,000 canaries, so that all post everything",
        hosts: 10_000,
        canaries: 10_000,
        failing: 0.01,
        outage: None,
    },
];

/// What came of it.
#[derive(Debug, Default, Clone, PartialEq)]
struct Told {
    /// Reports that are to be posted, and were not.
    lost: u32,
    /// Statuses of hosts that are to post none.
    surplus: u32,
    /// Requests before the time that the forge named to this host.
    early: u32,
    /// When the last report stood on the commit, in seconds.
    last: f64,
    /// All requests.
    requests: u32,
    /// Those that the forge refused for its limits.
    limited: u32,
    /// Those that came to nothing, as the forge did not answer.
    unanswered: u32,
    /// Hosts that posted.
    posting: u32,
}

struct Host {
    outbox: Outbox,
    policy: Policy,
    /// What it reports, and from when on.
    reports: Vec<(i64, Item)>,
    /// The forge wants nothing from it before.
    named: i64,
}

impl Host {
    /// The newest report of the commit that there is by now and that is not settled.
    fn waiting(&self, now: i64) -> Vec<Item> {
        let made = self.reports.iter().filter(|(time, _)| *time <= now);
        let newest = made.map(|(_, item)| item).next_back();
        let settled = self.outbox.settled.as_deref().unwrap_or("");
        newest
            .filter(|item| item.report.as_str() > settled)
            .cloned()
            .into_iter()
            .collect()
    }

    fn last(&self) -> Option<&Item> {
        self.reports.last().map(|(_, item)| item)
    }

    fn next_report(&self, now: i64) -> Option<i64> {
        let later = self.reports.iter().map(|(time, _)| *time);
        later.filter(|time| *time > now).min()
    }
}

/// Plays a story to its end.
fn play(story: &Story, seed: u64) -> Result<Told> {
    let mut chance = fastrand::Rng::with_seed(seed);
    let mut hosts: Vec<Host> = (0..story.hosts)
        .map(|number| host(story, number, &mut chance))
        .collect();
    let mut forge = GitHub::default();
    let mut told = Told::default();
    let mut wakes: BinaryHeap<Reverse<(i64, usize)>> = BinaryHeap::new();
    for (number, host) in hosts.iter().enumerate() {
        wakes.extend(host.next_report(-1).map(|time| Reverse((time, number))));
    }
    while let Some(Reverse((now, number))) = wakes.pop() {
        ensure!(now < END, "{}: no end", story.name);
        let host = &mut hosts[number];
        // One wake for each host: whatever comes first.
        let until = step(host, now, story, &mut forge, &mut told, &mut chance);
        let next = [until, host.next_report(now)].into_iter().flatten().min();
        wakes.extend(next.map(|time| Reverse((time, number))));
    }
    for (number, host) in hosts.iter().enumerate() {
        let (Some(last), key) = (host.last(), context(&name(number))) else {
            continue;
        };
        let posts = story.hosts <= ALL_POST
            || host.policy.canary
            || matches!(last.status.word, Word::Failure | Word::Error);
        let on_page = forge.on_page.get(&key);
        told.posting += u32::from(on_page.is_some());
        told.lost += u32::from(posts && on_page != Some(&last.status.description));
        told.surplus += u32::from(!posts && on_page.is_some());
    }
    Ok(told)
}

fn name(number: usize) -> String {
    format!("web{number}")
}

fn host(story: &Story, number: u32, chance: &mut fastrand::Rng) -> Host {
    let whole = |seconds: f64| seconds as i64;
    let fails = chance.f64() < story.failing;
    let seen = whole(chance.f64() * POLL);
    let built = seen + whole(chance.f64().mul_add(60.0, 5.0));
    let end = built + whole(chance.f64().mul_add(90.0, 20.0));
    let words = [
        (seen, Word::Building),
        (built, Word::Activating),
        (end, if fails { Word::Failure } else { Word::Success }),
    ];
    let reports = words.into_iter().zip(1..).map(|((time, word), index)| {
        let item = Item {
            report: format!("{index}"),
            status: Status {
                commit: COMMIT.to_owned(),
                context: context(&format!("web{number}")),
                word,
                description: format!("{word} of web{number}"),
                link: None,
            },
            state: Kind::GitHub.forge().state(word).to_owned(),
        };
        (time, item)
    });
    Host {
        outbox: Outbox::default(),
        policy: Policy {
            hosts: story.hosts,
            canary: number < story.canaries,
            repeats: true,
        },
        reports: reports.collect(),
        named: 0,
    }
}

/// What a host does now; gives when it wants to be woken.
fn step(
    host: &mut Host,
    now: i64,
    story: &Story,
    forge: &mut GitHub,
    told: &mut Told,
    chance: &mut fastrand::Rng,
) -> Option<i64> {
    loop {
        let waiting = host.waiting(now);
        let item = match host.outbox.next(&waiting, host.policy, at(now)) {
            Next::Nothing => return None,
            Next::Later(time) => return Some(seconds(time).max(now + 1)),
            Next::Skip(report) => {
                host.outbox.skip(report);
                continue;
            }
            Next::Post(item) => item,
        };
        told.requests += 1;
        told.early += u32::from(now < host.named);
        let down = story
            .outage
            .is_some_and(|(from, to)| (from..to).contains(&now));
        told.unanswered += u32::from(down);
        let judged = if down {
            Judged {
                judgement: Judgement::Trouble {
                    why: "no answer".to_owned(),
                    answered: false,
                },
                pause: None,
            }
        } else {
            let (answer, named) = forge.answer(&item.status, now);
            host.named = host.named.max(named);
            judge(Kind::GitHub.forge(), &answer, Some(&item.status), at(now))
        };
        match judged.judgement {
            Judgement::Taken => told.last = told.last.max(now as f64),
            Judgement::Limited { .. } => told.limited += 1,
            _ => {}
        }
        let newest = waiting.last().map_or("", |item| item.report.as_str());
        let policy = host.policy;
        host.outbox
            .settle(&item, judged, policy, newest, at(now), chance.f64());
    }
}

fn at(seconds: i64) -> Timestamp {
    let begin = Timestamp::UNIX_EPOCH;
    begin
        .checked_add(SignedDuration::from_secs(github::BEGIN + seconds))
        .unwrap_or(begin)
}

fn seconds(time: Timestamp) -> i64 {
    let exact = time.as_second() - github::BEGIN;
    // A part of a second is not before its end.
    exact + i64::from(time.subsec_nanosecond() > 0)
}

/// Plays all stories and tells what came of them.
pub fn reports() -> Result<Vec<Table>> {
    STORIES.iter().map(table).collect()
}

fn table(story: &Story) -> Result<Table> {
    let told: Vec<Told> = (0..RUNS)
        .map(|seed| play(story, seed))
        .collect::<Result<_>>()?;
    let figure = |what: &str, unit, value: fn(&Told) -> f64| {
        let values: Vec<f64> = told.iter().map(value).collect();
        Figure::of(what, unit, &values)
    };
    Ok(Table {
        title: format!("{} ({RUNS} runs in virtual time)", story.name),
        figures: vec![
            figure("reports lost", "", |told| f64::from(told.lost)).at_most(0.0),
            figure("statuses of hosts that post none", "", |told| f64::from(told.surplus))
                .at_most(0.0),
            figure("requests before the time named", "", |told| f64::from(told.early))
                .at_most(0.0),
            figure("hosts that posted", "", |told| f64::from(told.posting)),
            figure("requests", "", |told| f64::from(told.requests)),
            figure("of them not answered", "", |told| f64::from(told.unanswered)),
            figure("of them refused for the limits", "", |told| f64::from(told.limited)),
            figure("until the last report", "min", |told| told.last / 60.0),
        ],
        notes: vec![
            "GitHub's limits for one token: 5,000 requests an hour, 900 points and 80 contents a minute, 500 contents an hour, 100 at once.".to_owned(),
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_hosts_lose_no_report_and_ask_never_too_early() {
        for story in &STORIES {
            let told = play(story, 7).unwrap();
            assert_eq!(
                (told.lost, told.surplus, told.early),
                (0, 0, 0),
                "{story:?}: {told:?}"
            );
            // Most requests are not in vain, however many hosts want the same.
            println!("{}: {told:?}", story.name);
            let most = if told.posting < 1000 { 2 } else { 6 };
            let answered = told.requests - told.unanswered;
            assert!(
                answered <= most * 3 * told.posting.max(100),
                "{story:?}: {told:?}"
            );
            // An hour without an answer: 5 s first, twice as long each time, a quarter of an hour at most.
            assert!(told.unanswered <= 16 * told.posting, "{story:?}: {told:?}");
        }
    }

    /// The forge of this test is not a pushover: a host that does not wait is refused, and seen.
    #[test]
    fn the_limits_bite() {
        let mut forge = GitHub::default();
        let status = |number: u32| Status {
            commit: COMMIT.to_owned(),
            context: context(&format!("web{number}")),
            word: Word::Success,
            description: "success".to_owned(),
            link: None,
        };
        let mut refused = Vec::new();
        for number in 0..100 {
            let (answer, named) = forge.answer(&status(number), i64::from(number) / 4);
            if answer.status == 403 {
                refused.push((number, named));
            }
        }
        let (first, named) = refused[0];
        assert_eq!((first, refused.len()), (80, 20));
        assert!(named > 20);
    }
}
