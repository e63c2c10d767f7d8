//! What is proved is the chain by which the next commit will come: the candidate's own timer starts the
//! candidate's own unit, whose pass does all that it will have to do then.

use anyhow::{Context as _, Result, ensure};
use lab::descriptions::{GREETING, NIX_BUILDS_NOTHING, NO_PASS, NO_VERIFICATION, TIMER_IS_LATE};
use lab::fleet::UNCHECKED;
use lab::story::{Story, deployments, status};
use lab::test;
use serde_json::Value;

use crate::failures::takes_the_next_commit;

/// Pushes one description after the other that cannot be kept; each is tried once, told in its words, and
/// followed by the next commit.
fn none_is_kept(broken: &[(&str, &str)]) -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let before = story.host("web1")?.current_system()?;
    for (broken, words) in broken {
        let unchecked = format!("{UNCHECKED}{broken}");
        let commit = story.lab().deploy("web1", &unchecked, "break web1")?;
        let tried = deployments(story.host("web1")?)?.len();
        story.went_back("web1", &commit, &before, words)?;
        let tries = deployments(story.host("web1")?)?.len() - tried;
        ensure!(tries <= 1, "{broken} was activated {tries} times");
    }
    takes_the_next_commit(&story)
}

#[test]
fn a_unit_that_makes_no_pass_is_not_kept() -> Result<()> {
    none_is_kept(&[
        (
            NO_PASS,
            "pass: nixus-reconcile.service makes no pass: it ended well",
        ),
        (
            r#"systemd.services.nixus-reconcile.serviceConfig.ExecCondition = "/bin/sh -c false";"#,
            "pass: nixus-reconcile.service makes no pass: its ExecCondition does not hold",
        ),
        (
            r#"systemd.services.nixus-reconcile.unitConfig.ConditionPathExists = "/nonexistent";"#,
            "pass: nixus-reconcile.service makes no pass: a condition of its file does not hold",
        ),
        (
            r#"systemd.services.nixus-reconcile.serviceConfig.ExecStartPre = "/bin/sh -c false";"#,
            "pass: nixus-reconcile.service makes no pass: a command before its program failed",
        ),
    ])
}

#[test]
fn a_timer_that_starts_no_pass_soon_is_not_kept() -> Result<()> {
    none_is_kept(&[
        (
            r#"systemd.timers.nixus-reconcile.timerConfig.Unit = "nothing.service";
               systemd.services.nothing.serviceConfig = { Type = "oneshot"; ExecStart = "/bin/sh -c true"; };"#,
            "timer: nixus-reconcile.timer starts nothing.service, and no pass",
        ),
        (
            TIMER_IS_LATE,
            "timer: nixus-reconcile.timer starts the next pass in",
        ),
        (
            r#"services.nixus.interval = lib.mkForce "3650d";"#,
            "is not a time of at most 7 days",
        ),
    ])
}

#[test]
fn a_generation_whose_next_boot_would_settle_no_crash_is_not_kept() -> Result<()> {
    none_is_kept(&[
        (
            r#"systemd.services.nixus-recover.enable = lib.mkForce false;"#,
            "recover: systemd does not take nixus-recover.service: masked",
        ),
        (
            r#"systemd.services.nixus-recover.wantedBy = lib.mkForce [ ];"#,
            "recover: nixus-recover.service is wanted by no target",
        ),
        (
            r#"systemd.services.nixus-recover.serviceConfig.ExecStart = lib.mkForce "/bin/sh -c true";"#,
            "recover: nixus-recover.service does not start",
        ),
        (
            r#"systemd.services.nixus-recover.unitConfig.ConditionPathExists = "/nonexistent";"#,
            "recover: ConditionPathExists=/nonexistent may keep nixus-recover.service from being started",
        ),
    ])
}

#[test]
fn a_generation_whose_nix_does_not_build_is_not_kept() -> Result<()> {
    none_is_kept(&[
        (NIX_BUILDS_NOTHING, "build: nix cannot build"),
        (
            r#"nix.settings.build-dir = "/nonexistent";"#,
            "build: nix cannot build",
        ),
    ])
}

/// The timer of the candidate itself has started a pass before it is kept; where it cannot within the trial,
/// a pass is started, and when the next one comes is compared with the configuration.
#[test]
fn passes_that_come_more_seldom_than_a_trial_lasts_are_kept() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let seldom = format!(
        r#"services.nixus.interval = lib.mkForce "10min"; services.nixus.bootDelay = lib.mkForce "5min"; {GREETING}"#
    );
    let commit = story.lab().deploy("web1", &seldom, "look seldom")?;
    story.kept("web1", &commit)?;
    let handed: Value = serde_json::from_str(&web1.read("/run/nixus/own-pass.json")?)?;
    ensure!(
        handed["place"]["unit"] == "nixus-reconcile.service",
        "{handed}"
    );
    takes_the_next_commit(&story)
}

#[test]
fn what_is_kept_was_proved_by_its_own_timer() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let commit = story.lab().deploy("web1", GREETING, "greet")?;
    let report = story.kept("web1", &commit)?;
    let toplevel = report.toplevel.context("it names no toplevel")?;
    let handed: Value = serde_json::from_str(&web1.read("/run/nixus/own-pass.json")?)?;
    ensure!(handed["toplevel"] == toplevel.to_string(), "{handed}");
    ensure!(handed["by_timer"].is_u64(), "{handed}");
    Ok(())
}

/// An operator's shell has git, and the unit has not: what the shell can do proves nothing.
#[test]
fn an_adoption_and_a_check_prove_what_the_unit_can_do() -> Result<()> {
    let story = Story::alone(&["web1"])?;
    let web1 = story.host("web1")?;
    ensure!(web1.exec(["nixus", "check"])?.ok(), "{}", web1.portrait());
    let drop_in = "/run/systemd/system/nixus-reconcile.service.d/path.conf";
    web1.write(
        drop_in,
        "[Service]\nInaccessiblePaths=/var/lib/lab-keys/deploy_key\n",
    )?;
    web1.must(["systemctl", "daemon-reload"])?;
    let check = web1.exec(["nixus", "check", "--json"])?;
    ensure!(!check.ok(), "{check:?}");
    let said: Value = serde_json::from_str(&check.stdout)?;
    let checks = said["checks"].as_array().context("no checks")?;
    let repository = checks
        .iter()
        .find(|one| one["check"] == "repository")
        .context("the repository was not looked at")?;
    ensure!(repository["outcome"] != "pass", "{repository}");
    let adopted = web1.exec(["nixus", "adopt", "--again"])?;
    ensure!(!adopted.ok(), "{adopted:?}");
    ensure!(
        adopted
            .stderr
            .contains("no pass on this host could follow the repository"),
        "{}",
        adopted.stderr
    );
    web1.must(["rm", drop_in])?;
    web1.must(["systemctl", "daemon-reload"])?;
    web1.must(["nixus", "adopt", "--again"])?;
    ensure!(status(web1)?["accepted"].is_string());
    Ok(())
}

/// Whatever runs in the place of the verification and sends no evidence is believed no more often than once.
#[test]
fn a_candidate_that_sends_no_evidence_is_activated_once() -> Result<()> {
    none_is_kept(&[
        (
            NO_VERIFICATION,
            "verify: nixus-verify.service sends no evidence: inactive (success, exit code 0)",
        ),
        (
            r#"systemd.services.nixus-verify.serviceConfig.ExecStart = lib.mkForce "/bin/sh -c false";"#,
            "verify: nixus-verify.service sends no evidence: failed (exit-code, exit code 1)",
        ),
    ])
}
