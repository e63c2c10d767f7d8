//! A first boot without a network: after a power cut of a whole site a host is up before its switch, or before
//! the DHCP server.

use std::time::Duration;

use anyhow::{Result, ensure};
use lab::Host;
use lab::descriptions::GREETING;
use lab::story::{PATIENCE, Story, status, switcher_status};
use lab::test;
use nixus::decide::report::State;
use serde_json::Value;

use crate::boots::{boot_proven, boots, cannot_judge_its_boot, is_proven, says};
use crate::failures::takes_the_next_commit;

const SOON: Duration = Duration::from_secs(60);
/// Goes back soon where no carrier comes.
const IMPATIENT: &str = r#"services.nixus.settings.switch.carrier_timeout = "3s";"#;
/// The host's address is a lease; the other one, which nobody needs, stays.
const LEASE: &str = r#"
  systemd.network.networks."10-lab" = {
    address = lib.mkForce [ "fd77::11/64" ];
    networkConfig.DHCP = "ipv4";
  };
"#;
const PATIENT: &str = r#"services.nixus.settings.switch.trial_timeout = lib.mkForce "60s";"#;

fn is_in(host: &Host, phase: &str) -> bool {
    // Nobody answers early in a boot.
    let told = switcher_status(host).unwrap_or_default();
    told.pointer("/open/phase") == Some(&Value::String(phase.to_owned()))
}

/// Cuts the power of a host with a commit that was kept in place, and switches it on without its cable.
fn boots_without_cable(story: &Story, more: &str) -> Result<(String, usize)> {
    let web1 = story.host("web1")?;
    let commit = story.lab().deploy("web1", more, "greet")?;
    story.kept("web1", &commit)?;
    let before = boots(web1)?;
    web1.power_cut()?;
    web1.power_on_unplugged()?;
    Ok((commit, before))
}

/// Waits until the host is back on its boot-proven system, by a reboot of its own.
fn is_back_on(host: &Host, system: &str, boots_before: usize) -> Result<()> {
    host.wait_until("went back", PATIENCE, |host| {
        Ok(boots(host)? == boots_before + 2
            && host.booted_system().is_ok_and(|booted| booted == system))
    })
}

/// Sees that a commit that went back without a network is kept again, and that nothing blames it.
fn is_kept_again(story: &Story, commit: &str, boots_before: usize) -> Result<()> {
    let web1 = story.host("web1")?;
    says(
        story,
        commit,
        State::Waiting,
        "had no network at its first boot",
    )?;
    web1.wait_until("keeps the commit again", PATIENCE, |host| {
        let now = status(host)?;
        Ok(now.pointer("/kept/commit/id") == Some(&Value::String(commit.to_owned())))
    })?;
    story.waits_for("web1", "up-to-date")?;
    story.blames_no_commit("web1")?;
    ensure!(web1.current_system()? == web1.boot_default()?);
    ensure!(boots(web1)? == boots_before + 2, "it rebooted once more");
    takes_the_next_commit(story)
}

#[test]
fn a_switch_that_starts_later_than_the_host_costs_nothing() -> Result<()> {
    let story = Story::alone(&["web1"])?;
    let (commit, before) = boots_without_cable(&story, GREETING)?;
    let web1 = story.host("web1")?;
    web1.wait_until("waits for a carrier", SOON, |host| {
        Ok(is_in(host, "booted") && host.settled())
    })?;
    // Longer than a trial takes to fail.
    lab::meter::sleep(Duration::from_secs(35));
    ensure!(is_in(web1, "booted"), "it was judged without a carrier");
    web1.plug()?;
    is_proven(&story, &commit)?;
    ensure!(boots(web1)? == before + 1, "it rebooted by itself");
    story.blames_no_commit("web1")
}

#[test]
fn a_carrier_that_does_not_come_in_time_leads_back_once_and_the_commit_is_tried_again() -> Result<()>
{
    let story = Story::alone(&["web1"])?;
    let first = story.host("web1")?.current_system()?;
    // The rules are those of the system that asks for the change.
    let commit = story.lab().deploy("web1", IMPATIENT, "be impatient")?;
    story.kept("web1", &commit)?;
    let (commit, before) = boots_without_cable(&story, &format!("{IMPATIENT} {GREETING}"))?;
    let web1 = story.host("web1")?;
    // Its cable is in again from the reboot on.
    is_back_on(web1, &first, before)?;
    ensure!(boot_proven(web1)? == first);
    is_kept_again(&story, &commit, before)
}

