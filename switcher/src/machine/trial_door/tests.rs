use super::*;
use crate::decide::phase::Phase;
use crate::protocol::{BootId, DeploymentId};
use crate::run::Switcher;
use crate::state::disk::Disk;
use crate::testing::{Fault, Machine, Script, evidence, layout, request, toplevel};

/// A deployment as it is on trial.
fn on_trial() -> Deployment {
    let mut machine = Machine::new(Script::default());
    for step in 1.. {
        machine.get().fault = Some((step, Fault::CrashBefore));
        let crashed = machine.until_crash(|machine| {
            let disk = machine.clone();
            let _ = Switcher::open(&disk, &layout(), machine).map(|mut all| all.request(request()));
        });
        let record = machine.journal();
        if record.phase == Phase::OnTrial {
            return record.deployment.unwrap();
        }
        assert!(crashed.is_err(), "never on trial");
        machine = Machine::new(Script::default());
    }
    unreachable!()
}

#[test]
fn evidence_counts_only_for_this_deployment_boot_and_candidate() {
    let open = on_trial();
    let good = evidence(CheckOutcome::Pass, &open.boot);
    let other: DeploymentId = "d-2".parse().unwrap();
    for (evidence, accepted) in [
        (good.clone(), true),
        (
            Evidence {
                deployment: other,
                ..good.clone()
            },
            false,
        ),
        (
            Evidence {
                boot: BootId("boot-0".to_owned()),
                ..good.clone()
            },
            false,
        ),
        (
            Evidence {
                toplevel: toplevel("old"),
                ..good.clone()
            },
            false,
        ),
        (
            Evidence {
                version: 2,
                ..good.clone()
            },
            false,
        ),
    ] {
        let judged = judge(&open, Message::Evidence(evidence));
        assert_eq!(judged.reply.accepted, accepted);
        assert_eq!(judged.reply.reason.is_some(), !accepted);
        assert_eq!(judged.end.is_some(), accepted);
    }
}

#[test]
fn each_verdict_leads_to_its_end() {
    let open = on_trial();
    let say = |verdict| judge(&open, Message::Evidence(evidence(verdict, &open.boot)));
    assert!(matches!(
        say(CheckOutcome::Pass).end,
        Some(TrialEnd::Verified(_))
    ));
    assert!(matches!(
        say(CheckOutcome::Fail).end,
        Some(TrialEnd::NotVerified(Cause::VerificationFailed { checks }, _)) if checks.len() == 1
    ));
    let unknown = say(CheckOutcome::Unknown);
    assert!(unknown.end.is_none() && unknown.reply.accepted);
    for (unknown, ended, inconclusive) in [
        (unknown.unknown.clone(), None, true),
        (unknown.unknown, Some("failed"), true),
        (None, Some("failed"), true),
        (None, None, false),
    ] {
        let TrialEnd::NotVerified(cause, _) = without_verdict(unknown, ended, 9) else {
            panic!("verified without a verdict");
        };
        assert_eq!(
            matches!(cause, Cause::VerificationInconclusive { .. }),
            inconclusive
        );
    }
}

#[test]
fn a_verification_that_says_nothing_has_failed() {
    let end = said_nothing("inactive (success, exit code 0)");
    let TrialEnd::NotVerified(Cause::VerificationFailed { checks }, None) = end else {
        panic!("{end:?}");
    };
    assert!(checks[0].reason.contains("sends no evidence: inactive"));
}

#[test]
fn an_operator_is_named_in_the_evidence() {
    let open = on_trial();
    let message = |operator, by: Option<&str>| Message::Operator {
        operator,
        by: by.map(str::to_owned),
    };
    let long = "x".repeat(500);
    let kept = format!("confirmed by {}", "x".repeat(80));
    for (by, who) in [
        (None, "confirmed by an operator"),
        (Some("alice (uid 1000)"), "confirmed by alice (uid 1000)"),
        (Some("al\x1b[31mice\n"), "confirmed by al[31mice"),
        (Some(long.as_str()), kept.as_str()),
    ] {
        let Some(TrialEnd::Verified(evidence)) = judge(&open, message(Wish::Confirm, by)).end
        else {
            panic!("not confirmed");
        };
        assert_eq!(evidence.confirmed_by(), Some(who));
        assert_eq!(evidence.deployment, open.request.deployment);
    }
    // As a release before this says it.
    let old: Message = serde_json::from_str("{\"operator\":\"confirm\"}").unwrap();
    assert_eq!(old, message(Wish::Confirm, None));
    assert!(matches!(
        judge(&open, message(Wish::Revert, None)).end,
        Some(TrialEnd::NotVerified(Cause::Operator, _))
    ));
}

#[test]
fn what_makes_no_sense_at_the_door_is_refused_and_ends_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("verify.sock");
    let open = on_trial();
    let door = Door::open(&path).unwrap();
    assert!(door.answer(|message| judge(&open, message)).is_none());
    for (text, accepted) in [
        ("nonsense\n".to_owned(), false),
        ("{\"operator\":\"dance\"}\n".to_owned(), false),
        (
            serde_json::to_string(&evidence(CheckOutcome::Pass, &open.boot)).unwrap() + "\n",
            true,
        ),
    ] {
        let mut visitor = UnixStream::connect(&path).unwrap();
        visitor.write_all(text.as_bytes()).unwrap();
        let judged = door.answer(|message| judge(&open, message)).unwrap();
        let reply: EvidenceReply = read_line(&visitor).unwrap();
        assert_eq!((reply.accepted, judged.end.is_some()), (accepted, accepted));
    }
    drop(door);
    assert!(
        crate::state::disk::HostDisk.read(&path, 1).is_err(),
        "the door is gone"
    );
}

#[test]
fn what_does_not_count_is_no_cause() {
    let open = on_trial();
    let mut found = evidence(CheckOutcome::Fail, &open.boot);
    found.checks.push(CheckResult {
        by: Some("db1".to_owned()),
        disregarded: Some("it failed before too".to_owned()),
        ..CheckResult::new("peer", CheckOutcome::Fail, "no answer")
    });
    let Some(TrialEnd::NotVerified(cause, Some(kept))) = judge(&open, Message::Evidence(found)).end
    else {
        panic!("kept");
    };
    assert_eq!(cause.to_string(), "repository: as the test says");
    assert_eq!(kept.checks.len(), 2, "all evidence is kept");
}
