//! A pass and everything that can happen to it: killed, doubled, cut off, overtaken.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lab::Host;
use lab::descriptions::{
    ACTIVATION_FAILS, GREETING, LOADER_IS_SLOW, NIX_CONF_IS_BROKEN, PASS_WITHOUT_NETWORK,
    TIMER_MASKED, slow_build, slow_trial,
};
use lab::story::{PATIENCE, Story, deployments, status, switcher_status};
use lab::test;
use nixus::decide::report::State;
use serde_json::Value;

use crate::failures::{check, takes_the_next_commit};

const GOODBYE: &str = r#"environment.etc."greeting".text = "goodbye";"#;

/// Waits until a slow build is under way.
pub fn builds(host: &Host) -> Result<()> {
    host.wait_until("builds", PATIENCE, |host| {
        Ok(host.exec(["pgrep", "-f", "sleep [0-9]"])?.ok())
    })
}

/// Waits until the open deployment is in this phase.
pub fn phase(host: &Host, wanted: &str) -> Result<()> {
    host.wait_until(&format!("is {wanted}"), PATIENCE, |host| {
        Ok(switcher_status(host)?.pointer("/open/phase") == Some(&Value::String(wanted.into())))
    })
}

#[test]
fn the_reconciler_is_killed_while_it_builds() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let commit = story.lab().deploy("web1", &slow_build(4), "build slowly")?;
    builds(web1)?;
    web1.must(["systemctl", "kill", "-s", "KILL", "nixus-reconcile.service"])?;
    web1.must(["systemctl", "reset-failed", "nixus-reconcile.service"])?;
    story.kept("web1", &commit)?;
    ensure!(deployments(web1)?.len() == 1, "deployed more than once");
    Ok(())
}

#[test]
fn the_reconciler_is_killed_while_the_switcher_works() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let commit = story.lab().deploy("web1", GREETING, "greet")?;
    web1.wait_until("switches", PATIENCE, |host| {
        Ok(switcher_status(host)?.pointer("/open") != Some(&Value::Null))
    })?;
    // The passes that find the deployment open are killed as well.
    for _ in 0..5 {
        web1.exec(["systemctl", "kill", "-s", "KILL", "nixus-reconcile.service"])?;
        web1.exec(["systemctl", "reset-failed", "nixus-reconcile.service"])?;
        lab::meter::sleep(Duration::from_millis(100));
    }
    story.kept("web1", &commit)?;
    ensure!(deployments(web1)?.len() == 1, "deployed more than once");
    Ok(())
}

#[test]
fn two_passes_at_once() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let commit = story.lab().deploy("web1", &slow_build(3), "build slowly")?;
    builds(web1)?;
    let second = web1.exec(["nixus", "reconcile"])?;
    ensure!(second.ok(), "{second:?}");
    ensure!(
        second.stderr.contains("another pass is running"),
        "{}",
        second.stderr
    );
    story.kept("web1", &commit)?;
    ensure!(deployments(web1)?.len() == 1, "deployed more than once");
    Ok(())
}

#[test]
fn the_git_server_is_down_before_a_deployment() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let (web1, git) = (story.host("web1")?, story.host("git")?);
    let before = (web1.current_system()?, web1.boot_id()?);
    // No pass sees the commit before the server is gone.
    let units = ["nixus-reconcile.timer", "nixus-reconcile.service"];
    web1.must(["systemctl", "stop"].iter().chain(&units))?;
    let commit = story.lab().deploy("web1", GREETING, "greet")?;
    git.power_cut()?;
    web1.start_passes()?;
    story.waits_for("web1", "backing-off")?;
    ensure!(before.0 == web1.current_system()? && deployments(web1)?.is_empty());
    ensure!(
        before.1 == web1.boot_id()?,
        "a dead git server rebooted a host"
    );
    git.start()?;
    story.kept("web1", &commit)?;
    Ok(())
}

#[test]
fn the_git_server_is_down_after_a_deployment() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let (web1, git) = (story.host("web1")?, story.host("git")?);
    let commit = story.lab().deploy("web1", GREETING, "greet")?;
    story.kept("web1", &commit)?;
    let before = (web1.current_system()?, web1.boot_id()?);
    git.power_cut()?;
    story.waits_for("web1", "backing-off")?;
    ensure!(
        before == (web1.current_system()?, web1.boot_id()?),
        "something changed"
    );
    git.start()?;
    let next = story.lab().deploy("web1", GOODBYE, "say goodbye")?;
    story.kept("web1", &next)?;
    Ok(())
}

