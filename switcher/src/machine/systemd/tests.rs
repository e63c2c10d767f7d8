use super::*;
use crate::decide::phase::PhaseName;
use crate::machine::system::Action;
use crate::testing::toplevel;

/// Lines of systemd 257 on Debian 13 (`systemctl list-units --all --output=json`).
const LISTED: &str = r#"[
{"unit":"-.mount","load":"loaded","active":"active","sub":"mounted","description":"Root Mount"},
{"unit":"sshd.service","load":"loaded","active":"active","sub":"running","description":"SSH"},
{"unit":"getty@tty1.service","load":"loaded","active":"active","sub":"running","description":"Getty on tty1"},
{"unit":"session-4.scope","load":"loaded","active":"active","sub":"running","description":"Session 4"},
{"unit":"packaged.service","load":"loaded","active":"active","sub":"running","description":"not ours"},
{"unit":"broken.service","load":"loaded","active":"failed","sub":"failed","description":"Broken"},
{"unit":"loop.service","load":"loaded","active":"activating","sub":"auto-restart","description":"Loop"},
{"unit":"nixus-reconcile.service","load":"loaded","active":"active","sub":"running","description":"Pass"},
{"unit":"nixus-stc-d-1-test-1.service","load":"loaded","active":"failed","sub":"failed","description":"x"},
{"unit":"nixus-verify.service","load":"loaded","active":"failed","sub":"failed","description":"x"},
{"unit":"auditd.service","load":"not-found","active":"inactive","sub":"dead","description":"auditd.service"}]"#;

#[test]
fn only_units_of_the_running_system_are_started_again() {
    let in_etc = |file: &str| file == "sshd.service" || file == "getty@.service";
    let listed = || parse_units(LISTED).unwrap();
    assert_eq!(restarting(&listed()), ["loop.service"]);
    let shown = "Id=loop.service\nExecMainStatus=0\nResult=exit-code\n";
    assert_eq!(parse_failing(shown), ["loop.service"]);
    let failing = parse_failing("Id=loop.service\nExecMainStatus=1\nResult=exit-code\n");
    let units = sort_units(listed(), &failing, in_etc, |_| false);
    assert_eq!(units.active, ["getty@tty1.service", "sshd.service"]);
    assert_eq!(units.failed, ["broken.service", "loop.service"]);
    // One that ended well and waits to be started again is not failed; and nobody can start what is for
    // one connection.
    let failing = parse_failing("Id=loop.service\nExecMainStatus=0\nResult=success\n");
    let units = sort_units(listed(), &failing, in_etc, |file| file == "getty@.service");
    assert_eq!(units.active, ["sshd.service"]);
    assert_eq!(units.failed, ["broken.service"]);
    assert!(parse_units("nonsense").is_err());
    assert!(parse_units("[]").unwrap().is_empty());
}

#[test]
fn instances_for_one_connection_are_told_by_their_socket() {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("sshd.socket", "[Socket]\nListenStream=22\nAccept=yes\n"),
        ("getty.socket", "[Socket]\nAccept=no\n"),
    ] {
        fs::write(dir.path().join(name), text).unwrap();
    }
    for (template, expected) in [
        ("sshd@.service", true),
        ("getty@.service", false),
        ("user@.service", false),
    ] {
        assert_eq!(
            is_by_connection(dir.path(), template),
            expected,
            "{template}"
        );
    }
}

#[test]
fn what_ran_and_is_wanted_and_does_not_run_is_found() {
    let before = [
        "sshd.service",
        "shop.service",
        "job.service",
        "gone.service",
        "broken.service",
        "x.slice",
    ]
    .map(str::to_owned);
    let now = r#"[
{"unit":"multi-user.target","load":"loaded","active":"active","sub":"active","description":"x"},
{"unit":"sshd.service","load":"loaded","active":"active","sub":"running","description":"x"},
{"unit":"shop.service","load":"bad-setting","active":"inactive","sub":"dead","description":"x"},
{"unit":"broken.service","load":"loaded","active":"failed","sub":"failed","description":"x"}]"#;
    let by = |target: &str| BTreeSet::from([target.to_owned()]);
    let wanted = BTreeMap::from(
        [
            ("sshd.service", "multi-user.target"),
            ("shop.service", "multi-user.target"),
            ("gone.service", "multi-user.target"),
            ("broken.service", "multi-user.target"),
            // Nobody wants it now.
            ("job.service", "rescue.target"),
        ]
        .map(|(unit, target)| (unit.to_owned(), by(target))),
    );
    let now = parse_units(now).unwrap();
    assert_eq!(
        idle(&before, &wanted, &now),
        ["shop.service", "gone.service"]
    );
    let shown = "Id=shop.service\nLoadState=bad-setting\nActiveState=inactive\nType=simple\nResult=success\nExecMainStatus=0\nJob=0\n
Id=once.service\nLoadState=loaded\nActiveState=inactive\nType=oneshot\nResult=success\nExecMainStatus=0\n
Id=web.service\nLoadState=loaded\nActiveState=inactive\nType=simple\nResult=success\nExecMainStatus=0\n
Id=slow.service\nLoadState=loaded\nActiveState=inactive\nType=simple\nResult=success\nJob=17\n
Id=far.service\nLoadState=loaded\nActiveState=inactive\nType=simple\nResult=success\nConditionResult=no\n";
    let found: Vec<String> = parse_stopped(shown)
        .into_iter()
        .map(|one| format!("{}: {}", one.unit, one.how))
        .collect();
    assert_eq!(
        found,
        [
            "shop.service: systemd does not take its unit: bad-setting",
            "web.service: it does not run any more",
            "far.service: a condition of its unit is not met",
        ]
    );
}

