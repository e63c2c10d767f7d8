//! What operators and Nixus itself have written: configurations, secrets, state files.

use std::path::Path;
use std::time::Duration;

use nixus_switcher::fuzzing::{round_trip, text};
use nixus_switcher::holds;

use super::{Target, target};
use crate::config::{Config, MemoryLimit, is_host_name, span};
use crate::decide::commit_id::CommitId;
use crate::decide::ledger::release::Retry;
use crate::decide::outbox::Outbox;
use crate::decide::plan::suspension::Suspension;
use crate::health::own_pass::{Handed, Question};
use crate::pass::ledger_file;
use crate::pass::summary::Summary;
use crate::secrets::ciphertext::{self, Plaintext};
use crate::secrets::description::Description;
use crate::secrets::identity::Identities;
use crate::secrets::recipient::Recipient;

pub(super) const TARGETS: &[Target] = &[
    target("config", config),
    target("time-span", time_span),
    target("memory-limit", memory_limit),
    target("names", names),
    target("age", age),
    target("recipient", recipient),
    target("secrets-description", description),
    target("ledger", ledger),
    target("outbox", round_trip::<Outbox>),
    target("suspension", round_trip::<Suspension>),
    target("summary", round_trip::<Summary>),
    target("own-pass", own_pass),
];

fn config(bytes: &[u8]) -> Result<(), String> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Ok(());
    };
    match Config::parse(Path::new("config.toml"), text) {
        Ok(config) => {
            holds!(
                is_host_name(&config.host),
                "{:?} is taken for a host",
                config.host
            );
            Ok(())
        }
        // An operator reads it, and the text may be long.
        Err(error) => {
            let words = error.to_string();
            holds!(
                words.len() <= 4096 + 8 * text.len(),
                "{} bytes of an error",
                words.len()
            );
            Ok(())
        }
    }
}

fn time_span(bytes: &[u8]) -> Result<(), String> {
    let text = text(bytes);
    let Some(length) = span::parse(&text) else {
        return Ok(());
    };
    // Another second is another second, as long as that can be determined.
    if length < Duration::from_secs(1 << 40) {
        let more = span::parse(&format!("{text} 1s"));
        let more = more.or_else(|| span::parse(&format!("{text}s 1s")));
        let expected = length + Duration::from_secs(1);
        let near = more.is_some_and(|more| more.abs_diff(expected) < Duration::from_secs(1));
        holds!(
            near,
            "with a second more it is {more:?} in the place of {expected:?}"
        );
    }
    Ok(())
}

fn memory_limit(bytes: &[u8]) -> Result<(), String> {
    if let Ok(limit) = text(bytes).parse::<MemoryLimit>() {
        let again = limit.written().parse();
        holds!(
            again == Ok(limit),
            "{} is read as {again:?}",
            limit.written()
        );
    }
    Ok(())
}

fn names(bytes: &[u8]) -> Result<(), String> {
    let text = text(bytes);
    if is_host_name(&text) {
        let name = format!("refs/heads/hosts/{text}");
        holds!(
            git2::Reference::is_valid_name(&name),
            "git does not take {name:?}"
        );
    }
    if let Ok(id) = CommitId::try_from(text.clone()) {
        holds!(
            id.as_str().bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{id} is an id"
        );
    }
    let _ = text.parse::<Retry>();
    Ok(())
}

fn age(bytes: &[u8]) -> Result<(), String> {
    let _ = ciphertext::marks(bytes);
    let opened: Result<Plaintext, _> = ciphertext::open(bytes, &Identities::default());
    holds!(opened.is_err(), "it is opened without a key");
    Ok(())
}

fn recipient(bytes: &[u8]) -> Result<(), String> {
    if let Ok(recipient) = text(bytes).parse::<Recipient>() {
        let written = recipient.to_string();
        let again: Recipient = written
            .parse()
            .map_err(|_| format!("{written} is not read"))?;
        holds!(
            again.to_string() == written,
            "{written} changes when read again"
        );
        holds!(!written.contains(['\n', '\0']), "{written:?} is not a line");
    }
    Ok(())
}

fn description(bytes: &[u8]) -> Result<(), String> {
    let _ = Description::parse(Path::new("secrets.json"), bytes);
    Ok(())
}

fn ledger(bytes: &[u8]) -> Result<(), String> {
    let _ = ledger_file::understand(bytes);
    round_trip::<crate::decide::ledger::Ledger>(bytes)
}

fn own_pass(bytes: &[u8]) -> Result<(), String> {
    round_trip::<Handed>(bytes)?;
    round_trip::<Question>(bytes)
}
