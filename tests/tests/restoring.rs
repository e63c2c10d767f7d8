//! A rollback that really restores: units, addresses, routes, the own sshd; and what ends what could
//! not be put right.

use anyhow::{Context as _, Result, ensure};
use lab::Host;
use lab::descriptions::{SSHD_STOPS, UNIT_FAILS};
use lab::fleet::UNCHECKED;
use lab::story::{PATIENCE, Story, switcher_status};
use lab::test;
use nixus::decide::report::State;
use serde_json::Value;

use crate::failures::takes_the_next_commit;

/// One more address that the host declares.
const DECLARED: &str =
    r#"systemd.network.networks."10-lab".address = lib.mkAfter [ "10.78.0.11/24" ];"#;
/// Takes it away at each boot for as long as something on the disk is broken.
const BROKEN: &str = "/var/lib/broken";
/// What keepalived, a container's network, and BIRD put on interfaces.
const OF_OTHERS: [&[&str]; 5] = [
    &["ip", "address", "replace", "10.77.0.200/32", "dev", "host0"],
    &["ip", "link", "add", "br-ci", "type", "bridge"],
    &["ip", "address", "replace", "172.18.0.1/16", "dev", "br-ci"],
    &["ip", "link", "set", "br-ci", "up"],
    &[
        "ip",
        "route",
        "replace",
        "10.99.0.0/24",
        "via",
        "10.77.0.2",
        "proto",
        "bird",
    ],
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
    let stops = format!("{UNCHECKED}{UNIT_FAILS}{SSHD_STOPS}");
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
        r#"{UNIT_FAILS}
        system.activationScripts.takes = "{MORE}; if [ \"$NIXOS_ACTION\" = test ]; then {what} || true; fi";"#
    )
}

#[test]
fn a_lost_address_that_a_boot_brings_back_costs_one_reboot() -> Result<()> {
    let story = Story::alone(&["web1"])?;
    let web1 = story.host("web1")?;
    // networkd sets it once, and starting it again is for nobody to ask.
    let commit = story.lab().deploy("web1", DECLARED, "one more address")?;
    story.kept("web1", &commit)?;
    let before = web1.current_system()?;
    let boots_before = boots(web1)?;
    let taken = format!(
        "{DECLARED}\n{}",
        takes("ip address del 10.78.0.11/24 dev host0")
    );
    let commit = story.lab().deploy("web1", &taken, "take it away")?;
    story.report("web1", &commit, &[State::Failure])?;
    web1.wait_booted()?;
    ensure!(web1.booted_system()? == before, "it booted another system");
    story.at_rest("web1", &before)?;
    story.waits_for("web1", "quarantined")?;
    ensure!(boots(web1)? == boots_before + 1, "it did not reboot once");
    let now = web1.must(["ip", "-4", "address", "show", "host0"])?;
    ensure!(now.contains("10.78.0.11/24"), "{now}");
    takes_the_next_commit(&story)
}

