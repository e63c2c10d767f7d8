use super::book::Book;
use super::*;
use crate::decide::phase::{Phase, Revert};
use crate::decide::transaction::{Boot, Effect, Event, Restore, Step, step};

/// Enough to see each wrong decision.
const FEW: Bounds = Bounds {
    crashes: 2,
    faults: 1,
    operators: 0,
    restarts: 1,
    reach: Reach::FirstWatchdog,
};

fn told(explored: &Explored) -> String {
    explored
        .violations
        .iter()
        .map(|violation| {
            format!(
                "{}:\n  {}\n",
                violation.promise,
                violation.trace.join("\n  ")
            )
        })
        .collect()
}

#[test]
fn no_interleaving_with_three_crashes_breaks_a_promise() {
    let explored = explore(&step, Bounds::QUICK).unwrap();
    println!(
        "{} states, {} transitions, depth {}, {} pairs",
        explored.states,
        explored.transitions,
        explored.depth,
        explored.pairs.len()
    );
    assert!(explored.violations.is_empty(), "{}", told(&explored));
}

/// A mount that failed took the machine to emergency mode, and both with it: nobody was left to go back.
#[test]
fn watchdogs_that_are_all_within_reach_of_a_candidate_keep_no_deadline() {
    let bounds = Bounds {
        reach: Reach::AllWatchdogs,
        ..FEW
    };
    let explored = explore(&step, bounds).unwrap();
    let broken: Vec<_> = explored.violations.iter().map(|one| one.promise).collect();
    assert!(
        broken.contains(&"a watchdog is armed while a deployment is open"),
        "{broken:?}"
    );
}

/// Each changes one decision, and the exploration sees it.
#[test]
fn a_wrong_decision_is_seen() {
    type Mutant = fn(&Phase, &Event, Step) -> Step;
    let mutants: [(&str, Mutant); 16] = [
        (
            "a crashed commit is finished under the old system",
            |phase, event, right| match (phase, event) {
                (Phase::Committing { evidence, .. }, Event::Found(Boot::Old)) => Step {
                    phase: Phase::Confirmed {
                        evidence: evidence.clone(),
                    },
                    effect: Effect::Close,
                },
                _ => right,
            },
        ),
        (
            "a failed commit is confirmed",
            |phase, event, right| match (phase, event) {
                (Phase::Committing { evidence, .. }, Event::CommitFailed(_)) => Step {
                    phase: Phase::Confirmed {
                        evidence: evidence.clone(),
                    },
                    effect: Effect::Close,
                },
                _ => right,
            },
        ),
        (
            "the profile is set before the trial",
            |phase, event, right| match (phase, event) {
                (Phase::Activating, Event::Activated) => Step {
                    effect: Effect::SetProfile,
                    ..right
                },
                _ => right,
            },
        ),
        (
            "nobody reads the commit back",
            |phase, event, right| match (phase, event) {
                (Phase::Committing { evidence, .. }, Event::BootInstalled) => Step {
                    phase: Phase::Confirmed {
                        evidence: evidence.clone(),
                    },
                    effect: Effect::Close,
                },
                _ => right,
            },
        ),
        (
            "the activation begins while the phase is armed",
            |phase, event, right| match (phase, event) {
                (Phase::Armed, Event::WatchdogSeen) => Step {
                    phase: Phase::Armed,
                    effect: Effect::Activate,
                },
                _ => right,
            },
        ),
        (
            "the rollback leaves the boot loader",
            |phase, event, right| match (phase, event) {
                (Phase::Reverting(revert), Event::Restored(Restore::Profile, _)) => Step {
                    phase: Phase::Reverted {
                        cause: revert.cause.clone(),
                    },
                    effect: Effect::Close,
                },
                _ => right,
            },
        ),
        (
            "a switcher that died on trial is left alone",
            |phase, event, right| match (phase, event) {
                (Phase::OnTrial, Event::Expired { alive: false, .. }) => Step {
                    phase: Phase::OnTrial,
                    effect: Effect::Nothing,
                },
                _ => right,
            },
        ),
        (
            "a watchdog leaves alone what is staged",
            |phase, event, right| match (phase, event) {
                (Phase::Staged, Event::Expired { .. }) => Step {
                    phase: Phase::Staged,
                    effect: Effect::Nothing,
                },
                _ => right,
            },
        ),
        (
            "the rollback begins again for ever",
            |phase, event, right| match (phase, event) {
                (Phase::Reverting(revert), Event::Restored(..)) if revert.attempt > 1 => Step {
                    phase: Phase::Reverting(Revert {
                        attempt: 1,
                        damage: None,
                        ..revert.clone()
                    }),
                    effect: Effect::Restore(Restore::System),
                },
                _ => right,
            },
        ),
        (
            "the machine reboots again and again",
            |phase, event, right| match (phase, event) {
                (Phase::Reverting(revert), Event::BootDefault { old: true }) => Step {
                    phase: Phase::Reverting(Revert {
                        rebooted: true,
                        ..revert.clone()
                    }),
                    effect: Effect::Reboot,
                },
                _ => right,
            },
        ),
        (
            "it reboots into whatever is the default",
            |phase, event, right| match (phase, event) {
                (Phase::Reverting(revert), Event::BootDefault { old: false })
                    if !revert.rebooted =>
                {
                    Step {
                        phase: Phase::Reverting(Revert {
                            rebooted: true,
                            ..revert.clone()
                        }),
                        effect: Effect::Reboot,
                    }
                }
                _ => right,
            },
        ),
        (
            "a first boot that fails stays",
            |phase, event, right| match (phase, event) {
                // Without its watchdog's say as well: that alone would still go back.
                (Phase::BootTrial { .. }, Event::NotVerified(_) | Event::Expired { .. }) => Step {
                    phase: phase.clone(),
                    effect: Effect::Nothing,
                },
                _ => right,
            },
        ),
        (
            "a first boot is proven by what is not evidence",
            |phase, event, right| match (phase, event) {
                (Phase::BootTrial { .. }, Event::BootInconclusive(_)) => Step {
                    phase: Phase::BootProven {
                        evidence: Book::new(&step).unwrap().evidence(),
                    },
                    effect: Effect::Close,
                },
                _ => right,
            },
        ),
        (
            "it reboots before the boot-proven system is the default",
            |phase, event, right| match (phase, event) {
                (Phase::Reverting(revert), Event::Restored(Restore::Profile, _))
                    if revert.by_reboot =>
                {
                    Step {
                        phase: Phase::Reverting(Revert {
                            rebooted: true,
                            ..revert.clone()
                        }),
                        effect: Effect::Reboot,
                    }
                }
                _ => right,
            },
        ),
        (
            "a first boot is judged before that is written down",
            |phase, event, right| match (phase, event) {
                (Phase::Booted { .. }, Event::NetworkAwaited) => Step {
                    phase: phase.clone(),
                    effect: Effect::VerifyBoot,
                },
                _ => right,
            },
        ),
        (
            "an unwritten rollback is forgotten",
            |phase, event, right| match (phase, event) {
                (Phase::Committing { .. }, Event::FoundGoingBack(boot)) => {
                    step(phase, Event::Found(*boot))
                }
                _ => right,
            },
        ),
    ];
    for (name, mutant) in mutants {
        let decide =
            |phase: &Phase, event: Event| mutant(phase, &event, step(phase, event.clone()));
        let explored = explore(&decide, FEW).unwrap();
        assert!(!explored.violations.is_empty(), "not seen: {name}");
        println!("{name}: {}", explored.violations[0].promise);
    }
}