#[test]
fn a_new_commit_during_a_build() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    story.lab().deploy("web1", &slow_build(5), "build slowly")?;
    builds(web1)?;
    let newer = story.lab().deploy("web1", GOODBYE, "say goodbye")?;
    story.kept("web1", &newer)?;
    ensure!(web1.read("/etc/greeting")? == "goodbye");
    Ok(())
}

#[test]
fn a_new_commit_during_a_trial() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let slow = format!("{} {GREETING}", slow_trial(4));
    let first = story.lab().deploy("web1", &slow, "take long to prove")?;
    phase(web1, "on-trial")?;
    let newer = story.lab().deploy("web1", GOODBYE, "say goodbye")?;
    let kept = story.report("web1", &first, &[State::Success])?;
    ensure!(
        kept.generation == Some(2),
        "the trial was disturbed: {kept:?}"
    );
    story.kept("web1", &newer)?;
    Ok(())
}

#[test]
fn git_revert_after_a_confirmed_commit() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let before = web1.current_system()?;
    let commit = story.lab().deploy("web1", GREETING, "greet")?;
    story.kept("web1", &commit)?;
    let reverted = revert(&story)?;
    let report = story.kept("web1", &reverted)?;
    ensure!(web1.current_system()? == before);
    ensure!(
        report.text.starts_with("Successfully activated"),
        "{}",
        report.text
    );
    Ok(())
}

#[test]
fn git_revert_after_a_quarantined_commit() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let before = web1.current_system()?;
    let commit = story.lab().deploy("web1", ACTIVATION_FAILS, "break")?;
    story.went_back("web1", &commit, &before, "activation failed")?;
    let reverted = revert(&story)?;
    let report = story.kept("web1", &reverted)?;
    ensure!(
        report.text.contains("nothing to activate"),
        "{}",
        report.text
    );
    Ok(())
}

fn revert(story: &Story) -> Result<String> {
    let operator = story.lab().operator();
    ensure!(
        operator.git(&["revert", "--no-edit", "HEAD"])?.ok(),
        "git revert failed"
    );
    operator.push()?;
    Ok(operator
        .git(&["rev-parse", "HEAD"])?
        .stdout
        .trim()
        .to_owned())
}

#[test]
fn three_commits_that_change_nothing() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let before = (web1.current_system()?, web1.boot_id()?);
    for number in 1..=3 {
        let files = [("README.md".to_owned(), format!("A fleet, {number}.\n"))].into();
        let commit = story
            .lab()
            .operator()
            .deploy(&files, "describe the fleet")?;
        story.kept("web1", &commit)?;
    }
    ensure!(before == (web1.current_system()?, web1.boot_id()?));
    ensure!(deployments(web1)?.is_empty(), "something was activated");
    Ok(())
}

/// Collects garbage at a moment of a deployment, which must go on as if nothing had been.
fn garbage_at(moment: impl FnOnce(&Host) -> Result<()>, more: &str) -> Result<()> {
    let story = Story::alone(&["web1"])?;
    let web1 = story.host("web1")?;
    let before = web1.current_system()?;
    let commit = story
        .lab()
        .deploy("web1", more, "while garbage is collected")?;
    moment(web1)?;
    web1.must(["nix-collect-garbage", "-d"])?;
    ensure!(
        web1.exec([
            "test",
            "-e",
            &format!("{before}/bin/switch-to-configuration")
        ])?
        .ok(),
        "the rollback was collected"
    );
    let report = story.kept("web1", &commit)?;
    let kept = report.toplevel.context("no toplevel")?.to_string();
    web1.must(["nix-collect-garbage", "-d"])?;
    web1.must(["nix-store", "--verify-path", &kept])?;
    web1.reboot()?;
    ensure!(web1.booted_system()? == kept);
    Ok(())
}

#[test]
fn garbage_is_collected_while_building() -> Result<()> {
    garbage_at(builds, &slow_build(4))
}

#[test(nixos)]
fn garbage_is_collected_on_trial() -> Result<()> {
    let slow = format!("{} {GREETING}", slow_trial(5));
    garbage_at(|host| phase(host, "on-trial"), &slow)
}

