use super::*;
use crate::protocol::{Cause, CheckOutcome, Ending, Outcome};
use crate::state::history;
use crate::testing::{Machine, Script, Somebody, layout, request, toplevel};

fn third() -> Option<Toplevel> {
    Some(toplevel("third"))
}

/// Somebody switches the machine when the switcher wants to for the `at`th time: 1 is before the
/// first change, 2 the activation, 3 the trial, 4 what follows it.
fn check(
    (at, seconds, to): (u32, u64, Option<Toplevel>),
    verdict: CheckOutcome,
    (ending, runs): (Ending, &str),
    blamed: fn(&Cause) -> bool,
) {
    let mut machine = Machine::new(Script {
        verdict: Some(verdict),
        ..Script::default()
    });
    machine.get().somebody = Some(Somebody { at, seconds, to });
    let disk = machine.clone();
    Switcher::open(&disk, &layout(), &mut machine)
        .unwrap()
        .request(request())
        .unwrap();
    let outcome: Outcome = history::read_after_on(&machine, &layout(), 0)
        .unwrap()
        .remove(0);
    let told = format!("at {at} for {seconds} s: {outcome:?}");
    assert_eq!(outcome.ending, ending, "{told}");
    assert_eq!(machine.see().current, toplevel(runs), "{told}");
    assert!(outcome.cause.as_ref().is_none_or(blamed), "{told}");
    let left = (ending == Ending::Reverted && runs == "third").then(|| toplevel("third"));
    assert_eq!(outcome.left_alone, left, "{told}");
    // Whoever it was, what boots was confirmed.
    let confirmed = ending == Ending::Confirmed;
    let boots = toplevel(if confirmed { "new" } else { "old" });
    assert_eq!(machine.see().loader, boots, "{told}");
}

#[test]
fn somebody_else_is_waited_for_and_never_fought() {
    use CheckOutcome::{Fail, Pass};
    let busy: fn(&Cause) -> bool = |cause| *cause == Cause::Busy;
    let checks: fn(&Cause) -> bool = |cause| matches!(cause, Cause::VerificationFailed { .. });
    let long = BUSY_SECONDS + 30;
    // Before the first change.
    check((1, 60, None), Pass, (Ending::Confirmed, "new"), busy);
    check((1, long, None), Pass, (Ending::Refused, "old"), busy);
    check((1, 60, third()), Pass, (Ending::Refused, "third"), busy);
    // Between that and the activation.
    check((2, 5, None), Pass, (Ending::Refused, "old"), busy);
    // While on trial.
    check((3, 60, None), Pass, (Ending::Confirmed, "new"), busy);
    check((3, 60, third()), Pass, (Ending::Reverted, "third"), busy);
    check((3, long, None), Pass, (Ending::Reverted, "old"), busy);
    // While making it permanent.
    check((4, 30, None), Pass, (Ending::Confirmed, "new"), busy);
    // During a rollback.
    check((4, 30, None), Fail, (Ending::Reverted, "old"), checks);
    check((4, 30, third()), Fail, (Ending::Reverted, "third"), checks);
}
