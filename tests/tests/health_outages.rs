//! Peers and git servers that are down, before, during and after: whose fault it is not, and whose.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use lab::descriptions::{GREETING, INBOUND, firewall, slow_build};
use lab::fleet::UNCHECKED;
use lab::story::{PATIENCE, Story};
use lab::test;
use nixus::decide::report::State;

use crate::failures::takes_the_next_commit;
use crate::health::breaks;
use crate::passes::phase;

/// Whether a host has said that it waits for a peer which it has seen before.
fn waited_for_a_peer(story: &Story, host: &str) -> Result<bool> {
    let reports = story.lab().operator().reports(host)?;
    Ok(reports
        .iter()
        .any(|report| report.text.contains("peer: none could be asked")))
}

#[test]
fn the_peer_is_down_before_and_after() -> Result<()> {
    let story = Story::alone(&["web1", "db1"])?;
    let web1 = story.host("web1")?;
    let before = web1.current_system()?;
    story.host("db1")?.power_cut()?;
    // It may be on trial with the same commit, behind a door that this commit has shut.
    story.lab().deploy("web1", GREETING, "greet")?;
    story.waits_for("web1", "baseline")?;
    story.tries_no_more("web1")?;
    story.at_rest("web1", &before)?;
    ensure!(waited_for_a_peer(&story, "web1")?);
    // An operator who knows better does without it.
    let without = r#"services.nixus.peers = lib.mkForce { };"#;
    let commit = story.lab().deploy("web1", without, "go on without db1")?;
    let report = story.kept("web1", &commit)?;
    ensure!(report.text.contains("unwitnessed"), "{}", report.text);
    Ok(())
}

#[test]
fn a_peer_that_is_down_for_long_is_not_waited_for() -> Result<()> {
    let story = Story::alone(&["web1", "db1"])?;
    let soon = r#"services.nixus.settings.health.peers_lost_after = "5s";"#;
    let commit = story.lab().deploy("web1", soon, "wait for no peer")?;
    let report = story.kept("web1", &commit)?;
    ensure!(!report.text.contains("unwitnessed"), "{}", report.text);
    story.host("db1")?.power_cut()?;
    let next = format!("{soon} {GREETING}");
    let commit = story.lab().deploy("web1", &next, "greet")?;
    let report = story.kept_at_last("web1", &commit)?;
    ensure!(report.text.contains("unwitnessed"), "{}", report.text);
    let evidence = crate::health::evidence(story.host("web1")?)?;
    ensure!(
        evidence.contains("does not count: it did not see this host well before"),
        "{evidence}"
    );
    Ok(())
}

#[test(long)]
fn one_commit_shuts_the_doors_of_all_hosts() -> Result<()> {
    let names = ["web1", "db1"];
    let story = Story::begin(&names)?;
    let shut = format!("{UNCHECKED}{}", firewall(INBOUND));
    let files = names
        .iter()
        .map(|name| story.lab().describe(name, &shut))
        .collect::<Result<_>>()?;
    let mut before = Vec::new();
    for name in names {
        before.push(story.host(name)?.current_system()?);
    }
    story.lab().operator().deploy(&files, "shut all doors")?;
    for name in names {
        // A host whose trials fell together with the other's may learn nothing of the commit's fault.
        let ends = ["quarantined", "inconclusive"];
        let wanted = "has tried it often enough";
        story.host(name)?.wait_until(wanted, 2 * PATIENCE, |host| {
            let status = lab::story::status(host)?;
            let waits = status.pointer("/last_pass/waits_for/reason").cloned();
            Ok(ends.iter().any(|end| waits == Some((*end).into())))
        })?;
    }
    for (name, before) in names.iter().zip(&before) {
        story.at_rest(name, before)?;
        let reports = story.lab().operator().reports(name)?;
        let is_kept = |report: &nixus::decide::report::Report| {
            report.state == State::Success && report.commit.subject == "shut all doors"
        };
        ensure!(
            !reports.iter().any(is_kept),
            "{name} shut its door for good"
        );
    }
    // The next one is taken by all.
    let commit = story.lab().operator().deploy(
        &names
            .iter()
            .map(|name| story.lab().describe(name, GREETING))
            .collect::<Result<_>>()?,
        "greet",
    )?;
    for name in names {
        story.kept_at_last(name, &commit)?;
    }
    Ok(())
}

