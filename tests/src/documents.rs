//! Promises about the documents: links lead somewhere, tables name tests that exist, and the README stays short.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Component, Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The files below a folder of the repository with one of these extensions.
fn files(folder: &str, extensions: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extensions.iter().any(|wanted| extension == *wanted))
            {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn documents() -> Vec<PathBuf> {
    let mut documents = vec![root().join("README.md")];
    for folder in ["reconciler/docs", ".github", "deploy-repo-template"] {
        documents.extend(files(folder, &["md"]));
    }
    documents
}

/// The lines that are not in a block of code, with their numbers.
fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut fence: Option<&str> = None;
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let trimmed = line.trim_start();
        let ticks = trimmed.len() - trimmed.trim_start_matches('`').len();
        match fence {
            None if ticks >= 3 => fence = Some(&trimmed[..ticks]),
            None => lines.push((index + 1, line)),
            Some(open) if trimmed.trim_end() == open => fence = None,
            Some(_) => {}
        }
    }
    assert_eq!(fence, None, "a block of code has no end");
    lines
}

/// A line without what is between backticks.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect()
}

/// Where the links and pictures of a line lead.
fn links(line: &str) -> Vec<String> {
    let line = without_code(line);
    let inline = line
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'));
    let sources = line
        .split("src=\"")
        .skip(1)
        .filter_map(|rest| rest.split_once('"'));
    inline
        .chain(sources)
        .map(|(link, _)| link.to_owned())
        .collect()
}

/// The anchors of a document, as forges and mdBook make them from its headings.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    for (_, line) in prose(text) {
        let heading = line.trim_start_matches('#');
        let level = line.len() - heading.len();
        if !(1..=6).contains(&level) || !heading.starts_with(' ') {
            continue;
        }
        let anchor: String = heading
            .trim()
            .to_lowercase()
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'))
            .map(|c| if c == ' ' { '-' } else { c })
            .collect();
        let mut unique = anchor.clone();
        let mut number = 0;
        while !anchors.insert(unique.clone()) {
            number += 1;
            unique = format!("{anchor}-{number}");
        }
    }
    anchors
}

/// A path without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}

/// What is wrong with a link of a document.
fn problem(document: &Path, link: &str) -> Option<String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
    let target = match path {
        "" => document.to_path_buf(),
        path => plain(&document.parent()?.join(path)),
    };
    if !target.exists() {
        return Some("there is no such file".to_owned());
    }
    if anchor.is_empty() {
        return None;
    }
    let found = anchors(&read(&target));
    (!found.contains(anchor)).then(|| format!("there is no such heading; there are {found:?}"))
}

