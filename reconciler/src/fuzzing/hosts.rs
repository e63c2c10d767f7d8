//! What peers, sshd, Nix, systemd and the kernel say.

use nixus_switcher::fuzzing::{text, two};
use nixus_switcher::holds;
use nixus_switcher::printable::is_printable;

use super::{Target, target};
use crate::closure::nix_failure::{self, Derivation};
use crate::closure::nix_log::NixLog;
use crate::closure::{fetched, trifle};
use crate::health::access::settings::{Account, Settings};
use crate::health::access::{lines, patterns};
use crate::health::accounts;
use crate::health::own_pass;
use crate::health::protocol::{Answer, LIMIT, Passed, Request};
use crate::health::sshd;
use crate::host::public_key::PublicKey;
use crate::host::systemd;

pub(super) const TARGETS: &[Target] = &[
    target("probe-request", request),
    target("probe-passed", passed),
    target("probe-answer", answer),
    target("ssh-words", ssh_words),
    target("sshd-settings", sshd_settings),
    target("authorized-keys", authorized_keys),
    target("ssh-patterns", ssh_patterns),
    target("accounts", passwd),
    target("nix-log", nix_log),
    target("nix-answers", nix_answers),
    target("timers", timers),
];

fn request(bytes: &[u8]) -> Result<(), String> {
    let Ok(request) = Request::from_line(bytes) else {
        return Ok(());
    };
    holds!(bytes.len() <= LIMIT, "{} bytes are a request", bytes.len());
    // A key is written in full where it was short of its comment, so that a request may grow.
    if let Ok(line) = request.to_line() {
        holds!(
            Request::from_line(&line).ok() == Some(request),
            "it changes when read again"
        );
    }
    Ok(())
}

fn passed(bytes: &[u8]) -> Result<(), String> {
    if let Ok(passed) = Passed::from_line(bytes)
        && let Ok(line) = passed.to_line()
    {
        let again = Passed::from_line(&line).map_err(|error| error.to_string())?;
        holds!(again.caller == passed.caller, "it changes when read again");
    }
    Ok(())
}

fn answer(bytes: &[u8]) -> Result<(), String> {
    let Ok(answer) = Answer::from_line(bytes) else {
        return Ok(());
    };
    let words = answer.found.iter().map(|found| found.reason.as_str());
    for word in words.chain([answer.host.as_str()]) {
        holds!(word.chars().all(is_printable), "{word:?} is not printable");
        holds!(word.chars().count() <= 200, "{word:?} is too long");
    }
    Ok(())
}

fn ssh_words(bytes: &[u8]) -> Result<(), String> {
    let words = sshd::printable(bytes);
    holds!(
        words.chars().all(is_printable),
        "{words:?} is not printable"
    );
    holds!(words.chars().count() <= 200, "{words:?} is too long");
    Ok(())
}

fn sshd_settings(bytes: &[u8]) -> Result<(), String> {
    let settings = Settings::parse(&text(bytes));
    let account = Account {
        user: "root".to_owned(),
        groups: vec!["wheel".to_owned()],
        home: Some("/root".into()),
    };
    let files = settings.key_files(&account);
    holds!(
        files.iter().all(|file| file.starts_with('/')),
        "{files:?} are not absolute"
    );
    let _ = settings.obstacles(&account, "192.0.2.1");
    let _ = settings.knows_keys_elsewhere();
    Ok(())
}

fn authorized_keys(bytes: &[u8]) -> Result<(), String> {
    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFucuLfGiPO6o/7MVYEssN4oJf97OdPxncH39NUnrhLE alice";
    let key: PublicKey = KEY.parse()?;
    let before = text(bytes);
    let _ = lines::options(&before, &key, "192.0.2.1").map(|options| lines::obstacles(&options));
    // Whatever stands before it, a plain line of the key is found.
    let file = format!("{before}\n{KEY}\n");
    let found = lines::options(&file, &key, "192.0.2.1");
    holds!(found.is_some(), "the key is not found");
    Ok(())
}

/// A pattern, NUL, and what it is to fit.
fn ssh_patterns(bytes: &[u8]) -> Result<(), String> {
    let (pattern, name) = two(bytes);
    holds!(patterns::is_like("*", &name), "* does not fit {name:?}");
    let plain = !name.contains(['*', '?']);
    holds!(
        !plain || patterns::is_like(&name, &name),
        "{name:?} does not fit itself"
    );
    let _ = (
        patterns::is_like(&pattern, &name),
        patterns::list_has(&pattern, &name),
    );
    let _ = (
        patterns::address_is(&pattern, &name),
        patterns::user_is(&pattern, &name, &name),
    );
    if let Some(address) = patterns::example(&pattern) {
        holds!(
            patterns::address_is(pattern.trim(), &address),
            "{address} stands for {pattern:?}, which does not fit it"
        );
    }
    Ok(())
}

fn passwd(bytes: &[u8]) -> Result<(), String> {
    let (passwd, shadow) = two(bytes);
    let _ = accounts::problem("root", &passwd, &shadow, 20_000);
    let _ = (own_pass::begun_in(&passwd), own_pass::unit_in(&passwd));
    Ok(())
}

fn nix_log(bytes: &[u8]) -> Result<(), String> {
    let heard = |parts: &mut dyn Iterator<Item = &[u8]>| {
        let mut log = NixLog::default();
        parts.for_each(|part| log.hear(part));
        log.finish();
        log
    };
    let log = heard(&mut [bytes].into_iter());
    let again = heard(&mut bytes.chunks(7));
    holds!(
        log.progress() == again.progress(),
        "it depends on where the stream is cut"
    );
    let failure = nix_failure::explain(&log, |_| Derivation::Unknown);
    let other = nix_failure::explain(&again, |_| Derivation::Unknown);
    holds!(
        failure.told == other.told,
        "it depends on where the stream is cut"
    );
    let shown = |letter: char| is_printable(letter) || letter == '\n';
    let lines = log
        .plain()
        .chain(log.warnings())
        .chain([failure.told.as_str()]);
    for line in lines {
        holds!(line.chars().all(shown), "{line:?} is not printable");
    }
    for error in log.errors() {
        let said = error.builder_said.iter().map(String::as_str);
        for part in said.chain([error.text.as_str(), error.trace.as_str()]) {
            holds!(part.chars().all(shown), "{part:?} is not printable");
            holds!(
                part.chars().count() <= 8 * 1024,
                "an error has {} bytes",
                part.len()
            );
        }
    }
    Ok(())
}

fn nix_answers(bytes: &[u8]) -> Result<(), String> {
    let _ = fetched::has_content_address(bytes);
    let text = text(bytes);
    let _ = (trifle::is_passing(&text), trifle::names_a_machine(&text));
    Ok(())
}

fn timers(bytes: &[u8]) -> Result<(), String> {
    let next = systemd::elapse_in(bytes);
    holds!(
        next.is_none_or(|next| next > jiff::Timestamp::UNIX_EPOCH),
        "it was due before 1970"
    );
    Ok(())
}
