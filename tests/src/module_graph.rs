//! Keeps the shape of both crates: no module imports, over whatever way round, one that imports it, and what
//! decides (the folder `decide`) knows neither files, processes, network, environment nor clock.
//!
//! The graph is looked at folder by folder: among the modules of one folder, an import of anything below a module
//! counts for that module. What a module has in common with its own children is its own affair.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The source of each module, by its path (`decide::plan`). Tests may import whatever they need.
type Modules = BTreeMap<String, String>;

/// What no decision may mention: each a word of Rust code, and what it would let in.
const IMPURE: [(&str, &str); 14] = [
    ("std::fs", "files"),
    ("std::io", "input and output"),
    ("std::process", "processes"),
    ("std::env", "the environment"),
    ("std::thread", "threads"),
    ("TcpStream", "the network"),
    ("TcpListener", "the network"),
    ("UdpSocket", "the network"),
    ("ToSocketAddrs", "the network"),
    ("tokio", "waiting"),
    ("reqwest", "the network"),
    ("Timestamp::now", "the clock"),
    ("SystemTime::now", "the clock"),
    ("Instant::now", "the clock"),
];

fn modules(src: &Path) -> Modules {
    let mut found = Modules::new();
    let mut folders = vec![src.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(src).unwrap().to_str().unwrap();
            let Some(name) = name.strip_suffix(".rs") else {
                continue;
            };
            let name = name.strip_suffix("/mod").unwrap_or(name).replace('/', "::");
            // Programs are crates of their own.
            let is_program = matches!(name.as_str(), "lib" | "main") || name.starts_with("bin::");
            // No shipped program has what is there for tests or with the feature `fuzzing` only.
            let is_test = name
                .split("::")
                .any(|part| matches!(part, "tests" | "testing" | "fuzzing"));
            if !is_program && !is_test {
                found.insert(name, without_tests(&fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found
}

/// The code that is shipped: no comments, and nothing from a module of tests on, which comes last.
fn without_tests(source: &str) -> String {
    let shipped = match source.find("#[cfg(test)]\nmod ") {
        Some(tests) => &source[..tests],
        None => source,
    };
    let code = shipped
        .lines()
        .map(|line| line.split("//").next().unwrap_or(line));
    code.collect::<Vec<_>>().join("\n")
}

/// The paths after `crate::` and `super::` in the code of `module`, groups in braces included.
fn imports(module: &str, code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (start, word) in code
        .match_indices("crate::")
        .chain(code.match_indices("super::"))
    {
        let before = code[..start].chars().next_back();
        // `$crate::`, `a::super::` and the second of two `super::` are read with what they belong to.
        if before
            .is_some_and(|letter| letter.is_alphanumeric() || matches!(letter, '_' | ':' | '$'))
        {
            continue;
        }
        let mut base: Vec<&str> = Vec::new();
        let mut rest = &code[start + word.len()..];
        if word == "super::" {
            base = module.split("::").collect();
            base.pop();
            while let Some(further) = rest.strip_prefix("super::") {
                base.pop();
                rest = further;
            }
        }
        paths(&base.join("::"), rest, &mut found);
    }
    found
}

/// Adds the path that `rest` begins with, or each path of the group that it begins with, below `base`.
fn paths(base: &str, rest: &str, found: &mut BTreeSet<String>) {
    let join = |name: &str| match base {
        "" => name.to_owned(),
        base => format!("{base}::{name}"),
    };
    if let Some(group) = rest.strip_prefix('{') {
        let mut depth = 0_usize;
        let mut begun = 0;
        for (at, letter) in group.char_indices() {
            match letter {
                '{' => depth += 1,
                '}' if depth > 0 => depth -= 1,
                ',' | '}' if depth == 0 => {
                    paths(base, group[begun..at].trim(), found);
                    begun = at + 1;
                    if letter == '}' {
                        break;
                    }
                }
                _ => {}
            }
        }
        return;
    }
    let end = rest.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
    let (name, further) = rest.split_at(end.unwrap_or(rest.len()));
    if name.is_empty() {
        return;
    }
    found.insert(join(name));
    if let Some(further) = further.strip_prefix("::") {
        paths(&join(name), further, found);
    }
}

/// The module that `path` leads to, or lies in.
fn module_of<'a>(modules: &'a Modules, path: &str) -> Option<&'a str> {
    let mut path = path;
    loop {
        if let Some((name, _)) = modules.get_key_value(path) {
            return Some(name);
        }
        path = path.rsplit_once("::")?.0;
    }
}

/// The first part of `module` below `folder`.
fn room<'a>(folder: &str, module: &'a str) -> Option<&'a str> {
    let below = match folder {
        "" => module,
        folder => module.strip_prefix(folder)?.strip_prefix("::")?,
    };
    below.split("::").next()
}

