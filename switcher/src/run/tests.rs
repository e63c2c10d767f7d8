use super::*;
use crate::decide::phase::PhaseName;
use crate::machine::system::Stopped;
use crate::machine::system::SwitchEnd;
use crate::protocol::{Cause, CheckOutcome, Ending, Outcome};
use crate::run::takeover::{settle, take_over};
use crate::state::history;
use crate::testing::{Crash, Fault, Machine, Script, layout, request, toplevel};

fn deploy(machine: &mut Machine) -> Result<(), RunError> {
    let disk = machine.clone();
    Switcher::open(&disk, &layout(), machine)?.request(request())
}

fn history(machine: &Machine) -> Vec<Outcome> {
    history::read_after_on(&machine.quiet(), &layout(), 0).unwrap()
}

fn scripts() -> Vec<(&'static str, Script)> {
    let base = Script::default;
    vec![
        ("good", base()),
        (
            "not a toplevel",
            Script {
                refusal: Some(Cause::NotAToplevel {
                    missing: vec!["init".to_owned()],
                }),
                ..base()
            },
        ),
        (
            "busy",
            Script {
                activation: SwitchEnd::Exited(11),
                activates: false,
                ..base()
            },
        ),
        (
            "activation fails half-way",
            Script {
                activation: SwitchEnd::Exited(2),
                ..base()
            },
        ),
        (
            "activation fails at once",
            Script {
                activation: SwitchEnd::Exited(1),
                activates: false,
                ..base()
            },
        ),
        (
            "activation hangs",
            Script {
                activation: SwitchEnd::TimedOut { waits_for: vec![] },
                ..base()
            },
        ),
        (
            "needs a reboot",
            Script {
                activation: SwitchEnd::Exited(100),
                activates: false,
                ..base()
            },
        ),
        (
            "unit breaks",
            Script {
                activation: SwitchEnd::Exited(4),
                breaks_units: true,
                ..base()
            },
        ),
        (
            "unit breaks, exit code 0",
            Script {
                breaks_units: true,
                ..base()
            },
        ),
        (
            "a unit was broken before",
            Script {
                activation: SwitchEnd::Exited(4),
                ..base()
            },
        ),
        (
            "an inhibitor changes",
            Script {
                inhibitors: vec!["dbus-implementation: dbus -> broker".to_owned()],
                ..base()
            },
        ),
        (
            "its own checks refuse",
            Script {
                checks: SwitchEnd::Exited(1),
                said: "the shop is open\nPre-switch check 'shop' failed\n",
                ..base()
            },
        ),
        (
            "its checks hang",
            Script {
                checks: SwitchEnd::TimedOut { waits_for: vec![] },
                ..base()
            },
        ),
        (
            "its program has no checks",
            Script {
                checks: SwitchEnd::Exited(1),
                said: "Usage: switch-to-configuration [switch|boot|test|dry-activate]\n",
                ..base()
            },
        ),
        (
            "a snippet fails beside a unit that was broken before",
            Script {
                activation: SwitchEnd::Exited(4),
                said: "Activation script snippet 'database' failed (1)\nFailed to run activate script\n",
                ..base()
            },
        ),
        (
            "a service that ran does not run any more",
            Script {
                stopped: vec![Stopped {
                    unit: "shop.service".to_owned(),
                    how: "it does not run any more".to_owned(),
                }],
                ..base()
            },
        ),
        (
            "a user's session ends meanwhile",
            Script {
                activation: SwitchEnd::Exited(4),
                said: "warning: user activation for p4 failed\n",
                ..base()
            },
        ),
        (
            "users' sessions keep it from its end",
            Script {
                activation: SwitchEnd::Exited(1),
                said: "Error: Failed to get runtime directory for p4\n",
                ..base()
            },
        ),
        (
            "the rollback ends as the old system's activation had",
            Script {
                verdict: Some(CheckOutcome::Fail),
                back: SwitchEnd::Exited(2),
                activation_failed_before: true,
                ..base()
            },
        ),
        (
            "ends well, but does not run",
            Script {
                activates: false,
                ..base()
            },
        ),
        (
            "checks fail",
            Script {
                verdict: Some(CheckOutcome::Fail),
                ..base()
            },
        ),
        (
            "nobody confirms",
            Script {
                verdict: None,
                ..base()
            },
        ),
        (
            "boot loader fails",
            Script {
                boot: SwitchEnd::Exited(1),
                ..base()
            },
        ),
        (
            "boot loader cannot be read back",
            Script {
                loader_known: false,
                ..base()
            },
        ),
        (
            "the rollback fails",
            Script {
                verdict: Some(CheckOutcome::Fail),
                back: SwitchEnd::Exited(2),
                ..base()
            },
        ),
    ]
}

