//! What an operator tells a host, and what a host makes of damaged state and full disks.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lab::fleet::Files;
use lab::story::{PATIENCE, Story, deployments, status};
use lab::test;
use nixus::decide::report::State;
use serde_json::Value;

const GREETING: &str = r#"environment.etc."greeting".text = "hello";"#;

#[test]
fn a_quarantined_commit_is_retried_when_asked() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let before = web1.current_system()?;
    // It fails as long as this file is there, which no deployment changes.
    web1.write("/var/lib/broken", "")?;
    let more = format!(
        r#"{GREETING}
        system.activationScripts.check = "test ! -e /var/lib/broken";"#
    );
    let commit = story.lab().deploy("web1", &more, "greet")?;
    story.went_back("web1", &commit, &before, "activation failed")?;
    web1.must(["rm", "/var/lib/broken"])?;
    story.tries_no_more("web1")?;
    web1.must(["nixus", "retry"])?;
    let report = story.report("web1", &commit, &[State::Success])?;
    let kept = report.toplevel.context("no toplevel")?.to_string();
    story.at_rest("web1", &kept)
}

#[test]
fn a_suspended_host_activates_nothing_until_it_is_resumed() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let before = web1.current_system()?;
    web1.must(["nixus", "suspend", "--for", "1h", "moving disks"])?;
    let commit = story.lab().deploy("web1", GREETING, "greet")?;
    story.waits_for("web1", "suspended")?;
    story.tries_no_more("web1")?;
    story.at_rest("web1", &before)?;
    let text = lab::story::shown(web1, &["nixus", "status"])?;
    ensure!(text.contains("moving disks"), "{text}");
    web1.must(["nixus", "resume"])?;
    story.kept("web1", &commit)?;
    Ok(())
}

#[test]
fn a_configuration_is_checked_before_it_is_used() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let said = web1.must(["nixus", "check-config"])?;
    ensure!(said.contains("repository.url"), "{said}");
    let good = web1.read("/etc/nixus/config.toml")?;
    for (from, to, words) in [
        ("branch", "brunch", ": repository.brunch: unknown field"),
        ("soak = \"1s\"", "soak = \"1 fortnight\"", ": health.soak"),
        ("[switch]", "[switch", ": "),
    ] {
        let bad = good.replace(from, to);
        let line = bad.lines().position(|line| line.contains(to));
        let line = line.context("nothing is wrong")? + 1;
        let words = format!("/tmp/bad.toml:{line}{words}");
        web1.write("/tmp/bad.toml", &bad)?;
        let said = web1.exec(["nixus", "--config", "/tmp/bad.toml", "reconcile"])?;
        ensure!(
            said.code == Some(2) && said.stderr.contains(&words),
            "{said:?}"
        );
    }
    let said = web1.exec(["nixus", "--config", "/tmp/none.toml", "status"])?;
    ensure!(
        said.code == Some(2) && said.stderr.contains("/tmp/none.toml"),
        "{said:?}"
    );
    Ok(())
}

const LEDGER: &str = "/var/lib/nixus/ledger.json";

#[test]
fn a_ledger_that_is_damaged_or_lost_is_restored_from_its_copy() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let script = |script: &str| web1.must(["sh", "-c", script]).map(drop);
    for (number, damage) in [
        format!("echo '{{' > {LEDGER}"),
        // As good JSON as before.
        format!("sed -i 's/\"subject\": \"/&x/' {LEDGER}"),
        format!("rm {LEDGER}"),
    ]
    .iter()
    .enumerate()
    {
        web1.stop_passes()?;
        script(damage)?;
        let more = format!(r#"environment.etc."greeting".text = "{number}";"#);
        let commit = story.lab().deploy("web1", &more, "greet")?;
        web1.start_passes()?;
        story.kept("web1", &commit)?;
        // What was accepted is as it was: the history goes on from there, and from nowhere before it.
        let seen = status(web1)?;
        ensure!(
            seen.pointer("/accepted").and_then(Value::as_str) == Some(commit.as_str()),
            "{seen}"
        );
    }
    Ok(())
}

#[test]
fn a_state_folder_that_is_lost_is_told_of_and_waits_for_an_operator() -> Result<()> {
    let story = Story::alone(&["web1"])?;
    let web1 = story.host("web1")?;
    let before = web1.current_system()?;
    web1.stop_passes()?;
    web1.must(["sh", "-c", "rm -rf /var/lib/nixus/*"])?;
    let commit = story.lab().deploy("web1", GREETING, "greet")?;
    web1.start_passes()?;
    story.waits_for("web1", "state-damaged")?;
    let report = story.report("web1", &commit, &[State::Error])?;
    ensure!(
        report
            .text
            .contains("is lost, although this host was adopted")
            && report.text.contains("nixus adopt --again"),
        "{}",
        report.text
    );
    story.at_rest("web1", &before)?;
    let text = lab::story::shown(web1, &["nixus", "status"])?;
    ensure!(text.contains("is lost, although"), "{text}");
    web1.must(["nixus", "adopt", "--again"])?;
    story.kept_at_last("web1", &commit)?;
    Ok(())
}

