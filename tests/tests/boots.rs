//! The first boot of a generation that was only confirmed in place: a trial again.

use std::time::Duration;

use anyhow::{Result, ensure};
use lab::Host;
use lab::descriptions::{FAILS_AT_BOOT, GREETING};
use lab::story::{PATIENCE, Story, status, switcher_status};
use lab::test;
use nixus::decide::report::State;
use serde_json::Value;

use crate::failures::takes_the_next_commit;

const GOODBYE: &str = r#"environment.etc."greeting".text = "goodbye";"#;
/// No test here waits this long for nothing to happen.
const QUIET: Duration = Duration::from_secs(5);

/// How often a host has been switched on or rebooted.
pub fn boots(host: &Host) -> Result<usize> {
    Ok(host.console()?.matches("lab-boot: starting").count())
}

/// Waits for a report on a commit in these words.
pub fn says(story: &Story, commit: &str, state: State, words: &str) -> Result<()> {
    story.host("web1")?.wait_until(words, PATIENCE, |_| {
        let reports = story.lab().operator().reports("web1")?;
        Ok(reports.iter().any(|report| {
            report.commit.id == commit && report.state == state && report.text.contains(words)
        }))
    })
}

pub fn boot_proven(host: &Host) -> Result<String> {
    let root = "/nix/var/nix/gcroots/nixus/boot-proven";
    Ok(host.must(["readlink", root])?.trim().to_owned())
}

/// Sees that a commit that is kept becomes boot-proven, or is so already.
pub fn is_proven(story: &Story, commit: &str) -> Result<()> {
    let web1 = story.host("web1")?;
    says(story, commit, State::Success, "boot-proven")?;
    let now = web1.current_system()?;
    story.at_rest("web1", &now)?;
    ensure!(boot_proven(web1)? == now, "another system is boot-proven");
    let seen = status(web1)?;
    ensure!(
        seen.pointer("/boot/proven") == Some(&Value::Bool(true)),
        "{seen}"
    );
    story.waits_for("web1", "up-to-date")
}

/// Sees that the host went back from the first boot of a commit, by one reboot, and says why.
fn came_back(story: &Story, commit: &str, to: &str, boots_before: usize, why: &str) -> Result<()> {
    let web1 = story.host("web1")?;
    says(story, commit, State::Failure, "Failed at its first boot")?;
    says(story, commit, State::Failure, why)?;
    web1.wait_booted()?;
    ensure!(web1.booted_system()? == to, "it booted another system");
    story.at_rest("web1", to)?;
    story.waits_for("web1", "quarantined")?;
    story.tries_no_more("web1")?;
    let boots = boots(web1)? - boots_before;
    ensure!(boots == 2, "it booted {boots} times, and not twice");
    ensure!(boot_proven(web1)? == to, "another system is boot-proven");
    takes_the_next_commit(story)
}

#[test]
fn a_healthy_first_boot_makes_a_confirmed_generation_boot_proven() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let first = web1.current_system()?;
    let commit = story.lab().deploy("web1", GREETING, "greet")?;
    story.kept("web1", &commit)?;
    ensure!(boot_proven(web1)? == first, "it was not booted yet");
    let seen = lab::story::shown(web1, &["nixus", "status"])?;
    ensure!(seen.contains("not boot-proven"), "{seen}");
    let before = boots(web1)?;
    web1.reboot()?;
    is_proven(&story, &commit)?;
    ensure!(web1.current_system()? != first);
    // Another boot is not a trial.
    web1.reboot()?;
    lab::meter::sleep(QUIET);
    story.waits_for("web1", "up-to-date")?;
    ensure!(boots(web1)? == before + 2, "it rebooted by itself");
    let next = story.lab().deploy("web1", GOODBYE, "say goodbye")?;
    story.kept("web1", &next).map(drop)
}

#[test]
fn a_unit_that_fails_only_at_boot_brings_the_boot_proven_generation_back() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let first = web1.current_system()?;
    let commit = story.lab().deploy("web1", FAILS_AT_BOOT, "open a shop")?;
    story.kept("web1", &commit)?;
    let before = boots(web1)?;
    web1.must(["systemctl", "reboot", "--no-block"])?;
    came_back(
        &story,
        &commit,
        &first,
        before,
        "failed units: shop.service",
    )
}

/// What `local-fs.target` needs, as it needs mounts: systemd goes into emergency mode, and nothing that needs
/// `sysinit.target` is started.
const EMERGENCY_AT_BOOT: &str = r#"systemd.services.data = {
  before = [ "local-fs.target" ];
  requiredBy = [ "local-fs.target" ];
  unitConfig.DefaultDependencies = false;
  serviceConfig.Type = "oneshot";
  serviceConfig.RemainAfterExit = true;
  script = "test $(readlink -f /run/booted-system) != $(readlink -f /run/current-system)";
};"#;