#[test]
fn each_deployment_ends_as_its_story_says() {
    let mut table = String::new();
    for (name, script) in scripts() {
        let mut machine = Machine::new(script);
        deploy(&mut machine).unwrap();
        let outcomes = history(&machine);
        table += &format!("{name}\n");
        for outcome in &outcomes {
            let cause = match &outcome.cause {
                None => "-".to_owned(),
                Some(cause) => serde_json::to_string(cause).unwrap(),
            };
            table += &format!(
                "  {:?} {cause} generation {:?}\n",
                outcome.ending, outcome.new.generation
            );
        }
        let inner = machine.see();
        for effect in &inner.effects {
            table += &format!(
                "    {}\n",
                effect.replace("/nix/store/0123456789abcdfghijklmnpqrsvwxyz-", "")
            );
        }
        table += &format!(
            "  now {} reboots {}\n",
            machine.journal().phase.name(),
            inner.reboots
        );
    }
    insta::assert_snapshot!(table);
}

#[test]
fn an_outcome_that_the_journal_could_not_count_keeps_its_number() {
    let mut machine = Machine::new(Script {
        refusal: Some(Cause::NoVerification),
        ..Script::default()
    });
    deploy(&mut machine).unwrap();
    let counted = machine.journal().outcomes;
    let uncounted = Outcome {
        sequence: counted + 1,
        deployment: "d-0".parse().unwrap(),
        ..history(&machine).remove(0)
    };
    history::write(&machine, &layout(), &uncounted).unwrap();
    let mut again = request();
    again.deployment = "d-2".parse().unwrap();
    let disk = machine.clone();
    Switcher::open(&disk, &layout(), &mut machine)
        .unwrap()
        .request(again)
        .unwrap();
    let numbers: Vec<_> = history(&machine)
        .iter()
        .map(|outcome| outcome.sequence)
        .collect();
    assert_eq!(numbers, [counted, counted + 1, counted + 2]);
}

/// What a service needs elsewhere no reboot of this host brings back; its own door it may.
#[test]
fn a_unit_that_fails_by_itself_after_the_way_back_is_told_of_and_reboots_nothing() {
    let check = |weak: &str, reboots: u32| {
        let mut machine = Machine::new(Script {
            verdict: Some(CheckOutcome::Fail),
            weak: vec![weak.to_owned()],
            ..Script::default()
        });
        machine.get().units.active.push("app.service".to_owned());
        deploy(&mut machine).unwrap();
        assert_eq!(machine.see().reboots, reboots, "{weak}");
        let inner = machine.see();
        let starts = inner.effects.iter().filter(|one| one.starts_with("start "));
        let tries = starts.filter(|one| one.contains(weak)).count();
        // Once more for each attempt to go back.
        let expected = if reboots == 0 { 2 } else { 4 };
        assert_eq!(tries, expected, "{:?}", inner.effects);
        drop(inner);
        machine
    };
    let machine = check("app.service", 0);
    let outcome = history(&machine).pop().unwrap();
    assert_eq!(outcome.ending, Ending::Reverted);
    assert_eq!(outcome.not_running, ["app.service"]);
    assert_eq!(machine.journal().phase, Phase::Idle);
    check("sshd.service", 1);
}

/// What must be so whenever a deployment is settled.
fn assert_settled(machine: &Machine, told: &str) {
    let phase = machine.journal().phase.name();
    let stuck_is_right = machine.see().script.back != SwitchEnd::Exited(0);
    if phase == PhaseName::Stuck && stuck_is_right {
        assert_ne!(machine.see().loader, toplevel("new"), "{told}");
        return;
    }
    assert_eq!(phase, PhaseName::Idle, "{told}: nothing stays open");
    let outcomes = history(machine);
    let confirmed = outcomes
        .last()
        .is_some_and(|outcome| outcome.ending == Ending::Confirmed);
    let right = if confirmed { "new" } else { "old" };
    let inner = machine.see();
    assert_eq!(inner.current, toplevel(right), "{told}: what runs");
    assert_eq!(inner.loader, toplevel(right), "{told}: what is booted");
    assert!(
        !confirmed || inner.proved,
        "{told}: confirmed with evidence"
    );
    drop(inner);
    let quiet = machine.quiet();
    let profile = Profile::new(&quiet, layout().profiles());
    let current = profile.current().unwrap().unwrap();
    assert_eq!(current.toplevel, toplevel(right), "{told}: the profile");
    let number = if confirmed { 8 } else { 7 };
    assert_eq!(current.generation, Some(number), "{told}: its number");
    if !confirmed {
        assert_eq!(
            profile.number(&toplevel("new")).unwrap(),
            None,
            "{told}: no rejected generation stays in the boot menu"
        );
    }
    let endings = outcomes
        .iter()
        .filter(|outcome| outcome.ending != Ending::Stuck)
        .count();
    assert!(endings <= 1, "{told}: one outcome, not {outcomes:?}");
    assert!(
        machine.journal().outcomes as usize == outcomes.len(),
        "{told}"
    );
}

/// How the world goes on after the switcher has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    /// The same boot: only timers are left.
    Timers,
    /// The machine starts again.
    PowerCut,
}

