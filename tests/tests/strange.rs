//! Busy and strange systems: each test is a row of the table in reconciler/docs/failures.md.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use lab::Host;
use lab::descriptions::{GREETING, slow_trial};
use lab::story::{PATIENCE, Story, deployments, status, switcher_status};
use lab::test;
use nixus::decide::report::State;
use serde_json::Value;

use crate::failures::takes_the_next_commit;
use crate::passes::phase;

const LOCK: &str = "/run/nixos/switch-to-configuration.lock";

/// A candidate that stays on trial for long enough to do something to it.
pub fn slow(mark: &str) -> String {
    format!(
        r#"environment.etc."slow".text = "{mark}"; {}"#,
        slow_trial(12)
    )
}

/// Runs a shell script in a unit of the host; it takes the lock of every `switch-to-configuration`
/// as soon as it is free.
fn behind_the_lock(host: &Host, unit: &str, script: &str) -> Result<()> {
    let unit = format!("--unit={unit}");
    let args = ["systemd-run", "--quiet", "--collect", &unit];
    let flock = ["flock", LOCK, "sh", "-c", script];
    host.must(args.iter().chain(&flock)).map(drop)
}

/// Waits until a candidate is on trial, and the switcher has the lock.
fn on_trial(host: &Host) -> Result<()> {
    phase(host, "on-trial")?;
    host.wait_until("has the lock", PATIENCE, |host| {
        Ok(host.exec(["flock", "--nonblock", LOCK, "true"])?.code == Some(1))
    })
}

/// How the last deployment ended, and why.
fn last(host: &Host) -> Result<(String, String)> {
    let status = switcher_status(host)?;
    let word = |path: &str| {
        let found = status.pointer(path).and_then(Value::as_str);
        found.unwrap_or_default().to_owned()
    };
    Ok((word("/last/ending"), word("/last/cause/kind")))
}

#[test]
fn somebody_elses_switch_is_waited_for() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let first = web1.current_system()?;
    // Before the first change.
    behind_the_lock(web1, "other", "sleep 10")?;
    let begun = Instant::now();
    let commit = story.lab().deploy("web1", GREETING, "greet")?;
    phase(web1, "staged")?;
    ensure!(web1.current_system()? == first, "both at once");
    story.kept("web1", &commit)?;
    ensure!(begun.elapsed() > Duration::from_secs(9), "not waited for");
    // On trial the lock is ours.
    let commit = story.lab().deploy("web1", &slow("1"), "take long")?;
    on_trial(web1)?;
    let other = web1.exec([&format!("{first}/bin/switch-to-configuration"), "test"])?;
    ensure!(other.code == Some(11), "both at once: {other:?}");
    let kept = story.kept("web1", &commit)?;
    let kept = kept.toplevel.context("no toplevel")?.to_string();
    // During a rollback.
    story.lab().deploy("web1", &slow("2"), "take long again")?;
    on_trial(web1)?;
    behind_the_lock(web1, "other", "sleep 8")?;
    let begun = Instant::now();
    web1.must(["nixus-switcher", "revert"])?;
    story.at_rest("web1", &kept)?;
    ensure!(begun.elapsed() > Duration::from_secs(7), "not waited for");
    ensure!(last(web1)? == ("reverted".into(), "operator".into()));
    takes_the_next_commit(&story)
}

