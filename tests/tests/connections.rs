//! What a pass asks of the network, and what it does not.

use anyhow::{Result, ensure};
use lab::Host;
use lab::story::Story;
use lab::test;

/// How often a host has logged in to the git server.
fn logins(git: &Host, address: &str) -> Result<usize> {
    git.must(["journalctl", "--sync"])?;
    let journal = git.must(["journalctl", "--boot", "--output=cat"])?;
    let words = format!("Accepted publickey for git from {address} ");
    Ok(journal.lines().filter(|line| line.contains(&words)).count())
}

#[test]
fn all_that_a_pass_asks_of_one_server_goes_over_one_connection_that_ends_with_it() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let (web1, git) = (story.host("web1")?, story.host("git")?);
    let address = format!("10.77.0.{}", story.lab().members()["web1"].number);
    web1.stop_passes()?;
    let pass = |expected: usize| -> Result<()> {
        let before = logins(git, &address)?;
        web1.must(["nixus", "reconcile"])?;
        let made = logins(git, &address)? - before;
        ensure!(made == expected, "{made} connections, and not {expected}");
        let left = web1.exec(["pgrep", "--list-full", "--exact", "ssh"])?;
        ensure!(left.stdout.is_empty(), "ssh is left: {}", left.stdout);
        let sockets = web1.must(["find", "/run/nixus/ssh", "-type", "s"])?;
        ensure!(sockets.is_empty(), "sockets are left: {sockets}");
        let mode = web1.must(["stat", "--format=%a %U", "/run/nixus/ssh"])?;
        ensure!(mode.trim() == "700 root", "{mode}");
        Ok(())
    };
    // Nothing to do: the branch is asked for.
    pass(1)?;
    // It is asked for, fetched, and what came of it is reported.
    let files = [("README.md".to_owned(), "A fleet.\n".to_owned())].into();
    let commit = story
        .lab()
        .operator()
        .deploy(&files, "describe the fleet")?;
    pass(1)?;
    story.kept("web1", &commit)?;
    // What an earlier pass left behind, killed together with its ssh, is in nobody's way.
    web1.must(["touch", "/run/nixus/ssh/left"])?;
    pass(1)
}

#[test]
fn a_server_that_takes_one_session_for_each_connection_is_served_as_well() -> Result<()> {
    let story = Story::alone(&["web1"])?;
    let (web1, git) = (story.host("web1")?, story.host("git")?);
    git.must(["sh", "-c", "echo MaxSessions 1 >> /etc/ssh/sshd_config"])?;
    git.stop_sshd()?;
    git.start_sshd()?;
    web1.stop_passes()?;
    let files = [("README.md".to_owned(), "A fleet.\n".to_owned())].into();
    let commit = story
        .lab()
        .operator()
        .deploy(&files, "describe the fleet")?;
    web1.must(["nixus", "reconcile"])?;
    story.kept("web1", &commit)?;
    Ok(())
}

#[test]
fn a_pass_with_nothing_to_do_over_ssh_sets_up_no_tls() -> Result<()> {
    const TRAP: &str = "/run/trap.pem";
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    web1.stop_passes()?;
    // Nobody writes to it: whoever reads the certificate store waits for ever.
    web1.must(["mkfifo", TRAP])?;
    let trapped = |seconds: &str, more: &[&str]| {
        let store = format!("SSL_CERT_FILE={TRAP}");
        let words = ["env", &store, "timeout", seconds, "nixus"];
        web1.exec(words.iter().chain(more))
    };
    let pass = trapped("60", &["reconcile"])?;
    ensure!(pass.ok(), "the pass read the certificate store: {pass:?}");
    let config = web1.read("/etc/nixus/config.toml")?;
    let check = "\n[[checks]]\nkind = \"http\"\nname = \"shop\"\nurl = \"https://127.0.0.1/\"\n";
    web1.write("/root/with-check.toml", &format!("{config}{check}"))?;
    let check = trapped("5", &["--config", "/root/with-check.toml", "check"])?;
    ensure!(check.code == Some(124), "the trap is none: {check:?}");
    web1.must(["rm", TRAP])?;
    Ok(())
}
