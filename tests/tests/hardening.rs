//! What the units may do, and what a peer may do to them.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lab::Host;
use lab::descriptions::GREETING;
use lab::story::Story;
use lab::test;

use crate::failures::takes_the_next_commit;

/// The figures of reconciler/docs/failures.md; 10 is everything.
const EXPOSURE: [(&str, f64); 5] = [
    ("nixus-report.service", 2.3),
    ("nixus-probe@1.service", 2.2),
    ("nixus-reconcile.service", 7.0),
    ("nixus-verify.service", 7.0),
    ("nixus-recover.service", 9.3),
];

#[test]
fn the_units_are_as_hardened_as_documented_and_deploy_all_the_same() -> Result<()> {
    let story = Story::begin(&["web1", "db1"])?;
    let web1 = story.host("web1")?;
    for (unit, most) in EXPOSURE {
        let said = web1.must(["systemd-analyze", "security", "--no-pager", unit])?;
        let line = said.lines().find(|line| line.contains("Overall exposure"));
        let line = line.with_context(|| said.clone())?;
        let figure = line
            .split(": ")
            .nth(1)
            .and_then(|rest| rest.split(' ').next());
        let figure: f64 = figure.context("no figure")?.parse()?;
        ensure!(figure <= most, "{line}");
    }
    for (unit, expected) in [
        ("nixus-reconcile.service", "1073741824"),
        ("nixus-verify.service", "1073741824"),
        ("nixus-report.service", "536870912"),
        ("nixus-probe@1.service", "67108864"),
        // What brings the old system back is never ended for its memory.
        ("nixus-recover.service", "infinity"),
    ] {
        let shown = web1.must(["systemctl", "show", "--property=MemoryMax", "--value", unit])?;
        ensure!(shown.trim() == expected, "{unit}: {shown}");
    }
    let commit = story.lab().deploy("web1", GREETING, "greet")?;
    let report = story.kept("web1", &commit)?;
    ensure!(!report.text.contains("unknown"), "{}", report.text);
    takes_the_next_commit(&story)
}

/// The lab's builds need Debian's tools; a fallback to no sandbox would show nothing.
const SANDBOX: &str = r#"
    nix.settings.sandbox = lib.mkForce true;
    nix.settings.sandbox-fallback = false;
    nix.settings.sandbox-paths = [ "/bin" "/usr" "/lib" "/lib64" ];"#;

/// Nix' sandbox names its host so.
const IN_SANDBOX: &str = "localhost";

#[test]
fn a_pass_still_builds_in_nixs_sandbox() -> Result<()> {
    let story = Story::alone(&["web1"])?;
    let web1 = story.host("web1")?;
    let commit = story.lab().deploy("web1", SANDBOX, "build in a sandbox")?;
    story.kept("web1", &commit)?;
    let more = format!(
        r#"{SANDBOX}
        environment.etc."built-on".source =
          pkgs.runCommand "built-on" {{ }} "cat /proc/sys/kernel/hostname > $out";"#
    );
    let commit = story
        .lab()
        .deploy("web1", &more, "say where it was built")?;
    story.kept("web1", &commit)?;
    let built_on = web1.read("/etc/built-on")?;
    ensure!(built_on.trim() == IN_SANDBOX, "built on {built_on}");
    Ok(())
}

/// Asks `to` from a peer, by its host key.
fn ask(from: &Host, to: &Host, line: &str) -> Result<lab::Output> {
    let ssh = format!(
        "ssh -i /var/lib/lab-keys/ssh_host_ed25519_key -o BatchMode=yes -o IdentitiesOnly=yes \
         -o StrictHostKeyChecking=accept-new nixus-probe@{} ask",
        to.address
    );
    let mut command = from.command(["sh", "-c", &ssh])?;
    lab::command::run(&mut command, Some(line.as_bytes()), Duration::from_secs(60))
}

const HELLO: &str = r#"{"version":1,"ask":{"what":"hello"}}"#;
const LOOK: &str = r#"{"version":1,"ask":{"what":"look","operators":[],"ports":[]}}"#;

#[test]
fn a_noisy_peer_leaves_the_door_open_for_the_others() -> Result<()> {
    let story = Story::alone(&["web1", "web2", "db1"])?;
    let (web1, web2, db1) = (story.host("web1")?, story.host("web2")?, story.host("db1")?);
    ensure!(ask(db1, web1, HELLO)?.ok(), "the door is closed");
    // A look at a host whose sshd says nothing takes as long as a look may.
    db1.must([
        "systemctl",
        "kill",
        "--signal=STOP",
        "--kill-whom=main",
        "sshd.service",
    ])?;
    let flood = format!(
        "for i in 1 2 3 4 5 6 7 8; do (while :; do \
           echo '{LOOK}' | ssh -i /var/lib/lab-keys/ssh_host_ed25519_key -o BatchMode=yes -o IdentitiesOnly=yes \
             -o StrictHostKeyChecking=accept-new nixus-probe@{} ask >> /var/flood 2>&1; sleep 0.3; \
         done) & done; sleep 90; kill 0",
        web1.address
    );
    db1.must(["systemd-run", "--quiet", "--unit=flood", "sh", "-c", &flood])?;
    db1.wait_until("is refused", Duration::from_secs(60), |host| {
        let said = host.read("/var/flood").unwrap_or_default();
        Ok(said.contains("at the same time"))
    })?;
    for number in 0..20 {
        let said = ask(web2, web1, HELLO)?;
        ensure!(
            said.ok() && said.stdout.contains(r#""host":"web1""#),
            "{number}: {said:?}"
        );
    }
    db1.must(["systemctl", "stop", "flood.service"])?;
    let journal = web1.journal()?;
    ensure!(
        !journal.contains("Too many incoming connections"),
        "{journal}"
    );
    Ok(())
}