#[test]
fn somebody_elses_third_system_is_left_alone_and_then_replaced_by_the_commit() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    // Not the one that was booted: to switch to that is a rescue.
    let commit = story.lab().deploy("web1", GREETING, "greet")?;
    story.kept("web1", &commit)?;
    let third = web1.current_system()?;
    let commit = story.lab().deploy("web1", &slow("0"), "take long")?;
    let old = story.kept("web1", &commit)?;
    let old = old.toplevel.context("no toplevel")?.to_string();
    let commit = story.lab().deploy("web1", &slow("1"), "take long again")?;
    on_trial(web1)?;
    // The rollback looks again when the other switch is over: it waits for the lock, and then is not as fast.
    let first = format!("flock {LOCK} sh -c 'sleep 4; pkill -STOP -x nixus-switcher'");
    let switch = format!("{third}/bin/switch-to-configuration test");
    let script = format!("{first}; {switch}; pkill -CONT -x nixus-switcher");
    web1.must(["nixus", "suspend"])?;
    web1.must([
        "systemd-run",
        "--unit=third",
        "--collect",
        "sh",
        "-c",
        &script,
    ])?;
    web1.wait_until("waits for the lock", PATIENCE, |host| {
        Ok(host.exec(["pgrep", "-x", "flock"])?.ok())
    })?;
    web1.must(["nixus-switcher", "revert"])?;
    let report = story.report("web1", &commit, &[State::Failure])?;
    ensure!(
        report.text.contains("to which somebody else switched"),
        "{}",
        report.text
    );
    ensure!(web1.current_system()? == third, "fought over");
    ensure!(web1.boot_default()? == old, "what boots was confirmed");
    web1.must(["nixus", "resume"])?;
    takes_the_next_commit(&story)
}

/// What somebody has done to both files of the journal.
const DAMAGES: [(&str, &str, &str); 4] = [
    ("garbage", "head -c 3000 /dev/urandom > $f", "is damaged"),
    ("nothing in it", ": > $f", "is damaged"),
    ("a directory", "rm $f; mkdir $f", "cannot read the journal"),
    (
        "of a newer release",
        r#"sed -i '1s/"version":1/"version":99/' $f"#,
        "has version 99",
    ),
];

#[test]
fn a_journal_that_cannot_be_read_stops_activations_and_not_the_machine() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let commit = story.lab().deploy("web1", GREETING, "greet")?;
    let mut kept = story.kept("web1", &commit)?;
    for (number, (name, damage, words)) in DAMAGES.into_iter().enumerate() {
        let before = web1.current_system()?;
        web1.stop_passes()?;
        let script = format!("for f in /var/lib/nixus/switcher/journal-?.json; do {damage}; done");
        web1.must(["sh", "-c", &script])?;
        let more = format!(r#"environment.etc."greeting".text = "{number}";"#);
        let commit = story.lab().deploy("web1", &more, "greet again")?;
        if number == 0 {
            web1.reboot()?;
        } else {
            web1.start_passes()?;
        }
        story.waits_for("web1", "journal-damaged")?;
        story.tries_no_more("web1")?;
        ensure!(web1.current_system()? == before && web1.boot_default()? == before);
        let (nixus, switcher) = (
            lab::story::shown(web1, &["nixus", "status"])?,
            web1.must(["nixus-switcher", "status"])?,
        );
        let advice = "recover --set-aside-journal";
        for said in [&nixus, &switcher] {
            ensure!(
                said.contains(words) && said.contains(advice),
                "{name}: {said}"
            );
        }
        let said = switcher_status(web1)?;
        let said = said.pointer("/journal_damage").and_then(Value::as_str);
        ensure!(
            said.is_some_and(|said| said.contains(words)),
            "{name}: {said:?}"
        );
        let report = story.report("web1", &kept.commit.id, &[State::Error])?;
        ensure!(report.text.contains(words), "{name}: {}", report.text);
        for command in ["confirm", "revert", "recover"] {
            let said = web1.exec(["nixus-switcher", command])?;
            ensure!(said.code == Some(2), "{name}: {command}: {said:?}");
        }
        let said = web1.exec(["nixus-switcher", "recover", "--set-aside-journal", "--json"])?;
        ensure!(
            said.ok() && said.stdout.contains("journal-a.json.damaged-"),
            "{said:?}"
        );
        kept = story.kept("web1", &commit)?;
        let said = lab::story::shown(web1, &["nixus", "status"])?;
        ensure!(said.contains("journal-a.json.damaged-"), "{said}");
    }
    Ok(())
}

