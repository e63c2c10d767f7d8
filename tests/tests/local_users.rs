//! What an account without any rights can do to Nixus on its host: look at the summary, and nothing else.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lab::Host;
use lab::descriptions::{ACTIVATION_FAILS, GREETING, slow_build};
use lab::story::{PATIENCE, Story, status};
use lab::test;
use nixus::decide::report::State;

use crate::failures::takes_the_next_commit;
use crate::passes::builds;

const STC_LOCK: &str = "/run/nixos/switch-to-configuration.lock";
const PASS_LOCK: &str = "/run/nixus/pass.lock";
/// An account that owns nothing, in no group.
const NOBODY: &str = "setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all --";

/// Runs a script as nobody.
fn as_nobody(host: &Host, script: &str) -> Result<lab::command::Output> {
    let words = NOBODY.split(' ').chain(["sh", "-c", script]);
    host.exec(words)
}

/// Has somebody hold a lock for minutes; gives the process to kill. `by` is put before the command.
fn hold(host: &Host, by: &str, lock: &str) -> Result<String> {
    // As in `exec 9< file; flock -n 9`: the one who took it is gone, and who holds it says nothing.
    let script = format!(
        "{by} sh -c 'exec 9< {lock}; flock -x -n 9 || exit 1; echo $$ > /held; exec sleep 600' \
         > /dev/null 2>&1 &"
    );
    host.must(["sh", "-c", "rm -f /held; install -m 666 /dev/null /held"])?;
    host.must(["sh", "-c", &script])?;
    host.wait_until(
        "has a lock that somebody holds",
        Duration::from_secs(20),
        |host| Ok(!host.read("/held")?.trim().is_empty()),
    )?;
    Ok(host.read("/held")?.trim().to_owned())
}

/// As a release before left it, or as `nixos-rebuild` makes it.
fn open_for_all(host: &Host, lock: &str) -> Result<()> {
    host.must([
        "sh",
        "-c",
        &format!("mkdir -p $(dirname {lock}); chmod 755 $(dirname {lock}); touch {lock}; chmod 644 {lock}"),
    ])?;
    Ok(())
}

#[test]
fn nobody_can_open_any_file_or_socket_of_ours() -> Result<()> {
    let story = Story::begin(&["web1", "web2"])?;
    let web1 = story.host("web1")?;
    let before = web1.current_system()?;
    let bad = story.lab().deploy("web1", ACTIVATION_FAILS, "fail")?;
    story.went_back("web1", &bad, &before, "")?;
    takes_the_next_commit(&story)?;
    // On web1 something was activated, on web2 peers were answered.
    let tables: [(&str, &[&str]); 2] = [
        (
            "web1",
            &[
                "pass.lock",
                "switcher.lock",
                "ledger.json",
                "log/",
                "reports.git/",
                STC_LOCK,
            ],
        ),
        ("web2", &["pass.lock", "ledger.json", "probes/"]),
    ];
    for (name, expected) in tables {
        let host = story.host(name)?;
        let ours = format!(
            "$(ls -d /run/nixus /var/lib/nixus /run/nixus-probe.sock {STC_LOCK} 2> /dev/null)"
        );
        let all = host.must(["sh", "-c", &format!("find {ours}")])?;
        for file in expected {
            ensure!(
                all.contains(file),
                "{name}: {file} was not there to be tried: {all}"
            );
        }
        host.write("/tmp/all", &all)?;
        host.must(["chmod", "644", "/tmp/all"])?;
        // Sockets are not opened like files: who may connect is in their mode, and in their folder's.
        let tried = as_nobody(
            host,
            "while read -r file; do \
               if (: < \"$file\") 2> /dev/null || test -r \"$file\" || test -w \"$file\"; then echo \"$file\"; fi; \
             done < /tmp/all",
        )?;
        ensure!(tried.ok() && tried.stdout.is_empty(), "{tried:?}");
        let listed = as_nobody(host, "ls /run/nixus /var/lib/nixus")?;
        ensure!(!listed.ok() && listed.stdout.is_empty(), "{listed:?}");
        // The folders alone would do; a file that is moved out of them is private all the same. Nix sets a umask
        // of its own for its caches.
        let loose = host.must([
            "sh",
            "-c",
            &format!("find {ours} -path /var/lib/nixus/home -prune -o ! -type l -perm /077 ! -user nixus-probe -print"),
        ])?;
        ensure!(loose.is_empty(), "others may do something with: {loose}");
    }
    Ok(())
}

