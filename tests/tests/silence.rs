//! Hosts whose D-Bus or PID 1 does not answer, and stores that do not hold what they should.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use lab::Host;
use lab::story::{PATIENCE, Story, switcher_status};
use lab::test;
use nixus::decide::report::State;

use crate::failures::takes_the_next_commit;
use crate::passes::phase;
use crate::strange::slow;

const GREETING: &str = r#"environment.etc."greeting".text = "hello";"#;

#[test]
fn without_d_bus_deployments_and_the_way_back_go_on() -> Result<()> {
    let story = Story::alone(&["web1"])?;
    let web1 = story.host("web1")?;
    // One that hangs is worse than one that is gone.
    let bus = "dbus.service";
    web1.must(["systemctl", "kill", "--signal=STOP", bus])?;
    let commit = story.lab().deploy("web1", GREETING, "greet")?;
    let kept = story.kept("web1", &commit)?;
    let kept = kept.toplevel.context("no toplevel")?.to_string();
    story.lab().deploy("web1", &slow("1"), "take long")?;
    phase(web1, "on-trial")?;
    web1.must(["systemctl", "kill", "--signal=KILL", bus])?;
    web1.must(["nixus-switcher", "revert"])?;
    story.at_rest("web1", &kept)?;
    takes_the_next_commit(&story)
}

/// What was asked for by SSH may be what ends the connection: nobody reads what is said from then on.
#[test]
fn an_operator_who_is_cut_off_still_goes_back() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let before = web1.current_system()?;
    let commit = story.lab().deploy("web1", &slow("1"), "take long")?;
    phase(web1, "on-trial")?;
    web1.must(["pkill", "-KILL", "-f", "nixus-switcher run"])?;
    let unheard = "{ sleep 1; nixus-switcher revert 2>&1; echo $? > /tmp/code; } | true";
    web1.must(["sh", "-c", unheard])?;
    story.went_back("web1", &commit, &before, "an operator")?;
    ensure!(
        web1.read("/tmp/code")?.trim() == "0",
        "the operator's command failed"
    );
    // Who has read enough gets no panic, and who could not write it all gets no success.
    for command in [
        "nixus-switcher status",
        "nixus status",
        "nixus log",
        "nixus check-config",
    ] {
        for (reader, expected) in [("| true", "0"), ("> /dev/full", "1")] {
            let asked =
                format!("{{ sleep 0.2; {command}; echo $? > /tmp/code; }} 2> /tmp/said {reader}");
            web1.must(["sh", "-c", &asked])?;
            let (code, said) = (web1.read("/tmp/code")?, web1.read("/tmp/said")?);
            ensure!(
                code.trim() == expected && !said.contains("panicked"),
                "{command} {reader}: {code} {said}"
            );
        }
    }
    takes_the_next_commit(&story)
}

#[test(long)]
fn while_pid_1_does_not_answer_nothing_is_activated() -> Result<()> {
    let story = Story::alone(&["web1"])?;
    let web1 = story.host("web1")?;
    let before = web1.current_system()?;
    web1.stop_passes()?;
    let commit = story.lab().deploy("web1", GREETING, "greet")?;
    let candidate = web1.build(&commit)?;
    let request = format!(
        r#"{{ "version": 1, "deployment": "by-hand", "candidate": "{candidate}",
             "commit": {{ "id": "{commit}", "subject": "greet" }},
             "policy": {{ "activation_seconds": 10, "trial_seconds": 10, "commit_seconds": 10, "failed_units": "revert" }} }}"#
    );
    web1.write("/tmp/request.json", &request)?;
    web1.freeze(true)?;
    let begun = Instant::now();
    let said = web1.exec(["nixus-switcher", "run", "--request", "/tmp/request.json"]);
    let took = begun.elapsed();
    web1.freeze(false)?;
    let said = said?;
    ensure!(said.code == Some(1), "{said:?}");
    ensure!(said.stderr.contains("no end after"), "{said:?}");
    ensure!(took < Duration::from_secs(115), "unbounded: {took:?}");
    ensure!(web1.current_system()? == before);
    web1.start_passes()?;
    story.kept_at_last("web1", &commit)?;
    story.blames_no_commit("web1")
}

#[test(long)]
fn a_pid_1_that_does_not_answer_on_the_way_back_is_rebooted_away() -> Result<()> {
    let story = Story::alone(&["web1"])?;
    let web1 = story.host("web1")?;
    let before = web1.current_system()?;
    let boot = web1.boot_id()?;
    let commit = story.lab().deploy("web1", &slow("1"), "take long")?;
    phase(web1, "on-trial")?;
    web1.freeze(true)?;
    // It goes with the machine, so nobody waits for it.
    web1.must([
        "sh",
        "-c",
        "setsid nixus-switcher revert > /dev/null 2>&1 &",
    ])?;
    // 60 s until systemd is given up, then 10 s for each further question.
    web1.wait_until("has rebooted", Duration::from_secs(420), |host| {
        Ok(host.boot_id().is_ok_and(|now| now != boot))
    })?;
    web1.wait_booted()?;
    ensure!(web1.booted_system()? == before);
    story.report("web1", &commit, &[State::Failure])?;
    story.at_rest("web1", &before)?;
    takes_the_next_commit(&story)
}

