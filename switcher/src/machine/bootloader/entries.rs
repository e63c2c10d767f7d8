//! The entries of systemd-boot's menu and their order (UAPI.1 Boot Loader Specification: Type #1 files,
//! Type #2 unified kernel images, boot counting, "Sorting"; systemd-boot, `boot_entry_compare`).

use std::cmp::Ordering;
use std::fs;
use std::path::{Path, PathBuf};

use super::{image, init_of, version};
use crate::protocol::Toplevel;
use crate::state::bounded::read_bounded;

const LIMIT: u64 = 4 << 20;
/// More than any menu has.
const ENTRIES: usize = 4096;
/// Files of entries, and images that are entries themselves.
const FOLDERS: [(&str, &str); 2] = [("loader/entries", ".conf"), ("EFI/Linux", ".efi")];

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The name of its file without counters, by which it is selected.
    pub id: String,
    /// Its file.
    pub path: PathBuf,
    /// How often it may still be tried, and was tried, where boots are counted.
    pub tries: Option<(u32, u32)>,
    /// The system that it starts; another entry starts something else than NixOS.
    pub system: Option<Toplevel>,
    order: Option<Order>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Order {
    key: String,
    machine: String,
    version: String,
}

impl Entry {
    /// Whether it failed as often as it may.
    pub fn is_bad(&self) -> bool {
        matches!(self.tries, Some((0, _)))
    }

    pub(super) fn compare(&self, other: &Self) -> Ordering {
        let newest = |a: &str, b: &str| version::compare(a, b).reverse();
        let keyed = match (&self.order, &other.order) {
            (Some(a), Some(b)) => (a.key.cmp(&b.key))
                .then_with(|| a.machine.cmp(&b.machine))
                .then_with(|| newest(&a.version, &b.version)),
            (a, b) => a.is_none().cmp(&b.is_none()),
        };
        let counted = || match (self.tries, other.tries) {
            (Some(a), Some(b)) => b.0.cmp(&a.0).then(a.1.cmp(&b.1)),
            _ => Ordering::Equal,
        };
        (self.is_bad().cmp(&other.is_bad()))
            .then(keyed)
            .then_with(|| newest(&self.id.to_lowercase(), &other.id.to_lowercase()))
            .then_with(counted)
    }
}

/// The entries of the menu on these partitions, in its order. What cannot be read is not in it, as in the
/// loader's.
pub fn menu(partitions: &[PathBuf]) -> Vec<Entry> {
    let mut entries = Vec::new();
    for partition in partitions {
        for (folder, end) in FOLDERS {
            let Ok(found) = fs::read_dir(partition.join(folder)) else {
                continue;
            };
            let paths = found.flatten().take(ENTRIES).map(|file| file.path());
            entries.extend(paths.filter_map(|path| entry(&path, end)));
        }
    }
    sort(&mut entries);
    entries
}

/// As the loader sorts (systemd-boot, `sort_pointer_array`). What it compares by is not an order for every menu: the
/// result depends on the way of sorting then, and that of the standard library may panic.
pub(super) fn sort(entries: &mut [Entry]) {
    for end in 1..entries.len() {
        let mut at = end;
        while at > 0 && entries[at - 1].compare(&entries[at]) == Ordering::Greater {
            entries.swap(at - 1, at);
            at -= 1;
        }
    }
}

/// The entry that a file of this name and text is.
#[cfg(feature = "fuzzing")]
pub(super) fn of_text(name: &str, text: &str) -> Entry {
    let (stem, tries) = counted(name);
    let (order, system) = in_text(text);
    Entry {
        id: format!("{stem}.conf"),
        path: PathBuf::from(name),
        tries,
        system,
        order,
    }
}

fn entry(path: &Path, end: &str) -> Option<Entry> {
    let name = path.file_name()?.to_str()?;
    // What a builder was writing when the power went has another ending, `.tmp`.
    let stem = name
        .strip_suffix(end)
        .filter(|stem| !stem.starts_with('.'))?;
    let (stem, tries) = counted(stem);
    let (order, system) = match end {
        ".efi" => of_image(path)?,
        _ => of_file(path)?,
    };
    Some(Entry {
        id: format!("{stem}{end}"),
        path: path.to_owned(),
        tries,
        system,
        order,
    })
}

/// `name+LEFT-DONE`; what does not count boots so is a part of the name.
fn counted(stem: &str) -> (&str, Option<(u32, u32)>) {
    let read = || {
        let (name, counters) = stem.rsplit_once('+')?;
        let (left, done) = counters.split_once('-').unwrap_or((counters, "0"));
        let number = |text: &str| match text.bytes().all(|byte| byte.is_ascii_digit()) {
            true => text.parse().ok(),
            false => None,
        };
        Some((name, (number(left)?, number(done)?)))
    };
    match read() {
        Some((name, tries)) => (name, Some(tries)),
        None => (stem, None),
    }
}

fn of_file(path: &Path) -> Option<(Option<Order>, Option<Toplevel>)> {
    let bytes = read_bounded(path, LIMIT).ok()?;
    Some(in_text(&String::from_utf8_lossy(&bytes)))
}

fn in_text(text: &str) -> (Option<Order>, Option<Toplevel>) {
    let all = |key: &'static str| {
        text.lines().filter_map(move |line| {
            let (name, value) = line.trim().split_once(char::is_whitespace)?;
            (name == key).then(|| value.trim())
        })
    };
    let last = |key| all(key).next_back().unwrap_or_default().to_owned();
    let order = all("sort-key").next_back().map(|key| Order {
        key: key.to_owned(),
        machine: last("machine-id"),
        version: last("version"),
    });
    let options = all("options").collect::<Vec<_>>().join(" ");
    (order, init_of(&options))
}

/// os-release(5) in the image gives its sort key and version (`bootspec_pick_name_version_sort_key`).
fn of_image(path: &Path) -> Option<(Option<Order>, Option<Toplevel>)> {
    let [command, release] = image::sections(path, [".cmdline", ".osrel"]).ok()?;
    let release = release?;
    let value = |key: &str| {
        release.lines().find_map(|line| {
            let (name, value) = line.trim().split_once('=')?;
            (name == key).then(|| value.trim_matches(['"', '\'']).to_owned())
        })
    };
    let first = |keys: &[&str]| keys.iter().find_map(|key| value(key));
    let versions = ["IMAGE_VERSION", "VERSION", "VERSION_ID", "BUILD_ID"];
    let order = first(&["IMAGE_ID", "ID"]).map(|key| Order {
        key,
        machine: String::new(),
        version: first(&versions).unwrap_or_default(),
    });
    Some((order, init_of(&command.unwrap_or_default())))
}
