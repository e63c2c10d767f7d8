//! `switch-to-configuration` of the lab's systems keeps the contract of NixOS.

use std::time::Duration;

use anyhow::{Context as _, Result};
use lab::descriptions::service;
use lab::test;
use lab::{Host, Lab};

use crate::hosts::check;

const SOON: Duration = Duration::from_secs(30);

fn build(lab: &Lab, host: &Host, more: &str) -> Result<String> {
    host.build(&lab.deploy("web1", more, "change web1")?)
}

/// Runs an action and gives its exit code.
fn switch(host: &Host, toplevel: &str, action: &str) -> Result<i32> {
    let output = host.exec([&format!("{toplevel}/bin/switch-to-configuration"), action])?;
    output.code.context("killed by a signal")
}

/// The main process of a unit.
///
/// # Errors
/// When systemd does not answer.
pub fn pid(host: &Host, unit: &str) -> Result<String> {
    let pid = host.must(["systemctl", "show", "--property=MainPID", "--value", unit])?;
    Ok(pid.trim().to_owned())
}

#[test]
fn what_changed_is_restarted_and_nothing_else() {
    check(|lab, host| {
        let one = build(
            lab,
            host,
            &(service("changed", "1", "") + &service("same", "1", "")),
        )?;
        assert_eq!(switch(host, &one, "test")?, 0);
        let before = (pid(host, "changed")?, pid(host, "same")?);
        assert_ne!(before.0, "0");
        let two = build(
            lab,
            host,
            &(service("changed", "2", "") + &service("same", "1", "")),
        )?;
        assert_eq!(switch(host, &two, "dry-activate")?, 0);
        assert_eq!(host.current_system()?, one);
        assert_eq!(switch(host, &two, "test")?, 0);
        assert_eq!(host.current_system()?, two);
        assert_ne!(pid(host, "changed")?, before.0);
        assert_ne!(pid(host, "changed")?, "0");
        assert_eq!(pid(host, "same")?, before.1);
        // Only `boot` and `switch` touch the boot loader.
        assert_eq!(host.boot_default()?, lab.first_toplevel("web1")?);
        // Removed units stop.
        assert_eq!(switch(host, lab.first_toplevel("web1")?, "test")?, 0);
        assert_eq!(pid(host, "changed")?, "0");
        Ok(())
    });
}

#[test]
fn the_x_settings_are_honoured() {
    check(|lab, host| {
        let all = |mark: &str| {
            service("kept", mark, "restartIfChanged = false;")
                + &service("reloaded", mark, "reloadIfChanged = true;")
                + &service("restarted", mark, "stopIfChanged = false;")
                + &service("manual", mark, "unitConfig.X-OnlyManualStart = true;")
        };
        let stays = service("stays", "1", "unitConfig.X-StopOnRemoval = false;");
        let one = build(lab, host, &(all("1") + &stays))?;
        assert_eq!(switch(host, &one, "test")?, 0);
        let names = ["kept", "reloaded", "restarted", "manual", "stays"];
        let pids = |host: &Host| names.map(|name| pid(host, name).unwrap_or_default());
        let before = pids(host);
        let two = build(lab, host, &all("2"))?;
        assert_eq!(switch(host, &two, "test")?, 0);
        let after = pids(host);
        for (index, name) in names.iter().enumerate() {
            assert_eq!(
                before[index] == after[index],
                *name != "restarted",
                "{name}"
            );
        }
        host.must(["test", "-e", "/run/reloaded-reloaded"])?;
        // What no system has is there until somebody stops it.
        host.must(["systemctl", "stop", "stays.service", "manual.service"])?;
        Ok(())
    });
}

