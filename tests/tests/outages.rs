//! A git server that goes away during a deployment, and mirrors that do not help.

use anyhow::{Result, ensure};
use lab::Host;
use lab::descriptions::{GREETING, slow_build};
use lab::story::Story;
use lab::test;

use crate::passes::{builds, phase};

const GOODBYE: &str = r#"environment.etc."greeting".text = "goodbye";"#;

/// Cuts the git server's power at a moment of a deployment. An outage is nobody's fault: the host
/// is as before, does not reboot, blames no commit, and deploys it once the server is back.
fn outage_at(moment: impl FnOnce(&Host) -> Result<()>, more: &str) -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let (web1, git) = (story.host("web1")?, story.host("git")?);
    let before = (web1.current_system()?, web1.boot_id()?);
    let commit = story.lab().deploy("web1", more, "during an outage")?;
    moment(web1)?;
    git.power_cut()?;
    story.waits_for("web1", "backing-off")?;
    story.at_rest("web1", &before.0)?;
    ensure!(
        before.1 == web1.boot_id()?,
        "a dead git server rebooted a host"
    );
    story.blames_no_commit("web1")?;
    git.start()?;
    story.kept_at_last("web1", &commit)?;
    ensure!(before.1 == web1.boot_id()?, "the host rebooted");
    Ok(())
}

#[test]
fn the_git_server_is_down_while_the_host_builds() -> Result<()> {
    outage_at(builds, &slow_build(6))
}

#[test]
fn the_git_server_is_down_during_the_trial() -> Result<()> {
    let slow = format!(r#"services.nixus.settings.health.soak = lib.mkForce "10s"; {GREETING}"#);
    outage_at(|host| phase(host, "on-trial"), &slow)
}

#[test]
fn mirrors_that_hang_or_are_behind_hold_nothing_up() -> Result<()> {
    let story = Story::alone(&["web1"])?;
    let (web1, git) = (story.host("web1")?, story.host("git")?);
    // The kernel accepts connections here, and nobody ever answers one.
    git.must([
        "systemd-run",
        "--unit=silent",
        "--socket-property=ListenStream=2222",
        "sleep",
        "infinity",
    ])?;
    let stale = "/var/lib/stale.git";
    web1.must([
        "git",
        "clone",
        "--bare",
        "--quiet",
        "/var/lib/nixus/repository.git",
        stale,
    ])?;
    web1.must(["git", "--git-dir", stale, "branch", "-m", "fetched", "main"])?;
    // Were it waited for, no pass would end within the patience of this test.
    let mirrors = format!(
        r#"services.nixus.settings.repository = {{
          url = lib.mkForce "ssh://git@10.77.0.2:2222/srv/git/deploy.git";
          timeout = lib.mkForce "10m";
          mirror_after = "1s";
          mirrors = [
            {{ url = "file://{stale}"; }}
            {{
              url = "ssh://git@10.77.0.2/srv/git/deploy.git";
              ssh_key = "/etc/nixus/deploy_key";
              known_hosts = "/etc/nixus/known_hosts";
            }}
          ];
        }};"#
    );
    let commit = story.lab().deploy("web1", &mirrors, "name mirrors")?;
    story.kept("web1", &commit)?;
    let next = story
        .lab()
        .deploy("web1", &format!("{mirrors} {GREETING}"), "greet")?;
    story.kept("web1", &next)?;
    story.tries_no_more("web1")?;
    let kept = web1.current_system()?;

    // Left with the one that is behind, the host stays where it is and says why.
    git.power_cut()?;
    story.waits_for("web1", "backing-off")?;
    let said = lab::story::shown(web1, &["nixus", "status"])?;
    ensure!(
        said.contains(&format!("file://{stale} is behind")),
        "{said}"
    );
    story.at_rest("web1", &kept)?;
    story.blames_no_commit("web1")?;
    git.start()?;
    let last = story
        .lab()
        .deploy("web1", &format!("{mirrors} {GOODBYE}"), "say goodbye")?;
    story.kept("web1", &last)?;
    ensure!(web1.read("/etc/greeting")? == "goodbye");
    Ok(())
}

#[test]
fn a_mirror_alone_decides_nothing_while_the_repository_answers() -> Result<()> {
    let story = Story::alone(&["web1"])?;
    let (web1, git) = (story.host("web1")?, story.host("git")?);
    let mirror = "/var/lib/mirror.git";
    let local = "/var/lib/nixus/repository.git";
    web1.must(["git", "clone", "--bare", "--quiet", local, mirror])?;
    web1.must([
        "git",
        "--git-dir",
        mirror,
        "branch",
        "-m",
        "fetched",
        "main",
    ])?;
    let named = format!(
        r#"services.nixus.settings.repository = {{
          mirrors = [ {{ url = "file://{mirror}"; }} ];
        }};"#
    );
    let commit = story.lab().deploy("web1", &named, "name a mirror")?;
    story.kept("web1", &commit)?;

    // The mirror has one more commit than the repository, with whatever its owner likes.
    let evil = r#"
        git --git-dir "$1" fetch --quiet "$2" fetched
        tree=$(git --git-dir "$1" rev-parse 'FETCH_HEAD^{tree}')
        parent=$(git --git-dir "$1" rev-parse FETCH_HEAD)
        evil=$(git -c user.name=mirror -c user.email=mirror@example --git-dir "$1" commit-tree "$tree" -p "$parent" -m evil)
        git --git-dir "$1" update-ref refs/heads/main "$evil"
        echo "$evil"
    "#;
    let evil = web1.must(["sh", "-euc", evil, "sh", mirror, local])?;
    let evil = evil.trim();
    // The repository answers after four seconds, the mirror at once.
    git.write("/etc/ssh/sshrc", "sleep 4\n")?;
    let next = story
        .lab()
        .deploy("web1", &format!("{named} {GREETING}"), "greet")?;
    story.kept_at_last("web1", &next)?;
    git.must(["rm", "/etc/ssh/sshrc"])?;
    story.tries_no_more("web1")?;

    // Nor does it while the repository is away, for an hour.
    git.power_cut()?;
    story.waits_for("web1", "backing-off")?;
    let said = web1.must(["nixus", "status"])?;
    ensure!(
        said.contains(&format!("file://{mirror} has {}", &evil[..7])),
        "{said}"
    );
    ensure!(said.contains("does not count while"), "{said}");
    story.blames_no_commit("web1")?;
    let log = web1.must(["nixus", "log"])?;
    ensure!(!log.contains(&evil[..7]), "{log}");
    git.start()?;
    let last = story
        .lab()
        .deploy("web1", &format!("{named} {GOODBYE}"), "say goodbye")?;
    story.kept_at_last("web1", &last)?;
    ensure!(web1.read("/etc/greeting")? == "goodbye");
    Ok(())
}
