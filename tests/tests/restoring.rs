//! A way back that really restores: units, addresses, routes, the own sshd; and what ends what could
//! not be put right.

use anyhow::{Context as _, Result, ensure};
use lab::Host;
use lab::fleet::UNCHECKED;
use lab::story::{PATIENCE, Story, switcher_status};
use lab::test;
use nixus::report::State;
use serde_json::Value;

use crate::failures::takes_the_next_commit;

/// Fails, so that the old system comes back.
pub const FAILS: &str = r#"
  systemd.services.shop = {
    wantedBy = [ "multi-user.target" ];
    serviceConfig = { Type = "oneshot"; ExecStart = "false"; };
  };
"#;
/// An address and a route that no file of any generation makes: what an operator set by hand.
const BY_HAND: [&[&str]; 2] = [
    &["ip", "address", "replace", "10.78.0.11/24", "dev", "lo"],
    &["ip", "route", "replace", "10.79.0.0/24", "dev", "host0"],
];

/// Debian's programs, which scripts of NixOS do not see.
const MORE: &str = "PATH=$PATH:/usr/local/bin:/usr/local/sbin";

fn boots(host: &Host) -> Result<usize> {
    Ok(host.console()?.matches("lab-boot: starting").count())
}

fn is(host: &Host, path: &str, wanted: &str) -> bool {
    switcher_status(host)
        .is_ok_and(|told| told.pointer(path) == Some(&Value::String(wanted.to_owned())))
}

#[test]
fn an_sshd_that_the_failed_activation_stopped_runs_again() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let before = web1.current_system()?;
    let stops = format!(
        r#"{UNCHECKED}{FAILS}
        services.openssh.enable = lib.mkForce false;
        systemd.services.stops-sshd = {{
          wantedBy = [ "multi-user.target" ];
          serviceConfig.Type = "oneshot";
          script = "systemctl stop sshd.service || true";
        }};"#
    );
    let commit = story.lab().deploy("web1", &stops, "close the door")?;
    story.went_back("web1", &commit, &before, "")?;
    ensure!(
        web1.must(["systemctl", "is-active", web1.sshd_unit()?])?
            .trim()
            == "active",
        "sshd does not run"
    );
    takes_the_next_commit(&story)
}

/// An activation that takes an address or a route away that the old system does not put back.
fn takes(what: &str) -> String {
    format!(
        r#"{FAILS}
        system.activationScripts.takes = "{MORE}; if [ \"$NIXOS_ACTION\" = test ]; then {what} || true; fi";"#
    )
}

#[test]
fn a_lost_address_that_a_boot_brings_back_costs_one_reboot() -> Result<()> {
    let story = Story::alone(&["web1"])?;
    let web1 = story.host("web1")?;
    // It is set once in a boot, so that starting its unit again does nothing.
    let sets = format!(
        r#"systemd.services.address = {{
          wantedBy = [ "multi-user.target" ];
          serviceConfig = {{ Type = "oneshot"; RemainAfterExit = true; }};
          restartIfChanged = false;
          unitConfig.ConditionPathExists = "!/run/address-is-set";
          script = "{MORE}; ip address replace 10.78.0.11/24 dev lo; touch /run/address-is-set";
        }};"#
    );
    let commit = story.lab().deploy("web1", &sets, "one more address")?;
    story.kept("web1", &commit)?;
    let before = web1.current_system()?;
    let boots_before = boots(web1)?;
    let taken = format!("{sets}\n{}", takes("ip address del 10.78.0.11/24 dev lo"));
    let commit = story.lab().deploy("web1", &taken, "take it away")?;
    story.report("web1", &commit, &[State::Failure])?;
    web1.wait_booted()?;
    ensure!(web1.booted_system()? == before, "it booted another system");
    story.at_rest("web1", &before)?;
    story.waits_for("web1", "quarantined")?;
    ensure!(boots(web1)? == boots_before + 1, "it did not reboot once");
    let now = web1.must(["ip", "-4", "address", "show", "lo"])?;
    ensure!(now.contains("10.78.0.11/24"), "{now}");
    takes_the_next_commit(&story)
}

#[test]
fn damage_that_no_reboot_heals_leaves_the_host_stuck_until_it_is_healed() -> Result<()> {
    let story = Story::alone(&["web1"])?;
    let web1 = story.host("web1")?;
    let before = web1.current_system()?;
    for command in BY_HAND {
        web1.must(command.iter().copied())?;
    }
    let boots_before = boots(web1)?;
    let commit = story.lab().deploy(
        "web1",
        &takes("ip route del 10.79.0.0/24 dev host0; ip address del 10.78.0.11/24 dev lo"),
        "take the route away",
    )?;
    web1.wait_until("is stuck", PATIENCE * 2, |host| {
        Ok(is(host, "/open/phase", "stuck"))
    })?;
    web1.wait_booted()?;
    ensure!(boots(web1)? == boots_before + 1, "it did not reboot once");
    ensure!(web1.booted_system()? == before);
    let report = story.report("web1", &commit, &[State::Failure])?;
    ensure!(report.text.contains("stuck"), "{}", report.text);
    // Nothing is activated, and polling goes on.
    let next = story.lab().deploy("web1", "", "another commit")?;
    story.waits_for("web1", "stuck")?;
    let told = switcher_status(web1)?;
    let damage = told
        .pointer("/stuck")
        .and_then(Value::as_str)
        .context("it does not say what is wrong")?;
    ensure!(damage.contains("route 10.79.0.0/24"), "{damage}");
    for command in BY_HAND {
        web1.must(command.iter().copied())?;
    }
    web1.wait_until("is stuck no more", PATIENCE, |host| {
        Ok(switcher_status(host)?.pointer("/open") == Some(&Value::Null))
    })?;
    story.at_rest("web1", &before)?;
    story.kept("web1", &next)?;
    ensure!(boots(web1)? == boots_before + 1, "it rebooted once more");
    takes_the_next_commit(&story)
}

#[test]
fn a_git_server_that_is_down_during_the_way_back_neither_reboots_nor_sticks() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let (web1, git) = (story.host("web1")?, story.host("git")?);
    let (before, boots_before) = (web1.current_system()?, boots(web1)?);
    let slow = r#"
      environment.etc."slow".text = "slow";
      services.nixus.settings.health.soak = lib.mkForce "20s";
    "#;
    let commit = story.lab().deploy("web1", slow, "take long to prove")?;
    web1.wait_until("is on trial", PATIENCE, |host| {
        Ok(is(host, "/open/phase", "on-trial"))
    })?;
    git.power_cut()?;
    web1.must(["nixus-switcher", "revert"])?;
    story.at_rest("web1", &before)?;
    story.waits_for("web1", "backing-off")?;
    ensure!(
        boots(web1)? == boots_before,
        "an outage elsewhere rebooted it"
    );
    git.start()?;
    story.report("web1", &commit, &[State::Failure])?;
    takes_the_next_commit(&story)
}
