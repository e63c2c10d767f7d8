//! The door that peers come in by: liars, strangers, penalties, and IPv6.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use lab::Host;
use lab::descriptions::{GREETING, NO_KEYS};
use lab::story::Story;
use lab::test;

use crate::health::{breaks, evidence};
use crate::health_keys::change_fleet;

/// Lets a host answer its peers with a script of the test's, and not with Nixus.
fn lies(host: &Host, script: &str) -> Result<()> {
    host.write("/etc/liar", script)?;
    let path = "/etc/ssh/authorized_keys.d/nixus-probe";
    let keys = host.read(path)?;
    let lying = keys.lines().map(|line| {
        let key = line.split_once(",restrict").map_or(line, |(_, key)| key);
        format!("command=\"/bin/sh /etc/liar\",restrict{key}\n")
    });
    host.write(path, &lying.collect::<String>())
}

#[test]
fn a_peer_answers_garbage_slowly_or_without_end() -> Result<()> {
    // What it says is not an answer; where nobody else could look, the host would wait for it.
    let story = Story::alone(&["web1", "db1", "web2"])?;
    let db1 = story.host("db1")?;
    for (number, script) in [
        "echo garbage",
        "exec sleep 1000",
        "exec yes",
        r#"echo '{"version":1,"host":"db1","on_trial":false,"found":[{"outcome":"fail","reason":"no"}]}'"#,
    ]
    .iter()
    .enumerate()
    {
        lies(db1, script)?;
        let more = format!(r#"environment.etc."greeting".text = "{number}";"#);
        let begun = Instant::now();
        let commit = story.lab().deploy("web1", &more, "greet")?;
        // It was not help before, and is none after.
        story.kept("web1", &commit)?;
        ensure!(begun.elapsed() < Duration::from_secs(120), "{script} held a host up");
        let evidence = evidence(story.host("web1")?)?;
        ensure!(evidence.contains("does not count"), "{script}: {evidence}");
    }
    Ok(())
}

#[test]
fn a_peer_that_lies_opens_no_door() -> Result<()> {
    let story = Story::alone(&["web1", "db1"])?;
    let good = r#"echo '{"version":1,"host":"db1","on_trial":false,"found":[{"outcome":"pass","reason":"all is well"}]}'"#;
    lies(story.host("db1")?, good)?;
    breaks(&story, NO_KEYS, &["ssh: root key SHA256:"])?;
    Ok(())
}

#[test]
fn a_stranger_calls_the_probe() -> Result<()> {
    let story = Story::begin(&["web1", "db1"])?;
    let (web1, db1) = (story.host("web1")?, story.host("db1")?);
    let operator = story.lab().operator();
    let to = format!("nixus-probe@{}", web1.address);
    // sshd knows no such key for this account, not even an operator's.
    let said = operator.ssh(operator.key(), &to, &["hello"])?;
    ensure!(
        !said.ok() && said.stderr.contains("Permission denied"),
        "{said:?}"
    );
    // Not by its unit: who has ended already is known by no unit.
    let journal = web1.journal()?;
    ensure!(
        journal.contains("nixus-probe"),
        "the refusal was not logged: {journal}"
    );

    // A peer gets its question answered, and nothing else.
    let ask = |arguments: &[&str], input: &str| -> Result<lab::Output> {
        let ssh = [
            "ssh",
            "-i",
            "/var/lib/lab-keys/ssh_host_ed25519_key",
            "-o",
            "BatchMode=yes",
            "-o",
            "StrictHostKeyChecking=accept-new",
            "-o",
            "IdentitiesOnly=yes",
        ];
        let mut command = db1.command(ssh.iter().chain(arguments))?;
        lab::command::run(
            &mut command,
            Some(input.as_bytes()),
            Duration::from_secs(60),
        )
    };
    let hello = r#"{"version":1,"ask":{"what":"hello"}}"#;
    let said = ask(&[&to, "touch /tmp/owned; id"], hello)?;
    ensure!(
        said.ok() && said.stdout.contains(r#""host":"web1""#),
        "{said:?}"
    );
    ensure!(
        !web1.exec(["test", "-e", "/tmp/owned"])?.ok(),
        "a peer ran a command"
    );
    let said = ask(&["-W", "127.0.0.1:22", &to], "")?;
    ensure!(!said.ok(), "a peer was forwarded: {said:?}");
    for (input, words) in [
        ("garbage", "the request is invalid"),
        (
            r#"{"version":1,"ask":{"what":"shell"}}"#,
            "the request is invalid",
        ),
        (&" ".repeat(200_000), "no request came"),
    ] {
        let said = ask(&[&to], input)?;
        ensure!(
            said.code == Some(1) && said.stderr.contains(words),
            "{said:?}"
        );
    }

    // Whoever has the account on the host itself, and no peer's name, is refused and logged.
    let mut command = web1.command([
        "runuser",
        "-u",
        "nixus-probe",
        "--",
        "/run/current-system/sw/bin/nixus",
        "probe",
        "mallory",
    ])?;
    let said = lab::command::run(
        &mut command,
        Some(hello.as_bytes()),
        Duration::from_secs(60),
    )?;
    ensure!(said.code == Some(1), "{said:?}");
    ensure!(
        said.stderr
            .contains("\"mallory\" is not a peer of this host"),
        "{said:?}"
    );
    let journal = web1.journal()?;
    ensure!(
        journal.contains("refused: \"mallory\" is not a peer"),
        "{journal}"
    );

    // And whoever asks without end: sixty at once, and one more each second.
    let question = format!(
        "for n in $(seq 150); do echo '{hello}' | /run/current-system/sw/bin/nixus probe db1; done 2>&1"
    );
    let begun = Instant::now();
    let mut command = web1.command([
        "runuser",
        "-u",
        "nixus-probe",
        "--",
        "/bin/sh",
        "-c",
        &question,
    ])?;
    let said = lab::command::run(&mut command, None, Duration::from_secs(140))?;
    let seconds = begun.elapsed().as_secs();
    let lines = |words: &str| {
        said.stdout
            .lines()
            .filter(|line| line.contains(words))
            .count()
    };
    let (answered, refused) = (lines(r#""host":"web1""#), lines("db1 asks too often"));
    ensure!(answered + refused == 150 && refused > 0, "{said:?}");
    let most = 60 + usize::try_from(seconds)? + 1;
    ensure!(answered <= most, "{answered} answers in {seconds} s");
    let failed = web1.must(["systemctl", "--failed", "--plain", "--no-legend"])?;
    ensure!(failed.trim().is_empty(), "{failed}");
    Ok(())
}

#[test]
fn twenty_verdicts_and_an_operator_still_gets_in() -> Result<()> {
    let story = Story::begin(&["web1", "db1"])?;
    let (web1, db1) = (story.host("web1")?, story.host("db1")?);
    let version = web1.exec(["sshd", "-V"])?.stderr;
    ensure!(version.contains("OpenSSH_10"), "{version}");
    for number in 1..=20 {
        let said = web1.exec(["nixus", "check", "--json"])?;
        ensure!(said.ok(), "verdict {number}: {said:?}");
    }
    // From the peer's address, with the operator's own key.
    let key = std::fs::read_to_string(story.lab().operator().key()).context("no key")?;
    db1.write("/root/operator_key", &key)?;
    db1.must(["chmod", "600", "/root/operator_key"])?;
    let said = db1.exec([
        "ssh",
        "-i",
        "/root/operator_key",
        "-o",
        "BatchMode=yes",
        "-o",
        "IdentitiesOnly=yes",
        "-o",
        "StrictHostKeyChecking=accept-new",
        "root@10.77.0.11",
        "hostname",
    ])?;
    ensure!(said.stdout.trim() == "web1", "{said:?}");
    Ok(())
}

#[test]
fn peers_are_reached_over_ipv6_alone() -> Result<()> {
    let story = Story::begin(&["web1", "db1"])?;
    let only6 = change_fleet(&story, "\"10.77.0.11\" ", "", "web1 has IPv6 only")?;
    story.kept_at_last("db1", &only6)?;
    story.kept_at_last("web1", &only6)?;
    let only6 = change_fleet(&story, "\"10.77.0.12\" ", "", "db1 has IPv6 only")?;
    story.kept_at_last("web1", &only6)?;
    story.kept_at_last("db1", &only6)?;
    let commit = story.lab().deploy("web1", GREETING, "greet")?;
    story.kept("web1", &commit)?;
    let evidence = evidence(story.host("web1")?)?;
    ensure!(
        evidence.contains("peer db1") && evidence.contains("login ok"),
        "{evidence}"
    );
    breaks(
        &story,
        r#"systemd.network.networks."10-lab".address = lib.mkForce [ "10.77.0.11/24" ];"#,
        &["ssh: fd77::11 port 22"],
    )?;
    Ok(())
}