#[test]
fn without_root_the_status_is_a_summary_without_secrets() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let commit = story
        .lab()
        .deploy("web1", GREETING, "a subject of the private repository")?;
    story.kept("web1", &commit)?;
    let said = as_nobody(web1, "nixus status")?;
    ensure!(said.ok() && said.stderr.is_empty(), "{said:?}");
    let text = &said.stdout;
    ensure!(
        text.contains(&commit[..7]) && text.contains("up-to-date") && text.contains("need root"),
        "{text}"
    );
    ensure!(!text.contains("private repository"), "{text}");
    let said = as_nobody(web1, "nixus status --json")?;
    let json: serde_json::Value = serde_json::from_str(&said.stdout)?;
    ensure!(
        json["commit"] == commit.as_str() && json["needs_root"] == true,
        "{json}"
    );
    let said = as_nobody(web1, "nixus-switcher status")?;
    ensure!(
        said.code == Some(1) && said.stderr.contains("needs root"),
        "{said:?}"
    );
    // What is asked of a pass is root's.
    for command in ["reconcile", "retry", "suspend 1h", "resume"] {
        let said = as_nobody(web1, &format!("nixus {command}"))?;
        ensure!(!said.ok(), "nobody may `nixus {command}`: {said:?}");
    }
    Ok(())
}

/// The rollback waits for that lock, and reboots where it does not get it (S2 of the review).
#[test]
fn nobody_holds_up_a_deployment_or_the_way_back() -> Result<()> {
    let story = Story::alone(&["web1"])?;
    let web1 = story.host("web1")?;
    let boot = web1.boot_id()?;
    open_for_all(web1, STC_LOCK)?;
    hold(web1, NOBODY, STC_LOCK)?;
    let before = web1.current_system()?;
    let bad = story.lab().deploy("web1", ACTIVATION_FAILS, "fail")?;
    story.went_back("web1", &bad, &before, "")?;
    takes_the_next_commit(&story)?;
    ensure!(web1.boot_id()? == boot, "the host was rebooted");
    // Nor in a trial, by one who waits for it.
    let again = as_nobody(web1, &format!("flock -n -x {STC_LOCK} true"))?;
    ensure!(!again.ok(), "nobody can take the lock: {again:?}");
    Ok(())
}

#[test]
fn nobody_keeps_passes_out() -> Result<()> {
    let story = Story::alone(&["web1"])?;
    let web1 = story.host("web1")?;
    web1.stop_passes()?;
    open_for_all(web1, PASS_LOCK)?;
    hold(web1, NOBODY, PASS_LOCK)?;
    web1.start_passes()?;
    let commit = story.lab().deploy("web1", GREETING, "greet")?;
    story.kept("web1", &commit)?;
    Ok(())
}

const SHORT_PASSES: &str = r#"services.nixus.settings.passes.timeout = "40s";"#;

#[test]
fn a_pass_that_outlives_its_limit_is_an_error_in_status_report_and_exit_code() -> Result<()> {
    let story = Story::alone(&["web1"])?;
    let web1 = story.host("web1")?;
    let kept = story.lab().deploy("web1", SHORT_PASSES, "short passes")?;
    story.kept("web1", &kept)?;
    // Somebody with root's rights forgot a shell that holds the lock.
    let holder = hold(web1, "", PASS_LOCK)?;
    let named = format!("process {holder} (sleep, user 0)");
    let mut said = String::new();
    web1.wait_until("fails its passes", PATIENCE, |host| {
        let pass = host.exec(["nixus", "reconcile"])?;
        said = pass.stderr;
        Ok(pass.code == Some(1))
    })?;
    ensure!(said.contains("kept out") && said.contains(&named), "{said}");
    let report = story.report("web1", &kept, &[State::Error])?;
    ensure!(report.text.contains(&named), "{}", report.text);
    let shown = web1.must(["nixus", "status"])?;
    ensure!(
        shown.contains("kept out") && shown.contains(&named),
        "{shown}"
    );
    // An operator is not left waiting either.
    let retry = web1.exec(["nixus", "retry"])?;
    ensure!(
        retry.code == Some(3) && retry.stderr.contains(&named),
        "{retry:?}"
    );
    web1.must(["kill", &holder])?;
    story.report("web1", &kept, &[State::Success])?;
    story.waits_for("web1", "up-to-date")?;
    // One that builds for too long is ended, and the next one does not hang.
    let more = format!("{SHORT_PASSES}\n{}", slow_build(600));
    story.lab().deploy("web1", &more, "build for ever")?;
    builds(web1)?;
    web1.wait_until("reports a pass that was ended", PATIENCE, |_| {
        let reports = story.lab().operator().reports("web1")?;
        Ok(reports.iter().any(|report| {
            report.commit.id == kept
                && report.state == State::Error
                && report.text.contains("ended after 40 s")
        }))
    })?;
    let waits = status(web1)?;
    let reason = waits.pointer("/last_pass/waits_for/reason");
    ensure!(
        reason
            .and_then(serde_json::Value::as_str)
            .context("no reason")?
            == "pass-overdue",
        "{waits}"
    );
    let next = story
        .lab()
        .deploy("web1", SHORT_PASSES, "short passes again")?;
    story.kept("web1", &next)?;
    Ok(())
}
