//! What ends badly, and must leave the old system running, reachable and ready for the next commit.

use anyhow::{Context as _, Result, ensure};
use lab::descriptions::{
    ACTIVATION_DIES, ACTIVATION_FAILS, ACTIVATION_HANGS, DOES_NOT_BUILD, DOES_NOT_EVALUATE,
    GREETING, LOADER_FAILS, NO_DEPLOY_KEY, NO_NIXUS, UNIT_FAILS, WRONG_CONFIGURATION, WRONG_URL,
    renumbered,
};
use lab::fleet::Files;
use lab::story::{PATIENCE, Story, status, switcher_status};
use lab::test;
use nixus::decide::report::State;
use serde_json::Value;

/// Pushes a description that cannot be kept; sees the host go back, say why in these words, let the
/// operator in, try no more, and take the next commit.
pub fn check(broken: &str, words: &str) -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let before = web1.current_system()?;
    let commit = story.lab().deploy("web1", broken, "break web1")?;
    story.went_back("web1", &commit, &before, words)?;
    takes_the_next_commit(&story)
}

/// Sees that the operator gets in, and that the host takes the next commit.
pub fn takes_the_next_commit(story: &Story) -> Result<()> {
    let web1 = story.host("web1")?;
    let operator = story.lab().operator();
    let said = operator.ssh(
        operator.key(),
        &format!("root@{}", web1.address),
        &["hostname"],
    )?;
    ensure!(
        said.stdout.trim() == "web1",
        "the operator cannot get in: {}",
        said.stderr
    );
    let commit = story.lab().deploy("web1", GREETING, "mend web1")?;
    story.kept("web1", &commit)?;
    ensure!(web1.read("/etc/greeting")? == "hello");
    Ok(())
}

#[test(nixos)]
fn network_configuration_broken() -> Result<()> {
    check(
        &renumbered("10.99.0.11/24"),
        "repository: cannot list ssh://git@10.77.0.2/srv/git/deploy.git",
    )
}

#[test(nixos)]
fn activation_script_exits_1() -> Result<()> {
    check(
        ACTIVATION_FAILS,
        "Rolled back to generation 1: activation failed with exit code 2",
    )
}

#[test]
fn activation_script_hangs() -> Result<()> {
    check(
        ACTIVATION_HANGS,
        "Rolled back to generation 1: activation did not end within",
    )
}

#[test]
fn activation_script_dies_half_way() -> Result<()> {
    check(
        ACTIVATION_DIES,
        "Rolled back to generation 1: activation failed with exit code 2",
    )
}

#[test(nixos)]
fn a_unit_of_the_new_generation_fails() -> Result<()> {
    check(UNIT_FAILS, "failed units: shop.service")
}

#[test(nixos)]
fn the_new_generation_has_no_nixus() -> Result<()> {
    check(NO_NIXUS, "could never take another commit")
}

#[test]
fn its_repository_url_is_wrong() -> Result<()> {
    check(
        WRONG_URL,
        "repository: cannot list ssh://git@10.77.0.2/srv/git/other.git",
    )
}

#[test]
fn its_deploy_key_is_gone() -> Result<()> {
    check(NO_DEPLOY_KEY, "repository: cannot list")
}

#[test]
fn its_configuration_file_is_wrong() -> Result<()> {
    check(WRONG_CONFIGURATION, "unknown field `brunch`")
}

#[test]
fn boot_loader_install_fails_after_the_verdict() -> Result<()> {
    check(
        LOADER_FAILS,
        "could not be made permanent: switch-to-configuration boot ended with exit code 1",
    )
}

#[test]
fn build_failure() -> Result<()> {
    check(DOES_NOT_BUILD, "not built")
}

/// Fails the first time that it is run on a host.
const FAILS_ONCE: &str = r#"
  environment.systemPackages = [
    (pkgs.runCommand "flaky" { } ''
      if [ ! -e /tmp/was-here ]; then
        touch /tmp/was-here
        echo "test suite: 1 of 100 failed" >&2
        exit 1
      fi
      mkdir $out
    '')
  ];
  services.nixus.settings.closure.retries = lib.mkForce 1;
"#;

#[test]
fn a_builder_that_fails_once_is_tried_again_before_it_is_the_commits_fault() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let patient = "services.nixus.settings.closure.retries = lib.mkForce 1;";
    let commit = story.lab().deploy("web1", patient, "be patient")?;
    story.kept("web1", &commit)?;
    web1.exec(["rm", "-f", "/tmp/was-here"])?;
    let commit = story.lab().deploy("web1", FAILS_ONCE, "a flaky build")?;
    let report = story.report("web1", &commit, &[State::Waiting])?;
    ensure!(report.text.contains("not built yet"), "{}", report.text);
    story.kept_at_last("web1", &commit)?;
    story.blames_no_commit("web1")?;
    // One that goes on failing is the commit's fault.
    let before = web1.current_system()?;
    let broken = format!(
        r#"{patient} environment.systemPackages = [ (pkgs.runCommand "broken" {{ }} "exit 1") ];"#
    );
    let commit = story.lab().deploy("web1", &broken, "a broken build")?;
    story.report("web1", &commit, &[State::Waiting])?;
    story.went_back("web1", &commit, &before, "not built")?;
    takes_the_next_commit(&story)
}

#[test]
fn evaluation_failure() -> Result<()> {
    check(DOES_NOT_EVALUATE, "networking.hostNaem")
}

