use super::*;
use crate::protocol::Ending;
use crate::run::Switcher;
use crate::testing::{Fault, Machine, Script, layout, request, toplevel};

fn deploy(machine: &mut Machine) {
    let disk = machine.clone();
    let _ = Switcher::open(&disk, &layout(), machine).map(|mut all| all.request(request()));
}

/// A crash before each step of a deployment, and then a journal that cannot be read: whoever
/// replaces it finds the old system, or leaves what was confirmed.
#[test]
fn without_its_journal_a_host_goes_back_by_its_gc_roots() {
    let mut went_back = 0;
    for step in 1.. {
        let mut machine = Machine::new(Script::default());
        machine.get().fault = Some((step, Fault::CrashBefore));
        if machine.until_crash(deploy).is_ok() {
            break;
        }
        let told = format!("crash before {step}");
        let phase = machine.journal().phase.name();
        for path in journal::files(&layout()) {
            if machine.read(&path, 1 << 20).is_ok() {
                machine.corrupt(&path, Vec::clear);
            }
        }
        let lost = journal::read(&machine, &layout()).is_err();
        let disk = machine.clone();
        let replaced = replace_on(&disk, &layout(), &mut machine, Cause::Operator).unwrap();
        assert_eq!(replaced.aside.is_empty(), !lost, "{told}");
        let permanent = machine.see().loader == toplevel("new");
        let right = toplevel(if permanent { "new" } else { "old" });
        assert_eq!(machine.see().current, right, "{told} ({phase})");
        assert_eq!(
            machine.journal(),
            Record {
                outcomes: machine.journal().outcomes,
                ..Record::default()
            }
        );
        if let Some(back) = replaced.back {
            assert_eq!(back, PhaseName::Idle, "{told}");
            let outcomes = history::read_after_on(&machine, &layout(), 0).unwrap();
            let last = outcomes.last().unwrap();
            assert_eq!(last.ending, Ending::Reverted, "{told}");
            assert_eq!(last.cause, Some(Cause::Operator), "{told}");
            went_back += 1;
        }
        // The host takes the next one.
        machine.get().fault = None;
        // Watchdogs that are left find nothing to do; here they have the next one's name.
        machine.get().timers.clear();
        deploy(&mut machine);
        assert_eq!(machine.see().current, toplevel("new"), "{told}");
    }
    assert!(went_back > 5, "{went_back}");
}