#[test]
fn a_journal_lost_on_trial_is_no_way_to_be_kept() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let before = web1.current_system()?;
    for by_hand in [true, false] {
        let commit = story
            .lab()
            .deploy("web1", &slow(&by_hand.to_string()), "take long")?;
        phase(web1, "on-trial")?;
        web1.must(["pkill", "-KILL", "-f", "nixus-switcher run"])?;
        let script = "for f in /var/lib/nixus/switcher/journal-?.json; do echo lost > $f; done";
        web1.must(["sh", "-c", script])?;
        if by_hand {
            let said = web1.exec(["nixus-switcher", "revert", "--json"])?;
            ensure!(said.ok() && said.stdout.contains("went back"), "{said:?}");
        }
        // Else the watchdog of the trial does it.
        let report = story.report("web1", &commit, &[State::Failure])?;
        let words = match by_hand {
            true => "an operator asked for it",
            false => "the switcher died",
        };
        ensure!(report.text.contains(words), "{}", report.text);
        if by_hand {
            story.at_rest("web1", &before)?;
        }
    }
    takes_the_next_commit(&story)
}

#[test]
fn one_damaged_outcome_costs_nothing_else() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let commit = story.lab().deploy("web1", GREETING, "greet")?;
    story.kept("web1", &commit)?;
    let path = deployments(web1)?.pop().context("no outcome")?;
    web1.write(&path, "{ \"version\": 1, \"seq")?;
    let text = lab::story::shown(web1, &["nixus", "status"])?;
    ensure!(text.contains(&path), "{text}");
    let seen = status(web1)?;
    let named = seen.pointer("/history_damage/0").and_then(Value::as_str);
    ensure!(
        named.is_some_and(|named| named.starts_with(&path)),
        "{seen}"
    );
    let text = web1.must(["nixus-switcher", "status"])?;
    ensure!(text.contains(&path), "{text}");
    let next = story.lab().deploy("web1", &slow("1"), "go on")?;
    story.kept("web1", &next)?;
    Ok(())
}

#[test]
fn a_state_folder_that_is_read_only_takes_the_host_back_and_keeps_it_there() -> Result<()> {
    let story = Story::alone(&["web1"])?;
    let web1 = story.host("web1")?;
    let before = web1.current_system()?;
    let folder = "/var/lib/nixus";
    web1.must(["mount", "--bind", folder, folder])?;
    let commit = story.lab().deploy("web1", &slow("1"), "take long")?;
    phase(web1, "on-trial")?;
    web1.must(["mount", "-o", "remount,bind,ro", folder])?;
    web1.wait_until("is back", PATIENCE, |host| {
        Ok(host.current_system()? == before)
    })?;
    ensure!(web1.boot_default()? == before, "the candidate would boot");
    // Passes go on, and end where they would have to note something.
    lab::meter::sleep(Duration::from_secs(5));
    ensure!(web1.current_system()? == before);
    web1.must(["mount", "-o", "remount,bind,rw", folder])?;
    story.kept_at_last("web1", &commit)?;
    story.blames_no_commit("web1")
}

#[test]
fn a_git_configuration_that_does_not_parse_is_no_damage() -> Result<()> {
    let story = Story::alone(&["web1"])?;
    let web1 = story.host("web1")?;
    web1.write("/etc/gitconfig", "[core\n")?;
    story.lab().deploy("web1", GREETING, "greet")?;
    web1.wait_until("names the file", PATIENCE, |host| {
        Ok(lab::story::shown(host, &["nixus", "status"])?.contains("/etc/gitconfig"))
    })?;
    web1.must(["rm", "/etc/gitconfig"])?;
    let commit = story.lab().deploy("web1", &slow("1"), "go on")?;
    story.kept_at_last("web1", &commit)?;
    let aside = web1.must([
        "sh",
        "-c",
        "ls /var/lib/nixus; ls -d /var/lib/nixus/*damaged* | wc -l",
    ])?;
    ensure!(aside.trim_end().ends_with('0'), "{aside}");
    Ok(())
}
