use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use super::*;

const NAME: &str = "refs/heads/main";

fn packets(lines: &[&str]) -> Vec<u8> {
    let packet = |line: &&str| match *line {
        "0000" | "0001" => (*line).to_owned(),
        line => format!("{:04x}{line}\n", line.len() + 5),
    };
    lines.iter().map(packet).collect::<String>().into_bytes()
}

fn head_in(answer: &[u8]) -> Option<Head> {
    match in_session(answer, NAME) {
        Read::Whole(head) => Some(head),
        Read::More | Read::Strange => None,
    }
}

#[test]
fn only_a_whole_answer_about_that_very_ref_counts() {
    let id = "a".repeat(40);
    let at = || Read::Whole(Head::At(CommitId::try_from(id.clone()).unwrap()));
    let main = format!("{id} refs/heads/main");
    let longer = format!("{} refs/heads/main-old", "b".repeat(40));
    let start = ["version 2", "ls-refs=unborn", "0000"];
    let check = |refs: &[&str], expected: Read| {
        assert_eq!(super::refs(&packets(refs), NAME), expected, "{refs:?}");
        let lines: Vec<&str> = start.iter().chain(refs).copied().collect();
        assert_eq!(in_session(&packets(&lines), NAME), expected, "{refs:?}");
    };
    check(&[&main, "0000"], at());
    check(&[&longer, &main, "0000"], at());
    check(&[&longer, "0000"], Read::Whole(Head::Missing));
    check(&["0000"], Read::Whole(Head::Missing));
    // Not all of it.
    check(&[], Read::More);
    check(&[&main], Read::More);
    // Not what was asked for.
    check(&["ERR no such repository"], Read::Strange);
    check(&["x refs/heads/main", "0000"], Read::Strange);
    check(&[&main, "0001"], Read::Strange);
    check(&["no-blank", "0000"], Read::Strange);
    let check = |lines: &[&str], expected: Read| {
        assert_eq!(in_session(&packets(lines), NAME), expected, "{lines:?}");
    };
    check(
        &[&format!("{id} HEAD\0agent=git/1.7"), &main, "0000"],
        Read::Strange,
    );
    check(&["version 1"], Read::Strange);
    check(&["version 3", "0000", &main, "0000"], Read::Strange);
    check(&["version 2", "0000"], Read::More);
}

#[test]
fn nonsense_is_known_at_its_first_byte_and_each_beginning_is_no_more_than_that() {
    for nonsense in ["hello", "-001", "+005a", "0002", "0003", "00g", "é"] {
        assert_eq!(
            in_session(nonsense.as_bytes(), NAME),
            Read::Strange,
            "{nonsense:?}"
        );
        assert_eq!(
            refs(nonsense.as_bytes(), NAME),
            Read::Strange,
            "{nonsense:?}"
        );
    }
    let main = format!("{} refs/heads/main", "a".repeat(40));
    let whole = packets(&["version 2", "agent=git/2.47", "0000", &main, "0000"]);
    for length in 0..whole.len() {
        assert_eq!(in_session(&whole[..length], NAME), Read::More, "{length}");
    }
    assert!(matches!(in_session(&whole, NAME), Read::Whole(Head::At(_))));
}

/// Puts the question to git's own server.
fn answer(repository: &Path, protocol: &str) -> Vec<u8> {
    let mut server = Command::new("git")
        .args(["upload-pack", "--strict"])
        .arg(repository)
        .env("GIT_PROTOCOL", protocol)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = server.stdin.take().unwrap();
    // A server of another version goes away.
    let _ = input.write_all(&[&question(NAME), FLUSH.as_bytes()].concat());
    drop(input);
    server.wait_with_output().unwrap().stdout
}

#[test]
fn gits_own_server_gives_that_ref_and_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let server = git2::Repository::init_bare(directory.path()).unwrap();
    assert_eq!(
        head_in(&answer(directory.path(), "version=2")),
        Some(Head::Missing)
    );
    let author = git2::Signature::now("operator", "operator@example").unwrap();
    let tree = server.treebuilder(None).unwrap().write().unwrap();
    let tree = server.find_tree(tree).unwrap();
    let id = server
        .commit(None, &author, &author, "one", &tree, &[])
        .unwrap();
    for number in 0..100 {
        let name = format!("refs/heads/topic-{number}");
        server.reference(&name, id, true, "test").unwrap();
    }
    server.reference(NAME, id, true, "test").unwrap();
    let said = answer(directory.path(), "version=2");
    let at = CommitId::try_from(id.to_string()).unwrap();
    assert_eq!(head_in(&said), Some(Head::At(at)));
    assert!(said.len() <= 600, "{} bytes", said.len());
    // An old server lists everything in another form; that is left to git.
    assert_eq!(head_in(&answer(directory.path(), "version=0")), None);
}