#[test]
fn a_ledger_that_is_damaged_with_its_copy_is_set_aside_and_activates_nothing() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let before = web1.current_system()?;
    web1.stop_passes()?;
    web1.write(LEDGER, "{ \"version\": 1, \"anch")?;
    web1.write(&format!("{LEDGER}.previous"), "")?;
    let commit = story.lab().deploy("web1", GREETING, "greet")?;
    web1.start_passes()?;
    story.waits_for("web1", "state-damaged")?;
    story.tries_no_more("web1")?;
    story.at_rest("web1", &before)?;
    let text = lab::story::shown(web1, &["nixus", "status"])?;
    ensure!(text.contains("ledger.json.damaged"), "{text}");
    web1.must(["nixus", "adopt", "--again"])?;
    // It was told of by that commit meanwhile.
    story.kept_at_last("web1", &commit)?;
    Ok(())
}

#[test]
fn a_full_disk_at_a_state_write_stops_the_pass_and_nothing_else() -> Result<()> {
    let story = Story::alone(&["web1"])?;
    let web1 = story.host("web1")?;
    let before = web1.current_system()?;
    web1.stop_passes()?;
    // The state as it is, on a disk of its own that is full to the last byte.
    for step in [
        &["cp", "-a", "/var/lib/nixus", "/var/lib/nixus.copy"][..],
        &[
            "mount",
            "-t",
            "tmpfs",
            "-o",
            "size=2m",
            "tmpfs",
            "/var/lib/nixus",
        ],
        &["cp", "-a", "/var/lib/nixus.copy/.", "/var/lib/nixus"],
    ] {
        web1.must(step)?;
    }
    web1.exec(["dd", "if=/dev/zero", "of=/var/lib/nixus/fill", "bs=1k"])?;
    let commit = story.lab().deploy("web1", GREETING, "greet")?;
    for _ in 0..3 {
        let said = web1.exec(["nixus", "reconcile"])?;
        ensure!(
            said.stderr.contains("No space left") || !said.ok(),
            "{said:?}"
        );
    }
    // Whether it found room or not, it is not half-written.
    let seen = status(web1)?;
    ensure!(
        seen.pointer("/set_aside") == Some(&Value::Array(Vec::new())),
        "{seen}"
    );
    let ledger: Value = serde_json::from_str(&web1.read("/var/lib/nixus/ledger.json")?)?;
    ensure!(ledger.pointer("/kept/commit/id").is_some(), "{ledger}");
    ensure!(web1.current_system()? == before && deployments(web1)?.is_empty());
    web1.must(["rm", "/var/lib/nixus/fill"])?;
    web1.must(["mount", "-o", "remount,size=200m", "/var/lib/nixus"])?;
    web1.exec(["nixus", "retry"])?;
    web1.start_passes()?;
    story.kept("web1", &commit)?;
    Ok(())
}

#[test]
fn a_build_that_never_ends_is_ended_and_the_next_commit_deployed() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let short = r#"services.nixus.settings.closure.build_timeout = lib.mkForce "5s";"#;
    let commit = story.lab().deploy("web1", short, "build quickly")?;
    story.kept("web1", &commit)?;
    let endless = format!(
        r#"{short} environment.systemPackages = [ (pkgs.runCommand "endless" {{ }} "sleep 1000") ];"#
    );
    let stuck = story.lab().deploy("web1", &endless, "build for ever")?;
    let report = story.report("web1", &stuck, &[State::Waiting])?;
    ensure!(report.text.contains("ended after 5 s"), "{}", report.text);
    story.waits_for("web1", "backing-off")?;
    ensure!(
        !web1.exec(["pgrep", "-f", "sleep 1000"])?.ok(),
        "the builder goes on"
    );
    let seen = status(web1)?;
    ensure!(
        seen.pointer("/quarantine") == Some(&serde_json::json!([])),
        "a time-out is not the commit's fault: {seen}"
    );
    let next = story.lab().deploy("web1", GREETING, "greet")?;
    story.kept("web1", &next)?;
    Ok(())
}

#[test]
fn a_fetch_that_is_cut_in_the_middle_is_done_again() -> Result<()> {
    let story = Story::alone(&["web1"])?;
    let (web1, git) = (story.host("web1")?, story.host("git")?);
    web1.throttle("2mbit")?;
    let mut files: Files = [story.lab().describe("web1", GREETING)?].into();
    // Hexadecimal of a counter's hash chain would do as well: it only must not compress away.
    files.insert("ballast".to_owned(), noise(3 * 1024 * 1024));
    let commit = story.lab().operator().deploy(&files, "carry ballast")?;
    web1.wait_until("fetches", PATIENCE, |host| {
        Ok(host.exec(["pgrep", "-f", "git.* fetch .*deploy.git"])?.ok())
    })?;
    lab::meter::sleep(Duration::from_millis(700));
    git.power_cut()?;
    story.waits_for("web1", "backing-off")?;
    git.start()?;
    web1.throttle("1gbit")?;
    story.kept("web1", &commit)?;
    Ok(())
}

/// Text that does not compress well, the same at each call.
pub fn noise(length: usize) -> String {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            char::from(b'!' + u8::try_from(state % 90).unwrap_or(0))
        })
        .collect()
}
