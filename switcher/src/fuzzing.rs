//! The parsers of what comes from outside the switcher, one after the other, each with what must hold whatever it
//! is given: `lab fuzz` looks for inputs that break one. With the feature `fuzzing` only.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::machine::activation::said::Said;
use crate::machine::bootloader::fuzzing as loader;
use crate::machine::exit_file::Exit;
use crate::machine::network;
use crate::machine::operator::user;
use crate::machine::systemd;
use crate::machine::trial_door::Message;
use crate::printable::{is_printable, printable, printable_lines};
use crate::protocol::{DeploymentId, EvidenceReply, Outcome, Request, Toplevel, newest_version};
use crate::state::history::outcome_in;
use crate::state::journal::{Record, checksum, slot};
use crate::state::lock_file;

/// A parser and what must hold of it.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, and that of its folder in the corpus.
    pub name: &'static str,
    /// Gives it an input.
    ///
    /// # Errors
    /// What did not hold.
    pub run: fn(&[u8]) -> Result<(), String>,
}

/// Ends a target where something does not hold.
#[macro_export]
macro_rules! holds {
    ($holds:expr, $($words:tt)*) => {
        if !$holds {
            return Err(format!($($words)*));
        }
    };
}

/// A text in which what is not UTF-8 is replaced, as most readers have it.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A text in two parts, at the first NUL.
pub fn two(bytes: &[u8]) -> (String, String) {
    let at = bytes.iter().position(|byte| *byte == 0);
    let (first, second) = bytes.split_at(at.unwrap_or(bytes.len()));
    (text(first), text(second.get(1..).unwrap_or_default()))
}

/// What is read as JSON is read the same once it was written.
///
/// # Errors
/// It is not.
pub fn round_trip<T>(bytes: &[u8]) -> Result<(), String>
where
    T: serde::Serialize + for<'a> serde::Deserialize<'a>,
{
    let Ok(read) = serde_json::from_slice::<T>(bytes) else {
        return Ok(());
    };
    let write = |value: &T| serde_json::to_string(value).map_err(|error| error.to_string());
    let written = write(&read)?;
    let again: T = serde_json::from_str(&written)
        .map_err(|error| format!("what it writes it does not read: {error}"))?;
    holds!(
        write(&again)? == written,
        "it changes when read again: {written}"
    );
    Ok(())
}

/// All targets of the switcher.
pub const TARGETS: &[Target] = &[
    Target {
        name: "switcher-journal",
        run: journal,
    },
    Target {
        name: "switcher-history",
        run: history,
    },
    Target {
        name: "switcher-request",
        run: round_trip::<Request>,
    },
    Target {
        name: "switcher-message",
        run: message,
    },
    Target {
        name: "switcher-names",
        run: names,
    },
    Target {
        name: "exit-file",
        run: round_trip::<Exit>,
    },
    Target {
        name: "activation-output",
        run: activation,
    },
    Target {
        name: "grub",
        run: loader::grub,
    },
    Target {
        name: "systemd-boot",
        run: loader::systemd_boot,
    },
    Target {
        name: "boot-image",
        run: loader::image,
    },
    Target {
        name: "boot-variable",
        run: loader::variable,
    },
    Target {
        name: "boot-version",
        run: loader::version,
    },
    Target {
        name: "boot-pattern",
        run: loader::pattern,
    },
    Target {
        name: "netlink",
        run: network::fuzzing::netlink,
    },
    Target {
        name: "proc-net",
        run: network::fuzzing::proc_net,
    },
    Target {
        name: "proc-process",
        run: proc_process,
    },
    Target {
        name: "systemd-answers",
        run: systemd::fuzzing::answers,
    },
    Target {
        name: "printable",
        run: shown,
    },
];

fn journal(bytes: &[u8]) -> Result<(), String> {
    // The checksum is right here: what is behind it is to be reached.
    let read = |bytes: Vec<u8>| slot(Path::new("journal"), bytes);
    let _ = read(bytes.to_vec());
    let (format, body) = (newest_version(), bytes);
    let header = format!(
        "{{\"version\":{format},\"sequence\":1,\"length\":{},\"checksum\":\"{}\"}}\n",
        body.len(),
        checksum(body)
    );
    let whole = [header.as_bytes(), body].concat();
    let found = read(whole.clone()).map_err(|what| format!("a sound slot is damaged: {what}"))?;
    holds!(found.body == body, "the body is another");
    // One bit more or less in it, and it is not believed.
    if let Some(at) = body.len().checked_sub(1) {
        let mut torn = whole;
        if let Some(byte) = torn.get_mut(header.len() + at / 2) {
            *byte ^= 1;
        }
        holds!(read(torn).is_err(), "a torn slot is believed");
    }
    round_trip::<Record>(bytes)
}

fn history(bytes: &[u8]) -> Result<(), String> {
    let _ = outcome_in(bytes);
    round_trip::<Outcome>(bytes)
}

fn message(bytes: &[u8]) -> Result<(), String> {
    round_trip::<Message>(bytes)?;
    round_trip::<EvidenceReply>(bytes)
}

fn names(bytes: &[u8]) -> Result<(), String> {
    let text = text(bytes);
    if let Ok(id) = text.parse::<DeploymentId>() {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        holds!(
            id.as_str().len() <= 80 && id.as_str().bytes().all(plain),
            "{id} is the name of a unit"
        );
    }
    if let Ok(toplevel) = Toplevel::try_from(PathBuf::from(&text)) {
        let shown = toplevel.to_string();
        let name = shown.strip_prefix("/nix/store/");
        holds!(
            name.is_some_and(|name| !name.contains(['/', '\0', '\n']) && name.is_ascii()),
            "{shown:?} is taken for a toplevel"
        );
    }
    Ok(())
}

fn activation(bytes: &[u8]) -> Result<(), String> {
    let text = text(bytes);
    let said = Said::read(&text);
    for list in [&said.snippets, &said.units, &said.user_units] {
        holds!(
            list.windows(2).all(|two| two[0] < two[1]),
            "{list:?} is not sorted"
        );
        holds!(
            list.iter().all(|one| !one.contains('\n')),
            "{list:?} has a line's end"
        );
    }
    Ok(())
}

fn proc_process(bytes: &[u8]) -> Result<(), String> {
    let text = text(bytes);
    let _ = (lock_file::real_uid(&text), lock_file::has_lock(&text));
    let _ = lock_file::age(&text);
    let numbered: BTreeMap<u32, &str> = (0..3)
        .filter_map(|uid| Some((uid, user(&text, uid)?)))
        .collect();
    holds!(
        numbered.values().all(|name| !name.contains([':', '\n'])),
        "{numbered:?}"
    );
    Ok(())
}

fn shown(bytes: &[u8]) -> Result<(), String> {
    let text = text(bytes);
    let once = printable(&text);
    holds!(once.chars().all(is_printable), "{once:?} is not printable");
    holds!(
        printable(&once) == once,
        "it is not the same when done again"
    );
    holds!(
        once.chars().count() == text.chars().count(),
        "it has another length"
    );
    let lines = printable_lines(&text);
    let kept = |letter: char| is_printable(letter) || matches!(letter, '\n' | '\t');
    holds!(lines.chars().all(kept), "{lines:?} is not printable");
    Ok(())
}
