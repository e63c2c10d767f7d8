//! Deployments by nixpkgs' own `switch-to-configuration`: what of a system it stops, starts, reloads and
//! refuses, and PID 1 and D-Bus under its feet.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use lab::descriptions::{UNIT_FAILS, service};
use lab::story::{PATIENCE, Story, switcher_status};
use lab::test;
use lab::{Host, Lab};
use nixus::decide::report::State;
use serde_json::Value;

use crate::failures::takes_the_next_commit;
use crate::health;
use crate::switching::pid;

const SOON: Duration = Duration::from_secs(30);

fn property(host: &Host, unit: &str, property: &str) -> Result<String> {
    let property = format!("--property={property}");
    let value = host.must(["systemctl", "show", &property, "--value", unit])?;
    Ok(value.trim().to_owned())
}

/// A host that keeps a system with a demo, and that system.
fn with_demo() -> Result<(Story, String)> {
    let story = Story::begin(&["web1"])?;
    let commit = story
        .lab()
        .deploy("web1", &service("demo", "1", ""), "run a demo")?;
    story.kept("web1", &commit)?;
    let kept = story.host("web1")?.current_system()?;
    Ok((story, kept))
}

/// How often PID 1 was executed anew since it was started.
fn reexecutions(host: &Host) -> Result<usize> {
    let log = host.must(["journalctl", "--boot", "--no-pager", "_PID=1"])?;
    Ok(log.matches("Reexecuting").count())
}

#[test(only_nixos)]
fn pid_1_is_executed_anew_by_the_switch_and_by_the_way_back() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let before = reexecutions(web1)?;
    // Whatever changes system.conf.
    let tasks = |share: &str| format!("systemd.settings.Manager.DefaultTasksMax = \"{share}\";\n");
    let commit = story
        .lab()
        .deploy("web1", &tasks("80%"), "allow more tasks")?;
    story.kept("web1", &commit)?;
    ensure!(reexecutions(web1)? == before + 1, "PID 1 went on");
    let kept = web1.current_system()?;
    let broken = tasks("70%") + UNIT_FAILS;
    let commit = story
        .lab()
        .deploy("web1", &broken, "allow fewer, and fail")?;
    story.went_back("web1", &commit, &kept, "failed units: shop.service")?;
    ensure!(reexecutions(web1)? == before + 3, "PID 1 went on");
    takes_the_next_commit(&story)
}

#[test(only_nixos, long)]
fn d_bus_is_restarted_by_the_activation() -> Result<()> {
    // Both switches meet their time-outs, and then it boots.
    let story = Story::adopt(Lab::start(&["web1"])?, PATIENCE * 2)?;
    let web1 = story.host("web1")?;
    let before = (web1.current_system()?, web1.boot_id()?);
    let restart =
        r#"system.activationScripts.bus = "${pkgs.systemd}/bin/systemctl restart dbus.service";"#;
    let commit = story.lab().deploy("web1", restart, "restart D-Bus")?;
    // logind does not come back to a new bus, and without it the program ends neither this switch nor the one
    // back: the boot brings the old system.
    let report = story.ended("web1", &commit)?;
    ensure!(report.state == State::Failure, "{report:?}");
    story.at_rest("web1", &before.0)?;
    ensure!(
        web1.boot_id()? != before.1,
        "{} without a reboot",
        report.text
    );
    story.waits_for("web1", "quarantined")?;
    takes_the_next_commit(&story)
}

#[test(only_nixos)]
fn a_pre_switch_check_of_ones_own_refuses_and_nothing_has_changed() -> Result<()> {
    let (story, kept) = with_demo()?;
    let web1 = story.host("web1")?;
    let runs = pid(web1, "demo")?;
    let refuses = r#"system.preSwitchChecks.shop = "echo the shop is open >&2; exit 1";"#;
    let broken = service("demo", "2", "") + refuses;
    let commit = story.lab().deploy("web1", &broken, "close the shop")?;
    story.went_back(
        "web1",
        &commit,
        &kept,
        "refused, nothing was changed: the shop is open; Pre-switch check 'shop' failed",
    )?;
    ensure!(pid(web1, "demo")? == runs, "the demo was restarted");
    takes_the_next_commit(&story)
}

#[test(only_nixos)]
fn a_switch_that_is_killed_half_way_is_undone_with_all_that_it_had_stopped() -> Result<()> {
    let (story, kept) = with_demo()?;
    let web1 = story.host("web1")?;
    let hangs = service("demo", "2", "") + r#"lab.break.activation = "hang";"#;
    story.lab().deploy("web1", &hangs, "hang half-way")?;
    web1.wait_until("the demo is stopped and activate hangs", PATIENCE, |host| {
        let lists = host.inside()?.exists("/run/nixos/start-list");
        Ok(lists && property(host, "demo", "ActiveState")? == "inactive")
    })?;
    web1.must(["systemctl", "kill", "--signal=KILL", "nixus-stc-*.service"])?;
    web1.wait_until("is back", PATIENCE, |host| {
        Ok(switcher_status(host)?.pointer("/open") == Some(&Value::Null))
    })?;
    story.at_rest("web1", &kept)?;
    ensure!(
        property(web1, "demo", "ActiveState")? == "active",
        "the demo is stopped"
    );
    ensure!(property(web1, "demo", "Environment")?.contains("MARK=1"));
    for list in ["start-list", "restart-list", "reload-list"] {
        let inside = web1.inside()?;
        ensure!(
            !inside.exists(&format!("/run/nixos/{list}")),
            "{list} is left over"
        );
    }
    takes_the_next_commit(&story)
}