/// The circles among the modules of each folder: who imports whom, by which module.
fn circles(modules: &Modules) -> Vec<String> {
    let mut folders = BTreeSet::from([""]);
    for module in modules.keys() {
        folders.extend(module.match_indices("::").map(|(end, _)| &module[..end]));
    }
    let mut all = Vec::new();
    for folder in folders {
        let mut arrows: BTreeMap<&str, BTreeMap<&str, String>> = BTreeMap::new();
        for (module, code) in modules {
            let Some(from) = room(folder, module) else {
                continue;
            };
            for path in imports(module, code) {
                let to = module_of(modules, &path).and_then(|to| room(folder, to));
                if let Some(to) = to.filter(|to| *to != from) {
                    let arrow = arrows.entry(from).or_default();
                    arrow
                        .entry(to)
                        .or_insert_with(|| format!("{module} imports {path}"));
                }
            }
        }
        let mut rooms: Vec<&str> = arrows.keys().copied().collect();
        // Whoever imports nothing that is left is in no circle.
        loop {
            let before = rooms.len();
            let left: BTreeSet<&str> = rooms.iter().copied().collect();
            rooms.retain(|from| arrows[from].keys().any(|to| left.contains(to)));
            if rooms.len() == before {
                break;
            }
        }
        let left: BTreeSet<&str> = rooms.iter().copied().collect();
        for from in &left {
            let inside = arrows[from].iter().filter(|(to, _)| left.contains(*to));
            all.extend(inside.map(|(to, why)| format!("in {folder:?}: {from} -> {to} ({why})")));
        }
    }
    all
}

/// What the deciding modules mention that is not theirs to know.
fn impurities(modules: &Modules) -> Vec<String> {
    let deciding = modules
        .iter()
        .filter(|(name, _)| room("", name) == Some("decide"));
    deciding
        .flat_map(|(name, code)| {
            let words = IMPURE.iter().filter(|(word, _)| code.contains(word));
            words.map(move |(word, what)| format!("{name} mentions {word}: {what}"))
        })
        .collect()
}

fn both() -> [(&'static str, Modules); 2] {
    ["reconciler", "switcher"].map(|name| {
        let src = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("..")
            .join(name)
            .join("src");
        (name, modules(&src))
    })
}

#[test]
fn no_module_imports_one_that_imports_it() {
    for (name, modules) in both() {
        assert!(modules.len() > 40, "{name} has {} modules", modules.len());
        assert_eq!(circles(&modules), [""; 0], "{name}");
    }
}

#[test]
fn what_decides_knows_no_files_processes_network_environment_or_clock() {
    for (name, modules) in both() {
        assert!(modules.contains_key("decide"), "{name} decides nothing");
        assert_eq!(impurities(&modules), [""; 0], "{name}");
    }
}

#[test]
fn a_circle_and_an_impure_decision_are_found() {
    let modules = |all: &[(&str, &str)]| -> Modules {
        let own = |(name, code): &(&str, &str)| ((*name).to_owned(), without_tests(code));
        all.iter().map(own).collect()
    };
    let none: [&str; 0] = [];
    let straight = [
        ("a", "use crate::b::{c::D, E};\nuse super::b;"),
        ("b", "mod c;"),
        ("b::c", "use super::E;"),
    ];
    assert_eq!(circles(&modules(&straight)), none);
    for (name, back) in [
        ("b::c", "fn f() { crate::a::g() }"),
        ("b", "use crate::{b::c, a::{self, G}};"),
        ("b::c", "use super::super::a::G;"),
    ] {
        let mut round = straight.to_vec();
        round.push((name, back));
        let round = modules(&round);
        assert_eq!(circles(&round).len(), 2, "{name}: {back}");
    }
    let between = [
        ("b", "mod c; mod d;"),
        ("b::c", "use super::d::F;"),
        ("b::d", "use super::c::G;"),
    ];
    assert_eq!(circles(&modules(&between)).len(), 2);
    let only_in_tests = [
        ("a", "use crate::b;"),
        (
            "b",
            "// crate::a\n#[cfg(test)]\nmod tests { use crate::a; }",
        ),
    ];
    assert_eq!(circles(&modules(&only_in_tests)), none);

    for (word, _) in IMPURE {
        let code = format!("use {word};");
        let all = modules(&[("decide::plan", &code), ("host", &code)]);
        assert_eq!(impurities(&all).len(), 1, "{word}");
    }
}