#[test]
fn a_dead_switch_behind_a_carrier_reboots_nothing() -> Result<()> {
    let story = Story::alone(&["web1"])?;
    let (web1, git) = (story.host("web1")?, story.host("git")?);
    let commit = story.lab().deploy("web1", GREETING, "greet")?;
    story.kept("web1", &commit)?;
    let (kept, before) = (web1.current_system()?, boots(web1)?);
    git.unplug()?;
    web1.reboot()?;
    cannot_judge_its_boot(web1)?;
    story.at_rest("web1", &kept)?;
    story.blames_no_commit("web1")?;
    git.plug()?;
    is_proven(&story, &commit)?;
    ensure!(
        boots(web1)? == before + 1,
        "an outage elsewhere rebooted it"
    );
    story.blames_no_commit("web1")
}

/// Makes the git server a DHCP server with one address, or ends that.
fn leases(git: &Host, gives: bool) -> Result<()> {
    let file = "/run/systemd/network/10-lab.network.d/leases.conf";
    if gives {
        git.write(
            file,
            "[Network]\nDHCPServer=yes\n[DHCPServer]\nPoolOffset=11\nPoolSize=1\nEmitDNS=no\n",
        )?;
    } else {
        git.must(["rm", file])?;
    }
    git.must(["networkctl", "reload"])?;
    git.must(["networkctl", "reconfigure", "host0"]).map(drop)
}

#[test]
fn a_dhcp_server_that_starts_later_than_the_host_costs_one_reboot_at_most_and_no_commit()
-> Result<()> {
    let story = Story::alone(&["web1"])?;
    let (web1, git) = (story.host("web1")?, story.host("git")?);
    leases(git, true)?;
    let commit = story.lab().deploy("web1", PATIENT, "be patient")?;
    story.kept("web1", &commit)?;
    let leased = format!("{PATIENT} {LEASE}");
    let commit = story.lab().deploy("web1", &leased, "lease the address")?;
    story.kept("web1", &commit)?;
    let before = boots(web1)?;
    // Late, but within the trial.
    leases(git, false)?;
    web1.reboot()?;
    web1.wait_until("is on trial", PATIENCE, |host| {
        Ok(is_in(host, "boot-trial"))
    })?;
    leases(git, true)?;
    is_proven(&story, &commit)?;
    ensure!(boots(web1)? == before + 1, "it rebooted by itself");
    // Later than that, for the boot-proven system too.
    let leased = web1.current_system()?;
    let commit = story
        .lab()
        .deploy("web1", &format!("{PATIENT} {LEASE} {GREETING}"), "greet")?;
    story.kept("web1", &commit)?;
    let before = boots(web1)?;
    leases(git, false)?;
    web1.reboot()?;
    is_back_on(web1, &leased, before)?;
    web1.wait_booted()?;
    story.waits_for("web1", "backing-off")?;
    leases(git, true)?;
    is_kept_again(&story, &commit, before)
}

#[test]
fn an_interface_that_is_missing_at_the_first_boot_is_the_commits_failure() -> Result<()> {
    let story = Story::alone(&["web1"])?;
    let web1 = story.host("web1")?;
    let first = web1.current_system()?;
    // As with a kernel that lacks a driver.
    let loses = r#"
      systemd.services.lose-card = {
        wantedBy = [ "multi-user.target" ];
        before = [ "systemd-networkd.service" ];
        serviceConfig = { Type = "oneshot"; RemainAfterExit = true; };
        script = ''
          PATH=$PATH:/usr/local/bin:/usr/local/sbin
          if [ $(readlink -f /run/booted-system) = $(readlink -f /run/current-system) ]; then
            ip link set host0 down
            ip link set host0 name gone0
          fi
        '';
      };
    "#;
    let commit = story.lab().deploy("web1", loses, "another kernel")?;
    story.kept("web1", &commit)?;
    let before = boots(web1)?;
    web1.must(["systemctl", "reboot", "--no-block"])?;
    is_back_on(web1, &first, before)?;
    says(
        &story,
        &commit,
        State::Failure,
        "there is no interface host0",
    )?;
    story.waits_for("web1", "quarantined")?;
    story.tries_no_more("web1")?;
    takes_the_next_commit(&story)
}
