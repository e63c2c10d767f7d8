//! What systemd-boot starts, by its files and the firmware's variables (systemd-boot(7), loader.conf(5),
//! Boot Loader Interface; `config_select_default_entry`). Pure: what was read goes in.

use super::entries::Entry;
use super::pattern::matches;
use super::variables::Variables;
use crate::machine::system::{BootDefault, Pin, PinKind};
use crate::protocol::Toplevel;

/// The first that knows `preferred`, which passes over an entry that has no tries left.
const KNOWS_PREFERRED: u32 = 260;
/// The first that sorts by `sort-key`, and versions as the specification says.
const SORTS: u32 = 250;
/// Stands for the entry that was booted last.
const SAVED: &str = "@saved";
/// A timeout that never ends.
const WAITS: &str = "menu-force";

/// What was read of the loader.
#[derive(Debug, Default)]
pub struct Read<'a> {
    /// `loader/loader.conf`.
    pub conf: &'a str,
    /// Its entries, in the order of the menu.
    pub entries: &'a [Entry],
    /// The firmware's variables.
    pub variables: Variables,
    /// The version of the loader that is installed, where it says so.
    pub version: Option<u32>,
}

/// One of the ways in which an entry is selected, the first one that matches an entry wins.
struct Way<'a> {
    pattern: &'a str,
    /// It passes over entries that have no tries left.
    only_good: bool,
    /// What sets it beside the files that an installer writes.
    by: Option<By<'a>>,
}

#[derive(Clone, Copy)]
struct By<'a> {
    what: &'a str,
    undo: &'a str,
    kind: PinKind,
}

/// What it starts.
pub fn decide(read: &Read<'_>) -> BootDefault {
    let ways = ways(read);
    let first = |counts: &dyn Fn(&Way<'_>) -> bool| {
        let mut ways = ways.iter().filter(|way| counts(way));
        ways.find_map(|way| Some((way.by, select(read, way)?)))
    };
    let installed = first(&|way| way.by.is_none()).map(|(_, entry)| entry);
    let system = installed.and_then(|entry| entry.system.as_ref());
    let pin = |(by, entry): (Option<By<'_>>, &Entry)| {
        let by = by.filter(|_| entry.system.is_none() || entry.system.as_ref() != system)?;
        Some(BootDefault::Pinned(Pin {
            installed: system.cloned(),
            starts: entry.system.clone(),
            by: format!("{} names {}", by.what, entry.id),
            undo: by.undo.to_owned(),
            kind: by.kind,
        }))
    };
    let lasting = first(&|way| way.by.is_none_or(|by| by.kind != PinKind::Once));
    let next = || first(&|_| true).and_then(pin);
    if let Some(pinned) = lasting.and_then(pin).or_else(next) {
        return pinned;
    }
    match (installed, system) {
        (None, _) => not_selected(read, &ways),
        (Some(_), Some(system)) if read.variables.timeout.as_deref() == Some(WAITS) => {
            BootDefault::Pinned(waits(system))
        }
        (Some(_), Some(system)) => BootDefault::System(system.clone()),
        (Some(entry), None) => {
            BootDefault::Broken(format!("{}: names no system", entry.path.display()))
        }
    }
}

/// Nobody may be there who picks an entry.
fn waits(installed: &Toplevel) -> Pin {
    Pin {
        installed: Some(installed.clone()),
        starts: None,
        by: format!(
            "the firmware variable LoaderConfigTimeout is {WAITS}: its menu waits until somebody picks"
        ),
        undo: "bootctl set-timeout \"\"".to_owned(),
        kind: PinKind::Firmware,
    }
}

fn not_selected(read: &Read<'_>, ways: &[Way<'_>]) -> BootDefault {
    let pattern = ways.iter().rfind(|way| way.by.is_none());
    match pattern.map(|way| way.pattern) {
        _ if read.entries.is_empty() => {
            BootDefault::Broken("the boot loader has no entries".to_owned())
        }
        Some(pattern) if read.entries.iter().any(|entry| matches(pattern, &entry.id)) => {
            BootDefault::Unknown(format!(
                "a systemd-boot before {SORTS} orders what {pattern} stands for in its own way"
            ))
        }
        Some(id) => BootDefault::Broken(format!(
            "loader.conf names the entry {id}, which is not there"
        )),
        None => BootDefault::Unknown("loader.conf names no default".to_owned()),
    }
}

/// The ways of this version, in its order.
fn ways<'a>(read: &'a Read<'_>) -> Vec<Way<'a>> {
    let value = |key: &str| {
        read.conf.lines().find_map(|line| {
            let (name, value) = line.trim().split_once(char::is_whitespace)?;
            (name == key).then(|| value.trim())
        })
    };
    let set = &read.variables;
    let firmware = |what, undo, kind| Some(By { what, undo, kind });
    let mut ways = Vec::new();
    let mut add = |pattern: Option<&'a str>, only_good, by| {
        let pattern = pattern.map(|pattern| match pattern {
            SAVED => set.last_booted.as_deref().unwrap_or_default(),
            pattern => pattern,
        });
        ways.extend(pattern.map(|pattern| Way {
            pattern,
            only_good,
            by,
        }));
    };
    let once = "the firmware variable LoaderEntryOneShot";
    let undo = "bootctl set-oneshot \"\"";
    add(
        set.one_shot.as_deref(),
        false,
        firmware(once, undo, PinKind::Once),
    );
    if read
        .version
        .is_none_or(|version| version >= KNOWS_PREFERRED)
    {
        let what = "the firmware variable LoaderEntryPreferred";
        let undo = "bootctl set-preferred \"\"";
        let by = firmware(what, undo, PinKind::Firmware);
        add(set.preferred.as_deref(), true, by);
        add(value("preferred"), true, None);
    }
    let what = "the firmware variable LoaderEntryDefault";
    let undo = "bootctl set-default \"\"";
    // `@saved` there means what was picked last.
    let kind = match set.default.as_deref() {
        Some(SAVED) => PinKind::Remembered,
        _ => PinKind::Firmware,
    };
    add(set.default.as_deref(), false, firmware(what, undo, kind));
    match value("default") {
        Some(SAVED) => {
            let what = "the entry that was booted last, as `default @saved` in loader.conf wants,";
            let undo = "picking the newest entry once in its menu, or another `default`";
            add(
                Some(SAVED),
                false,
                firmware(what, undo, PinKind::Remembered),
            );
            // Where none was booted yet, it is the first one.
            add(Some("*"), false, None);
        }
        // It starts the first one, too.
        None if !read.entries.is_empty() => add(Some("*"), false, None),
        pattern => add(pattern, false, None),
    }
    ways
}

/// The entry that is selected so. Where several match, the version has to sort as this program does.
fn select<'a>(read: &'a Read<'_>, way: &Way<'_>) -> Option<&'a Entry> {
    let is = |entry: &Entry| {
        // Long ago the identifier had no ending.
        matches(way.pattern, &entry.id)
            || entry
                .id
                .strip_suffix(".conf")
                .is_some_and(|id| id == way.pattern)
    };
    let mut found = read.entries.iter().filter(|entry| is(entry));
    let first = found.find(|entry| !(way.only_good && entry.is_bad()))?;
    let sorts = read.version.is_none_or(|version| version >= SORTS);
    (sorts || found.next().is_none()).then_some(first)
}