/// A candidate that stays on trial for long enough to do something to it. A soak begins with the pass of its
/// timer, and has to end within the trial.
const SLOW: &str = r#"
  environment.etc."slow".text = "slow";
  services.nixus.settings.health.soak = lib.mkForce "10s";
"#;

fn on_trial(story: &Story) -> Result<(String, String)> {
    let web1 = story.host("web1")?;
    let before = web1.current_system()?;
    let commit = story.lab().deploy("web1", SLOW, "take long to prove")?;
    web1.wait_until("is on trial", PATIENCE, |host| {
        Ok(
            switcher_status(host)?.pointer("/open/phase")
                == Some(&Value::String("on-trial".into())),
        )
    })?;
    ensure!(
        web1.boot_default()? == before,
        "a candidate on trial is the boot default"
    );
    Ok((commit, before))
}

#[test]
fn the_switcher_is_killed_on_trial() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let (commit, before) = on_trial(&story)?;
    // Verification goes on, but nobody is left to take its word: the timer reverts.
    web1.must(["pkill", "-KILL", "-f", "nixus-switcher run"])?;
    let report = story.report("web1", &commit, &[State::Failure])?;
    ensure!(report.text.contains("the switcher died"), "{}", report.text);
    let back = status(web1)?;
    let back = back
        .pointer("/quarantine")
        .and_then(Value::as_array)
        .context("no quarantine")?;
    ensure!(
        back.is_empty(),
        "a switcher that died is not the candidate's fault"
    );
    ensure!(web1.boot_default()? == before || story.kept("web1", &commit).is_ok());
    // It is tried once more, and this time nobody interferes.
    let again = story.report("web1", &commit, &[State::Success])?;
    story.at_rest("web1", &again.toplevel.context("no toplevel")?.to_string())
}

#[test]
fn power_cut_on_trial() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let (commit, before) = on_trial(&story)?;
    web1.power_cut()?;
    web1.start()?;
    ensure!(
        web1.booted_system()? == before,
        "it did not boot the old system"
    );
    let report = story.report("web1", &commit, &[State::Failure])?;
    ensure!(
        report.text.contains("the machine stopped"),
        "{}",
        report.text
    );
    takes_the_next_commit(&story)
}

#[test]
fn history_rewritten_on_the_server() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let operator = story.lab().operator();
    let kept = story.lab().deploy("web1", GREETING, "greet")?;
    story.kept("web1", &kept)?;
    let before = web1.current_system()?;

    ensure!(operator.git(&["reset", "--hard", "HEAD~1"])?.ok());
    let files: Files = [story.lab().describe("web1", SLOW)?].into();
    let rewritten = operator.commit(&files, "another history")?;
    operator.force_push()?;
    let report = story.report("web1", &rewritten, &[State::Error])?;
    ensure!(report.text.contains("refused"), "{}", report.text);
    story.waits_for("web1", "history-rewritten")?;
    story.tries_no_more("web1")?;
    story.at_rest("web1", &before)?;

    // The history that was accepted goes on.
    ensure!(operator.git(&["reset", "--hard", &kept])?.ok());
    operator.force_push()?;
    story.waits_for("web1", "up-to-date")?;
    let next = story.lab().deploy("web1", SLOW, "the true history")?;
    story.kept("web1", &next)?;
    Ok(())
}

#[test]
fn a_toplevel_that_is_none() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let before = web1.current_system()?;
    web1.write("/tmp/none/readme", "no system\n")?;
    let path = web1.must(["nix-store", "--add", "/tmp/none"])?;
    let request = format!(
        r#"{{ "version": 1, "deployment": "by-hand", "candidate": "{}",
             "commit": {{ "id": "{}", "subject": "none" }},
             "policy": {{ "activation_seconds": 10, "trial_seconds": 10, "commit_seconds": 10, "failed_units": "revert" }} }}"#,
        path.trim(),
        story.lab().first_commit()
    );
    web1.write("/tmp/request.json", &request)?;
    let said = web1.exec(["nixus-switcher", "run", "--request", "/tmp/request.json"])?;
    ensure!(said.code == Some(2), "{said:?}");
    for missing in [
        "bin/switch-to-configuration",
        "nixos-version",
        "init-interface-version",
    ] {
        ensure!(said.stderr.contains(missing), "{}", said.stderr);
    }
    story.at_rest("web1", &before)?;
    for (text, words) in [("{", "is not JSON"), ("{\"version\": 99}", "version 99")] {
        web1.write("/tmp/request.json", text)?;
        let said = web1.exec(["nixus-switcher", "run", "--request", "/tmp/request.json"])?;
        ensure!(
            said.code == Some(2) && said.stderr.contains(words),
            "{said:?}"
        );
    }
    story.at_rest("web1", &before)
}

/// The most ordinary sequence there is: one bad commit, and then work goes on elsewhere.
#[test]
fn a_commit_that_makes_a_system_that_failed_says_so_on_its_own_page() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let before = web1.current_system()?;
    let bad = story.lab().deploy("web1", UNIT_FAILS, "break web1")?;
    story.went_back("web1", &bad, &before, "failed units: shop.service")?;
    let note: Files = [("NOTES".to_owned(), "of another host\n".to_owned())].into();
    let next = story
        .lab()
        .operator()
        .deploy(&note, "work on something else")?;
    let report = story.report("web1", &next, &[State::Failure])?;
    let words = format!("the same system as {}, which failed here", &bad[..7]);
    ensure!(report.text.contains(&words), "{}", report.text);
    story.at_rest("web1", &before)?;
    takes_the_next_commit(&story)
}
