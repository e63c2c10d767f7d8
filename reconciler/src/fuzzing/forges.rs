//! What forges, reports and signatures say.

use jiff::Timestamp;
use nixus_switcher::fuzzing::{round_trip, text, two};
use nixus_switcher::holds;
use nixus_switcher::printable::is_printable;

use super::{Target, target};
use crate::config::forge::Kind;
use crate::config::is_host_name;
use crate::decide::report::Report;
use crate::decide::status::{self, Word};
use crate::host::public_key::PublicKey;
use crate::report::fleet;
use crate::report::fleet::HostKeys;
use crate::report::forge::answer::{Answer, judge};
use crate::report::forge::{Given, Listed};
use crate::report::repository;
use crate::report::signature::{Signed, Statement};

pub(super) const TARGETS: &[Target] = &[
    target("forge-answer", answer),
    target("forge-statuses", statuses),
    target("forge-commits", commits),
    target("status", description),
    target("seal", seal),
    target("report", report),
    target("known-hosts", known_hosts),
];

/// The number in the first byte, headers up to a NUL, and the body.
fn answer(bytes: &[u8]) -> Result<(), String> {
    let Some((number, rest)) = bytes.split_first() else {
        return Ok(());
    };
    let (headers, body) = two(rest);
    let headers = headers.lines().filter_map(|line| line.split_once(": "));
    let answer = Answer {
        status: 200 + 2 * u16::from(*number),
        headers: headers
            .map(|(key, value)| (key.to_lowercase(), value.to_owned()))
            .collect(),
        body: body.into_bytes(),
    };
    let now = Timestamp::UNIX_EPOCH;
    for kind in Kind::ALL {
        let _ = judge(kind.forge(), &answer, None, now);
    }
    let words = answer.words();
    holds!(words.len() < 4096, "{} bytes of words", words.len());
    holds!(
        words.chars().all(is_printable),
        "{words:?} is not printable"
    );
    Ok(())
}

fn statuses(bytes: &[u8]) -> Result<(), String> {
    let commit = Listed {
        id: "1".repeat(40),
        subject: String::new(),
    };
    for kind in Kind::ALL {
        let given = kind.forge().read_statuses(bytes).unwrap_or_default();
        for (host, told) in given
            .iter()
            .filter_map(|one| fleet::told(one, &commit, &HostKeys::default()))
        {
            holds!(is_host_name(host), "{host:?} is taken for a host");
            holds!(told.signed != Some(true), "it is signed by nobody");
        }
    }
    Ok(())
}

fn commits(bytes: &[u8]) -> Result<(), String> {
    for kind in Kind::ALL {
        let _ = kind.forge().read_commits(bytes);
    }
    Ok(())
}

fn description(bytes: &[u8]) -> Result<(), String> {
    let text = text(bytes);
    if let Some(host) = status::host_of(&text) {
        holds!(
            status::context(host) == text,
            "{host:?} has another context"
        );
    }
    if let Some(read) = status::read(&text) {
        holds!(text.contains(&read.text), "{:?} is not in it", read.text);
        if let Some(seal) = read.seal {
            holds!(
                text.ends_with(&seal.signature),
                "the signature is not in it"
            );
        }
    }
    for most in [0, 1, 2, 7, 140] {
        let short = status::shorten(&text, most);
        holds!(
            short.chars().count() <= most,
            "{short:?} is longer than {most}"
        );
    }
    Ok(())
}

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFucuLfGiPO6o/7MVYEssN4oJf97OdPxncH39NUnrhLE alice";

/// A signature, NUL, and the words that it is to stand for: nothing that is made up is believed.
fn seal(bytes: &[u8]) -> Result<(), String> {
    let (signature, words) = two(bytes);
    let key: PublicKey = KEY.parse()?;
    let said = Statement {
        host: "web1",
        commit: "3f2c1a0",
        outcome: Word::Success,
        sequence: 7,
        words: &words,
    };
    holds!(
        said.signed(&signature, &[key]) == Signed::Not,
        "it is believed"
    );
    Ok(())
}

fn report(bytes: &[u8]) -> Result<(), String> {
    round_trip::<Report>(bytes)?;
    let Some(read) = repository::understand(bytes, "web1") else {
        return Ok(());
    };
    holds!(read.host == "web1", "it speaks for {:?}", read.host);
    let shown = |letter: char| is_printable(letter) || matches!(letter, '\n' | '\t');
    holds!(
        read.text.chars().all(shown),
        "{:?} is not printable",
        read.text
    );
    holds!(
        read.commit.subject.chars().all(is_printable),
        "its subject is not printable"
    );
    holds!(
        read.noticed.iter().all(|one| is_host_name(&one.host)),
        "it notices no host"
    );
    Ok(())
}

/// A key that is revoked for a name is not believed, wherever that stands in the file.
fn known_hosts(bytes: &[u8]) -> Result<(), String> {
    let text = text(bytes);
    let _ = HostKeys::parse(&text);
    for file in [
        format!("{text}\n@revoked * {KEY}\n"),
        format!("@revoked * {KEY}\n{text}"),
    ] {
        let keys = HostKeys::parse(&format!("{file}\nweb1 {KEY}\n"));
        let given = Given {
            context: status::context("web1"),
            description: format!("success x #7 {}", "A".repeat(86)),
            time: String::new(),
        };
        let commit = Listed {
            id: "1".repeat(40),
            subject: String::new(),
        };
        if let Some((_, told)) = fleet::told(&given, &commit, &keys) {
            holds!(told.signed != Some(true), "a revoked key has signed");
        }
    }
    if let Ok(key) = text.parse::<PublicKey>() {
        let again: PublicKey = key.to_string().parse()?;
        holds!(again.is(key.key()), "{key} is read as another one");
    }
    Ok(())
}