#[test]
fn a_first_boot_that_ends_in_emergency_mode_brings_the_boot_proven_generation_back() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let first = web1.current_system()?;
    let commit = story
        .lab()
        .deploy("web1", EMERGENCY_AT_BOOT, "need a disk")?;
    story.kept("web1", &commit)?;
    let before = boots(web1)?;
    web1.must(["systemctl", "reboot", "--no-block"])?;
    came_back(&story, &commit, &first, before, "")
}

#[test]
fn a_boot_whose_activation_failed_is_not_boot_proven() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let first = web1.current_system()?;
    // What it looks for is not there at a boot.
    let snippet = r#"system.activationScripts.key = "test -e /run/key";"#;
    web1.write("/run/key", "")?;
    let commit = story.lab().deploy("web1", snippet, "look for a key")?;
    story.kept("web1", &commit)?;
    let before = boots(web1)?;
    web1.must(["systemctl", "reboot", "--no-block"])?;
    came_back(&story, &commit, &first, before, "activation script")
}

#[test]
fn a_route_that_was_only_left_over_is_missed_at_boot_and_the_boot_proven_one_comes_back()
-> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let first = web1.current_system()?;
    let narrow = r#"systemd.network.networks."10-lab".address = lib.mkForce [ "10.77.0.11/32" "fd77::11/64" ];"#;
    let with_route = format!(
        r#"{narrow}
        systemd.services.route = {{
          wantedBy = [ "multi-user.target" ];
          after = [ "systemd-networkd.service" ];
          serviceConfig.Type = "oneshot";
          script = ''
            PATH=$PATH:/usr/local/bin:/usr/local/sbin
            until ip -4 address show host0 | grep -q 10.77.0.11/32; do sleep 0.1; done
            while ip -4 address show host0 | grep -q 10.77.0.11/24; do sleep 0.1; done
            sleep 1
            ip route replace 10.77.0.0/24 dev host0
          '';
        }};"#
    );
    let commit = story.lab().deploy("web1", &with_route, "route by hand")?;
    story.kept("web1", &commit)?;
    // The unit is gone; what it did stays until the next boot.
    let commit = story.lab().deploy("web1", narrow, "forget the route")?;
    story.kept("web1", &commit)?;
    let before = boots(web1)?;
    web1.must(["systemctl", "reboot", "--no-block"])?;
    // A network may be late: it goes back without blame, and is tried again. In place it fails by itself, since
    // nothing is left over this time.
    says(
        &story,
        &commit,
        State::Waiting,
        "had no network at its first boot",
    )?;
    web1.wait_booted()?;
    ensure!(web1.booted_system()? == first, "it booted another system");
    let report = story.report("web1", &commit, &[State::Failure])?;
    ensure!(report.text.contains("no route to it"), "{}", report.text);
    story.waits_for("web1", "quarantined")?;
    story.at_rest("web1", &first)?;
    story.tries_no_more("web1")?;
    ensure!(boots(web1)? == before + 2, "it did not reboot once");
    ensure!(boot_proven(web1)? == first, "another system is boot-proven");
    takes_the_next_commit(&story)
}

#[test]
fn what_a_first_boot_that_fails_undoes_is_said_before_and_after() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let first = web1.current_system()?;
    let greeting = story.lab().deploy("web1", GREETING, "greet")?;
    story.kept("web1", &greeting)?;
    let both = format!("{GREETING} {FAILS_AT_BOOT}");
    let commit = story.lab().deploy("web1", &both, "open a shop")?;
    let report = story.kept("web1", &commit)?;
    let how_far = "goes back to generation 1 and undoes 2 commits";
    ensure!(report.text.contains(how_far), "{}", report.text);
    let said = lab::story::shown(web1, &["nixus", "status"])?;
    ensure!(said.contains(how_far), "{said}");
    let seen = status(web1)?;
    let undone = |at: usize| seen.pointer(&format!("/boot/would_undo/{at}/id"));
    ensure!(
        undone(0) == Some(&Value::String(commit.clone()))
            && undone(1) == Some(&Value::String(greeting)),
        "{seen}"
    );
    let generation = report.generation.unwrap_or_default();
    let link = format!("/nix/var/nix/profiles/system-{generation}-link");
    let kept = web1.must(["readlink", &link])?;
    let before = boots(web1)?;
    web1.must(["systemctl", "reboot", "--no-block"])?;
    says(&story, &commit, State::Failure, "\"greet\"")?;
    says(&story, &commit, State::Failure, "\"open a shop\"")?;
    web1.wait_booted()?;
    story.at_rest("web1", &first)?;
    // The host still knows what it was on before, and the generation is there to be looked at.
    ensure!(web1.must(["readlink", &link])? == kept);
    let seen = status(web1)?;
    let on = seen.pointer("/kept/commit/id").and_then(Value::as_str);
    ensure!(on == Some(story.lab().first_commit()), "{seen}");
    ensure!(boots(web1)? == before + 2, "it did not reboot once");
    takes_the_next_commit(&story)
}