#[test]
fn every_link_and_every_anchor_of_the_documents_leads_somewhere() {
    let mut broken = Vec::new();
    let mut count = 0;
    for document in documents() {
        for (number, line) in prose(&read(&document)) {
            for link in links(line) {
                count += 1;
                if let Some(problem) = problem(&plain(&document), &link) {
                    broken.push(format!(
                        "{}:{number}: {link}: {problem}",
                        document.display()
                    ));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(count > 50, "only {count} links were found");
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let readme = plain(&root().join("README.md"));
    let found = |link| problem(&readme, link);
    assert_eq!(found("reconciler/docs/SUMMARY.md"), None);
    assert_eq!(found("#licence"), None);
    assert_eq!(found("https://example.org/#nowhere"), None);
    assert!(found("reconciler/docs/nowhere.md").is_some());
    assert!(found("#nowhere").is_some());
    assert!(found("reconciler/docs/SUMMARY.md#nowhere").is_some());
    assert_eq!(
        links("see [a](b.md), `[c](d.md)` and ![e](f.svg#g)"),
        ["b.md", "f.svg#g"]
    );
    let text = "# A `b`, and C\n## Same\n## Same\n```sh\n# no heading\n```\n";
    let expected = ["a-b-and-c", "same", "same-1"].map(str::to_owned);
    assert_eq!(anchors(text), BTreeSet::from(expected));
}

#[test]
fn the_readme_has_at_most_250_lines_of_at_most_120_characters() {
    let text = read(&root().join("README.md"));
    let lines = text.lines().count();
    assert!(lines <= 250, "README.md has {lines} lines");
    for (index, line) in text.lines().enumerate() {
        let characters = line.chars().count();
        let number = index + 1;
        assert!(
            characters <= 120,
            "README.md:{number} has {characters} characters"
        );
    }
}

#[test]
fn the_summary_names_every_document_once() {
    let summary = read(&root().join("reconciler/docs/SUMMARY.md"));
    let mut named: Vec<String> = summary.lines().flat_map(links).collect();
    named.sort();
    let present: Vec<String> = files("reconciler/docs", &["md"])
        .iter()
        .filter_map(|path| {
            path.file_name()
                .map(|name| name.to_string_lossy().into_owned())
        })
        .filter(|name| name != "SUMMARY.md")
        .collect();
    assert_eq!(named, present);
}

/// The names in backticks in the last column of tables whose last heading has the word `test`.
fn tests_named_in(text: &str) -> Vec<(usize, String)> {
    let mut named = Vec::new();
    let mut wanted = false;
    let mut in_table = false;
    for (number, line) in prose(text) {
        let Some(row) = line.strip_prefix('|') else {
            in_table = false;
            continue;
        };
        let row = row.trim_end().trim_end_matches('|');
        // Between backticks a bar is not a border.
        let mut cell = String::new();
        for (index, part) in row.split('`').enumerate() {
            let part = match index % 2 {
                0 => part.rsplit_once('|').map_or_else(
                    || part.to_owned(),
                    |(_, last)| {
                        cell.clear();
                        last.to_owned()
                    },
                ),
                _ => format!("`{part}`"),
            };
            cell += &part;
        }
        if !in_table {
            in_table = true;
            wanted = cell.split_whitespace().any(|word| word == "test");
        } else if wanted {
            let names = cell.split('`').skip(1).step_by(2);
            named.extend(names.map(|name| (number, name.to_owned())));
        }
    }
    named
}

/// All that a table may name: functions that are tests, files of tests, and names of cases in quotes.
struct Known {
    functions: BTreeSet<String>,
    cases: String,
}

impl Known {
    fn new() -> Self {
        let mut functions = BTreeSet::new();
        let mut cases = String::new();
        for folder in ["reconciler/src", "switcher/src", "tests/src", "tests/tests"] {
            for file in files(folder, &["rs"]) {
                let text = read(&file);
                let lines: Vec<&str> = text.lines().map(str::trim).collect();
                for (index, line) in lines.iter().enumerate() {
                    let Some((_, rest)) = line.split_once("fn ") else {
                        continue;
                    };
                    let above = lines[..index].iter().rev();
                    let mut attributes =
                        above.take_while(|line| line.starts_with("#[") || line.starts_with("//"));
                    let is_test = |line: &&str| {
                        line.starts_with("#[test") || line.starts_with("#[tokio::test")
                    };
                    if attributes.any(is_test) {
                        let name = rest.split(['(', '<']).next().unwrap_or_default();
                        functions.insert(name.to_owned());
                    }
                }
                if folder == "tests/tests"
                    && let Some(name) = file.file_stem()
                {
                    functions.insert(name.to_string_lossy().into_owned());
                }
                if !file.ends_with("documents.rs") {
                    cases += &text;
                }
            }
        }
        for file in files("tests/nix", &["nix"]) {
            cases += &read(&file);
        }
        Self { functions, cases }
    }

    fn has(&self, name: &str) -> bool {
        match name.split_once("--case \"") {
            Some((_, case)) => self.cases.contains(&format!("\"{case}")),
            None => {
                self.functions.contains(name)
                    || name.contains(' ') && self.cases.contains(&format!("\"{name}\""))
            }
        }
    }
}

#[test]
fn each_test_that_a_table_names_exists() {
    let known = Known::new();
    let mut missing = Vec::new();
    let mut count = 0;
    for document in documents() {
        for (number, name) in tests_named_in(&read(&document)) {
            count += 1;
            if !known.has(&name) {
                missing.push(format!("{}:{number}: {name}", document.display()));
            }
        }
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
    assert!(count > 100, "only {count} names were found");
}

#[test]
fn a_table_that_names_a_test_that_does_not_exist_is_found() {
    let known = Known::new();
    assert!(known.has("a_table_that_names_a_test_that_does_not_exist_is_found"));
    for name in [
        "tests_named_in",
        "no_such_test",
        "no such case",
        "lab crash --case \"no such\"",
    ] {
        assert!(!known.has(name), "{name}");
    }
    let text = "| a | the test |\n|---|---|\n| `x` | `one`, `two` (unit) |\n\n| `a` | b |\n|---|---|\n| c | `d` |\n";
    let named = tests_named_in(text);
    assert_eq!(named, [(3, "one".to_owned()), (3, "two".to_owned())]);
}
