//! The line of a key in a file of keys: what its options leave to its owner (sshd(8), AUTHORIZED_KEYS
//! FILE FORMAT).

use super::patterns;
use crate::host::public_key::PublicKey;

/// The options of the first line that lets this key in from an address, or of the first that has it.
pub fn options(text: &str, key: &PublicKey, from: &str) -> Option<Vec<String>> {
    let written = key.to_string();
    let mut words = written.split_whitespace();
    let body = format!("{} {}", words.next()?, words.next()?);
    let found: Vec<Vec<String>> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let (options, rest) = line.split_once(&body)?;
            let ends = rest.is_empty() || rest.starts_with([' ', '\t']);
            let begins = options.is_empty() || options.ends_with([' ', '\t']);
            (ends && begins).then(|| split(options.trim()))
        })
        .collect();
    let lets_in = |options: &&Vec<String>| {
        let list = options.iter().find_map(|one| value(one, "from"));
        list.is_none_or(|list| patterns::list_has(&list, from))
    };
    found.iter().find(lets_in).or(found.first()).cloned()
}

/// What these options keep a key's owner from.
pub fn obstacles(options: &[String]) -> Vec<String> {
    let mut all = Vec::new();
    let has = |name: &str| options.iter().any(|one| one.eq_ignore_ascii_case(name));
    for option in options {
        for name in ["command", "from", "expiry-time", "principals"] {
            if let Some(value) = value(option, name) {
                all.push(format!("has {name}=\"{value}\""));
            }
        }
    }
    if has("no-pty") || (has("restrict") && !has("pty")) {
        all.push("gets no terminal".to_owned());
    }
    if has("cert-authority") {
        all.push("is an authority's".to_owned());
    }
    all
}

/// Options are parted by commas, but for those in quotes.
fn split(options: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    let (mut quoted, mut escaped) = (false, false);
    for letter in options.chars() {
        match letter {
            ',' if !quoted => {
                all.push(String::new());
                continue;
            }
            '"' if !escaped => quoted = !quoted,
            _ => {}
        }
        escaped = letter == '\\' && !escaped;
        if let Some(last) = all.last_mut() {
            last.push(letter);
        }
    }
    all.retain(|one| !one.is_empty());
    all
}

fn value(option: &str, name: &str) -> Option<String> {
    let (found, value) = option.split_once('=')?;
    let value = value.strip_prefix('"')?.strip_suffix('"')?;
    found
        .eq_ignore_ascii_case(name)
        .then(|| value.replace("\\\"", "\""))
}
