//! What must hold of the readers of boot loaders' files.

use std::cmp::Ordering;
use std::io::Cursor;

use super::variables::Variables;
use super::{entries, grub as menu, image as images, pattern as patterns, systemd_boot as loader};
use super::{variables, version as versions};
use crate::fuzzing::{text, two};
use crate::holds;

/// Before the first NUL `grub.cfg`, after it `grubenv`.
pub fn grub(bytes: &[u8]) -> Result<(), String> {
    let (conf, environment) = two(bytes);
    let _ = menu::decide(&conf, &environment);
    Ok(())
}

/// Parted by NUL: `loader.conf`, what a variable names, and entries, each with its name in its first line.
pub fn systemd_boot(bytes: &[u8]) -> Result<(), String> {
    let all = text(bytes);
    let mut parts = all.split('\0');
    let conf = parts.next().unwrap_or_default();
    let named = parts.next().filter(|named| !named.is_empty());
    let mut found: Vec<_> = parts
        .take(64)
        .map(|part| part.split_once('\n').unwrap_or((part, "")))
        .map(|(name, text)| entries::of_text(name, text))
        .collect();
    // A sort whose order is none may put the default anywhere.
    for one in found.iter().take(8) {
        for other in found.iter().take(8) {
            let (there, back) = (one.compare(other), other.compare(one));
            holds!(
                there == back.reverse(),
                "{} and {} come before each other",
                one.id,
                other.id
            );
        }
    }
    entries::sort(&mut found);
    for version in [None, Some(249), Some(250), Some(260)] {
        let _ = loader::decide(&loader::Read {
            conf,
            entries: &found,
            variables: Variables {
                default: named.map(str::to_owned),
                ..Variables::default()
            },
            version,
        });
    }
    Ok(())
}

/// A unified kernel image.
pub fn image(bytes: &[u8]) -> Result<(), String> {
    let Ok(texts) = images::sections_in(Cursor::new(bytes), [".cmdline", ".osrel"]) else {
        return Ok(());
    };
    // What is not UTF-8 takes three bytes in the place of one.
    let longest = 3 * bytes.len();
    holds!(
        texts.iter().flatten().all(|text| text.len() <= longest),
        "a section is longer than its image"
    );
    Ok(())
}

/// A variable of the firmware.
pub fn variable(bytes: &[u8]) -> Result<(), String> {
    let value = variables::text(bytes);
    holds!(
        value.is_none_or(|value| !value.contains('\0')),
        "it goes on after its end"
    );
    Ok(())
}

/// Three versions, parted by NUL: they are in one order.
pub fn version(bytes: &[u8]) -> Result<(), String> {
    let (a, rest) = two(bytes);
    let (b, c) = two(rest.as_bytes());
    let compare = versions::compare;
    holds!(
        compare(&a, &a) == Ordering::Equal,
        "{a:?} is not as old as itself"
    );
    holds!(
        compare(&a, &b) == compare(&b, &a).reverse(),
        "{a:?} and {b:?} are older than each other"
    );
    holds!(
        !(compare(&a, &b).is_lt() && compare(&b, &c).is_lt() && compare(&a, &c).is_ge()),
        "{a:?}, {b:?} and {c:?} are in a circle"
    );
    Ok(())
}

/// A pattern, NUL, and the name of an entry.
pub fn pattern(bytes: &[u8]) -> Result<(), String> {
    let (pattern, id) = two(bytes);
    let _ = patterns::matches(&pattern, &id);
    holds!(patterns::matches("*", &id), "* does not match {id:?}");
    // Nothing in it has a meaning.
    let plain = !id.contains(['*', '?', '[', '\\']);
    holds!(
        !plain || patterns::matches(&id, &id),
        "{id:?} does not match itself"
    );
    Ok(())
}
