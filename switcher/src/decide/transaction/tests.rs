use super::*;
use crate::decide::phase::{PhaseName, Revert, Touched};
use crate::protocol::{BootId, CheckOutcome};
use crate::simulation::kinds::{KINDS, PHASES, kind};
use crate::testing::evidence;

fn phases() -> Vec<(String, Phase)> {
    let evidence = evidence(CheckOutcome::Pass, &BootId("boot-1".to_owned()));
    let mut phases = vec![
        Phase::Idle,
        Phase::Staged,
        Phase::Armed,
        Phase::Activating,
        Phase::OnTrial,
    ];
    for attempt in 1..=COMMIT_ATTEMPTS {
        phases.push(Phase::Committing {
            evidence: evidence.clone(),
            attempt,
        });
    }
    phases.push(Phase::Confirmed {
        evidence: evidence.clone(),
    });
    for late in [false, true] {
        for boots in 1..=BOOTS_TRIED {
            phases.push(Phase::Booted { boots, late });
        }
    }
    for late in [false, true] {
        for boots in 1..=BOOTS_TRIED {
            for attempt in 1..=BOOT_TRIAL_ATTEMPTS {
                phases.push(Phase::BootTrial {
                    attempt,
                    boots,
                    late,
                });
            }
        }
    }
    phases.push(Phase::BootProven { evidence });
    for touched in [Touched::SYSTEM, Touched::PERSISTENT, Touched::ALL] {
        for attempt in 1..=REVERT_ATTEMPTS {
            for damage in [None, Some("d".to_owned())] {
                for rebooted in [false, true] {
                    phases.push(Phase::Reverting(Revert {
                        cause: Cause::Operator,
                        touched,
                        attempt,
                        damage: damage.clone(),
                        rebooted,
                        came_back: rebooted,
                        by_reboot: false,
                    }));
                }
            }
        }
    }
    for touched in [Touched::PERSISTENT, Touched::ALL] {
        for attempt in 1..=REVERT_ATTEMPTS {
            for damage in [None, Some("d".to_owned())] {
                for rebooted in [false, true] {
                    phases.push(Phase::Reverting(Revert {
                        cause: Cause::Operator,
                        touched,
                        attempt,
                        damage: damage.clone(),
                        rebooted,
                        came_back: rebooted,
                        by_reboot: true,
                    }));
                }
            }
        }
    }
    phases.push(Phase::CameBack(Revert {
        cause: Cause::Operator,
        touched: Touched::NOTHING,
        attempt: 2,
        damage: None,
        rebooted: true,
        came_back: true,
        by_reboot: false,
    }));
    let cause = Cause::Operator;
    phases.push(Phase::Reverted {
        cause: cause.clone(),
    });
    phases.push(Phase::Refused {
        cause: cause.clone(),
    });
    for recorded in [false, true] {
        phases.push(Phase::Stuck {
            cause: cause.clone(),
            touched: Touched::ALL,
            damage: "d".to_owned(),
            recorded,
        });
    }
    phases
        .into_iter()
        .map(|phase| (short(&phase), phase))
        .collect()
}

fn events() -> Vec<(&'static str, Event)> {
    let evidence = evidence(CheckOutcome::Pass, &BootId("boot-1".to_owned()));
    let cause = Cause::RebootNeeded {
        changes: Vec::new(),
    };
    let why = || "why".to_owned();
    vec![
        ("requested", Event::Requested),
        ("stage done", Event::StageDone),
        ("stage failed", Event::StageFailed(cause.clone())),
        ("watchdog seen", Event::WatchdogSeen),
        ("watchdog failed", Event::WatchdogFailed(why())),
        ("state not written", Event::StateNotWritten(why())),
        ("activated", Event::Activated),
        ("activation failed", Event::ActivationFailed(cause.clone())),
        ("activation busy", Event::ActivationBusy),
        ("verified", Event::Verified(evidence)),
        ("not verified", Event::NotVerified(cause)),
        ("profile set", Event::ProfileSet),
        ("boot installed", Event::BootInstalled),
        ("commit checked", Event::CommitChecked),
        ("commit failed", Event::CommitFailed(why())),
        ("system back", Event::Restored(Restore::System, None)),
        (
            "system not back",
            Event::Restored(Restore::System, Some(why())),
        ),
        ("profile back", Event::Restored(Restore::Profile, None)),
        (
            "profile not back",
            Event::Restored(Restore::Profile, Some(why())),
        ),
        ("boot back", Event::Restored(Restore::Boot, None)),
        ("boot not back", Event::Restored(Restore::Boot, Some(why()))),
        ("units back", Event::Restored(Restore::Units, None)),
        (
            "units not back",
            Event::Restored(Restore::Units, Some(why())),
        ),
        ("old is default", Event::BootDefault { old: true }),
        ("old is not default", Event::BootDefault { old: false }),
        ("rebooting", Event::Rebooting),
        ("reboot failed", Event::RebootFailed(why())),
        ("closed", Event::Closed),
        (
            "expired, dead",
            Event::Expired {
                alive: false,
                limit: 9,
            },
        ),
        (
            "expired, alive",
            Event::Expired {
                alive: true,
                limit: 9,
            },
        ),
        ("found in the same boot", Event::Found(Boot::Same)),
        ("found, booted old", Event::Found(Boot::Old)),
        ("found, booted new", Event::Found(Boot::New)),
        ("found, booted other", Event::Found(Boot::Other)),
        ("going back", Event::FoundGoingBack(Boot::Same)),
        ("going back, booted old", Event::FoundGoingBack(Boot::Old)),
        ("going back, booted new", Event::FoundGoingBack(Boot::New)),
        ("going back, other boot", Event::FoundGoingBack(Boot::Other)),
        ("operator reverts", Event::OperatorReverts),
        ("booted unproven", Event::BootedUnproven { late: false }),
        (
            "booted unproven, late",
            Event::BootedUnproven { late: true },
        ),
        ("units awaited", Event::UnitsAwaited),
        ("units up", Event::UnitsUp),
        ("network awaited", Event::NetworkAwaited),
        ("nothing is wrong", Event::Looked(None)),
        ("something is wrong", Event::Looked(Some(why()))),
        (
            "boot inconclusive",
            Event::BootInconclusive(Cause::RebootNeeded {
                changes: Vec::new(),
            }),
        ),
    ]
}

