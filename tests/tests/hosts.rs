//! Hosts behave as machines do.

use std::time::{Duration, Instant};

use lab::test;
use lab::{Host, Lab, pool};

const SOON: Duration = Duration::from_secs(30);

/// Runs a test in a lab with one host.
pub fn check(test: impl FnOnce(&Lab, &Host) -> anyhow::Result<()>) {
    let lab = pool::lease(Lab::of(&["web1"]).without_passes(), Ok).expect("the lab starts");
    check_in(&lab, test);
}

fn check_in(lab: &Lab, test: impl FnOnce(&Lab, &Host) -> anyhow::Result<()>) {
    let host = lab.host("web1").expect("web1 is there");
    if let Err(error) = test(lab, host) {
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
        "5",
        "ssh-keyscan",
        "-T",
        "5",
        "-t",
        "ed25519",
        &host.address,
    ]);
    let output = lab::command::run(&mut command, None, SOON)?;
    Ok(!output.stdout.is_empty())
}

#[test]
fn a_slow_host_is_slow() {
    // It stays slow.
    let lab = Lab::of(&["web1"]).without_passes().start();
    check_in(&lab.expect("the lab starts"), |lab, host| {
        host.wait_until("answers a ping", SOON, |host| ping(lab, host))?;
        // A delay needs netem, which not every kernel has; then it is said.
        if let Err(error) = host.slow("20ms", "10mbit") {
            assert!(format!("{error:#}").contains("has no netem"), "{error:#}");
        }
        host.throttle("8mbit")?;
        let size = 1 << 20;
        let mut send = lab.operator().command("ssh");
        send.args(lab.operator().ssh_options(lab.operator().key()))
            .args([&format!("root@{}", host.address), "cat > /dev/null"]);
        let start = Instant::now();
        lab::command::must(&mut send, Some(&vec![0; size]), SOON)?;
        // 8 Mbit at 8 Mbit/s, less what the bucket holds.
        assert!(
            start.elapsed() > Duration::from_millis(700),
            "{:?}",
            start.elapsed()
        );
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
    let lab = Lab::of(&["web1"]).off().start().expect("the lab starts");
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
        let second_lab = Lab::of(&["web1"]).without_passes().start()?;
        let second = second_lab.host("web1")?;
        first.write("/var/mine", "first")?;
        assert!(!second.exec(["test", "-e", "/var/mine"])?.ok());
        first.wait_until("answers SSH", SOON, |host| answers(first_lab, host))?;
        second.wait_until("answers SSH", SOON, |host| answers(&second_lab, host))
    });
}

#[test]
fn a_host_has_the_four_units_and_the_configuration_of_nixus() {
    let lab = Lab::start(&["web1"]).expect("the lab starts");
    let host = lab.host("web1").expect("web1 is there");
    let active = |unit: &str| host.must(["systemctl", "is-active", unit]);
    assert_eq!(
        active("nixus-reconcile.timer").expect("loaded").trim(),
        "active"
    );
    assert_eq!(
        active("nixus-recover.service").expect("loaded").trim(),
        "active"
    );
    for unit in [
        "nixus-reconcile.service",
        "nixus-verify.service",
        "nixus-recover.service",
    ] {
        let text = host.must(["systemctl", "cat", unit]).expect("there");
        for line in [
            "X-RestartIfChanged=false",
            "X-StopIfChanged=false",
            "X-StopOnRemoval=false",
        ] {
            assert!(text.contains(line), "{unit}: {text}");
        }
    }
    let config = host.read("/etc/nixus/config.toml").expect("there");
    assert!(config.contains("host = \"web1\"\n"), "{config}");
    assert!(
        config.contains("url = \"ssh://git@10.77.0.2/srv/git/deploy.git\"\n"),
        "{config}"
    );
    let key = host
        .must(["stat", "-Lc", "%a %U", "/etc/nixus/deploy_key"])
        .expect("there");
    assert_eq!(key.trim(), "600 root");
}

#[test]
fn a_deployment_can_bring_another_nixus() {
    check(|lab, host| {
        let program =
            |toplevel: &str| host.must(["readlink", "-f", &format!("{toplevel}/sw/bin/nixus")]);
        let old = program(lab.first_toplevel("web1")?)?;
        let commit = lab.deploy(
            "web1",
            r#"lab.nixusPackage = "nixus-next";"#,
            "upgrade Nixus",
        )?;
        let new = program(&host.build(&commit)?)?;
        assert!(old.contains("nixus-0.1.0"), "{old}");
        assert!(new.contains("nixus-0.1.1"), "{new}");
        Ok(())
    });
}

#[test]
fn descriptions_that_do_not_evaluate_or_build_say_so() {
    check(|lab, host| {
        for (more, said) in [
            (
                "networking.hostNane = \"x\";",
                "The option `networking.hostNane' does not exist",
            ),
            (
                "boot.kernelParams = [ (throw \"no such parameter\") ];",
                "no such parameter",
            ),
            (
                "environment.etc.x.source = pkgs.runCommand \"x\" { } \"echo will not build; exit 1\";",
                "will not build",
            ),
        ] {
            let commit = lab.deploy("web1", more, "break web1")?;
            let error = host.build(&commit).expect_err("it does not build");
            assert!(format!("{error:#}").contains(said), "{more}: {error:#}");
        }
        Ok(())
    });
}