#[test]
fn garbage_is_collected_between_verdict_and_commit() -> Result<()> {
    garbage_at(|host| phase(host, "committing"), LOADER_IS_SLOW)
}

#[test]
fn the_route_to_the_repository_is_broken() -> Result<()> {
    check(
        r#"systemd.network.networks."10-lab".routes = [ { Destination = "10.77.0.2/32"; Type = "unreachable"; } ];"#,
        "repository: cannot list",
    )
}

#[test]
fn the_name_of_the_repository_resolves_no_more() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let by_name = r#"
      services.nixus.settings.repository.url = lib.mkForce "ssh://git@git.fleet/srv/git/deploy.git";
      services.nixus.knownHosts = lib.mkForce (
        builtins.replaceStrings [ "10.77.0.2" ] [ "10.77.0.2,git.fleet" ] (import ../fleet.nix).nixus.knownHosts
      );
    "#;
    let resolved = format!(r#"{by_name} networking.hosts."10.77.0.2" = [ "git.fleet" ];"#);
    let commit = story
        .lab()
        .deploy("web1", &resolved, "name the git server")?;
    story.kept("web1", &commit)?;
    let before = web1.current_system()?;
    let commit = story
        .lab()
        .deploy("web1", by_name, "forget the git server's name")?;
    story.went_back(
        "web1",
        &commit,
        &before,
        "repository: cannot list ssh://git@git.fleet",
    )?;
    Ok(())
}

#[test]
fn the_timer_is_missing() -> Result<()> {
    check(TIMER_MASKED, "timer: ")
}

#[test]
fn the_timer_is_wanted_by_nothing() -> Result<()> {
    check(
        "systemd.timers.nixus-reconcile.wantedBy = lib.mkForce [ ];",
        "timer: nixus-reconcile.timer is wanted by no target",
    )
}

#[test]
fn the_timer_has_no_time() -> Result<()> {
    // An empty value takes the others away: systemd refuses such a timer.
    check(
        r#"systemd.timers.nixus-reconcile.timerConfig.OnUnitInactiveSec = lib.mkForce "";"#,
        "timer: ",
    )
}

#[test]
fn the_sandbox_of_its_passes_does_not_let_them_fetch() -> Result<()> {
    check(
        PASS_WITHOUT_NETWORK,
        "place: nixus-reconcile.service and nixus-verify.service do not run alike: PrivateNetwork=true",
    )
}

#[test]
fn the_credentials_of_its_passes_do_not_let_them_fetch() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let before = web1.current_system()?;
    let both = |setting: &str| {
        ["nixus-reconcile", "nixus-verify"]
            .map(|unit| format!("systemd.services.{unit}.serviceConfig.{setting};"))
            .join(" ")
    };
    for (broken, words) in [
        // A key that is there, and opens nothing on the git server.
        (
            r#"services.nixus.deployKey = lib.mkForce "/var/lib/lab-keys/ssh_host_ed25519_key";"#
                .to_owned(),
            "Permission denied (publickey)",
        ),
        (
            both(r#"InaccessiblePaths = "/var/lib/lab-keys/deploy_key""#),
            "repository: cannot list ssh://git@10.77.0.2/srv/git/deploy.git",
        ),
        (
            both(r#"LoadCredential = "deploy_key:/var/lib/lab-keys/none""#),
            "cannot run nixus-verify.service as its file says (CREDENTIALS)",
        ),
    ] {
        let commit = story.lab().deploy("web1", &broken, "break credentials")?;
        story.went_back("web1", &commit, &before, words)?;
    }
    takes_the_next_commit(&story)
}

#[test]
fn its_nix_conf_is_broken() -> Result<()> {
    check(NIX_CONF_IS_BROKEN, "repository: nix did not build")
}

#[test]
fn status_tells_what_goes_on() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let slow = format!("{} {GREETING}", slow_trial(3));
    let commit = story.lab().deploy("web1", &slow, "take long to prove")?;
    phase(web1, "on-trial")?;
    let seen = status(web1)?;
    ensure!(
        seen.pointer("/open/phase") == Some(&Value::String("on-trial".into())),
        "{seen}"
    );
    let text = lab::story::shown(web1, &["nixus", "status"])?;
    ensure!(text.contains("take long to prove"), "{text}");
    story.kept("web1", &commit)?;
    Ok(())
}