#[test(only_nixos)]
fn a_mount_is_added_and_removed() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let mount =
        r#"fileSystems."/data" = { device = "none"; fsType = "tmpfs"; options = [ "size=1m" ]; };"#;
    let commit = story.lab().deploy("web1", mount, "mount /data")?;
    story.kept("web1", &commit)?;
    web1.must(["mountpoint", "/data"])?;
    // A failure takes it away again, with what was mounted by it.
    let before = web1.current_system()?;
    let more = mount.replace("/data", "/more");
    let broken = format!("{mount}\n{more}\n{UNIT_FAILS}");
    let commit = story
        .lab()
        .deploy("web1", &broken, "mount more, and fail")?;
    story.went_back("web1", &commit, &before, "failed units: shop.service")?;
    ensure!(!web1.exec(["mountpoint", "/more"])?.ok());
    web1.must(["mountpoint", "/data"])?;
    takes_the_next_commit(&story)?;
    web1.wait_until("has no /data", SOON, |host| {
        Ok(!host.exec(["mountpoint", "/data"])?.ok())
    })
}

/// Runs `systemctl --user` as alice.
fn of_alice(host: &Host, arguments: &[&str]) -> Result<String> {
    let words = [
        "runuser",
        "-u",
        "alice",
        "--",
        "env",
        "XDG_RUNTIME_DIR=/run/user/1000",
        "systemctl",
        "--user",
    ];
    let said = host.exec(words.iter().chain(arguments))?;
    Ok(said.stdout.trim().to_owned())
}

#[test(only_nixos)]
fn the_units_of_a_user_who_lingers_follow_deployments_and_go_back() -> Result<()> {
    let story = Story::alone(&["web1"])?;
    let web1 = story.host("web1")?;
    let alice = |mark: &str| {
        format!(
            r#"users.users.alice = {{ isNormalUser = true; uid = 1000; linger = true; }};
            systemd.user.services.tick = {{
              wantedBy = [ "default.target" ];
              environment.MARK = "{mark}";
              serviceConfig.ExecStart = "sleep infinity";
            }};
            "#
        )
    };
    let runs = |mark: &str| {
        let mark = format!("MARK={mark}");
        web1.wait_until(&format!("alice's unit runs with {mark}"), SOON, |host| {
            let seen = of_alice(
                host,
                &["show", "--property=ActiveState,Environment", "tick"],
            )?;
            Ok(seen.contains("ActiveState=active") && seen.contains(&mark))
        })
    };
    let commit = story.lab().deploy("web1", &alice("one"), "welcome alice")?;
    story.kept("web1", &commit)?;
    runs("one")?;
    let commit = story
        .lab()
        .deploy("web1", &alice("two"), "change her unit")?;
    story.kept("web1", &commit)?;
    runs("two")?;
    let before = web1.current_system()?;
    let broken = alice("three") + UNIT_FAILS;
    let commit = story.lab().deploy("web1", &broken, "change it, and fail")?;
    story.went_back("web1", &commit, &before, "failed units: shop.service")?;
    runs("two")?;
    takes_the_next_commit(&story)
}

/// The users of whom logind has begun a session since the boot.
fn who_had_sessions(host: &Host) -> Result<String> {
    host.must([
        "journalctl",
        "--boot",
        "--no-pager",
        "--unit=systemd-logind.service",
        "--grep=New session",
        "--output=cat",
    ])
}

#[test(only_nixos)]
fn logins_during_a_switch_are_no_failure_and_peers_begin_no_session() -> Result<()> {
    let story = Story::begin(&["web1", "db1"])?;
    let (web1, operator) = (story.host("web1")?, story.lab().operator());
    let key = std::fs::read_to_string(operator.key().with_extension("pub"))?;
    let alice = format!(
        r#"users.users.alice = {{ isNormalUser = true; openssh.authorizedKeys.keys = [ "{}" ]; }};
        security.pam.services.sshd.startSession = lib.mkForce true;
        "#,
        key.trim()
    );
    let commit = story.lab().deploy("web1", &alice, "welcome alice")?;
    story.kept("web1", &commit)?;
    let to = format!("alice@{}", web1.address);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // As a program does that looks after a host.
        let logins = scope.spawn(|| -> Result<usize> {
            let mut logins = 0;
            while !over.load(Ordering::Relaxed) {
                logins += usize::from(operator.ssh(operator.key(), &to, &["true"])?.ok());
            }
            Ok(logins)
        });
        let kept = (1..=2).try_for_each(|mark| {
            let more = alice.clone() + &service("demo", &mark.to_string(), "");
            let commit = story.lab().deploy("web1", &more, "run a demo")?;
            story.kept("web1", &commit).map(drop)
        });
        over.store(true, Ordering::Relaxed);
        let logins = logins.join().expect("logins do not panic")?;
        kept?;
        ensure!(logins >= 10, "alice came only {logins} times");
        Ok(())
    })?;
    let sessions = who_had_sessions(web1)?;
    ensure!(sessions.contains("alice"), "{sessions}");
    ensure!(!sessions.contains("nixus-probe"), "{sessions}");
    let seen = crate::health::evidence(web1)?;
    ensure!(seen.contains("db1"), "no peer has looked: {seen}");
    takes_the_next_commit(&story)
}

#[test(only_nixos)]
fn a_firewall_that_locks_everybody_out() -> Result<()> {
    let story = Story::begin(&["web1", "db1"])?;
    let closed = "services.openssh.openFirewall = false;";
    health::breaks(
        &story,
        closed,
        &["peer db1: 10.77.0.11 port 22 does not answer"],
    )?;
    takes_the_next_commit(&story)
}
