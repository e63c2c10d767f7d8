//! What a server may make a host fetch, before anything of it is trusted.

use std::fs::File;
use std::io::Read as _;

use anyhow::{Context as _, Result, ensure};
use lab::descriptions::GREETING;
use lab::fleet::Files;
use lab::story::{Story, status};
use lab::test;

/// A commit's message; it takes 4 KB on the way.
const LONG: usize = 4 << 20;

#[test]
fn a_commit_that_is_too_large_is_not_read_and_the_next_one_is_taken() -> Result<()> {
    let story = Story::alone(&["web1"])?;
    let web1 = story.host("web1")?;
    let operator = story.lab().operator();
    let message = operator.clone_path().join(".git/long");
    std::fs::write(&message, "x".repeat(LONG))?;
    let committed = operator.git(&["commit", "--quiet", "--allow-empty", "-F", ".git/long"])?;
    ensure!(committed.ok(), "{committed:?}");
    operator.push()?;
    story.waits_for("web1", "backing-off")?;
    let seen = status(web1)?;
    let why = seen.pointer("/last_pass/waits_for/why").context("no why")?;
    ensure!(why.to_string().contains("bytes large"), "{why}");
    let back = operator.git(&["reset", "--quiet", "--hard", "HEAD~1"])?;
    ensure!(back.ok(), "{back:?}");
    let files: Files = [story.lab().describe("web1", GREETING)?].into();
    let next = operator.commit(&files, "greet")?;
    operator.force_push()?;
    story.kept("web1", &next)?;
    Ok(())
}

/// At 2 Mbit/s it takes longer than the 20 s that may pass without anything.
#[test(long)]
fn a_slow_fetch_comes_to_its_end_and_leaves_nothing() -> Result<()> {
    let story = Story::alone(&["web1"])?;
    let web1 = story.host("web1")?;
    // What a fetch of a release before has left when it was killed.
    let old = "/var/lib/nixus/repository.git/objects/pack/tmp_pack_Old123";
    web1.must([
        "sh",
        "-c",
        &format!("mkdir -p $(dirname {old}); echo x > {old}; touch -d '1 hour ago' {old}"),
    ])?;
    let mut chance = vec![0; 8 << 20];
    File::open("/dev/urandom")?.read_exact(&mut chance)?;
    let text: String = chance.iter().map(|byte| format!("{byte:02x}")).collect();
    web1.throttle("2mbit")?;
    let (path, host) = story.lab().describe("web1", GREETING)?;
    let files: Files = [(path, host), ("files/large.txt".to_owned(), text)].into();
    let commit = story.lab().operator().deploy(&files, "a large file")?;
    story.kept("web1", &commit)?;
    let left = web1.must(["find", "/var/lib/nixus/repository.git", "-name", "tmp_*"])?;
    ensure!(left.is_empty(), "{left}");
    Ok(())
}
