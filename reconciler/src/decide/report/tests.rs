use super::*;
use nixus_switcher::protocol::{Cause, CheckOutcome, CheckResult, SystemRef};

fn outcome(ending: Ending, cause: Option<Cause>) -> Outcome {
    let system = |letter: &str, generation| SystemRef {
        toplevel: Toplevel::try_from(std::path::PathBuf::from(format!(
            "/nix/store/{}-nixos-system",
            letter.repeat(32)
        )))
        .unwrap(),
        generation: Some(generation),
    };
    Outcome {
        version: newest_version(),
        sequence: 1,
        deployment: "1-aaaaaaa".parse().unwrap(),
        commit: Commit {
            id: "3f2c1a0".repeat(6)[..40].to_owned(),
            subject: "open port 8080".into(),
        },
        old: system("a", 17),
        new: system("b", 43),
        ending,
        cause,
        evidence: None,
        started: 100,
        ended: 114,
        left_alone: None,
        boot_trial: false,
        not_running: Vec::new(),
    }
}

#[test]
fn the_two_lines_of_the_original_are_kept() {
    let check = |outcome: Outcome, line: &str| {
        let reporter = Reporter {
            host: "web1",
            now: Timestamp::UNIX_EPOCH,
        };
        assert_eq!(reporter.ended(&outcome).line(), line);
    };
    check(
        outcome(Ending::Confirmed, None),
        "[web1] Successfully activated new system! (generation 43, 14 s)",
    );
    let unreachable = CheckResult::new(
        "repository",
        CheckOutcome::Fail,
        "unreachable after activation",
    );
    check(
        outcome(
            Ending::Reverted,
            Some(Cause::VerificationFailed {
                checks: vec![unreachable],
            }),
        ),
        "[web1] Failed to activate new system! Rolled back to generation 17: repository: unreachable after activation",
    );
}

#[test]
fn who_confirmed_and_what_was_left_alone_is_said() {
    let reporter = Reporter {
        host: "web1",
        now: Timestamp::UNIX_EPOCH,
    };
    let ended = outcome(Ending::Confirmed, None);
    let by_hand = Outcome {
        evidence: Some(Evidence {
            version: newest_version(),
            deployment: ended.deployment.clone(),
            boot: nixus_switcher::protocol::BootId("b".into()),
            toplevel: ended.new.toplevel.clone(),
            verdict: CheckOutcome::Pass,
            checks: vec![CheckResult::new(
                nixus_switcher::protocol::OPERATOR,
                CheckOutcome::Pass,
                "confirmed by alice",
            )],
        }),
        ..ended
    };
    assert_eq!(
        reporter.ended(&by_hand).text,
        "Successfully activated new system! (generation 43, 14 s, confirmed by alice)"
    );
    // That nobody looked at it, and what it put right.
    let mut unseen = by_hand.clone();
    if let Some(evidence) = &mut unseen.evidence {
        let aside = |name: &str| CheckResult::new(name, CheckOutcome::Pass, "as the test says");
        evidence.checks = vec![aside(REPAIRED), aside(UNWITNESSED)];
    }
    assert_eq!(
        reporter.ended(&unseen).text,
        "Successfully activated new system! (generation 43, 14 s, unwitnessed: as the test says, \
         repaired: as the test says)"
    );
    let other = Outcome {
        left_alone: Some(by_hand.old.toplevel),
        ..outcome(Ending::Reverted, Some(Cause::Busy))
    };
    let said = reporter.ended(&other);
    assert!(said.text.contains("aaa-nixos-system runs"), "{}", said.text);
    assert!(!said.text.contains("Rolled back"), "{}", said.text);
    assert_eq!(said.generation, None);
}

#[test]
fn a_first_boot_is_told_as_one() {
    let check = |ending, cause, line: &str| {
        let reporter = Reporter {
            host: "web1",
            now: Timestamp::UNIX_EPOCH,
        };
        let boot = Outcome {
            boot_trial: true,
            ..outcome(ending, cause)
        };
        assert_eq!(reporter.ended(&boot).line(), line);
    };
    check(
        Ending::Confirmed,
        None,
        "[web1] Booted and found healthy: the system is boot-proven (generation 43)",
    );
    check(
        Ending::Reverted,
        Some(Cause::NotConfirmed { seconds: 9 }),
        "[web1] Failed at its first boot! Rebooted into generation 17, which is boot-proven: the new generation did not prove itself within 9 s",
    );
}

