//! Deployments that bring another release of Nixus, with another format of its state files.

use anyhow::{Context as _, Result, ensure};
use lab::Host;
use lab::story::{Story, deployments};
use lab::test;
use nixus_switcher::protocol::VERSION;
use serde_json::Value;

const GREETING: &str = r#"environment.etc."greeting".text = "hello";"#;
const NEXT: &str = r#"lab.nixusPackage = "nixus-next";"#;
const BROKEN: &str = r#"lab.break.activation = "exit1";"#;

/// The path of a program of the release that runs.
fn own(host: &Host, program: &str) -> Result<String> {
    let path = format!("/run/current-system/sw/bin/{program}");
    Ok(host.must(["readlink", "-f", &path])?.trim().to_owned())
}

/// The versions of the ledger, of the switcher's journal and of the last record of its history.
fn formats(host: &Host) -> Result<[u32; 3]> {
    let version = |text: &str| -> Result<u32> {
        let value: Value = serde_json::from_str(text).context("a state file is not JSON")?;
        let number = value.pointer("/version").and_then(Value::as_u64);
        Ok(u32::try_from(
            number.context("a state file has no version")?,
        )?)
    };
    let journals = ["a", "b"]
        .map(|slot| host.read(&format!("/var/lib/nixus/switcher/journal-{slot}.json")))
        .into_iter()
        .collect::<Result<Vec<_>>>()?;
    let headers = journals.iter().filter_map(|text| text.lines().next());
    let newest = headers
        .max_by_key(|line| {
            let header: Option<Value> = serde_json::from_str(line).ok();
            header.and_then(|header| header.pointer("/sequence")?.as_u64())
        })
        .context("there is no journal")?;
    let last = deployments(host)?.into_iter().max();
    Ok([
        version(&host.read("/var/lib/nixus/ledger.json")?)?,
        version(newest)?,
        version(&host.read(&last.context("nothing was deployed")?)?)?,
    ])
}

#[test]
fn an_upgrade_that_is_reverted_leaves_state_that_the_older_release_reads() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let (before, old) = (web1.current_system()?, own(web1, "nixus")?);
    let lost = r#"services.nixus.settings.repository.branch = lib.mkForce "none";"#;
    let commit = story
        .lab()
        .deploy("web1", &format!("{NEXT} {lost}"), "upgrade")?;
    story.went_back("web1", &commit, &before, "has no branch none")?;
    ensure!(formats(web1)? == [VERSION; 3], "{:?}", formats(web1)?);
    let commit = story.lab().deploy("web1", GREETING, "greet")?;
    story.kept("web1", &commit)?;
    ensure!(own(web1, "nixus")? == old, "it is not the old Nixus");
    Ok(())
}

#[test]
fn nixus_is_upgraded_and_downgraded_across_a_change_of_its_format() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let first = web1.current_system()?;
    let [old, old_switcher] = [own(web1, "nixus")?, own(web1, "nixus-switcher")?];
    let broken = story.lab().deploy("web1", BROKEN, "break web1")?;
    story.went_back("web1", &broken, &first, "activation failed")?;

    // Until the upgrade has been booted, everything is written for the older release.
    let commit = story.lab().deploy("web1", NEXT, "upgrade")?;
    story.kept("web1", &commit)?;
    ensure!(own(web1, "nixus")? != old, "it is the same Nixus");
    let more = format!("{NEXT} {GREETING}");
    let commit = story.lab().deploy("web1", &more, "greet")?;
    story.kept("web1", &commit)?;
    ensure!(formats(web1)? == [VERSION; 3], "{:?}", formats(web1)?);

    // Then in its own format; and what was quarantined still is.
    web1.reboot()?;
    let before = web1.current_system()?;
    let commit = story.lab().deploy("web1", NEXT, "greet no more")?;
    story.kept("web1", &commit)?;
    web1.reboot()?;
    let commit = story.lab().deploy("web1", &more, "greet again")?;
    story.kept("web1", &commit)?;
    ensure!(web1.current_system()? == before);
    ensure!(formats(web1)? == [VERSION + 1; 3], "{:?}", formats(web1)?);

    // The older release understands nothing of it, says so, changes nothing, and so activates nothing.
    web1.stop_passes()?;
    let ledger = web1.read("/var/lib/nixus/ledger.json")?;
    let words = format!("version {}", VERSION + 1);
    for arguments in [
        [old.as_str(), "reconcile"],
        [old.as_str(), "status"],
        [old_switcher.as_str(), "status"],
    ] {
        let said = web1.exec(arguments)?;
        let text = format!("{}{}", said.stdout, said.stderr);
        ensure!(text.contains(&words), "{arguments:?}: {text}");
    }
    ensure!(web1.read("/var/lib/nixus/ledger.json")? == ledger);
    story.at_rest("web1", &before)?;
    web1.start_passes()?;

    // A downgrade by a commit: from its beginning, all is written for the older release.
    let commit = story.lab().deploy("web1", GREETING, "downgrade")?;
    story.kept("web1", &commit)?;
    ensure!(own(web1, "nixus")? == old, "it is not the old Nixus");
    ensure!(formats(web1)? == [VERSION; 3], "{:?}", formats(web1)?);
    let kept = web1.current_system()?;
    let broken = story.lab().deploy("web1", BROKEN, "break web1 again")?;
    story.waits_for("web1", "quarantined")?;
    story.tries_no_more("web1")?;
    story.at_rest("web1", &kept)?;
    let reports = story.lab().operator().reports("web1")?;
    ensure!(
        !reports
            .iter()
            .any(|report| report.commit.id == broken && report.deployment.is_some()),
        "what was quarantined before the upgrade was activated after the downgrade"
    );
    Ok(())
}
