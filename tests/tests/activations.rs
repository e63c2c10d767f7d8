//! Activations that end half well, or in a way that the exit code of a switch hides.

use anyhow::{Result, ensure};
use lab::descriptions::{SNIPPET_FAILS, killed_once, service};
use lab::story::{Story, switcher_status};
use lab::test;
use nixus::decide::report::State;
use serde_json::Value;

use crate::failures::{check, takes_the_next_commit};
use crate::switching::pid;

/// A unit that is failed on a host that keeps it: what it looks for was there at first.
const MIRROR: &str = r#"
  systemd.services.mirror = {
    wantedBy = [ "multi-user.target" ];
    serviceConfig = { Type = "oneshot"; RemainAfterExit = true; };
    script = "test -e /run/usb-disk";
  };
"#;

#[test(nixos)]
fn a_snippet_that_fails_beside_a_unit_that_was_failed_before() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    web1.write("/run/usb-disk", "")?;
    let commit = story.lab().deploy("web1", MIRROR, "mirror")?;
    story.kept("web1", &commit)?;
    let before = web1.current_system()?;
    web1.must(["rm", "/run/usb-disk"])?;
    ensure!(!web1.exec(["systemctl", "restart", "mirror"])?.ok());
    let broken = format!(
        "{MIRROR}\nsystem.activationScripts.database = \"echo migrating the database; false\";"
    );
    let commit = story.lab().deploy("web1", &broken, "migrate")?;
    story.went_back(
        "web1",
        &commit,
        &before,
        "activation script snippet database (1)",
    )?;
    takes_the_next_commit(&story)
}

#[test(nixos)]
fn a_service_that_ran_and_whose_new_unit_systemd_refuses() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let commit = story
        .lab()
        .deploy("web1", &service("demo", "1", ""), "run a demo")?;
    story.kept("web1", &commit)?;
    let before = web1.current_system()?;
    let broken =
        service("demo", "2", "").replace("sleep infinity", "sleep infinity --serve \\\"unbalanced");
    let commit = story.lab().deploy("web1", &broken, "quote badly")?;
    story.went_back("web1", &commit, &before, "demo.service")?;
    ensure!(pid(web1, "demo").is_ok(), "the demo does not run");
    takes_the_next_commit(&story)
}

#[test]
fn a_service_that_ends_well_and_starts_again_by_and_by_is_no_failed_unit() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let poller = r#"systemd.services.poller = {
      wantedBy = [ "multi-user.target" ];
      serviceConfig = { Type = "exec"; ExecStart = "true"; Restart = "always"; RestartSec = "60s"; };
    };"#;
    let commit = story.lab().deploy("web1", poller, "poll")?;
    story.kept("web1", &commit)?;
    takes_the_next_commit(&story)
}

#[test]
fn an_activation_that_is_killed_as_if_memory_ran_out_is_tried_once_more() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let before = web1.current_system()?;
    // Only the first time.
    let killed = killed_once("/run/was-killed");
    let commit = story.lab().deploy("web1", &killed, "run out of memory")?;
    let report = story.report("web1", &commit, &[State::Failure])?;
    ensure!(report.text.contains("exit code 137"), "{}", report.text);
    story.at_rest("web1", &before)?;
    story.kept_at_last("web1", &commit).map(drop)
}

#[test(nixos)]
fn a_switch_inhibitor_that_changes_waits_for_a_reboot_and_changes_nothing() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let with = |value: &str| format!("system.switch.inhibitors.demo = \"{value}\";");
    let commit = story.lab().deploy("web1", &with("one"), "one")?;
    story.kept("web1", &commit)?;
    let before = web1.current_system()?;
    let changed = with("two") + &service("demo", "1", "");
    let commit = story.lab().deploy("web1", &changed, "two")?;
    let report = story.ended("web1", &commit)?;
    ensure!(report.text.contains("demo: one -> two"), "{}", report.text);
    story.at_rest("web1", &before)?;
    story.waits_for("web1", "reboot-needed")?;
    let seen = lab::story::shown(web1, &["nixus", "status"])?;
    ensure!(seen.contains("demo: one -> two"), "{seen}");
    ensure!(switcher_status(web1)?.pointer("/open") == Some(&Value::Null));
    takes_the_next_commit(&story)
}

#[test(only_nixos)]
fn another_dbus_waits_for_a_reboot_where_a_system_is_older_than_inhibitors() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let before = web1.current_system()?;
    // As 25.11 has it: its own check knows of nothing to refuse. The wrapper of the other implementation
    // would need a compiler on the host.
    let older = "systemd.services.dbus-broker.aliases = lib.mkForce [ ];
        system.systemBuilderCommands = lib.mkAfter \"rm $out/switch-inhibitors\";";
    let commit = story.lab().deploy("web1", older, "the D-Bus of 25.11")?;
    let report = story.ended("web1", &commit)?;
    let change = "dbus-implementation: broker -> dbus";
    ensure!(report.text.contains(change), "{}", report.text);
    story.at_rest("web1", &before)?;
    story.waits_for("web1", "reboot-needed")?;
    takes_the_next_commit(&story)
}

#[test]
fn a_snippet_that_fails_alone() -> Result<()> {
    check(
        SNIPPET_FAILS,
        "activation failed with exit code 2, activation script snippet database (1)",
    )
}