#[test]
fn a_unit_has_ended_only_when_no_job_will_start_it() {
    for (text, ended) in [
        (
            "LoadState=loaded\nActiveState=activating\nSubState=start\nJob=\n",
            false,
        ),
        (
            "LoadState=loaded\nActiveState=activating\nSubState=auto-restart\nJob=\n",
            false,
        ),
        (
            "LoadState=loaded\nActiveState=inactive\nSubState=dead\nJob=417\n",
            false,
        ),
        (
            "LoadState=loaded\nActiveState=inactive\nSubState=dead\nResult=success\nExecMainStatus=0\n",
            true,
        ),
        (
            "LoadState=loaded\nActiveState=failed\nSubState=failed\nResult=exit-code\nExecMainStatus=1\nJob=0\n",
            true,
        ),
        (
            "LoadState=not-found\nActiveState=inactive\nFragmentPath=\n",
            true,
        ),
    ] {
        assert_eq!(parse_state(text).ended, ended, "{text}");
    }
    let state = parse_state(
        "LoadState=loaded\nFragmentPath=/etc/systemd/system/a.service\nActiveState=failed\nResult=exit-code\nExecMainStatus=1\n",
    );
    assert_eq!(state.fragment, "/etc/systemd/system/a.service");
    assert_eq!(state.how, "failed (exit-code, exit code 1)");
}

fn switch(action: Action, unchecked: bool) -> Switch {
    Switch {
        deployment: "d-1".parse().unwrap(),
        toplevel: toplevel("new"),
        action,
        unchecked,
        run: 2,
        limit: Duration::from_secs(10),
    }
}

#[test]
fn only_the_way_back_skips_the_checks_of_the_system() {
    for (action, unchecked, name) in [
        (Action::Test, false, "nixus-stc-d-1-test-2.service"),
        (Action::Boot, true, "nixus-stc-d-1-boot-2.service"),
    ] {
        let switch = switch(action, unchecked);
        let run = |log| switch_args(&switch, "/x/nixus-switcher", "/run/nixus/e", log);
        let to = |args: &[String]| {
            args.iter()
                .filter(|arg| arg.contains("append:/log"))
                .count()
        };
        let args = run(Some(Path::new("/log")));
        assert_eq!((to(&args), to(&run(None))), (2, 0));
        assert!(args.contains(&format!("--unit={name}")));
        assert_eq!(
            args.contains(&"--setenv=NIXOS_NO_CHECK=1".to_owned()),
            unchecked
        );
        let split = args.iter().position(|arg| arg == "--").unwrap();
        assert_eq!(
            args[split + 1..],
            [
                format!("{}/bin/switch-to-configuration", toplevel("new")),
                action.as_str().to_owned()
            ]
        );
    }
}

#[test]
fn a_watchdog_fires_after_its_deadline_and_starts_again_when_it_dies() {
    let watch = Watch {
        phase: PhaseName::OnTrial,
        unit: "nixus-expire-d-1-on-trial".to_owned(),
        deadline: 99,
        limit: 120,
    };
    let [(first, seconds), (second, later)] = watchdogs(&watch);
    assert_eq!(
        (first.as_str(), second.as_str()),
        (
            "nixus-expire-d-1-on-trial",
            "deployment-deadline-d-1-on-trial"
        )
    );
    assert_eq!((seconds, later), (125, 140));
    let args = arm_args(
        "/x/nixus-switcher",
        &"d-1".parse().unwrap(),
        PhaseName::OnTrial,
        &second,
        later,
    );
    for arg in [
        "--on-active=140s",
        "--unit=deployment-deadline-d-1-on-trial",
        "--timer-property=AccuracySec=100ms",
        "--timer-property=IgnoreOnIsolate=yes",
        "--timer-property=DefaultDependencies=no",
        "--property=IgnoreOnIsolate=yes",
        "--property=DefaultDependencies=no",
        "--property=Restart=on-failure",
    ] {
        assert!(args.iter().any(|other| other == arg), "{arg}");
    }
    assert_eq!(
        args[args.len() - 5..],
        ["expire", "--deployment", "d-1", "--phase", "on-trial"]
    );
}

#[test]
fn what_an_activation_waits_for_is_named() {
    let listed = "1532 notifier.service      start running\n\
                  1533 multi-user.target     start waiting\n\
                  1540 nixus-run-7.service   start running\n\
                  1541 db.service            stop  running\n";
    assert_eq!(
        parse_running_jobs(listed),
        ["notifier.service", "db.service"]
    );
    assert!(parse_running_jobs("No jobs listed.\n").is_empty());
    let cause = crate::protocol::Cause::ActivationTimedOut {
        seconds: 30,
        waits_for: vec!["notifier.service".to_owned()],
    };
    assert_eq!(
        cause.to_string(),
        "activation did not end within 30 s, waiting for notifier.service"
    );
    // Releases before this one have named none.
    let before = r#"{"kind":"activation-timed-out","seconds":30}"#;
    let read: crate::protocol::Cause = serde_json::from_str(before).unwrap();
    assert_eq!(read.to_string(), "activation did not end within 30 s");
}
