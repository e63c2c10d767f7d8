//! The tests that a commit adds to those that run on NixOS in any case.

use std::cmp::Reverse;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::Test;
use crate::command;
use crate::kind::Kind;

/// How many there are for each commit.
const SIZE: usize = 3;
/// The files of tests about hosts, which are the same on each kind of them.
const FILES: [&str; 12] = [
    "activations",
    "boots",
    "deployments",
    "drift",
    "failures",
    "health",
    "manifests",
    "own_pass",
    "passes",
    "restoring",
    "secrets",
    "switching",
];
const LIMIT: Duration = Duration::from_secs(10);

/// The commit of this repository that is checked out; nothing where there is no git or no repository.
pub fn commit() -> Option<String> {
    let mut git = Command::new("git");
    git.arg("-C")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")))
        .args(["rev-parse", "HEAD"]);
    let said = command::must(&mut git, None, LIMIT).ok()?;
    Some(said.trim().to_owned())
}

/// The tests that this commit chooses: over many commits, each that can run on NixOS has its turn.
pub fn of(all: &[Test], commit: &str) -> Vec<Test> {
    let able: Vec<Test> = all.iter().filter(|test| is_able(test)).copied().collect();
    choose(able, SIZE, commit, |test| test.name)
}

/// So many of these, chosen by a commit.
pub fn choose<T>(
    mut from: Vec<T>,
    count: usize,
    commit: &str,
    name: impl Fn(&T) -> &str,
) -> Vec<T> {
    from.sort_by_cached_key(|one| {
        let mut hasher = DefaultHasher::new();
        (commit, name(one)).hash(&mut hasher);
        Reverse(hasher.finish())
    });
    from.truncate(count);
    from
}

/// Whether a test is about hosts, may be of either kind, and does not run on NixOS already.
fn is_able(test: &Test) -> bool {
    let file = test.shown().split("::").next().unwrap_or_default();
    FILES.contains(&file) && test.kinds == [Kind::StandIn] && test.only_stand_in.is_none()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn tests() -> Vec<Test> {
        let mut all: Vec<Test> = ["a", "b", "c", "d", "e", "f", "g", "h"]
            .map(|name| Test::named(format!("main::health::{name}").leak()))
            .to_vec();
        all.push(Test::named("main::git_server::of_no_host"));
        all.push(Test {
            kinds: &[Kind::StandIn, Kind::Nixos],
            ..Test::named("main::health::on_both")
        });
        all.push(Test {
            only_stand_in: Some("it has another loader"),
            ..Test::named("main::health::elsewhere")
        });
        all
    }

    #[test]
    fn a_commit_chooses_the_same_tests_each_time_and_commits_choose_all_of_them() {
        let all = tests();
        let names =
            |commit: &str| -> Vec<&str> { of(&all, commit).iter().map(|test| test.name).collect() };
        assert_eq!(names("one"), names("one"));
        assert_eq!(names("one").len(), SIZE);
        let commits = (0..100).map(|number| number.to_string());
        let seen: BTreeSet<&str> = commits.flat_map(|commit| names(&commit)).collect();
        let able: BTreeSet<&str> = all[..8].iter().map(|test| test.name).collect();
        assert_eq!(seen, able);
    }
}
