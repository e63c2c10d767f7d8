//! Whether each test of each source file is known: one that is in no list is one that never runs.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use super::Test;

/// Compares the tests that are registered with those in the source files of a folder.
///
/// # Errors
/// With the first file that has others than it has registered.
pub fn check(tests: &[Test], folder: &Path) -> Result<()> {
    let mut registered: BTreeMap<&str, usize> = BTreeMap::new();
    for test in tests {
        let file = test.file.rsplit('/').next().unwrap_or(test.file);
        *registered.entry(file).or_default() += 1;
    }
    for found in
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?
    {
        let path = found
            .with_context(|| format!("cannot list {}", folder.display()))?
            .path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if !name.ends_with(".rs") {
            continue;
        }
        let text =
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let known = registered.get(name.as_str()).copied().unwrap_or(0);
        let there = in_source(&text);
        ensure!(
            known == there,
            "{} has {there} tests and {known} of them would run: name the file in main.rs, and let \
             it `use lab::test`",
            path.display()
        );
        ensure!(
            there > 0 || name == "main.rs",
            "{} has no tests: what tests share is in tests/src",
            path.display()
        );
    }
    Ok(())
}

/// How many functions of a source file are marked as tests.
fn in_source(text: &str) -> usize {
    let is_mark = |line: &&str| *line == "#[test]" || line.starts_with("#[test(");
    text.lines().map(str::trim).filter(is_mark).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_listed_or_does_not_register_its_tests_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
        let test = Test {
            file: "tests/tests/a.rs",
            ..Test::named("main::a::one")
        };
        write("main.rs", "mod a;\n");
        write("a.rs", "#[test]\nfn one() {}\n");
        check(&[test], folder.path()).unwrap();
        write(
            "a.rs",
            "#[test]\nfn one() {}\n#[test(weight = 2)]\nfn two() {}\n",
        );
        let error = check(&[test], folder.path()).unwrap_err().to_string();
        assert!(
            error.contains("a.rs has 2 tests and 1 of them would run"),
            "{error}"
        );
        write("a.rs", "#[test]\nfn one() {}\n");
        write("b.rs", "#[test]\nfn three() {}\n");
        let error = check(&[test], folder.path()).unwrap_err().to_string();
        assert!(error.contains("b.rs has 1 tests and 0 of them"), "{error}");
        write("b.rs", "fn four() {}\n");
        let error = check(&[test], folder.path()).unwrap_err().to_string();
        assert!(error.contains("b.rs has no tests"), "{error}");
    }
}