#[test]
fn damage_that_no_reboot_heals_leaves_the_host_stuck_until_it_is_healed() -> Result<()> {
    let story = Story::alone(&["web1"])?;
    let web1 = story.host("web1")?;
    let spoils = format!(
        r#"{DECLARED}
        systemd.services.spoils = {{
          wantedBy = [ "multi-user.target" ];
          after = [ "systemd-networkd.service" ];
          restartIfChanged = false;
          unitConfig.ConditionPathExists = "{BROKEN}";
          serviceConfig.Type = "oneshot";
          script = ''
            {MORE}
            until ip address del 10.78.0.11/24 dev host0; do sleep 0.1; done
          '';
        }};"#
    );
    let commit = story.lab().deploy("web1", &spoils, "one more address")?;
    story.kept("web1", &commit)?;
    let before = web1.current_system()?;
    web1.write(BROKEN, "")?;
    let boots_before = boots(web1)?;
    let commit = story.lab().deploy(
        "web1",
        &format!(
            "{spoils}\n{}",
            takes("ip address del 10.78.0.11/24 dev host0")
        ),
        "take the address away",
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
    let next = story.lab().deploy("web1", DECLARED, "another commit")?;
    story.waits_for("web1", "stuck")?;
    let told = switcher_status(web1)?;
    let damage = told
        .pointer("/stuck")
        .and_then(Value::as_str)
        .context("it does not say what is wrong")?;
    ensure!(damage.contains("address 10.78.0.11/24"), "{damage}");
    web1.must(["rm", BROKEN])?;
    web1.must(["ip", "address", "replace", "10.78.0.11/24", "dev", "host0"])?;
    web1.wait_until("is stuck no more", PATIENCE, |host| {
        Ok(switcher_status(host)?.pointer("/open") == Some(&Value::Null))
    })?;
    story.kept("web1", &next)?;
    ensure!(boots(web1)? == boots_before + 1, "it rebooted once more");
    takes_the_next_commit(&story)
}

#[test]
fn what_other_programs_put_on_interfaces_is_nobodys_damage() -> Result<()> {
    let story = Story::alone(&["web1"])?;
    let web1 = story.host("web1")?;
    let (before, boots_before) = (web1.current_system()?, boots(web1)?);
    for command in OF_OTHERS {
        web1.must(command.iter().copied())?;
    }
    let taken = takes(
        "ip address del 10.77.0.200/32 dev host0; ip route del 10.99.0.0/24; ip link del br-ci",
    );
    let commit = story.lab().deploy("web1", &taken, "fail meanwhile")?;
    story.went_back("web1", &commit, &before, "")?;
    let left = web1.must(["ip", "address"])?;
    ensure!(
        !left.contains("10.77.0.200") && !left.contains("br-ci"),
        "nothing was taken away: {left}"
    );
    ensure!(boots(web1)? == boots_before, "it rebooted");
    takes_the_next_commit(&story)
}

/// Runs as long as it can begin with a look at a database on another host.
fn app(mark: &str) -> String {
    format!(
        r#"systemd.services.app = {{
          wantedBy = [ "multi-user.target" ];
          serviceConfig = {{
            ExecStartPre = "/bin/bash -c 'exec 3<>/dev/tcp/10.77.0.2/5432'";
            ExecStart = "/bin/sleep infinity";
            Restart = "on-failure";
            RestartSec = "100ms";
            Environment = "MARK={mark}";
          }};
        }};"#
    )
}

#[test]
fn a_unit_that_needs_a_host_elsewhere_is_told_of_and_neither_reboots_nor_sticks() -> Result<()> {
    let story = Story::alone(&["web1"])?;
    let (web1, git) = (story.host("web1")?, story.host("git")?);
    let database = |verb: &str| git.must(["systemctl", verb, "database.socket"]).map(drop);
    git.write(
        "/run/systemd/system/database.socket",
        "[Socket]\nListenStream=5432\nAccept=no\n",
    )?;
    git.write(
        "/run/systemd/system/database.service",
        "[Service]\nExecStart=/bin/sleep infinity\n",
    )?;
    git.must(["systemctl", "daemon-reload"])?;
    database("start")?;
    let commit = story.lab().deploy("web1", &app("1"), "an app")?;
    story.kept("web1", &commit)?;
    let (before, boots_before) = (web1.current_system()?, boots(web1)?);
    git.must(["systemctl", "stop", "database.socket", "database.service"])?;
    let commit = story.lab().deploy("web1", &app("2"), "restart the app")?;
    let report = story.went_back("web1", &commit, &before, "app.service")?;
    ensure!(
        report
            .text
            .contains("ran before, and do not now: app.service"),
        "{}",
        report.text
    );
    ensure!(
        boots(web1)? == boots_before,
        "an outage elsewhere rebooted it"
    );
    database("start")?;
    web1.must(["systemctl", "reset-failed", "app.service"])?;
    web1.must(["systemctl", "start", "app.service"])?;
    let commit = story.lab().deploy("web1", &app("3"), "restart it again")?;
    story.kept("web1", &commit)?;
    ensure!(boots(web1)? == boots_before, "it rebooted");
    Ok(())
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