/// Waits until a host says that the trial of its boot told nothing.
pub fn cannot_judge_its_boot(host: &Host) -> Result<()> {
    host.wait_until("could not judge its boot", PATIENCE, |host| {
        let told = switcher_status(host)?;
        Ok(told
            .pointer("/unproven/told_nothing")
            .is_some_and(Value::is_string))
    })
}

#[test]
fn a_git_server_that_is_down_at_the_first_boot_reboots_nothing() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let (web1, git) = (story.host("web1")?, story.host("git")?);
    let commit = story.lab().deploy("web1", GREETING, "greet")?;
    story.kept("web1", &commit)?;
    let (kept, before) = (web1.current_system()?, boots(web1)?);
    git.power_cut()?;
    web1.reboot()?;
    cannot_judge_its_boot(web1)?;
    story.at_rest("web1", &kept)?;
    let seen = lab::story::shown(web1, &["nixus", "status"])?;
    ensure!(seen.contains("could not be judged"), "{seen}");
    story.blames_no_commit("web1")?;
    git.start()?;
    // Once it answers, a pass has the boot judged again.
    is_proven(&story, &commit)?;
    ensure!(
        boots(web1)? == before + 1,
        "an outage elsewhere rebooted it"
    );
    story.blames_no_commit("web1")
}

#[test]
fn an_older_generation_picked_by_hand_is_left_alone() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let first = web1.current_system()?;
    let commit = story.lab().deploy("web1", FAILS_AT_BOOT, "open a shop")?;
    story.kept("web1", &commit)?;
    let default = web1.boot_default()?;
    let menu = "/boot/loader/loader.conf";
    let text = web1.read(menu)?;
    web1.write(menu, "default nixos-generation-1.conf\n")?;
    let before = boots(web1)?;
    web1.reboot()?;
    web1.write(menu, &text)?;
    story.waits_for("web1", "booted-other")?;
    lab::meter::sleep(QUIET);
    let told = switcher_status(web1)?;
    ensure!(told.pointer("/open") == Some(&Value::Null), "{told}");
    ensure!(web1.current_system()? == first && web1.booted_system()? == first);
    ensure!(web1.boot_default()? == default, "the default was changed");
    let profile = web1.must(["readlink", "-f", "/nix/var/nix/profiles/system"])?;
    ensure!(profile.trim() == default, "the profile was changed");
    ensure!(boots(web1)? == before + 1, "a rescue was rebooted");
    Ok(())
}

#[test]
fn the_boot_proven_generation_survives_garbage_collection_and_stays_in_the_boot_menu() -> Result<()>
{
    let story = Story::alone(&["web1"])?;
    let web1 = story.host("web1")?;
    let first = web1.current_system()?;
    let commit = story.lab().deploy("web1", GREETING, "greet")?;
    story.kept("web1", &commit)?;
    web1.must(["nix-collect-garbage", "--delete-old"])?;
    let gone = web1.exec(["test", "-e", "/nix/var/nix/profiles/system-1-link"])?;
    ensure!(!gone.ok(), "garbage was not collected");
    ensure!(boot_proven(web1)? == first);
    web1.must(["test", "-x", &format!("{first}/init")])?;
    let commit = story.lab().deploy("web1", FAILS_AT_BOOT, "open a shop")?;
    story.kept("web1", &commit)?;
    web1.must([
        "nix-env",
        "--profile",
        "/nix/var/nix/profiles/system",
        "--delete-generations",
        "old",
    ])?;
    let menu = web1.must([
        "grep",
        "-r",
        &format!("init={first}/init"),
        "/boot/loader/entries",
    ])?;
    ensure!(menu.contains("boot_proven"), "{menu}");
    let before = boots(web1)?;
    web1.must(["systemctl", "reboot", "--no-block"])?;
    came_back(
        &story,
        &commit,
        &first,
        before,
        "failed units: shop.service",
    )
}

#[test]
fn a_power_cut_in_a_trial_at_boot_is_followed_by_another_trial() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let slow = format!(r#"services.nixus.settings.health.soak = lib.mkForce "8s"; {GREETING}"#);
    let commit = story.lab().deploy("web1", &slow, "greet slowly")?;
    story.kept("web1", &commit)?;
    let before = boots(web1)?;
    web1.power_cut()?;
    web1.power_on()?;
    web1.wait_until("judges its boot", PATIENCE, |host| {
        // Nobody answers early in a boot.
        let told = switcher_status(host).unwrap_or_default();
        Ok(told.pointer("/open/phase") == Some(&Value::String("boot-trial".into())))
    })?;
    web1.power_cut()?;
    web1.start()?;
    is_proven(&story, &commit)?;
    ensure!(boots(web1)? == before + 2, "it rebooted by itself");
    Ok(())
}
