use super::*;
use crate::phase::PhaseName;
use crate::system::Action;
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
    let units = sort_units(parse_units(LISTED).unwrap(), in_etc);
    assert_eq!(units.active, ["getty@tty1.service", "sshd.service"]);
    assert_eq!(units.failed, ["broken.service", "loop.service"]);
    assert!(parse_units("nonsense").is_err());
    assert!(parse_units("[]").unwrap().is_empty());
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
    let args = arm_args("/x/nixus-switcher", &"d-1".parse().unwrap(), &watch);
    for arg in [
        "--on-active=125s",
        "--unit=nixus-expire-d-1-on-trial",
        "--timer-property=AccuracySec=100ms",
        "--property=Restart=on-failure",
    ] {
        assert!(args.iter().any(|other| other == arg), "{arg}");
    }
    assert_eq!(
        args[args.len() - 5..],
        ["expire", "--deployment", "d-1", "--phase", "on-trial"]
    );
}
