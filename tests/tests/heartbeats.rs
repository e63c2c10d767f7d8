//! What tells a host that is well and has nothing to report from one that is gone, and what of old reports is kept.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lab::Host;
use lab::command::Output;
use lab::fleet;
use lab::story::{PATIENCE, Story};
use lab::test;
use serde_json::Value;

/// Hosts report every few seconds.
const OFTEN: &str = r#"services.nixus.settings.reports.heartbeat = "5s";"#;

/// What `nixus fleet --json` says of a host, and with what exit code.
fn fleet_says(asked: &Host, of: &str) -> Result<(Value, Option<i32>)> {
    let said = asked.exec(["nixus", "fleet", "--json"])?;
    let all: Vec<Value> =
        serde_json::from_str(&said.stdout).with_context(|| format!("no JSON: {said:?}"))?;
    let of_it = all.into_iter().find(|one| one["host"] == of);
    Ok((of_it.with_context(|| format!("no {of}"))?, said.code))
}

/// The number of commits of a host's branch of reports.
fn branch_length(story: &Story, host: &str) -> Result<usize> {
    let branch = format!("hosts/{host}");
    let counted = story.host("git")?.must([
        "git",
        "--git-dir",
        fleet::REPORTS,
        "rev-list",
        "--count",
        &branch,
    ])?;
    Ok(counted.trim().parse()?)
}

#[test]
fn a_host_that_has_nothing_to_report_is_heard_of_and_one_that_is_gone_is_marked() -> Result<()> {
    let story = Story::alone(&["web1", "web2"])?;
    let (web1, web2) = (story.host("web1")?, story.host("web2")?);
    let operator = story.lab().operator();
    let mut files = fleet::Files::new();
    for host in ["web1", "web2"] {
        files.extend([story.lab().describe(host, OFTEN)?]);
    }
    let commit = operator.deploy(&files, "report often")?;
    for host in ["web1", "web2"] {
        story.kept(host, &commit)?;
    }
    let (said, _) = fleet_says(web1, "web2")?;
    let news = operator.reports("web2")?.len();
    // Two more, which say the same.
    web1.wait_until("hears of web2 twice", PATIENCE, |_| {
        Ok(operator.reports("web2")?.len() > news + 1)
    })?;
    let last = operator.reports("web2")?.pop().context("no report")?;
    ensure!(last.is_heartbeat() && last.commit.id == commit, "{last:?}");
    let (beat, _) = fleet_says(web1, "web2")?;
    ensure!(
        (&beat["text"], &beat["state"]) == (&said["text"], &said["state"]),
        "{said} {beat}"
    );
    ensure!(beat["silent"] == false && beat["behind"] == false, "{beat}");
    let well = web1.exec(["nixus", "fleet"])?;
    ensure!(
        well.code == Some(0) && !well.stdout.contains("MARKS"),
        "{well:?}"
    );
    // A heartbeat is nothing that has happened.
    let log: Vec<Value> = serde_json::from_str(&web2.must(["nixus", "log", "--json"])?)?;
    let is_beat = |entry: &Value| !entry["pulse"]["since"].is_null();
    ensure!(!log.iter().any(is_beat), "{log:?}");

    let good = web2.exec(["nixus", "status"])?;
    ensure!(good.code == Some(0), "{good:?}");
    story.host("web2")?.power_cut()?;
    web1.wait_until("misses web2", PATIENCE, |host| {
        Ok(fleet_says(host, "web2")?.0["silent"] == true)
    })?;
    let marked = web1.exec(["nixus", "fleet"])?;
    ensure!(
        marked.code == Some(1) && marked.stdout.contains("silent for"),
        "{marked:?}"
    );
    // The next commit is not for it.
    let next = story.lab().deploy(
        "web1",
        &format!("{OFTEN}\n{}", lab::descriptions::GREETING),
        "greet",
    )?;
    story.report(
        "web1",
        &next,
        &[
            nixus::decide::report::State::Success,
            nixus::decide::report::State::Failure,
            nixus::decide::report::State::Waiting,
        ],
    )?;
    let (gone, code) = fleet_says(web1, "web2")?;
    ensure!(
        gone["silent"] == true && gone["behind"] == true && code == Some(1),
        "{gone} {code:?}"
    );

    // It is back, and says so, without anything having changed for it.
    web2.start()?;
    web1.wait_until("hears of web2 again", PATIENCE, |host| {
        Ok(fleet_says(host, "web2")?.0["silent"] == false)
    })
}

