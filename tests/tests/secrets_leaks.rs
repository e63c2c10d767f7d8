//! Where nothing secret may be, looked for byte by byte.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lab::story::{Story, status};
use lab::test;
use serde_json::Value;

use crate::secrets::{FAILS, SHOP, is, seal};

#[test]
fn nothing_secret_is_on_disk_in_the_journal_in_arguments_core_dumps_or_swap() -> Result<()> {
    let story = Story::alone(&["web1"])?;
    let web1 = story.host("web1")?;
    let needle = format!("needle-{:032x}", fastrand::u128(..));
    // What processes show of themselves, all through two deployments.
    let watch = "while :; do cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ; sleep 0.01; done > /var/tmp/shown 2>/dev/null";
    web1.must([
        "systemd-run",
        "--unit=watch",
        "--collect",
        "sh",
        "-c",
        watch,
    ])?;
    seal(&story, needle.as_bytes(), b"tls", b"other")?;
    let quiet = SHOP.replace("cp \\\"$CREDENTIALS_DIRECTORY/db\\\" /run/shop-saw; ", "");
    ensure!(quiet != SHOP, "the shop still copies its secret");
    let commit = story.lab().deploy("web1", &quiet, "open a shop")?;
    story.kept("web1", &commit)?;
    is(web1, "db", needle.as_bytes())?;
    let before = web1.current_system()?;
    let commit = story
        .lab()
        .deploy("web1", &format!("{quiet}{FAILS}"), "break it")?;
    story.went_back("web1", &commit, &before, "failed units: broken.service")?;
    web1.must(["systemctl", "stop", "watch.service"])?;
    ensure!(web1.must(["stat", "--format=%s", "/var/tmp/shown"])?.trim() != "0");

    // One that waits in the middle of its work, having opened the first.
    web1.must(["mkdir", "-p", "/var/tmp/cores"])?;
    web1.must(["mkfifo", "/var/tmp/cores/never.age"])?;
    let description = web1.read("/run/current-system/etc/nixus/secrets.json")?;
    let mut waits: Value = serde_json::from_str(&description)?;
    let secrets = waits.pointer_mut("/secrets").and_then(Value::as_array_mut);
    let last = secrets
        .and_then(|all| all.last_mut())
        .context("no secrets")?;
    last["file"] = "/var/tmp/cores/never.age".into();
    web1.write("/var/tmp/cores/waits.json", &waits.to_string())?;
    web1.must([
        "systemd-run",
        "--unit=waits",
        "--collect",
        "--property=LimitCORE=infinity",
        "--property=WorkingDirectory=/var/tmp/cores",
        "/run/current-system/sw/bin/nixus-secrets",
        "check",
        "/var/tmp/cores/waits.json",
    ])?;
    let pid = web1.must([
        "systemctl",
        "show",
        "--property=MainPID",
        "--value",
        "waits.service",
    ])?;
    let pid = pid.trim().to_owned();
    web1.wait_until("waits for a file", Duration::from_secs(10), |host| {
        let limits = host.read(&format!("/proc/{pid}/limits"))?;
        Ok(limits.lines().any(|line| {
            line.starts_with("Max core file size") && line.split_whitespace().nth(4) == Some("0")
        }))
    })?;
    let locked = web1.read(&format!("/proc/{pid}/status"))?;
    let locked = locked.lines().find(|line| line.starts_with("VmLck:"));
    ensure!(
        locked.is_some_and(|line| !line.contains("\t       0 kB")),
        "its memory may go to swap: {locked:?}"
    );
    web1.must(["kill", "-ABRT", &pid])?;
    web1.wait_until("is gone", Duration::from_secs(10), |host| {
        Ok(!host.exec(["test", "-d", &format!("/proc/{pid}")])?.ok())
    })?;

    // Byte by byte, in all there is but the ramfs.
    web1.must(["journalctl", "--sync"])?;
    let found = web1.exec([
        "grep",
        "--recursive",
        "--files-with-matches",
        "--fixed-strings",
        "--text",
        "--no-messages",
        "--devices=skip",
        "--exclude-dir=proc",
        "--exclude-dir=sys",
        "--exclude-dir=nixus-secrets.d",
        "--exclude-dir=credentials",
        "--",
        &needle,
        "/",
    ])?;
    ensure!(found.stdout.trim().is_empty(), "it is in {}", found.stdout);
    // And it would have been found.
    let there = web1.exec(["grep", "-rlF", "--", &needle, "/run/nixus-secrets.d"])?;
    ensure!(there.ok(), "{there:?}");
    let journal = web1.must(["journalctl", "--all", "--output=export", "--no-pager"])?;
    ensure!(!journal.contains(&needle), "it is in the journal");
    let seen = status(web1)?;
    ensure!(!seen.to_string().contains(&needle), "it is in the status");
    Ok(())
}