#[test]
fn the_only_peer_dies_during_the_trial() -> Result<()> {
    let story = Story::begin(&["web1", "db1"])?;
    let (web1, db1) = (story.host("web1")?, story.host("db1")?);
    let before = web1.current_system()?;
    let slow = format!(r#"system.activationScripts.slow = "sleep 5"; {GREETING}"#);
    let commit = story.lab().deploy("web1", &slow, "greet slowly")?;
    phase(web1, "activating")?;
    db1.power_cut()?;
    // Nobody can tell whether it is the new generation's doing: it goes back, and is not blamed.
    let report = story.report("web1", &commit, &[State::Failure])?;
    ensure!(
        report.text.contains("inconclusive: peer db1: "),
        "{}",
        report.text
    );
    ensure!(web1.boot_default()? == before);
    story.blames_no_commit("web1")?;
    // The next time nobody could see afterwards that the host is reached: it waits for that.
    story.waits_for("web1", "baseline")?;
    db1.start()?;
    story.kept_at_last("web1", &commit)?;
    Ok(())
}

#[test]
fn the_git_server_dies_during_the_trial_of_one_host() -> Result<()> {
    let story = Story::begin(&["web1", "db1"])?;
    let (web1, git) = (story.host("web1")?, story.host("git")?);
    let before = (web1.current_system()?, web1.boot_id()?);
    let slow = format!(r#"services.nixus.settings.health.soak = lib.mkForce "10s"; {GREETING}"#);
    let commit = story.lab().deploy("web1", &slow, "during an outage")?;
    phase(web1, "on-trial")?;
    git.power_cut()?;
    story.waits_for("web1", "backing-off")?;
    story.at_rest("web1", &before.0)?;
    story.blames_no_commit("web1")?;
    git.start()?;
    story.kept_at_last("web1", &commit)?;
    ensure!(
        before.1 == web1.boot_id()?,
        "a dead git server rebooted a host"
    );
    Ok(())
}

#[test(long)]
fn the_git_server_dies_during_the_trial_of_all_hosts_at_once() -> Result<()> {
    // Hosts that look after each other go one after the other; these two are to be on trial at once.
    let alone = r#"
      imports = [
        (
          { lib, ... }:
          {
            services.nixus.settings.peers = lib.mkForce [ ];
            services.nixus.settings.switch.activation_timeout = lib.mkForce "150s";
            services.nixus.settings.switch.trial_timeout = lib.mkForce "60s";
          }
        )
      ];
    "#;
    let lab = lab::Lab::of(&["web1", "db1"]).common(alone).start()?;
    let story = Story::adopt(lab, PATIENCE)?;
    let hosts = [story.host("web1")?, story.host("db1")?];
    let git = story.host("git")?;
    let before = [
        (hosts[0].current_system()?, hosts[0].boot_id()?),
        (hosts[1].current_system()?, hosts[1].boot_id()?),
    ];
    // Neither gets to its trial before both are about to, however busy the machine is.
    let slow = format!(
        r#"
        system.activationScripts.both = ''
          for i in $(seq 600); do [ -e /run/both ] && break; sleep 0.2; done
        '';
        services.nixus.settings.health.soak = lib.mkForce "30s"; {GREETING}
        "#
    );
    let files = hosts
        .iter()
        .map(|host| story.lab().describe(&host.name, &slow))
        .collect::<Result<_>>()?;
    let commit = story.lab().operator().deploy(&files, "during an outage")?;
    for host in hosts {
        phase(host, "activating")?;
    }
    for host in hosts {
        host.must(["touch", "/run/both"])?;
    }
    for host in hosts {
        phase(host, "on-trial")?;
    }
    git.power_cut()?;
    for (host, before) in hosts.iter().zip(&before) {
        story.waits_for(&host.name, "backing-off")?;
        story.at_rest(&host.name, &before.0)?;
        story.blames_no_commit(&host.name)?;
    }
    git.start()?;
    for (host, before) in hosts.iter().zip(&before) {
        story.kept_at_last(&host.name, &commit)?;
        ensure!(before.1 == host.boot_id()?, "{} rebooted", host.name);
    }
    Ok(())
}

#[test]
fn the_git_server_is_unreachable_from_this_host_only() -> Result<()> {
    let story = Story::begin(&["web1", "db1"])?;
    let cut = firewall(
        "chain out { type filter hook output priority 0; ip daddr 10.77.0.2 tcp dport 22 drop; }",
    );
    breaks(&story, &cut, &["repository: ", "; reached by db1"])?;
    takes_the_next_commit(&story)
}

/// Restarts sshd, and gives the network another address beside those that there are.
fn restarts_the_way_in(number: u32) -> String {
    format!(
        r#"
        services.openssh.settings.MaxSessions = 9;
        systemd.network.networks."10-lab".routes = [ {{ Destination = "10.88.{number}.0/24"; Type = "unreachable"; }} ];
        "#
    )
}

#[test(weight = 2, long)]
fn one_commit_restarts_sshd_and_network_on_four_peers() -> Result<()> {
    let names = ["web1", "web2", "web3", "db1"];
    let story = Story::begin(&names)?;
    let files = names
        .iter()
        .zip(1..)
        .map(|(name, number)| story.lab().describe(name, &restarts_the_way_in(number)))
        .collect::<Result<_>>()?;
    let commit = story
        .lab()
        .operator()
        .deploy(&files, "restart the way in")?;
    for name in names {
        story.kept_at_last(name, &commit)?;
        story.blames_no_commit(name)?;
    }
    Ok(())
}

#[test]
fn one_commit_breaks_dns_on_all_hosts() -> Result<()> {
    let names = ["web1", "db1"];
    let story = Story::begin(&names)?;
    let by_name = r#"
      services.nixus.settings.repository.url = lib.mkForce "ssh://git@git.fleet/srv/git/deploy.git";
      services.nixus.knownHosts = lib.mkForce (
        builtins.replaceStrings [ "10.77.0.2" ] [ "10.77.0.2,git.fleet" ] (import ../fleet.nix).nixus.knownHosts
      );
    "#;
    let all = |more: &str| {
        names
            .iter()
            .map(|name| story.lab().describe(name, more))
            .collect::<Result<_>>()
    };
    let operator = story.lab().operator();
    let named = format!(r#"{by_name} networking.hosts."10.77.0.2" = [ "git.fleet" ];"#);
    let commit = operator.deploy(&all(&named)?, "name the git server")?;
    let mut before = Vec::new();
    for name in names {
        story.kept_at_last(name, &commit)?;
        before.push(story.host(name)?.current_system()?);
    }
    let commit = operator.deploy(&all(by_name)?, "forget the git server's name")?;
    for (name, before) in names.iter().zip(&before) {
        story.waits_for(name, "quarantined")?;
        story.at_rest(name, before)?;
        story.tries_no_more(name)?;
    }
    story.report("web1", &commit, &[State::Failure])?;
    Ok(())
}

#[test]
fn the_git_server_is_down_while_a_host_with_a_peer_builds() -> Result<()> {
    let story = Story::begin(&["web1", "db1"])?;
    let commit = story.lab().deploy("web1", &slow_build(4), "build slowly")?;
    crate::passes::builds(story.host("web1")?)?;
    let git = story.host("git")?;
    git.power_cut()?;
    story.waits_for("web1", "backing-off")?;
    git.start()?;
    story.kept_at_last("web1", &commit)?;
    Ok(())
}

/// Makes a host a git server with the same repositories as the lab's own, beside what it is. Its
/// description must have [`SERVES_GIT`] by then.
fn serve_git(story: &Story, name: &str) -> Result<()> {
    let (git, host) = (story.host("git")?, story.host(name)?);
    for path in ["srv/git", "usr/local/bin/nixus-git-shell"] {
        let to = host.disk().join(path);
        std::fs::create_dir_all(to.parent().context("it is nowhere")?)?;
        let mut copy = std::process::Command::new("cp");
        copy.arg("-a").arg(git.disk().join(path)).arg(&to);
        lab::command::must(&mut copy, None, Duration::from_secs(60))?;
    }
    Ok(())
}

const SERVES_GIT: &str = r#"
  users.users.git = { uid = 900; isSystemUser = true; group = "git"; home = "/srv/git"; shell = "/bin/sh"; };
  users.groups.git = { };
  services.openssh.extraConfig = "AcceptEnv GIT_PROTOCOL";
  services.openssh.settings.MaxStartups = "200";
"#;

#[test(only_stand_in = "it gets the git server's own files, at paths that are links on NixOS")]
fn the_git_server_is_itself_a_host_of_the_fleet() -> Result<()> {
    let story = Story::alone(&["web1", "db1"])?;
    let (web1, operator) = (story.host("web1")?, story.lab().operator());
    let commit = story.lab().deploy("web1", SERVES_GIT, "a git server")?;
    story.kept("web1", &commit)?;
    story.kept("db1", &commit)?;
    serve_git(&story, "web1")?;

    // It must have the commit that names it before the server that the hosts still follow does.
    let new = "ssh://git@10.77.0.11/srv/git/deploy.git";
    let old = lab::fleet::url(lab::fleet::DEPLOY);
    let git = |arguments: &[&str]| -> Result<()> {
        let said = operator.git(arguments)?;
        ensure!(said.ok(), "{said:?}");
        Ok(())
    };
    git(&["remote", "set-url", "origin", new])?;
    let members = story.lab().members();
    let key = &members.get("web1").context("no web1")?.host_key.public;
    let path = operator.clone_path().join("fleet.nix");
    let fleet = std::fs::read_to_string(&path)?;
    ensure!(fleet.contains(&old), "{fleet}");
    let fleet = fleet.replace(&old, new).replace(
        "knownHosts = ''\n",
        &format!("knownHosts = ''\n    10.77.0.11 {key}\n"),
    );
    let moved = operator.deploy(
        &[("fleet.nix".to_owned(), fleet)].into(),
        "move the repository",
    )?;
    git(&["push", "--quiet", &old, "main"])?;
    for name in ["web1", "db1"] {
        story.kept_at_last(name, &moved)?;
    }

    // It takes a commit that restarts its own sshd, from itself.
    let restarts = format!("{SERVES_GIT} services.openssh.settings.MaxSessions = 9;");
    let commit = story
        .lab()
        .deploy("web1", &restarts, "restart the git server's sshd")?;
    for name in ["web1", "db1"] {
        story.kept_at_last(name, &commit)?;
        story.blames_no_commit(name)?;
    }
    // And does not keep one after which nobody gets at the repository any more, itself included.
    let broken = format!("{SERVES_GIT} services.openssh.settings.PubkeyAuthentication = false;");
    breaks(&story, &broken, &["ssh: "])?;
    ensure!(web1.current_system()? == web1.boot_default()?);
    let commit = story
        .lab()
        .deploy("web1", &restarts, "mend the git server")?;
    for name in ["web1", "db1"] {
        story.kept_at_last(name, &commit)?;
    }
    Ok(())
}
