use jiff::Timestamp;
use nixus_switcher::protocol::{Commit, newest_version};
use proptest::prelude::*;

use super::*;

fn report(state: State, text: &str) -> Report {
    Report {
        version: newest_version(),
        host: "web1".into(),
        commit: Commit {
            id: "3f2c1a0".repeat(6)[..40].to_owned(),
            subject: "open port 8080".into(),
        },
        state,
        text: text.into(),
        generation: None,
        toplevel: None,
        deployment: Some("3-3f2c1a0".parse().unwrap()),
        time: Timestamp::UNIX_EPOCH,
        sequence: 7,
        noticed: Vec::new(),
        pulse: None,
        verified: false,
    }
}

#[test]
fn each_transition_has_its_word_and_its_text() {
    let long = format!(
        "Failed to activate new system! Rolled back to generation 17: {} unreachable",
        "repository: cannot list ssh://git@git.example/deploy.git ".repeat(3)
    );
    let short = format!("failure {}…{}", &long[..66], &long[long.len() - 65..]);
    let table = [
        (
            State::Waiting,
            false,
            "commit 3f2c1a0 \"open port 8080\": suspended: moving disks",
            "waiting suspended: moving disks",
        ),
        (
            State::Building,
            false,
            "commit 3f2c1a0 \"open port 8080\": building",
            "building",
        ),
        (
            State::Activating,
            false,
            "commit 3f2c1a0 \"open port 8080\": activating, confirmation due within 60 s",
            "activating confirmation due within 60 s",
        ),
        (
            State::Activating,
            true,
            "commit 3f2c1a0 \"open port 8080\": activating, confirmation due within 60 s",
            "verifying confirmation due within 60 s",
        ),
        (
            State::Success,
            false,
            "Successfully activated new system! (generation 43, 14 s)",
            "success Successfully activated new system! (generation 43, 14 s)",
        ),
        (State::Failure, false, long.as_str(), short.as_str()),
        (
            State::Error,
            false,
            "commit 3f2c1a0 \"open port 8080\": not built: no such header",
            "error not built: no such header",
        ),
        (State::Error, false, "two\nlines\u{7}", "error two lines"),
    ];
    for (state, on_trial, text, description) in table {
        let report = report(state, text);
        let status = Status::of(&report, Word::of(&report, on_trial), None, None);
        assert_eq!(status.description, description);
        assert_eq!(status.context, "nixus/web1");
        assert!(status.description.chars().count() <= LONGEST);
    }
    let verified = Report {
        verified: true,
        ..report(State::Activating, "verified by db1: ssh host key ok")
    };
    assert_eq!(Word::of(&verified, false), Word::Verifying);
}

#[test]
fn a_link_names_what_it_is_about() {
    let report = report(State::Success, "done");
    let link = Some("https://logs.example/{host}/{commit}?d={deployment}");
    let status = Status::of(&report, Word::Success, link, None);
    assert_eq!(
        status.link.unwrap(),
        format!("https://logs.example/web1/{}?d=3-3f2c1a0", report.commit.id)
    );
}

#[test]
fn what_is_not_ours_is_not_understood() {
    for text in ["", "Build passed", "successful", " success"] {
        assert_eq!(read(text), None, "{text:?}");
    }
    let unsealed = read("failure ends in #12 tooshort").unwrap();
    assert_eq!(unsealed.seal, None);
    assert_eq!(unsealed.text, "ends in #12 tooshort");
}

proptest! {
    #[test]
    fn what_is_said_is_read_again_within_the_limit(
        text in "\\PC{0,400}",
        index in 0..Word::ALL.len(),
        sequence: u64,
        sealed: bool,
    ) {
        let word = Word::ALL[index];
        let report = report(word.state(), &text);
        let seal = sealed.then(|| Seal { sequence, signature: "A-_z".repeat(22)[..86].to_owned() });
        let status = Status::of(&report, word, None, seal.as_ref());
        prop_assert!(status.description.chars().count() <= LONGEST);
        let back = read(&status.description).unwrap();
        prop_assert_eq!(back.word, word);
        if sealed {
            prop_assert_eq!(back.seal, seal);
        }
    }

    #[test]
    fn shortening_keeps_both_ends_and_whole_characters(text in "\\PC{0,60}", most in 0_usize..50) {
        let short = shorten(&text, most);
        prop_assert!(short.chars().count() <= most);
        if text.chars().count() > most && most >= 3 {
            let (head, tail) = short.split_once('…').unwrap();
            let _ = tail;
            prop_assert!(text.starts_with(head));
        }
    }
}
