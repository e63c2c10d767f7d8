//! An operator goes back to an earlier generation by hand.

use anyhow::{Context as _, Result, ensure};
use lab::descriptions::{GREETING, slow_build};
use lab::story::{Story, status};
use lab::test;
use nixus::decide::report::State;

use crate::passes::builds;

const FAREWELL: &str = r#"environment.etc."greeting".text = "farewell";"#;

#[test]
fn an_operator_goes_back_and_the_next_commit_is_deployed() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let first = web1.current_system()?;
    let greets = story.lab().deploy("web1", GREETING, "greet")?;
    let old = story.kept("web1", &greets)?.toplevel.context("none")?;
    let farewell = story.lab().deploy("web1", FAREWELL, "say farewell")?;
    story.kept("web1", &farewell)?;

    let said = web1.must(["nixus", "rollback", "the shop is slow"])?;
    ensure!(
        said.contains("Going back to generation 2") && said.contains("Successfully activated"),
        "{said}"
    );
    let old = old.to_string();
    story.at_rest("web1", &old)?;
    story.waits_for("web1", "quarantined")?;
    story.tries_no_more("web1")?;
    let report = story.report("web1", &greets, &[State::Activating])?;
    let text = lab::story::shown(web1, &["nixus", "status"])?;
    for words in ["root (uid 0) rolled back", "the shop is slow"] {
        ensure!(text.contains(words), "{words}: {text}");
    }
    ensure!(report.commit.id == greets, "{report:?}");

    // By number, too; what ran then is quarantined like the other.
    let said = web1.must(["nixus", "rollback", "--to", "1"])?;
    ensure!(said.contains("generation 1"), "{said}");
    story.at_rest("web1", &first)?;
    story.waits_for("web1", "quarantined")?;
    // Whoever wants it back says so. That it was kept once is in the reports already.
    web1.must(["nixus", "retry"])?;
    story.waits_for("web1", "up-to-date")?;
    story.kept("web1", &farewell)?;
    next(&story)
}

/// NixOS' own unit, before which the module deletes generations.
#[test(only_nixos)]
fn what_a_rollback_needs_outlives_the_collection_of_old_generations() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let keeps = "services.nixus.keepGenerations = 3;";
    let mut kept = vec![web1.current_system()?];
    for number in 0..4 {
        let nix = format!("{keeps} environment.etc.number.text = \"{number}\";");
        let commit = story
            .lab()
            .deploy("web1", &nix, &format!("number {number}"))?;
        let report = story.kept("web1", &commit)?;
        kept.push(report.toplevel.context("no toplevel")?.to_string());
    }
    let proven = status(web1)?;
    web1.must(["systemctl", "start", "nix-gc.service"])?;
    let is_there = |system: &str| -> Result<bool> { Ok(web1.exec(["test", "-e", system])?.ok()) };
    let listed = web1.must(["ls", "/nix/var/nix/profiles"])?;
    let generations = [
        "system-1-link",
        "system-2-link",
        "system-3-link",
        "system-4-link",
        "system-5-link",
    ];
    let left: Vec<bool> = generations
        .iter()
        .map(|name| listed.split_whitespace().any(|word| word == *name))
        .collect();
    ensure!(left == [false, false, true, true, true], "{listed}");
    // The first is what this host has booted, and boot-proven.
    ensure!(is_there(&kept[0])?, "{proven}");
    ensure!(!is_there(&kept[1])?, "an old system is left");
    let said = web1.must(["nixus", "rollback"])?;
    ensure!(said.contains("Successfully activated"), "{said}");
    story.at_rest("web1", &kept[3])?;
    web1.must(["nixus", "retry"])?;
    story.waits_for("web1", "up-to-date")?;
    next(&story)
}

#[test]
fn a_rollback_has_only_to_be_no_worse_than_what_runs() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let (web1, git) = (story.host("web1")?, story.host("git")?);
    let first = web1.current_system()?;
    let commit = story.lab().deploy("web1", GREETING, "greet")?;
    story.kept("web1", &commit)?;
    // Neither can a pass do its work now, nor anybody log in.
    git.power_cut()?;
    web1.stop_sshd()?;
    let said = web1.must(["nixus", "rollback"])?;
    ensure!(said.contains("Successfully activated"), "{said}");
    ensure!(web1.current_system()? == first && web1.boot_default()? == first);
    git.start()?;
    web1.start_sshd()?;
    next(&story)
}

#[test]
fn an_operator_who_goes_back_does_not_wait_for_a_build() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let first = web1.current_system()?;
    let commit = story.lab().deploy("web1", GREETING, "greet")?;
    story.kept("web1", &commit)?;
    let commit = story
        .lab()
        .deploy("web1", &slow_build(30), "build slowly")?;
    builds(web1)?;
    let said = web1.must(["nixus", "rollback"])?;
    ensure!(said.contains("Successfully activated"), "{said}");
    ensure!(web1.current_system()? == first && web1.boot_default()? == first);
    // What was being built is another system than the one that was left.
    story.kept("web1", &commit).map(drop)
}

/// A commit that makes another system is deployed as ever.
fn next(story: &Story) -> Result<()> {
    let other = r#"environment.etc."greeting".text = "another one";"#;
    let commit = story.lab().deploy("web1", other, "greet otherwise")?;
    story.kept("web1", &commit).map(drop)
}

#[test]
fn a_rollback_that_cannot_be_changes_nothing() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let before = web1.current_system()?;
    for (arguments, words) in [
        (
            &["--to", "7"][..],
            "there is no generation 7: this host has 1",
        ),
        (&["--to", "1"], "generation 1 runs already"),
        (&[], "there is no generation before the one that runs"),
        (&["--to", "one"], "invalid value 'one'"),
    ] {
        let said = web1.exec([&["nixus", "rollback"], arguments].concat())?;
        ensure!(
            said.code == Some(2) && said.stderr.contains(words),
            "{arguments:?}: {said:?}"
        );
    }
    let seen = status(web1)?;
    ensure!(
        seen.pointer("/quarantine") == Some(&serde_json::json!([])),
        "{seen}"
    );
    story.at_rest("web1", &before)?;
    let commit = story
        .lab()
        .deploy("web1", &crate::strange::slow("1"), "take long")?;
    crate::passes::phase(web1, "on-trial")?;
    let said = web1.exec(["nixus", "rollback", "--to", "1"])?;
    ensure!(
        said.code == Some(3) && said.stderr.contains("`nixus-switcher revert`"),
        "{said:?}"
    );
    story.kept("web1", &commit).map(drop)
}
