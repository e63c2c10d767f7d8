//! Hosts behave as machines do.

use std::time::Duration;

use lab::{Host, Lab};

const SOON: Duration = Duration::from_secs(30);

/// Starts a lab with one host and runs a test in it.
pub fn check(test: impl FnOnce(&Lab, &Host) -> anyhow::Result<()>) {
    let lab = Lab::start(&["web1"]).expect("the lab starts");
    let host = lab.host("web1").expect("web1 is there");
    if let Err(error) = test(&lab, host) {
        panic!("{error:#}\n{}", host.portrait());
    }
}

fn answers(lab: &Lab, host: &Host) -> anyhow::Result<bool> {
    let operator = lab.operator();
    let output = operator.ssh(
        operator.key(),
        &format!("root@{}", host.address),
        &["hostname"],
    )?;
    Ok(output.stdout.trim() == host.name)
}

#[test]
fn hosts_boot_what_the_deploy_repository_says_and_answer_ssh() {
    check(|lab, host| {
        host.wait_until("answers SSH", SOON, |host| answers(lab, host))?;
        assert_eq!(host.current_system()?, lab.first_toplevel("web1")?);
        assert_eq!(host.booted_system()?, lab.first_toplevel("web1")?);
        assert_eq!(host.boot_default()?, lab.first_toplevel("web1")?);
        let failed = host.must(["systemctl", "--failed", "--no-legend", "--plain"])?;
        assert_eq!(failed, "");
        let timer = host.must(["systemctl", "is-active", "nixus-reconcile.timer"])?;
        assert_eq!(timer.trim(), "active");
        // Once built, building again gives the same path.
        assert_eq!(host.build(lab.first_commit())?, lab.first_toplevel("web1")?);
        Ok(())
    });
}

#[test]
fn a_power_cut_keeps_the_disk_and_loses_run() {
    check(|lab, host| {
        host.write("/var/kept", "kept")?;
        host.write("/run/lost", "lost")?;
        let boot = host.boot_id()?;
        host.power_cut()?;
        assert!(!host.powered());
        assert!(host.exec(["true"]).is_err());
        host.start()?;
        assert_ne!(host.boot_id()?, boot);
        assert_eq!(host.read("/var/kept")?, "kept");
        assert!(!host.exec(["test", "-e", "/run/lost"])?.ok());
        host.wait_until("answers SSH", SOON, |host| answers(lab, host))
    });
}

#[test]
fn an_unplugged_host_is_unreachable_until_it_is_plugged_in() {
    check(|lab, host| {
        host.wait_until("answers a ping", SOON, |host| ping(lab, host))?;
        host.unplug()?;
        assert!(!ping(lab, host)?);
        host.plug()?;
        host.wait_until("answers a ping", SOON, |host| ping(lab, host))
    });
}

/// Opens a TCP connection to sshd and reads its first bytes.
fn ping(lab: &Lab, host: &Host) -> anyhow::Result<bool> {
    let mut command = lab.operator().command("timeout");
    command.args([
        "1",
        "ssh-keyscan",
        "-T",
        "1",
        "-t",
        "ed25519",
        &host.address,
    ]);
    let output = lab::command::run(&mut command, None, SOON)?;
    Ok(!output.stdout.is_empty())
}

#[test]
fn a_slow_host_is_slow() {
    check(|lab, host| {
        host.wait_until("answers a ping", SOON, |host| ping(lab, host))?;
        match host.slow("20ms", "10mbit") {
            Err(error) => assert!(format!("{error:#}").contains("has no netem"), "{error:#}"),
            Ok(()) => {
                let shown = lab::command::must(
                    lab.operator()
                        .command("tc")
                        .args(["qdisc", "show", "dev", "vb-web1"]),
                    None,
                    SOON,
                )?;
                assert!(shown.contains("netem"), "{shown}");
            }
        }
        Ok(())
    });
}

#[test]
fn a_reboot_comes_back_by_itself_on_the_boot_default() {
    check(|lab, host| {
        let commit = lab.deploy("web1", r#"environment.etc."new".text = "new";"#, "new")?;
        let new = host.build(&commit)?;
        host.must([
            "nix-env",
            "--profile",
            "/nix/var/nix/profiles/system",
            "--set",
            &new,
        ])?;
        host.must([&format!("{new}/bin/switch-to-configuration"), "boot"])?;
        assert_eq!(host.boot_default()?, new);
        assert_eq!(host.current_system()?, lab.first_toplevel("web1")?);
        host.reboot()?;
        assert_eq!(host.booted_system()?, new);
        assert_eq!(host.current_system()?, new);
        assert_eq!(host.read("/etc/new")?, "new");
        Ok(())
    });
}

#[test]
fn a_host_with_a_broken_boot_entry_refuses_to_boot_and_says_why() {
    let lab = Lab::start_without_hosts(&["web1"]).expect("the lab starts");
    let host = lab.host("web1").expect("web1 is there");
    std::fs::write(
        host.disk().join("boot/loader/loader.conf"),
        "default none.conf\n",
    )
    .expect("the boot loader's file can be written");
    let error = host.start().expect_err("it does not boot");
    assert!(format!("{error:#}").contains("does not boot"), "{error:#}");
}

#[test]
fn labs_run_side_by_side_with_the_same_addresses() {
    check(|first_lab, first| {
        let second_lab = Lab::start(&["web1"])?;
        let second = second_lab.host("web1")?;
        first.write("/var/mine", "first")?;
        assert!(!second.exec(["test", "-e", "/var/mine"])?.ok());
        first.wait_until("answers SSH", SOON, |host| answers(first_lab, host))?;
        second.wait_until("answers SSH", SOON, |host| answers(&second_lab, host))
    });
}