fn short(phase: &Phase) -> String {
    let what = |touched: &Touched| match (touched.system, touched.persistent) {
        (false, false) => "nothing",
        (true, false) => "system",
        (false, true) => "persistent",
        (true, true) => "all",
    };
    let kind = |cause: &Cause| {
        let value = serde_json::to_value(cause).unwrap();
        value["kind"].as_str().unwrap().to_owned()
    };
    let name = phase.name();
    match phase {
        Phase::Committing { attempt, .. } => format!("{name} #{attempt}"),
        Phase::Booted { boots, late } => {
            format!("{name} #{boots}{}", if *late { " late" } else { "" })
        }
        Phase::BootTrial {
            attempt,
            boots,
            late,
        } => format!(
            "{name} #{attempt} of boot #{boots}{}",
            if *late { " late" } else { "" }
        ),
        Phase::Reverting(revert) => format!(
            "{name}{} {} #{}{}{} ({})",
            if revert.by_reboot { " by reboot" } else { "" },
            what(&revert.touched),
            revert.attempt,
            if revert.damage.is_some() {
                " damaged"
            } else {
                ""
            },
            if revert.rebooted { " rebooted" } else { "" },
            kind(&revert.cause)
        ),
        Phase::Reverted { cause } | Phase::Refused { cause } => {
            format!("{name} ({})", kind(cause))
        }
        Phase::Stuck {
            cause, recorded, ..
        } => format!(
            "{name}{} ({})",
            if *recorded { " recorded" } else { "" },
            kind(cause)
        ),
        _ => name.to_string(),
    }
}

/// The whole table, for review. What changes nothing and ends the run is left out of a phase's
/// lines and counted below them.
#[test]
fn every_pair_of_phase_and_event_is_decided() {
    let mut table = String::new();
    for (name, phase) in phases() {
        table += &format!("{name}\n");
        let mut nothing = 0;
        for (event_name, event) in events() {
            let decided = step(&phase, event);
            if decided == to(phase.clone(), Effect::Nothing) {
                nothing += 1;
            } else {
                table += &format!(
                    "  {event_name:<24}-> {}; {:?}\n",
                    short(&decided.phase),
                    decided.effect
                );
            }
        }
        table += &format!("  ({nothing} others change nothing)\n");
    }
    insta::assert_snapshot!(table);
}

#[test]
fn the_table_lacks_no_kind_of_event() {
    let mut shown: Vec<_> = events().iter().map(|(_, event)| kind(event)).collect();
    shown.dedup();
    assert_eq!(shown, KINDS);
}

#[test]
fn the_table_lacks_no_phase() {
    let mut shown: Vec<_> = phases().iter().map(|(_, phase)| phase.name()).collect();
    shown.dedup();
    assert_eq!(shown, PHASES);
}

#[test]
fn the_way_back_never_becomes_the_way_forward() {
    for (name, phase) in phases() {
        for (event_name, event) in events() {
            let after = step(&phase, event).phase.name();
            if phase.is_way_back() {
                assert!(
                    matches!(
                        after,
                        PhaseName::Reverting
                            | PhaseName::CameBack
                            | PhaseName::Reverted
                            | PhaseName::Refused
                            | PhaseName::Stuck
                            | PhaseName::Idle
                    ),
                    "{name} and {event_name} lead to {after}"
                );
            }
        }
    }
}