#[test]
fn old_reports_are_removed_and_hosts_go_on_from_what_is_left() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    for text in ["one", "two", "three"] {
        let more = format!("environment.etc.\"greeting\".text = \"{text}\";");
        let commit = story.lab().deploy("web1", &more, text)?;
        story.kept("web1", &commit)?;
    }
    let before = branch_length(&story, "web1")?;
    let operator = story.lab().operator();
    let prune = |more: &[&str]| -> Result<Output> {
        let mut command = operator.nixus();
        command
            .args(["prune-reports", &fleet::url(fleet::REPORTS), "--most", "2"])
            .args(more);
        command
            .arg("--ssh-key")
            .arg(operator.key())
            .arg("--known-hosts")
            .arg(operator.known_hosts());
        lab::command::run(&mut command, None, Duration::from_secs(60))
    };
    let would = prune(&["--dry-run"])?;
    ensure!(
        would.ok() && would.stdout.starts_with("Would remove "),
        "{would:?}"
    );
    ensure!(branch_length(&story, "web1")? == before);
    let done = prune(&[])?;
    ensure!(done.ok(), "{done:?}");
    // The newest two, and the newest of what they are not: a success, an activation, a build.
    let left = branch_length(&story, "web1")?;
    ensure!(
        left < before && (2..=4).contains(&left),
        "{before} became {left}"
    );
    ensure!(fleet_says(web1, "web1")?.0["state"] == "success");

    // The host knows nothing of that, and its server lets it only add to what is there.
    let commit = story
        .lab()
        .deploy("web1", lab::descriptions::GREETING, "greet")?;
    story.kept("web1", &commit)?;
    let after = branch_length(&story, "web1")?;
    ensure!(after > left && after < before, "{before}, {left}, {after}");
    let log = web1.must(["nixus", "log", "-n", "100", "--json"])?;
    let log: Vec<Value> = serde_json::from_str(&log)?;
    ensure!(log.len() <= after, "{} of {after}", log.len());
    Ok(())
}

#[test]
fn the_exit_code_of_the_status_calls_an_operator_only_where_one_is_needed() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let before = web1.current_system()?;
    let code = || -> Result<Option<i32>> { Ok(web1.exec(["nixus", "status"])?.code) };
    ensure!(code()? == Some(0));
    // A commit that failed, a host that is held still and a git server that is away are not a reason.
    let commit = story
        .lab()
        .deploy("web1", lab::descriptions::ACTIVATION_FAILS, "break it")?;
    story.went_back("web1", &commit, &before, "activation failed")?;
    ensure!(code()? == Some(0));
    web1.must(["nixus", "suspend", "moving disks"])?;
    ensure!(code()? == Some(0));
    web1.must(["nixus", "resume"])?;
    // A rewritten history is.
    let operator = story.lab().operator();
    let reset = operator.git(&["reset", "--quiet", "--hard", "HEAD~1"])?;
    ensure!(reset.ok(), "{}", reset.stderr);
    operator.commit(
        &[("README.md".to_owned(), "Another past.\n".to_owned())].into(),
        "another past",
    )?;
    operator.force_push()?;
    story.waits_for("web1", "history-rewritten")?;
    ensure!(code()? == Some(1));
    let json = web1.exec(["nixus", "status", "--json"])?;
    ensure!(json.code == Some(1) && !json.stdout.is_empty(), "{json:?}");
    Ok(())
}
