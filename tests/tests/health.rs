//! Promises about health: whoever breaks the way in or the way out goes back, and a peer says so.

use anyhow::{Result, ensure};
use lab::Host;
use lab::descriptions::{
    GREETING, INBOUND, NO_KEYS, OUTBOUND, SSHD_ACCEPTS_NO_KEY, SSHD_CONFIGURATION_IS_NONE,
    firewall, renumbered,
};
use lab::fleet::UNCHECKED;
use lab::story::Story;
use lab::test;
use nixus::decide::report::{Report, State};

use crate::failures::takes_the_next_commit;

/// Pushes a description of `web1`, which has the peer `db1`, that cannot be kept: the host goes back,
/// says why in these words, lets the operator in, and takes the next commit.
fn check(broken: &str, words: &[&str]) -> Result<Report> {
    let story = Story::begin(&["web1", "db1"])?;
    let report = breaks(&story, broken, words)?;
    takes_the_next_commit(&story)?;
    Ok(report)
}

/// The same in a story that has begun, up to the rollback.
pub fn breaks(story: &Story, broken: &str, words: &[&str]) -> Result<Report> {
    let before = story.host("web1")?.current_system()?;
    let unchecked = format!("{UNCHECKED}{broken}");
    let commit = story.lab().deploy("web1", &unchecked, "break web1")?;
    let report = story.went_back("web1", &commit, &before, words[0])?;
    for words in words {
        ensure!(
            report.text.contains(words),
            "not {words:?}: {}",
            report.text
        );
    }
    Ok(report)
}

/// What `nixus log --verbose` says of the last deployment.
pub fn evidence(host: &Host) -> Result<String> {
    host.must(["nixus", "log", "--verbose", "-n", "1"])
}

#[test]
fn kept_with_what_a_peer_has_found() -> Result<()> {
    let story = Story::begin(&["web1", "db1"])?;
    let web1 = story.host("web1")?;
    let commit = story.lab().deploy("web1", GREETING, "greet")?;
    story.kept("web1", &commit)?;
    let reports = story.lab().operator().reports("web1")?;
    let verified = reports
        .iter()
        .find(|report| report.text.starts_with("verified by db1: "));
    let text = verified.map_or(String::new(), |report| report.text.clone());
    for words in [
        "ssh host key ok",
        "root key SHA256:",
        " accepted",
        "login ok",
    ] {
        ensure!(text.contains(words), "{words:?} is not in {text:?}");
    }
    let evidence = evidence(web1)?;
    for line in ["repository ", "ssh ", "units ", "peer db1 "] {
        ensure!(evidence.contains(&format!("    {line}")), "{evidence}");
    }
    ensure!(!evidence.contains("does not count"), "{evidence}");

    let table = web1.must(["nixus", "check"])?;
    ensure!(
        table.contains("db1") && table.contains("accepted"),
        "{table}"
    );
    let json = web1.must(["nixus", "check", "--json"])?;
    let json: serde_json::Value = serde_json::from_str(&json)?;
    ensure!(json.pointer("/verdict") == Some(&"pass".into()), "{json}");
    // What an operator or a monitor is told when something is broken.
    web1.stop_sshd()?;
    let broken = web1.exec(["nixus", "check"])?;
    ensure!(broken.code == Some(1), "{broken:?}");
    ensure!(
        broken.stdout.contains("does not accept connections"),
        "{}",
        broken.stdout
    );
    web1.start_sshd()?;
    Ok(())
}

#[test]
fn operators_keys_removed_from_authorized_keys() -> Result<()> {
    let report = check(NO_KEYS, &["peer db1: root key SHA256:", "refused"])?;
    ensure!(report.state == State::Failure);
    Ok(())
}

#[test]
fn the_network_is_renumbered_and_no_peer_gets_in() -> Result<()> {
    check(
        &renumbered("10.99.0.11/24"),
        &[
            "repository: cannot list ssh://git@10.77.0.2/srv/git/deploy.git",
            "ssh: ",
        ],
    )?;
    Ok(())
}

#[test(only_stand_in = "NixOS checks sshd's configuration when it is built: the next test")]
fn sshds_configuration_is_no_configuration() -> Result<()> {
    check(SSHD_CONFIGURATION_IS_NONE, &["sshd.service"])?;
    Ok(())
}

#[test(only_nixos)]
fn sshds_configuration_is_no_configuration_and_is_not_built() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let before = web1.current_system()?;
    let commit = story
        .lab()
        .deploy("web1", SSHD_CONFIGURATION_IS_NONE, "break sshd")?;
    story.went_back("web1", &commit, &before, "check-sshd-config")?;
    takes_the_next_commit(&story)
}

#[test]
fn a_commit_mends_an_sshd_that_was_dead_before() -> Result<()> {
    let story = Story::begin(&["web1", "db1"])?;
    let web1 = story.host("web1")?;
    web1.stop_sshd()?;
    let commit = story.lab().deploy("web1", GREETING, "greet")?;
    let report = story.kept("web1", &commit)?;
    ensure!(
        report.text.contains("repaired: ssh did not let in before"),
        "{}",
        report.text
    );
    takes_the_next_commit(&story)
}

#[test]
fn a_commit_that_does_not_mend_a_dead_sshd_is_not_kept_and_not_blamed() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let before = web1.current_system()?;
    web1.stop_sshd()?;
    let without = format!("{UNCHECKED}services.openssh.enable = lib.mkForce false;");
    let commit = story.lab().deploy("web1", &without, "do without sshd")?;
    let report = story.report("web1", &commit, &[State::Failure])?;
    ensure!(
        report.text.contains("inconclusive: ssh: ")
            && report.text.contains("it failed before, too"),
        "{}",
        report.text
    );
    ensure!(web1.boot_default()? == before);
    let commit = story.lab().deploy("web1", GREETING, "greet")?;
    story.kept_at_last("web1", &commit)?;
    Ok(())
}

#[test]
fn without_peers_a_door_that_only_a_commit_opens_is_a_failure_and_named() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    // sshd takes the host's own address for a guesser's (nobody has exempted it).
    let stern = r#"
      services.openssh.settings.PerSourcePenaltyExemptList = lib.mkForce "127.0.0.1,::1";
      services.openssh.settings.PerSourcePenalties = "authfail:60s noauth:60s max:600s min:1s";
    "#;
    breaks(
        &story,
        &format!("{stern}{NO_KEYS}"),
        &["ssh: root key SHA256:", "is in no file of keys"],
    )?;
    breaks(
        &story,
        "services.openssh.enable = lib.mkForce false;",
        &["ssh: ", "nothing that is wanted starts sshd"],
    )?;
    takes_the_next_commit(&story)
}

#[test]
fn sshd_runs_and_lets_nobody_in() -> Result<()> {
    check(SSHD_ACCEPTS_NO_KEY, &["peer db1: ", "ssh: "])?;
    Ok(())
}

#[test]
fn firewall_drops_inbound_only() -> Result<()> {
    check(
        &firewall(INBOUND),
        &["peer db1: 10.77.0.11 port 22 does not answer"],
    )?;
    Ok(())
}

#[test]
fn firewall_drops_outbound_only() -> Result<()> {
    check(&firewall(OUTBOUND), &["repository: "])?;
    Ok(())
}

#[test]
fn a_required_check_that_hangs_all_the_trial_fails() -> Result<()> {
    let hangs = r#"services.nixus.settings.checks = [
      { kind = "command"; name = "shop"; command = [ "/bin/sleep" "1000" ]; timeout = "10m"; }
    ];"#;
    check(hangs, &["shop: "]).map(drop)
}
