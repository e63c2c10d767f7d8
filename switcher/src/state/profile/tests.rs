use super::*;
use crate::testing::{Machine, Script, layout, toplevel};

fn machine() -> Machine {
    Machine::new(Script::default())
}

fn names(machine: &Machine) -> Option<(u64, Toplevel)> {
    Profile::new(machine, layout().profiles())
        .current()
        .unwrap()
        .map(|system| (system.generation.unwrap(), system.toplevel))
}

#[test]
fn a_new_system_becomes_the_next_number_and_the_same_one_is_used_again() {
    let machine = machine();
    let profile = Profile::new(&machine, layout().profiles());
    for (name, number, created) in [("old", 7, false), ("older", 8, true), ("new", 8, true)] {
        let plan = profile.plan(&toplevel(name)).unwrap();
        assert_eq!(plan, Plan { number, created }, "{name}");
    }
    let plan = profile.plan(&toplevel("new")).unwrap();
    for _ in 0..2 {
        profile.set(plan, &toplevel("new")).unwrap();
        assert_eq!(names(&machine), Some((8, toplevel("new"))));
    }
}

#[test]
fn the_profile_goes_back_by_number_or_by_path_where_the_number_is_gone() {
    let machine = machine();
    let profile = Profile::new(&machine, layout().profiles());
    let before = profile.current().unwrap().unwrap();
    let plan = profile.plan(&toplevel("new")).unwrap();
    profile.set(plan, &toplevel("new")).unwrap();
    profile.forget(plan, &toplevel("new")).unwrap();
    assert_eq!(names(&machine), Some((8, toplevel("new"))), "in use");
    profile.restore(&before).unwrap();
    assert_eq!(names(&machine), Some((7, toplevel("old"))));
    profile.forget(plan, &toplevel("new")).unwrap();
    assert_eq!(profile.number(&toplevel("new")).unwrap(), None);

    profile.set(plan, &toplevel("new")).unwrap();
    machine
        .remove(&layout().profiles().join("system-7-link"))
        .unwrap();
    profile.restore(&before).unwrap();
    assert_eq!(names(&machine), Some((9, toplevel("old"))));
}

#[test]
fn a_generation_that_somebody_else_made_is_neither_overwritten_nor_removed() {
    let machine = machine();
    let profile = Profile::new(&machine, layout().profiles());
    let plan = profile.plan(&toplevel("new")).unwrap();
    let theirs = profile.plan(&toplevel("older")).unwrap();
    profile.set(theirs, &toplevel("older")).unwrap();
    assert!(matches!(
        profile.set(plan, &toplevel("new")),
        Err(ProfileError::Taken { number: 8, .. })
    ));
    profile.forget(plan, &toplevel("new")).unwrap();
    assert_eq!(names(&machine), Some((8, toplevel("older"))));
}