#[test]
fn it_is_said_beforehand_how_far_back_a_first_boot_may_lead_and_afterwards_what_it_undid() {
    let reporter = Reporter {
        host: "web1",
        now: Timestamp::UNIX_EPOCH,
    };
    let kept = |commits| {
        let unproven = Some(Unproven {
            commits,
            generation: Some(1),
        });
        let beside = Beside {
            unproven,
            ..Beside::default()
        };
        let ended = outcome(Ending::Confirmed, None);
        reporter.ended_beside(&ended, &beside).text
    };
    let plain = "Successfully activated new system! (generation 43, 14 s)";
    assert_eq!(kept(1), plain);
    assert_eq!(
        kept(4),
        format!("{plain}; a first boot that fails goes back to generation 1 and undoes 4 commits")
    );
    let commit = |letter: &str| Commit {
        id: letter.repeat(40),
        subject: format!("commit {letter}"),
    };
    let beside = Beside {
        undone: vec![commit("c"), commit("b")],
        ..Beside::default()
    };
    let boot = |cause| Outcome {
        boot_trial: true,
        ..outcome(Ending::Reverted, Some(cause))
    };
    let said = reporter.ended_beside(&boot(Cause::NotConfirmed { seconds: 9 }), &beside);
    assert_eq!(said.state, State::Failure);
    assert_eq!(
        said.text,
        "Failed at its first boot! Rebooted into generation 17, which is boot-proven (undone: commit ccccccc \"commit c\", commit bbbbbbb \"commit b\"): the new generation did not prove itself within 9 s"
    );
    let dark = CheckResult::new(
        nixus_switcher::protocol::NETWORK,
        CheckOutcome::Unknown,
        "no carrier on eth0",
    );
    let checks = vec![dark];
    let said = reporter.ended_beside(&boot(Cause::VerificationInconclusive { checks }), &beside);
    assert_eq!(said.state, State::Waiting);
    assert_eq!(
        said.text,
        "had no network at its first boot, tried again once there is one: rebooted into generation 17, which is boot-proven (undone: commit ccccccc \"commit c\", commit bbbbbbb \"commit b\"): inconclusive: network: no carrier on eth0"
    );
}

#[test]
fn units_that_do_not_run_after_a_way_back_are_told_of() {
    let reporter = Reporter {
        host: "web1",
        now: Timestamp::UNIX_EPOCH,
    };
    let back = Outcome {
        not_running: vec!["app.service".into()],
        ..outcome(Ending::Reverted, Some(Cause::Operator))
    };
    assert_eq!(
        reporter.ended(&back).text,
        "Failed to activate new system! Rolled back to generation 17: an operator asked for it; ran before, and do not now: app.service"
    );
}

#[test]
fn a_repeated_report_is_recognised_whatever_its_time() {
    let at = |second| Reporter {
        host: "web1",
        now: Timestamp::from_second(second).unwrap(),
    };
    let outcome = outcome(Ending::Confirmed, None);
    let report = at(1).ended(&outcome);
    assert!(report.says_the_same(&at(2).ended(&outcome)));
    assert!(!report.says_the_same(&at(1).building(&outcome.commit)));
}

#[test]
fn a_heartbeat_says_the_same_again_and_since_when() {
    let reporter = |second| Reporter {
        host: "web1",
        now: Timestamp::from_second(second).unwrap(),
    };
    let said = reporter(100).ended(&outcome(Ending::Confirmed, None));
    assert!(!said.is_heartbeat());
    let once = reporter(200).heartbeat(&said);
    let twice = reporter(300).heartbeat(&once);
    for (beat, time) in [(&once, 200), (&twice, 300)] {
        assert!(beat.is_heartbeat() && beat.says_the_same(&said));
        assert_eq!(beat.time.as_second(), time);
        assert_eq!(beat.since().as_second(), 100);
    }
    // What an earlier release wrote promises nothing.
    let at = |second| Timestamp::from_second(second).unwrap();
    assert!(!said.is_overdue(at(1_000_000)));
    let pulse = Pulse {
        within: 60,
        head: None,
        since: None,
    };
    let said = Report {
        pulse: Some(pulse),
        ..said
    };
    assert!(!said.is_overdue(at(160)) && said.is_overdue(at(161)));
    // Nor does a clock that was set back make a host silent.
    assert!(!said.is_overdue(at(0)));
}