/// Nobody holds what is left; its watchdog, ten minutes later than this test waits, need not be waited for.
#[test]
fn the_switcher_is_killed_before_it_changes_anything() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    // It is killed as soon as its deployment is noted, which is before the activation or right in it.
    let killer = r#"until grep -qsE '"name": *"(staged|armed|activating)"' /var/lib/nixus/switcher/journal-?.json; do :; done; pkill -KILL -f '[n]ixus-switcher run'"#;
    web1.must([
        "systemd-run",
        "--quiet",
        "--unit=killer",
        "sh",
        "-c",
        killer,
    ])?;
    let commit = story.lab().deploy("web1", GREETING, "greet")?;
    story.kept_at_last("web1", &commit)?;
    let all = deployments(web1)?;
    ensure!(all.len() == 2, "{all:?}");
    story.blames_no_commit("web1")?;
    Ok(())
}

#[test]
fn a_host_whose_passes_have_stopped_says_since_when() -> Result<()> {
    let story = Story::alone(&["web1"])?;
    let web1 = story.host("web1")?;
    let seldom = r#"services.nixus.interval = lib.mkForce "1s"; services.nixus.bootDelay = lib.mkForce "1s";"#;
    let commit = story.lab().deploy("web1", seldom, "look often")?;
    story.kept("web1", &commit)?;
    ensure!(status(web1)?["passes_stopped"].is_null());
    stop_long_ago(web1)?;
    let seen = status(web1)?;
    ensure!(seen["passes_stopped"] == "2020-01-01T00:00:00Z", "{seen}");
    ensure!(
        seen.pointer("/last_pass/waits_for/reason") == Some(&"deployment-ended".into()),
        "{seen}"
    );
    let text = lab::story::shown(web1, &["nixus", "status"])?;
    ensure!(text.contains("none since 2020-01-01T00:00:00Z"), "{text}");
    ensure!(!text.contains("under way"), "{text}");
    ensure!(!web1.exec(["nixus", "check"])?.ok(), "the timer is dead");
    Ok(())
}

/// Stops passes as a unit of the system might, long after it was confirmed.
fn stop_long_ago(host: &Host) -> Result<()> {
    host.stop_passes()?;
    let last = host.read("/run/nixus/last-pass.json")?;
    let mut noted: Value = serde_json::from_str(&last)?;
    noted["time"] = "2020-01-01T00:00:00Z".into();
    noted["waits_for"] = serde_json::json!({ "reason": "deployment-open", "deployment": "9-gone" });
    host.write("/run/nixus/last-pass.json", &noted.to_string())
}

#[test]
fn a_host_whose_passes_have_stopped_is_named_by_its_peers_in_the_fleets_table() -> Result<()> {
    let story = Story::alone(&["web1", "web2"])?;
    let web1 = story.host("web1")?;
    // Peers are asked eight times in it.
    let often = r#"services.nixus.settings.health.peers_lost_after = "40s";"#;
    let commit = story.lab().deploy("web1", often, "look at peers often")?;
    story.kept("web1", &commit)?;
    let table = |host: &Host| lab::story::shown(host, &["nixus", "fleet"]);
    let before = table(web1)?;
    ensure!(!before.contains("NOTICED"), "{before}");

    stop_long_ago(story.host("web2")?)?;
    let words = "makes no passes for";
    web1.wait_until("names web2", PATIENCE, |host| {
        Ok(table(host)?.contains(words))
    })?;
    let seen = status(web1)?;
    ensure!(
        seen["noticed"][0]["host"] == "web2" && seen["noticed"][0]["what"] == "passes-stopped",
        "{seen}"
    );
    let text = lab::story::shown(web1, &["nixus", "status"])?;
    ensure!(text.contains("web2 makes no passes, since 2020"), "{text}");

    story.host("web2")?.start_passes()?;
    web1.wait_until("names web2 no more", PATIENCE, |host| {
        Ok(!table(host)?.contains(words))
    })
}

#[test]
fn nothing_is_left_over_of_deployments_that_have_ended() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    for text in [GREETING, GOODBYE] {
        let commit = story.lab().deploy("web1", text, "say something")?;
        story.kept("web1", &commit)?;
    }
    let left = web1.must(["ls", "/run/nixus"])?;
    ensure!(!left.contains("request-"), "{left}");
    Ok(())
}
