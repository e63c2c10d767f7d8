use super::*;
use crate::testing::{Fault, Machine, Script, layout};

fn record(outcomes: u64) -> Record {
    Record {
        outcomes,
        ..Record::default()
    }
}

fn slot(index: usize) -> PathBuf {
    layout().state().join(SLOTS[index])
}

fn written(count: u64) -> Machine {
    let machine = Machine::new(Script::default());
    let mut journal = Journal::open(&machine, &layout()).unwrap();
    for outcomes in 1..=count {
        journal.write(&machine, &record(outcomes)).unwrap();
    }
    machine
}

#[test]
fn the_newest_record_is_read() {
    for count in 0..5 {
        let machine = written(count);
        assert_eq!(read(&machine, &layout()).unwrap(), record(count));
        let mut journal = Journal::open(&machine, &layout()).unwrap();
        journal.write(&machine, &record(99)).unwrap();
        assert_eq!(read(&machine, &layout()).unwrap(), record(99));
    }
}

#[test]
fn an_interrupted_write_leaves_the_record_before_it_or_the_new_one() {
    for fault in [Fault::Fail, Fault::CrashBefore, Fault::CrashAfter] {
        for step in 1..=3 {
            let machine = written(2);
            let at = machine.see().steps + step;
            machine.get().fault = Some((at, fault));
            let _ = machine.until_crash(|machine| {
                let mut journal = Journal::open(machine, &layout()).unwrap();
                let _ = journal.write(machine, &record(3));
            });
            let found = read(&machine, &layout()).unwrap().outcomes;
            assert!(found == 2 || found == 3, "{fault:?} at {step}: {found}");
        }
    }
}

#[test]
fn a_failed_write_is_overwritten_by_the_next() {
    let machine = written(2);
    let mut journal = Journal::open(&machine, &layout()).unwrap();
    // The rename is done, the sync of the directory is not.
    let at = machine.see().steps + 3;
    machine.get().fault = Some((at, Fault::Fail));
    journal.write(&machine, &record(3)).unwrap_err();
    assert!(journal.is_doubtful());
    journal.write(&machine, &record(4)).unwrap();
    assert!(!journal.is_doubtful());
    assert_eq!(read(&machine, &layout()).unwrap(), record(4));
}

#[test]
fn a_damaged_record_is_never_taken_for_another() {
    let machine = written(2);
    machine.corrupt(&slot(1), |bytes| {
        let last = bytes.len() - 3;
        bytes[last] ^= 1;
    });
    assert_eq!(read(&machine, &layout()).unwrap(), record(1));
    machine.corrupt(&slot(0), |bytes| bytes.truncate(20));
    assert!(matches!(
        read(&machine, &layout()),
        Err(JournalError::Damaged { .. })
    ));
}

#[test]
fn a_journal_of_a_newer_release_stops_activations() {
    let machine = written(2);
    machine.corrupt(&slot(0), |bytes| {
        let text = String::from_utf8(bytes.clone()).unwrap();
        *bytes = text
            .replacen("\"version\":1", "\"version\":2", 1)
            .into_bytes();
    });
    assert!(matches!(
        Journal::open(&machine, &layout()),
        Err(JournalError::Version { version: 2, .. })
    ));
}