/// Changes a file of the store behind Nix' back.
fn damage(
    host: &Host,
    path: &str,
    change: impl Fn(&std::path::Path) -> std::io::Result<()>,
) -> Result<()> {
    let path = host.disk().join(path.trim_start_matches('/'));
    change(&path).with_context(|| format!("cannot damage {}", path.display()))
}

#[test]
fn a_candidate_that_a_power_cut_damaged_is_repaired_before_it_is_activated() -> Result<()> {
    let story = Story::alone(&["web1"])?;
    let web1 = story.host("web1")?;
    let before = web1.current_system()?;
    web1.stop_passes()?;
    let commit = story.lab().deploy("web1", GREETING, "greet")?;
    let candidate = web1.build(&commit)?;
    let file = web1.must(["readlink", "-f", &format!("{candidate}/etc/greeting")])?;
    let file = file.trim().to_owned();
    ensure!(file.starts_with("/nix/store/"), "{file}");
    web1.power_cut()?;
    damage(web1, &file, |path| fs::write(path, ""))?;
    web1.start()?;
    let report = story.report("web1", &commit, &[State::Failure])?;
    ensure!(
        report.text.contains("damaged in the store") && report.text.contains("was modified"),
        "{}",
        report.text
    );
    ensure!(web1.boot_default()? == before);
    story.kept_at_last("web1", &commit)?;
    ensure!(web1.read("/etc/greeting")? == "hello", "not repaired");
    story.blames_no_commit("web1")?;
    // Every other start of this host is in order, and nothing is compared.
    web1.reboot()?;
    web1.reboot()?;
    let next = story.lab().deploy("web1", &slow("1"), "go on")?;
    story.kept("web1", &next)?;
    let journal = web1.journal()?;
    ensure!(!journal.contains("comparing all files"), "{journal}");
    Ok(())
}

#[test]
fn a_toplevel_that_lost_its_files_is_repaired_and_blames_no_commit() -> Result<()> {
    let story = Story::alone(&["web1"])?;
    let web1 = story.host("web1")?;
    web1.stop_passes()?;
    let commit = story.lab().deploy("web1", GREETING, "greet")?;
    let candidate = web1.build(&commit)?;
    damage(web1, &format!("{candidate}/nixos-version"), |path| {
        fs::remove_file(path)
    })?;
    web1.start_passes()?;
    let report = story.report("web1", &commit, &[State::Failure])?;
    ensure!(
        report.text.contains("damaged in the store"),
        "{}",
        report.text
    );
    story.kept_at_last("web1", &commit)?;
    story.blames_no_commit("web1")
}

#[test]
fn an_operator_confirms_and_is_named() -> Result<()> {
    let story = Story::alone(&["web1"])?;
    let web1 = story.host("web1")?;
    let said = web1.exec(["nixus-switcher", "confirm", "--json"])?;
    ensure!(
        said.code == Some(2) && said.stdout.contains("\"wrong-input\""),
        "{said:?}"
    );
    let commit = story.lab().deploy("web1", &slow("1"), "take long")?;
    phase(web1, "on-trial")?;
    // Nothing of the reconciler is needed, nor D-Bus.
    web1.must(["systemctl", "stop", "nixus-reconcile.timer"])?;
    web1.must(["systemctl", "kill", "--signal=STOP", "dbus.service"])?;
    let confirm = [
        "SUDO_USER=alice",
        "SUDO_UID=1000",
        "nixus-switcher",
        "confirm",
    ];
    let said = web1.exec(["env"].iter().chain(&confirm).chain(&["--json"]))?;
    ensure!(said.ok() && said.stdout.contains("\"done\""), "{said:?}");
    web1.must(["systemctl", "kill", "--signal=CONT", "dbus.service"])?;
    web1.wait_until("has ended", PATIENCE, |host| {
        Ok(switcher_status(host)?.pointer("/last/ending") == Some(&"confirmed".into()))
    })?;
    // It asked its questions still, and its end is nobody's failure.
    web1.wait_until("has nothing left to verify", PATIENCE, |host| {
        let shown = ["systemctl", "show", "--property=ActiveState", "--value"];
        let state = host.must(shown.iter().chain(&["nixus-verify.service"]))?;
        Ok(state.trim() == "inactive")
    })?;
    let who = "confirmed by alice (uid 1000)";
    let said = web1.must(["nixus-switcher", "status"])?;
    ensure!(said.contains(who), "{said}");
    web1.start_passes()?;
    let report = story.kept("web1", &commit)?;
    ensure!(report.text.contains(who), "{}", report.text);
    let said = web1.must(["nixus", "log", "--verbose"])?;
    ensure!(said.contains("operator") && said.contains(who), "{said}");
    for command in ["confirm", "revert"] {
        let said = web1.exec(["nixus-switcher", command])?;
        ensure!(said.code == Some(2), "{said:?}");
    }
    ensure!(web1.exec(["nixus-switcher", "recover"])?.ok());
    Ok(())
}