/// Lets the world go on until nothing can happen any more, at most two boots. True if all of it was
/// without a crash.
fn go_on(machine: &Machine, after: After, told: &str) -> Result<(), Crash> {
    match after {
        After::Timers => fire_timers(machine, told)?,
        After::PowerCut => {
            machine.power_cycle();
            machine.until_crash(|machine| {
                let disk = machine.clone();
                let _ = settle(&disk, &layout(), machine);
            })?;
            fire_timers(machine, told)?;
        }
    }
    let reboots = machine.see().reboots;
    if reboots > 0 && machine.journal().phase.name() == PhaseName::Reverting {
        machine.power_cycle();
        machine.until_crash(|machine| {
            let disk = machine.clone();
            let _ = settle(&disk, &layout(), machine);
        })?;
        fire_timers(machine, told)?;
    }
    Ok(())
}

fn fire_timers(machine: &Machine, told: &str) -> Result<(), Crash> {
    for _ in 0..8 {
        let record = machine.journal();
        let Some(open) = record.deployment else {
            return Ok(());
        };
        let phase = record.phase.name();
        if phase == PhaseName::Stuck {
            return Ok(());
        }
        let waiting = machine.see().timers.clone();
        if phase == PhaseName::Reverting && machine.see().reboots > 0 {
            return Ok(());
        }
        let due = waiting.iter().find(|unit| {
            [
                PhaseName::Staged,
                PhaseName::Activating,
                PhaseName::OnTrial,
                PhaseName::Committing,
                PhaseName::Reverting,
                PhaseName::CameBack,
            ]
            .iter()
            .any(|timer| {
                unit.contains(&format!("nixus-expire-d-1-{timer}")) && phase.is_watched_by(*timer)
            })
        });
        let Some(unit) = due.cloned() else {
            // Where arming failed during a rollback there is nobody but the next boot; and a refusal
            // for want of a watchdog has nothing to protect.
            let excused = machine
                .see()
                .fault
                .is_some_and(|(_, fault)| fault == Fault::Fail)
                || phase == PhaseName::Refused
                || machine.see().boots > 1;
            assert!(
                excused,
                "{told}: open ({phase}) without a watchdog: {waiting:?}"
            );
            machine.until_crash(|machine| {
                let disk = machine.clone();
                let _ = settle(&disk, &layout(), machine);
            })?;
            continue;
        };
        machine.get().timers.remove(&unit);
        let limit = open.watch.map_or(0, |watch| watch.limit);
        let done = machine.until_crash(|machine| {
            let disk = machine.clone();
            let event = Event::Expired {
                alive: false,
                limit,
            };
            take_over(&disk, &layout(), machine, event).is_ok()
        });
        // Its service is started again where it did not end well.
        if !matches!(done, Ok(true)) {
            machine.get().timers.insert(unit);
        }
        done?;
    }
    Ok(())
}

/// Each story, with each fault at each step, and each crash of the recovery after it.
#[test]
fn every_fault_at_every_step_leaves_the_old_system_or_the_confirmed_one() {
    let runs: usize = std::thread::scope(|scope| {
        let stories: Vec<_> = scripts()
            .into_iter()
            .map(|(name, script)| scope.spawn(move || story(name, &script)))
            .collect();
        stories.into_iter().map(|one| one.join().unwrap()).sum()
    });
    println!("{runs} deployments with a fault");
    assert!(runs > 10_000, "{runs} runs are too few to mean anything");
}

fn story(name: &str, script: &Script) -> usize {
    let mut runs = 0;
    for fault in [Fault::Fail, Fault::CrashBefore, Fault::CrashAfter] {
        for after in [After::Timers, After::PowerCut] {
            for step in 1.. {
                let start = || {
                    let machine = Machine::new(script.clone());
                    machine.get().fault = Some((step, fault));
                    // A crash ends the run, as it should.
                    let _ = machine.until_crash(|machine| {
                        let _ = deploy(machine);
                    });
                    machine
                };
                let machine = start();
                if machine.see().steps < step {
                    break;
                }
                let told = format!("{name}: {fault:?} at {step}, then {after:?}");
                let before = machine.see().steps;
                go_on(&machine, after, &told).unwrap();
                assert_settled(&machine, &told);
                runs += 1;
                let recovery = machine.see().steps;
                for second in before + 1..=recovery {
                    for (fault, then) in [
                        (Fault::CrashBefore, After::Timers),
                        (Fault::CrashAfter, After::PowerCut),
                    ] {
                        let machine = start();
                        machine.get().fault = Some((second, fault));
                        let told = format!("{told}; {fault:?} at {second}, then {then:?}");
                        if go_on(&machine, after, &told).is_err() {
                            go_on(&machine, then, &told).unwrap();
                        }
                        assert_settled(&machine, &told);
                        runs += 1;
                    }
                }
            }
        }
    }
    runs
}
