use std::io::Write;
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

#[test]
fn only_a_whole_answer_about_that_very_ref_counts() {
    let id = "a".repeat(40);
    let at = Some(Head::At(CommitId::try_from(id.clone()).unwrap()));
    let main = format!("{id} refs/heads/main");
    let longer = format!("{} refs/heads/main-old", "b".repeat(40));
    let check = |lines: &[&str], expected: Option<Head>| {
        assert_eq!(head_in(&packets(lines), NAME), expected, "{lines:?}");
    };
    let start = ["version 2", "ls-refs=unborn", "0000"];
    let with = |refs: &[&str]| {
        let lines: Vec<&str> = start.iter().chain(refs).copied().collect();
        head_in(&packets(&lines), NAME)
    };
    assert_eq!(with(&[&main, "0000"]), at);
    assert_eq!(with(&[&longer, &main, "0000"]), at);
    assert_eq!(with(&[&longer, "0000"]), Some(Head::Missing));
    assert_eq!(with(&["0000"]), Some(Head::Missing));
    // Cut off, or not what was asked for.
    assert_eq!(with(&[&main]), None);
    assert_eq!(with(&["ERR no such repository"]), None);
    assert_eq!(with(&["x refs/heads/main", "0000"]), None);
    assert_eq!(with(&[&main, "0001"]), None);
    check(&[&format!("{id} HEAD\0agent=git/1.7"), &main, "0000"], None);
    check(&["version 2", "0000"], None);
    check(&["version 3", "0000", &main, "0000"], None);
    check(&[], None);
    for nonsense in [
        "hello", "00", "-001", "+005a", "0002", "0003", "ffff", "00051",
    ] {
        assert_eq!(head_in(nonsense.as_bytes(), NAME), None, "{nonsense:?}");
    }
}

#[test]
fn only_plain_addresses_are_taken() {
    let check = |url: &str, expected: Option<(&str, Option<&str>, &str)>| {
        let expected = expected.map(|(host, port, path)| Address { host, port, path });
        assert_eq!(Address::of(url), expected, "{url}");
    };
    let path = "/srv/git/x.git";
    check("ssh://git@a.b/srv/git/x.git", Some(("git@a.b", None, path)));
    check("ssh://a:22/srv/git/x.git", Some(("a", Some("22"), path)));
    for other in [
        "https://git@a.b/x",
        "ssh://git@a.b",
        "ssh://-oProxyCommand=x/y",
        "ssh://-o@a/y",
        "ssh://a@-o/y",
        "ssh://a@b@c/y",
        "ssh://@a/y",
        "ssh://a:/y",
        "ssh://a:x/y",
        "ssh://a:99999/y",
        "ssh://a:b@c/y",
        "ssh://[fd77::2]/y",
        "ssh://a/~git/y",
        "ssh://a/x%20y",
        "ssh://a/x'y",
        "ssh://a/x;y",
        "ssh://a/x y",
        "ssh://a/x\ny",
    ] {
        check(other, None);
    }
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
    let _ = input.write_all(&question(NAME));
    drop(input);
    server.wait_with_output().unwrap().stdout
}

#[test]
fn gits_own_server_gives_that_ref_and_no_other() {
    let directory = tempfile::tempdir().unwrap();
    let server = git2::Repository::init_bare(directory.path()).unwrap();
    assert_eq!(
        head_in(&answer(directory.path(), "version=2"), NAME),
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
    assert_eq!(head_in(&said, NAME), Some(Head::At(at)));
    assert!(said.len() <= 600, "{} bytes", said.len());
    // An old server lists everything in another form; that is left to git.
    assert_eq!(head_in(&answer(directory.path(), "version=0"), NAME), None);
}
