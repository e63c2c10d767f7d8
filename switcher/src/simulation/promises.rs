//! What must be so after a boot, once a deployment is settled, and after the next one.

use super::fault::{Kind, Story};
use super::machine::{Machine, NEW, NEXT, OLD, RESCUE, healthy, name_of, store_path};
use crate::Layout;
use crate::decide::phase::Phase;
use crate::protocol::{Cause, Ending, Outcome, Toplevel};
use crate::state::history;
use crate::state::journal::Record;
use crate::state::profile::Profile;

fn holds(holds: bool, promise: &str) -> Result<(), String> {
    if holds {
        Ok(())
    } else {
        Err(promise.to_owned())
    }
}

fn outcomes(machine: &Machine) -> Result<Vec<Outcome>, String> {
    history::read_after_on(machine, &Layout::host(), 0)
        .map_err(|error| format!("the history can be read: {error}"))
}

/// What the profile names, as the name of a system of the story.
fn in_profile(machine: &Machine) -> Result<String, String> {
    Profile::new(machine, Layout::host().profiles())
        .current()
        .map_err(|error| format!("the profile names a system: {error}"))?
        .map(|system| name_of(&system.toplevel).to_owned())
        .ok_or_else(|| "the profile names a system".to_owned())
}

/// Before anybody of ours has run: what booted is a whole system that proved itself, and the profile
/// knows it.
pub(super) fn after_a_boot(machine: &Machine) -> Result<(), String> {
    let booted = machine.see().booted.clone();
    holds(
        machine.see().is_whole(&booted),
        "what the boot loader starts is whole",
    )?;
    holds(
        name_of(&booted) != NEW || machine.see().proved,
        "what the boot loader starts was verified",
    )?;
    match in_profile(machine) {
        Ok(named) => {
            holds(
                named != NEW || machine.see().proved,
                "what the profile names was verified",
            )?;
            let toplevel =
                Toplevel::try_from(store_path(&named)).map_err(|error| error.to_string())?;
            holds(
                machine.see().is_whole(&toplevel),
                "what the profile names is whole",
            )?;
        }
        // Somebody removes old generations while a change of the profile could not be made durable.
        Err(_) if is_doubtful(machine, "sync the profile's directory") => {}
        Err(broken) => return Err(broken),
    }
    holds(
        !machine.see().activated || is_boot_proven_rooted(machine),
        "a system that proved that it boots is rooted",
    )
}

fn is_boot_proven_rooted(machine: &Machine) -> bool {
    let link = Layout::host().roots().join("boot-proven");
    machine
        .see()
        .files
        .read_link(&link)
        .ok()
        .and_then(|path| Toplevel::try_from(path).ok())
        .is_some_and(|toplevel| machine.see().is_whole(&toplevel))
}

/// A deployment that nobody works on any more.
pub(super) fn settled(machine: &Machine, record: &Record) -> Result<(), String> {
    let outcomes = outcomes(machine)?;
    let first: Vec<_> = outcomes
        .iter()
        .filter(|outcome| outcome.deployment.as_str() == "d-1")
        .collect();
    holds(
        outcomes.len() >= record.outcomes as usize
            || is_doubtful(machine, "sync the journal's directory"),
        "what the journal has counted is in the history",
    )?;
    if let Phase::Stuck { .. } = record.phase {
        return stuck(machine);
    }
    holds(record.phase == Phase::Idle, "nothing stays open")?;
    let ended: Vec<Ending> = first
        .iter()
        .map(|outcome| outcome.ending)
        .filter(|ending| *ending != Ending::Stuck)
        .collect();
    holds(ended.len() <= 1, "a deployment has one outcome")?;
    holds(
        ended.len() == 1
            || !machine.see().begun
            || is_doubtful(machine, "sync the journal's directory"),
        "what was begun has an outcome",
    )?;
    // Where the history's directory is lost, what it told holds all the same.
    let told = machine.see().ended.get("d-1").cloned();
    let confirmed = ended.first() == Some(&Ending::Confirmed)
        || ended.is_empty() && told.as_deref() == Some("confirmed");
    let boots: Vec<_> = outcomes
        .iter()
        .filter(|one| one.boot_trial && one.ending != Ending::Stuck)
        .collect();
    let back = boots.iter().any(|one| one.ending == Ending::Reverted);
    let right = match (confirmed, back) {
        (true, true) => boot_proven(machine)?,
        (true, false) => NEW.to_owned(),
        (false, _) => OLD.to_owned(),
    };
    let right = right.as_str();
    first_boot(machine, record, &boots)?;
    let inner = machine.see();
    // A rescue that somebody booted by hand is left alone.
    holds(
        name_of(&inner.current) == right || name_of(&inner.booted) == RESCUE,
        &format!("{right} runs"),
    )?;
    holds(
        name_of(&inner.loader.seen) == right,
        &format!("the boot loader starts {right}"),
    )?;
    holds(
        inner.loader.durable == inner.loader.seen,
        "what the boot loader starts is durable",
    )?;
    holds(!confirmed || inner.proved, "confirmed means evidence")?;
    holds(inner.is_whole(&inner.current), "what runs is whole")?;
    let expected = healthy();
    holds(
        confirmed || inner.units.active == expected.active,
        "the units that ran before run again",
    )?;
    holds(
        confirmed || inner.units.failed == expected.failed,
        "no unit is failed that was not",
    )?;
    holds(
        // A crash may put the old system back before anybody has looked.
        confirmed || !inner.lost || inner.cuts > 0,
        "no route is lost that was there",
    )?;
    drop(inner);
    let named = in_profile(machine)?;
    holds(named == right, &format!("the profile names {right}"))?;
    let generations = Profile::new(machine, Layout::host().profiles())
        .generations()
        .map_err(|error| error.to_string())?;
    let doubtful = is_doubtful(machine, "sync the profile's directory");
    holds(
        confirmed || doubtful || generations.iter().all(|(_, path)| *path != store_path(NEW)),
        "no generation that was never kept stays in the boot menu",
    )?;
    holds(
        !machine.see().activated || is_boot_proven_rooted(machine),
        "a system that proved that it boots is rooted",
    )
}

