//! That the Nix options and the reference for people say of each key what its declaration says.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;

use super::declare::Key;
use super::tables::keys;

/// Set to write what is compared otherwise.
const WRITE: &str = "NIXUS_WRITE_REFERENCE";
const BEGIN: &str = "<!-- begin: keys of the configuration file -->\n";
const END: &str = "<!-- end: keys of the configuration file -->\n";

fn compare(path: &str, new: &dyn Fn(&str) -> String) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    let old = std::fs::read_to_string(&path).unwrap_or_default();
    let new = new(&old);
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(&path, &new).unwrap();
    } else if old != new {
        let path = path.display();
        panic!("{path} does not say what config/tables.rs says: run the tests once with {WRITE}=1");
    }
}

#[test]
fn the_nix_options_have_their_descriptions_from_the_declarations() {
    compare("nix/keys.json", &|_| {
        let entry = |key: Key| {
            let mut entry = BTreeMap::from([("description", key.description)]);
            // Where the default is empty, the option's own says so.
            let default = key.default.filter(|text| !text.is_empty());
            entry.extend(default.map(|text| ("default", text.to_owned())));
            (key.path, entry)
        };
        let all: BTreeMap<_, _> = keys().into_iter().map(entry).collect();
        serde_json::to_string_pretty(&all).unwrap() + "\n"
    });
}

#[test]
fn the_reference_has_every_key() {
    compare("docs/configuration.md", &|old| {
        let (before, rest) = old.split_once(BEGIN).unwrap();
        let (_, after) = rest.split_once(END).unwrap();
        format!("{before}{BEGIN}{}{END}{after}", reference())
    });
}

/// A table for each table of the file.
fn reference() -> String {
    let mut text = String::new();
    let mut last = None;
    for key in keys() {
        let (table, name) = key.path.rsplit_once('.').unwrap_or(("", &key.path));
        if last.as_deref() != Some(table) {
            let title = match table.strip_suffix(".*") {
                _ if table.is_empty() => "At the top".to_owned(),
                Some(list) => format!("`[[{list}]]`"),
                None => format!("`[{table}]`"),
            };
            writeln!(
                text,
                "\n### {title}\n\n| key | what it is for | values | default |\n|---|---|---|---|"
            )
            .unwrap();
            last = Some(table.to_owned());
        }
        // A default that is a sentence stands for itself.
        let default = match key.default {
            None => String::new(),
            Some("") => "none".to_owned(),
            Some(text) if text.contains([' ', '`']) => text.to_owned(),
            Some(text) => format!("`{text}`"),
        };
        let description = key.description.replace("{manpage}", "").replace('|', "\\|");
        writeln!(
            text,
            "| `{name}` | {description} | {} | {default} |",
            key.values
        )
        .unwrap();
    }
    text.push('\n');
    text
}

#[test]
fn every_default_is_one_that_may_be_written() {
    // Each table without its keys has them all.
    let config = super::Config::parse(
        std::path::Path::new("config.toml"),
        "host = \"web1\"\n[repository]\nurl = \"file:///srv/x\"\n[reports]\nurl = \"file:///srv/r\"\n",
    )
    .unwrap();
    let shown: BTreeMap<_, _> = config.settings.iter().cloned().collect();
    let plain = |key: &Key| key.default.filter(|text| !text.contains([' ', '`']));
    let checked = keys().into_iter().filter_map(|key| {
        let default = plain(&key)?;
        Some((shown.get(&key.path)?.clone(), default))
    });
    let words = |text: &str| text.chars().all(|letter| letter.is_ascii_alphabetic());
    let mut seen = 0;
    for (shown, default) in checked.filter(|(_, default)| words(default)) {
        let empty = default.is_empty() && (shown.is_empty() || shown == "[]");
        assert!(empty || shown == default, "{shown:?} and {default:?}");
        seen += 1;
    }
    assert!(seen > 8, "{seen}");
}