#[test]
fn only_evidence_on_trial_leads_to_confirmed() {
    for (name, phase) in phases() {
        for (event_name, event) in events() {
            let verified = matches!(event, Event::Verified(_));
            let checked = event == Event::CommitChecked;
            let from = phase.name();
            match step(&phase, event).phase.name() {
                PhaseName::Committing => assert!(
                    from == PhaseName::Committing || (from == PhaseName::OnTrial && verified),
                    "{name} and {event_name}"
                ),
                PhaseName::Confirmed => assert!(
                    from == PhaseName::Confirmed || (from == PhaseName::Committing && checked),
                    "{name} and {event_name}"
                ),
                _ => {}
            }
        }
    }
}

#[test]
fn each_effect_belongs_to_one_phase() {
    for (name, phase) in phases() {
        for (event_name, event) in events() {
            let Step { phase, effect } = step(&phase, event);
            let after = phase.name();
            let right = match effect {
                Effect::Nothing => true,
                Effect::Stage => after == PhaseName::Staged,
                Effect::SeeWatchdog => after == PhaseName::Armed,
                Effect::Activate => after == PhaseName::Activating,
                Effect::Verify => after == PhaseName::OnTrial,
                Effect::AwaitUnits => {
                    matches!(after, PhaseName::Booted | PhaseName::CameBack)
                }
                Effect::AwaitNetwork => after == PhaseName::Booted,
                Effect::Look => matches!(after, PhaseName::CameBack | PhaseName::Stuck),
                Effect::VerifyBoot => after == PhaseName::BootTrial,
                Effect::SetProfile | Effect::InstallBoot | Effect::CheckCommit => {
                    after == PhaseName::Committing
                }
                Effect::Restore(_) | Effect::SeeBootDefault => after == PhaseName::Reverting,
                Effect::Reboot => {
                    matches!(&phase, Phase::Reverting(revert) if revert.rebooted)
                }
                Effect::Close => matches!(
                    after,
                    PhaseName::Confirmed
                        | PhaseName::BootProven
                        | PhaseName::Reverted
                        | PhaseName::Refused
                        | PhaseName::Stuck
                ),
            };
            assert!(right, "{name} and {event_name}: {effect:?} in {after}");
        }
    }
}

#[test]
fn only_bookkeeping_ends_a_deployment() {
    for (name, phase) in phases() {
        for (event_name, event) in events() {
            let closed = event == Event::Closed;
            let idle = step(&phase, event).phase == Phase::Idle;
            let bookkeeping = phase.name().is_bookkeeping();
            assert!(
                !idle || phase == Phase::Idle || (closed && bookkeeping),
                "{name} and {event_name}"
            );
        }
    }
}

#[test]
fn only_a_trial_at_boot_makes_a_system_boot_proven() {
    for (name, phase) in phases() {
        for (event_name, event) in events() {
            let verified = matches!(event, Event::Verified(_));
            if step(&phase, event).phase.name() == PhaseName::BootProven {
                let from = phase.name();
                assert!(
                    from == PhaseName::BootProven || (from == PhaseName::BootTrial && verified),
                    "{name} and {event_name}"
                );
            }
        }
    }
}

/// Nothing that another system than the booted one may have done leads to a reboot.
#[test]
fn what_could_not_be_told_at_boot_changes_nothing() {
    for (name, phase) in phases() {
        if !matches!(phase.name(), PhaseName::Booted | PhaseName::BootTrial) {
            continue;
        }
        for event in [
            Event::BootInconclusive(Cause::RebootNeeded {
                changes: Vec::new(),
            }),
            Event::Found(Boot::Old),
            Event::Found(Boot::Other),
            Event::WatchdogFailed("why".to_owned()),
            Event::StateNotWritten("why".to_owned()),
        ] {
            let after = step(&phase, event).phase;
            assert!(
                after == phase || after.name() == PhaseName::Refused,
                "{name}: {after:?}"
            );
        }
    }
}

#[test]
fn a_revert_reboots_once_at_most() {
    for (name, phase) in phases() {
        let Phase::Reverting(before) = &phase else {
            continue;
        };
        for (event_name, event) in events() {
            let after = step(&phase, event);
            let reboots = after.effect == Effect::Reboot;
            assert!(!(before.rebooted && reboots), "{name} and {event_name}");
            if let Phase::Reverting(after) = after.phase {
                assert!(after.rebooted >= before.rebooted, "{name} and {event_name}");
                assert!(after.attempt >= before.attempt, "{name} and {event_name}");
            }
        }
    }
}