/// The name of the system that proved last that it boots.
fn boot_proven(machine: &Machine) -> Result<String, String> {
    let proven = machine.see().boot_proven();
    proven
        .map(|system| name_of(&system).to_owned())
        .ok_or_else(|| "a system that proved that it boots is rooted".to_owned())
}

/// What the trial at the first boot came to.
fn first_boot(machine: &Machine, record: &Record, boots: &[&Outcome]) -> Result<(), String> {
    let inner = machine.see();
    let passed = boots.iter().any(|one| one.ending == Ending::Confirmed);
    let is_new = inner
        .boot_proven()
        .is_some_and(|system| name_of(&system) == NEW);
    holds(
        !is_new || inner.proved_at_boot,
        "boot-proven means evidence after a boot",
    )?;
    holds(is_new == passed, "boot-proven is what is told so")?;
    holds(boots.len() <= 1, "a first boot has one outcome")?;
    holds(
        boots.is_empty() || record.unproven.is_none(),
        "what has an outcome waits for none",
    )?;
    let undisturbed = inner.happened.is_empty() && inner.undisturbed;
    let good = matches!(inner.story, Story::BootsWell | Story::BootIsDark);
    holds(
        !good || !undisturbed || passed,
        "a good first boot is boot-proven",
    )?;
    let blameless = good || inner.story == Story::BootTellsNothing;
    holds(
        !blameless || !undisturbed || inner.reboots == 0,
        "an outage elsewhere reboots nothing",
    )?;
    let back = boots.iter().find(|one| one.ending == Ending::Reverted);
    let unblamed = back.map(|one| one.cause.as_ref().is_some_and(Cause::is_no_network));
    let expected = match inner.story {
        _ if !undisturbed => unblamed,
        Story::BootStaysDark | Story::BootHasNoRoute => Some(true),
        Story::BootLacksCard | Story::ChecksFailAtBoot => Some(false),
        _ => unblamed,
    };
    holds(
        unblamed == expected,
        "a boot without a network goes back and is not blamed, one without its card is",
    )?;
    holds(
        unblamed != Some(true)
            || matches!(
                inner.story,
                Story::BootIsDark | Story::BootStaysDark | Story::BootHasNoRoute
            ),
        "only a boot without a network goes unblamed",
    )
}

/// Of what was made or removed in a directory whose sync failed nothing can be promised: doing it
/// again changes nothing, and so writes nothing.
fn is_doubtful(machine: &Machine, sync: &str) -> bool {
    machine
        .see()
        .happened
        .iter()
        .any(|(point, kind)| *point == sync && matches!(kind, Kind::Fails | Kind::Full))
}

/// Stuck is right only where the rollback itself failed, and never with an unproved default.
fn stuck(machine: &Machine) -> Result<(), String> {
    let inner = machine.see();
    let killed = inner
        .happened
        .iter()
        .filter(|(_, kind)| matches!(kind, Kind::KillBefore | Kind::KillAfter))
        .count();
    // Each attempt to go back that is killed is one less.
    let failed = killed > 1
        || matches!(
            inner.story,
            Story::BootReturnFails
                | Story::LosesRouteForLong
                | Story::BootReturnFailsOnce
                | Story::BackFails
                | Story::BackFailsOnce
                | Story::BootBackFailsOnce
        )
        || inner
            .happened
            .iter()
            .any(|(_, kind)| matches!(kind, Kind::Fails | Kind::Full | Kind::Hangs));
    holds(failed, "stuck only where the rollback failed")?;
    holds(
        name_of(&inner.loader.seen) != NEW || inner.proved,
        "what the boot loader starts was verified",
    )
}

/// The next deployment, in which nothing goes wrong.
pub(super) fn took_the_next(machine: &Machine) -> Result<(), String> {
    let outcomes = outcomes(machine)?;
    let last = outcomes.last();
    holds(
        last.is_some_and(|outcome| {
            outcome.ending == Ending::Confirmed && outcome.deployment.as_str() == "d-2"
        }),
        &format!(
            "the host takes the next commit: {:?}",
            last.map(|outcome| (outcome.ending, outcome.cause.clone()))
        ),
    )?;
    let mut numbers: Vec<u64> = outcomes.iter().map(|outcome| outcome.sequence).collect();
    numbers.dedup();
    holds(
        numbers.len() == outcomes.len(),
        "each outcome has a number of its own",
    )?;
    holds(
        name_of(&machine.see().current) == NEXT,
        "the next commit runs",
    )
}
