//! An operator's own programs around a deployment.

use anyhow::{Context as _, Result, ensure};
use lab::Host;
use lab::descriptions::{ACTIVATION_FAILS, GREETING};
use lab::story::{PATIENCE, Story, deployments, status, switcher_status};
use lab::test;
use nixus::decide::report::State;
use serde_json::Value;

/// Each hook notes what it was told; the one before fails for as long as a file is there.
const NOTING: &str = r#"
services.nixus.settings.hooks = {
  before = [ "/bin/sh" "-c" "{ env; echo; } >> /var/lib/hooks-before; if test -e /var/lib/hold; then echo the backup is late >&2; exit 5; fi" ];
  after = [ [ "/bin/sh" "-c" "{ env; cat /proc/self/cgroup; echo; } >> /var/lib/hooks-after" ] ];
};
"#;

/// What a hook noted of a commit: the lines of its environment.
fn noted(host: &Host, hook: &str, commit: &str) -> Result<Vec<String>> {
    let path = format!("/var/lib/hooks-{hook}");
    let wanted = format!("NIXUS_COMMIT={commit}");
    let mut found = Vec::new();
    host.wait_until(
        &format!("runs the hook {hook} {commit}"),
        PATIENCE,
        |host| {
            let text = host.peek(&path).unwrap_or_default();
            let runs = text
                .split("\n\n")
                .map(|run| run.lines().map(str::to_owned).collect::<Vec<_>>());
            found = runs
                .into_iter()
                .filter(|run| run.contains(&wanted))
                .last()
                .unwrap_or_default();
            Ok(!found.is_empty())
        },
    )?;
    Ok(found)
}

fn says(lines: &[String], wanted: &[(&str, &str)]) -> Result<()> {
    for (name, value) in wanted {
        let line = format!("{name}={value}");
        ensure!(lines.contains(&line), "no {line} in {lines:?}");
    }
    Ok(())
}

#[test(nixos)]
fn hooks_run_around_a_deployment_and_a_failing_one_holds_the_commit_back() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let old = web1.current_system()?;
    // The generation that runs has no hooks yet; the one that is kept has.
    let first = story.lab().deploy("web1", NOTING, "have hooks")?;
    story.kept("web1", &first)?;
    let lines = noted(web1, "after", &first)?;
    let kept = web1.current_system()?;
    says(
        &lines,
        &[
            ("NIXUS_HOOK", "after"),
            ("NIXUS_HOST", "web1"),
            ("NIXUS_OUTCOME", "confirmed"),
            ("NIXUS_STATE", "success"),
            ("NIXUS_OLD_SYSTEM", &old),
            ("NIXUS_NEW_SYSTEM", &kept),
            ("NIXUS_SUBJECT", "have hooks"),
            ("NIXUS_GENERATION", "2"),
        ],
    )?;
    ensure!(
        lines.iter().any(|line| line.contains("nixus-hooks-after-")),
        "not in a unit of its own: {lines:?}"
    );
    ensure!(
        web1.peek("/var/lib/hooks-before").is_none(),
        "a hook of what did not run was run"
    );

    web1.write("/var/lib/hold", "")?;
    let before = deployments(web1)?;
    let second = story
        .lab()
        .deploy("web1", &format!("{NOTING}\n{GREETING}"), "greet")?;
    let report = story.report("web1", &second, &[State::Waiting])?;
    let words = "not activated yet, trying again: held back by a hook: /bin/sh ended with exit code 5: the backup is late";
    ensure!(report.text.contains(words), "{}", report.text);
    story.waits_for("web1", "backing-off")?;
    story.at_rest("web1", &kept)?;
    ensure!(deployments(web1)? == before, "it was activated");
    let lines = noted(web1, "before", &second)?;
    says(
        &lines,
        &[("NIXUS_HOOK", "before"), ("NIXUS_OLD_SYSTEM", &kept)],
    )?;
    ensure!(
        !lines.iter().any(|line| line.starts_with("NIXUS_OUTCOME")),
        "{lines:?}"
    );
    web1.must(["rm", "/var/lib/hold"])?;
    web1.must(["nixus", "retry"])?;
    story.kept_at_last("web1", &second)?;
    noted(web1, "after", &second)?;
    story.blames_no_commit("web1")?;

    let good = web1.current_system()?;
    let third = story
        .lab()
        .deploy("web1", &format!("{NOTING}\n{ACTIVATION_FAILS}"), "break it")?;
    story.went_back("web1", &third, &good, "activation failed")?;
    let lines = noted(web1, "after", &third)?;
    says(
        &lines,
        &[
            ("NIXUS_OUTCOME", "rolled-back"),
            ("NIXUS_STATE", "failure"),
            ("NIXUS_OLD_SYSTEM", &good),
        ],
    )?;
    Ok(())
}

#[test]
fn a_hook_after_a_deployment_delays_nothing_and_its_failure_changes_nothing() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    // It does not end before it is told to, and then fails.
    let slow = r#"services.nixus.settings.hooks.after = [ "/bin/sh" "-c" "touch /run/hook-runs; while ! test -e /run/hook-ends; do sleep 1; done; echo no luck; exit 3" ];"#;
    let first = story.lab().deploy("web1", slow, "have a slow hook")?;
    story.kept("web1", &first)?;
    web1.wait_until("runs the hook", PATIENCE, |host| {
        Ok(host.peek("/run/hook-runs").is_some())
    })?;
    let kept = web1.current_system()?;

    // The next commit, one that fails, and an operator's rollback, while it runs.
    let second = story
        .lab()
        .deploy("web1", &format!("{slow}\n{GREETING}"), "greet")?;
    story.kept("web1", &second)?;
    let good = web1.current_system()?;
    let third = story
        .lab()
        .deploy("web1", &format!("{slow}\n{ACTIVATION_FAILS}"), "break it")?;
    story.went_back("web1", &third, &good, "activation failed")?;
    web1.must(["nixus", "rollback", "the greeting is wrong"])?;
    story.at_rest("web1", &kept)?;
    // The operator's own, as well: all of them run still, and have held nothing up.
    web1.wait_until("runs four hooks", PATIENCE, |host| {
        let pattern = "nixus-hooks-after-*";
        let units = host.must(["systemctl", "list-units", "--plain", "--no-legend", pattern])?;
        Ok(units.lines().count() == 4)
    })?;

    web1.write("/run/hook-ends", "")?;
    let wanted =
        "; a hook after it failed, which changes nothing: /bin/sh ended with exit code 3: no luck";
    web1.wait_until("reports the hooks", PATIENCE, |_| {
        let reports = story.lab().operator().reports("web1")?;
        let told = |state: State, commit: &str| {
            reports.iter().any(|one| {
                one.commit.id == commit && one.state == state && one.text.ends_with(wanted)
            })
        };
        Ok(told(State::Success, &first)
            && told(State::Success, &second)
            && told(State::Failure, &third))
    })?;
    story.at_rest("web1", &kept)?;
    let failed = web1.must([
        "systemctl",
        "list-units",
        "--failed",
        "--plain",
        "--no-legend",
    ])?;
    ensure!(!failed.contains("nixus-hooks"), "{failed}");
    let open = switcher_status(web1)?;
    ensure!(open.pointer("/open") == Some(&Value::Null), "{open}");
    let seen = status(web1)?;
    let quarantined = seen
        .pointer("/quarantine")
        .and_then(Value::as_array)
        .context("no quarantine")?;
    // What failed, and what the operator took back.
    ensure!(quarantined.len() == 2, "{seen}");
    Ok(())
}
