//! Somebody changes by hand what the next boot starts: the next pass sees it, says it, and does what the
//! configuration says.

use anyhow::{Result, ensure};
use lab::Host;
use lab::story::{PATIENCE, Story, deployments, status};
use lab::test;
use nixus::decide::report::State;

const GREETING: &str = r#"environment.etc."greeting".text = "hello";"#;
const GOODBYE: &str = r#"environment.etc."greeting".text = "goodbye";"#;

/// A host that has kept a commit after its first, with this setting; gives what ran before it.
fn kept_with(drift: &str) -> Result<(Story, String, String)> {
    let story = Story::begin(&["web1"])?;
    let before = story.host("web1")?.current_system()?;
    let setting = format!(r#"services.nixus.settings.switch.drift = "{drift}"; {GREETING}"#);
    let commit = story.lab().deploy("web1", &setting, "greet")?;
    story.kept("web1", &commit)?;
    Ok((story, commit, before))
}

/// What `nixos-rebuild boot` does with another system.
fn next_boot_by_hand(host: &Host, system: &str) -> Result<()> {
    let profile = "/nix/var/nix/profiles/system";
    host.must(["nix-env", "--profile", profile, "--set", system])?;
    host.must([&format!("{system}/bin/switch-to-configuration"), "boot"])?;
    ensure!(host.boot_default()? == system && host.profile()? == system);
    Ok(())
}

#[test]
fn a_default_that_was_set_by_hand_is_put_right() -> Result<()> {
    let (story, commit, before) = kept_with("correct")?;
    let web1 = story.host("web1")?;
    let runs = web1.current_system()?;
    next_boot_by_hand(web1, &before)?;
    let said = |words: &str| -> Result<bool> {
        let reports = story.lab().operator().reports("web1")?;
        let mut of_commit = reports.iter().filter(|report| report.commit.id == commit);
        Ok(of_commit.any(|report| report.text.contains(words)))
    };
    web1.wait_until("has its default back", PATIENCE, |host| {
        Ok(host.boot_default()? == runs && host.profile()? == runs)
    })?;
    story.at_rest("web1", &runs)?;
    story.waits_for("web1", "up-to-date")?;
    ensure!(said("by hand the next boot was given")?, "nobody was told");
    // The profile alone, as `nix-env --rollback` changes it.
    web1.must([
        "nix-env",
        "--profile",
        "/nix/var/nix/profiles/system",
        "--set",
        &before,
    ])?;
    web1.wait_until("has its profile back", PATIENCE, |host| {
        Ok(host.profile()? == runs)
    })?;
    story.at_rest("web1", &runs)?;
    story.waits_for("web1", "up-to-date")
}

#[test]
fn a_default_that_was_set_by_hand_is_only_reported_where_that_is_asked_for() -> Result<()> {
    let (story, commit, before) = kept_with("report")?;
    let web1 = story.host("web1")?;
    let count = deployments(web1)?.len();
    next_boot_by_hand(web1, &before)?;
    story.waits_for("web1", "drifted")?;
    let report = story.report("web1", &commit, &[State::Waiting])?;
    ensure!(
        report.text.contains("by hand the next boot was given"),
        "{}",
        report.text
    );
    ensure!(web1.boot_default()? == before && deployments(web1)?.len() == count);
    // The next commit puts it right.
    let next = story.lab().deploy("web1", GOODBYE, "say goodbye")?;
    story.kept("web1", &next)?;
    Ok(())
}

#[test]
fn no_commit_is_taken_after_a_change_by_hand_where_that_is_asked_for() -> Result<()> {
    let (story, _, before) = kept_with("refuse")?;
    let web1 = story.host("web1")?;
    let runs = web1.current_system()?;
    let count = deployments(web1)?.len();
    next_boot_by_hand(web1, &before)?;
    story.waits_for("web1", "drifted")?;
    let next = story.lab().deploy("web1", GOODBYE, "say goodbye")?;
    for _ in 0..3 {
        web1.must(["systemctl", "start", "nixus-reconcile.service"])?;
    }
    ensure!(web1.current_system()? == runs && deployments(web1)?.len() == count);
    let text = lab::story::shown(web1, &["nixus", "status"])?;
    ensure!(text.contains("by hand the next boot was given"), "{text}");
    next_boot_by_hand(web1, &runs)?;
    story.kept("web1", &next)?;
    ensure!(status(web1)?["passes_stopped"].is_null());
    Ok(())
}

/// A host of the lab has no `/sys/firmware`, and nothing can be made in sysfs.
const FIRMWARE: &str = "mkdir /run/sys; mount -t tmpfs tmpfs /run/sys; cd /sys
for part in *; do mkdir /run/sys/$part; mount --rbind /sys/$part /run/sys/$part; done
mkdir /run/sys/firmware; mount --rbind /run/sys /sys";

/// What `bootctl set-default` writes: attributes, then UTF-16 (Boot Loader Interface). A host of the lab has no
/// firmware, and its loader does not read this.
const PIN: &str = r"mkdir -p /sys/firmware/efi/efivars
printf '\007\000\000\000' > $PIN
printf nixos-generation-1.conf | sed 's/./&\n/g' | while read -r sign; do printf '%s\000' $sign; done >> $PIN
printf '\000\000' >> $PIN";
const VARIABLE: &str =
    "/sys/firmware/efi/efivars/LoaderEntryDefault-4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";

#[test]
fn a_default_that_the_firmware_pins_is_told_and_stops_no_commit() -> Result<()> {
    let (story, commit, _) = kept_with("correct")?;
    let web1 = story.host("web1")?;
    let count = deployments(web1)?.len();
    web1.must(["sh", "-ec", FIRMWARE])?;
    web1.must(["sh", "-c", &PIN.replace("$PIN", VARIABLE)])?;
    story.waits_for("web1", "boot-pinned")?;
    let report = story.report("web1", &commit, &[State::Waiting])?;
    for words in ["LoaderEntryDefault", "bootctl set-default"] {
        ensure!(report.text.contains(words), "{}", report.text);
    }
    // It is not deployed again and again.
    for _ in 0..3 {
        web1.must(["systemctl", "start", "nixus-reconcile.service"])?;
    }
    ensure!(deployments(web1)?.len() == count, "it was deployed again");
    let next = story.lab().deploy("web1", GOODBYE, "say goodbye")?;
    story.report("web1", &next, &[State::Success])?;
    story.waits_for("web1", "boot-pinned")?;
    ensure!(web1.read("/etc/greeting")? == "goodbye");
    web1.must(["rm", VARIABLE])?;
    story.kept("web1", &next).map(drop)
}

/// What nixpkgs' builder was writing as the power went, and what it then fails on (`open` with `x`).
#[test]
fn a_leftover_of_the_builder_stops_no_commit() -> Result<()> {
    let (story, _, _) = kept_with("correct")?;
    let web1 = story.host("web1")?;
    let leftover = "/boot/loader/loader.tmp";
    web1.must(["sh", "-c", &format!("echo 'timeout 5' > {leftover}")])?;
    let next = story.lab().deploy("web1", GOODBYE, "say goodbye")?;
    story.kept("web1", &next)?;
    web1.must(["test", "!", "-e", leftover]).map(drop)
}