#[test]
fn exit_codes_are_those_of_nixos() {
    check(|lab, host| {
        let table = [
            ("", "check", 0),
            ("", "nonsense", 1),
            ("lab.break.bootloader = \"fail\";", "boot", 1),
            ("lab.break.bootloader = \"fail\";", "switch", 1),
            ("lab.break.activation = \"exit1\";", "test", 2),
            ("lab.break.activation = \"half\";", "test", 2),
            (
                "systemd.services.bad = { wantedBy = [ \"multi-user.target\" ]; serviceConfig.Type = \"oneshot\"; serviceConfig.ExecStart = \"false\"; };",
                "test",
                4,
            ),
            ("lab.initInterfaceVersion = \"other\";", "test", 100),
        ];
        let first = lab.first_toplevel("web1")?;
        for (more, action, code) in table {
            let toplevel = build(lab, host, more)?;
            assert_eq!(switch(host, &toplevel, action)?, code, "{more} {action}");
            assert_eq!(host.boot_default()?, first, "{more} {action}");
            let current = host.current_system()?;
            let activated = matches!(code, 4) || more.contains("exit1");
            assert_eq!(
                current == toplevel && current != first,
                activated,
                "{more} {action}"
            );
            assert_eq!(
                switch(host, first, "test")?,
                0,
                "back after {more} {action}"
            );
        }
        let lock = "/run/nixos/switch-to-configuration.lock";
        host.must([
            "systemd-run",
            "--unit=holder",
            "--service-type=exec",
            "flock",
            lock,
            "sleep",
            "infinity",
        ])?;
        host.wait_until("the lock is held", SOON, |host| {
            Ok(switch(host, first, "test")? == 11)
        })?;
        host.must(["systemctl", "stop", "holder"])?;
        assert_eq!(switch(host, first, "test")?, 0);
        Ok(())
    });
}

#[test]
fn an_interrupted_switch_is_resumed_by_the_way_back() {
    check(|lab, host| {
        let one = build(lab, host, &service("demo", "1", ""))?;
        assert_eq!(switch(host, &one, "test")?, 0);
        let hanging = build(
            lab,
            host,
            &(service("demo", "2", "") + "lab.break.activation = \"hang\";"),
        )?;
        let stc = format!("{hanging}/bin/switch-to-configuration");
        host.must([
            "systemd-run",
            "--unit=switch",
            "--service-type=exec",
            &stc,
            "test",
        ])?;
        host.wait_until(
            "the changed unit is stopped and activate hangs",
            SOON,
            |host| {
                let log = host.must(["journalctl", "--unit=switch", "--no-pager"])?;
                Ok(pid(host, "demo")? == "0" && log.contains("hangs, as the host"))
            },
        )?;
        host.must(["systemctl", "kill", "--signal=KILL", "switch"])?;
        host.wait_until("the killed switch is gone", SOON, |host| {
            Ok(!host.exec(["systemctl", "is-active", "switch"])?.ok())
        })?;
        assert_eq!(host.current_system()?, one);
        assert_eq!(switch(host, &one, "test")?, 0);
        assert_ne!(pid(host, "demo")?, "0");
        assert!(!host.exec(["test", "-e", "/run/nixos/start-list"])?.ok());
        Ok(())
    });
}

#[test]
fn changed_network_files_take_effect_and_go_back() {
    check(|lab, host| {
        let addresses = |host: &Host| host.must(["ip", "-4", "-br", "address", "show", "host0"]);
        let more =
            r#"systemd.network.networks."10-lab".address = lib.mkForce [ "10.77.0.99/24" ];"#;
        let moved = build(lab, host, more)?;
        assert_eq!(switch(host, &moved, "test")?, 0);
        host.wait_until("has the new address only", SOON, |host| {
            let now = addresses(host)?;
            Ok(now.contains("10.77.0.99/24") && !now.contains("10.77.0.11/24"))
        })?;
        assert_eq!(switch(host, lab.first_toplevel("web1")?, "test")?, 0);
        host.wait_until("has the old address only", SOON, |host| {
            let now = addresses(host)?;
            Ok(now.contains("10.77.0.11/24") && !now.contains("10.77.0.99/24"))
        })
    });
}

#[test]
fn boot_writes_the_default_and_a_failing_one_leaves_it() {
    check(|lab, host| {
        let first = lab.first_toplevel("web1")?;
        let new = build(lab, host, "lab.kernel = \"6.13.0\";")?;
        // In no profile yet: the systemd-boot builder leaves the default alone.
        assert_eq!(switch(host, &new, "boot")?, 0);
        assert_eq!(host.boot_default()?, first);
        host.must([
            "nix-env",
            "--profile",
            "/nix/var/nix/profiles/system",
            "--set",
            &new,
        ])?;
        assert_eq!(switch(host, &new, "boot")?, 0);
        assert_eq!(host.boot_default()?, new);
        assert_eq!(host.current_system()?, first);
        // An older generation may be the default.
        assert_eq!(switch(host, first, "boot")?, 0);
        assert_eq!(host.boot_default()?, first);
        Ok(())
    });
}
