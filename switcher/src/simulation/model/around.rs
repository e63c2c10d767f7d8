//! Everybody around the switcher: requests, watchdogs, the recovery at boot, operators, crashes.

use super::book::{Book, Happening};
use super::process::{self, Next};
use super::successors;
use super::world::{At, Kept, Process, Reach, Sys, Timers, Unit, WATCHED, World};
use crate::decide::phase::PhaseName;
use crate::decide::transaction::{Boot, Effect};

/// What can come next in the best case: nothing crashes, nothing fails, nobody steps in.
pub(super) fn calm(book: &Book<'_>, world: World) -> Next {
    successors(book, world.spent())
}

/// All that can come next.
pub(super) fn successors(book: &Book<'_>, world: World) -> Next {
    if world.going_down {
        return vec![("it boots again", power_on(world.synced_all(), None))];
    }
    let mut next = successors::of_process(book, world);
    request(book, world, &mut next);
    watchdogs(book, world, &mut next);
    recover(book, world, &mut next);
    boot(book, world, &mut next);
    operator(book, world, &mut next);
    crashes(world, &mut next);
    next
}

fn request(book: &Book<'_>, world: World, next: &mut Next) {
    if !world.asked && world.process.is_none() {
        let mut after = world;
        after.asked = true;
        let after = process::start(book, after, Unit::Switch, Happening::Requested, 1);
        next.push(("a deployment is requested", after));
    }
}

/// What somebody finds who takes an open deployment over; mirrors `takeover::find`.
fn find(book: &Book<'_>, world: &World, happening: Happening) -> Happening {
    let name = book.name(world.journal.phase);
    let goes_on = matches!(
        name,
        PhaseName::Reverting
            | PhaseName::CameBack
            | PhaseName::Reverted
            | PhaseName::Refused
            | PhaseName::BootProven
    );
    let revert = happening == Happening::OperatorReverts;
    let begun = world.trial && (world.profile.seen == Sys::Old || world.loader.seen == Sys::Old);
    match found(world) {
        boot if !goes_on && (world.marked || begun) => Happening::FoundGoingBack(boot),
        Boot::Same => happening,
        Boot::New if revert && name == PhaseName::Committing => happening,
        _ if revert && name == PhaseName::Stuck => happening,
        boot => Happening::Found(boot),
    }
}

/// In which boot an open deployment is found.
fn found(world: &World) -> Boot {
    if world.boot == world.journal.seen {
        return Boot::Same;
    }
    match world.booted {
        Sys::Old => Boot::Old,
        Sys::New => Boot::New,
        Sys::Mixed | Sys::Other => Boot::Other,
    }
}

fn watchdogs(book: &Book<'_>, world: World, next: &mut Next) {
    for timer in WATCHED {
        if !world.timers.has(timer) || (world.process.is_some() && world.crashes == 0) {
            continue;
        }
        let mut after = world;
        if !book.name(world.journal.phase).is_watched_by(timer) {
            if world.process.is_none() {
                after.timers = after.timers.without(timer);
                next.push(("a watchdog fires too late to matter", after));
            }
            continue;
        }
        let alive = after.process.take().is_some();
        if alive {
            after.crashes -= 1;
        }
        let happening = find(book, &after, Happening::Expired { alive });
        after.timers = after.timers.without(timer);
        let seen = after.boot;
        let after = process::start(book, after, Unit::Watchdog(timer), happening, seen);
        next.push((
            if alive {
                "a watchdog fires: the switcher hangs"
            } else {
                "a watchdog fires"
            },
            after,
        ));
    }
}

fn recover(book: &Book<'_>, world: World, next: &mut Next) {
    let open = book.name(world.journal.phase) != PhaseName::Idle;
    if world.process.is_some() {
        return;
    }
    let mut after = world;
    after.recover_due = false;
    if world.recover_due && !open {
        next.push(("the recovery finds nothing", after));
    }
    // A second request settles what it finds open before it asks for its own.
    let again = world.operators > 0 && world.asked && !world.recover_due;
    if open && (world.recover_due || again) {
        let (label, unit) = if world.recover_due {
            ("the recovery begins", Unit::Recover)
        } else {
            after.operators -= 1;
            ("a second request finds it open", Unit::Operator)
        };
        let seen = after.boot;
        let happening = find(book, &after, Happening::Found(Boot::Same));
        let after = process::start(book, after, unit, happening, seen);
        next.push((label, after));
    }
}

/// The first boot of what was confirmed in place.
fn boot(book: &Book<'_>, world: World, next: &mut Next) {
    if world.process.is_some() {
        return;
    }
    let phase = book.name(world.journal.phase);
    let mut after = world;
    if matches!(phase, PhaseName::Booted | PhaseName::CameBack) && world.awaits {
        after.awaits = false;
        let seen = after.boot;
        let happening = find(book, &after, Happening::UnitsUp);
        let after = process::start(book, after, Unit::BootTrial, happening, seen);
        next.push(("the units are up", after));
        return;
    }
    // Its own unit was killed, and is started again.
    if phase == PhaseName::BootTrial && world.awaits {
        after.awaits = false;
        let seen = after.boot;
        let happening = find(book, &after, Happening::Found(Boot::Same));
        let after = process::start(book, after, Unit::BootTrial, happening, seen);
        next.push(("the boot's trial begins again", after));
        return;
    }
    if phase != PhaseName::Idle || world.recover_due {
        return;
    }
    let is_due = world.unproven
        && world.booted == Sys::New
        && world.running == Sys::New
        && world.profile.seen == Sys::New;
    if world.trial_due && !is_due {
        after.trial_due = false;
        next.push(("no trial at boot is due", after));
    }
    // A pass tries again what was inconclusive.
    let again = world.operators > 0 && world.told_nothing;
    if is_due && (world.trial_due || again) {
        if !world.trial_due {
            after.operators -= 1;
        }
        after.trial_due = false;
        after.trial = true;
        after.reboots = 0;
        let seen = after.boot;
        let happening = Happening::BootedUnproven {
            late: world.told_nothing,
        };
        let after = process::start(book, after, Unit::Recover, happening, seen);
        next.push(("a first boot is to be judged", after));
    }
    if world.restarts > 0 && world.asked && !world.trial_due {
        let mut reboots = world.synced_all();
        reboots.restarts -= 1;
        reboots.boots = 0;
        next.push(("the machine is rebooted in order", power_on(reboots, None)));
    }
}

fn operator(book: &Book<'_>, world: World, next: &mut Next) {
    let open = book.name(world.journal.phase) != PhaseName::Idle;
    // On trial the switcher is told; see `effects`.
    let told = world.process.is_some_and(|process| {
        matches!(process.effect, Effect::Verify | Effect::VerifyBoot) && process.at == At::Effect
    });
    if world.operators == 0 || !open || told {
        return;
    }
    let mut after = world;
    after.operators -= 1;
    after.process = None;
    let seen = after.boot;
    let happening = find(book, &after, Happening::OperatorReverts);
    let after = process::start(book, after, Unit::Operator, happening, seen);
    next.push(("an operator ends it and reverts", after));
}

fn crashes(world: World, next: &mut Next) {
    if world.crashes == 0 || !world.asked {
        return;
    }
    let mut after = world;
    after.crashes -= 1;
    if let Some(process) = world.process {
        let mut killed = after;
        killed.process = None;
        process::restart(&mut killed, process.unit);
        // Whoever does it by hand does it again.
        killed.unwatched |= process.unit == Unit::Operator;
        next.push(("the switcher is killed", killed));
        if runs_the_candidate(process) {
            let mut stopped = after;
            stopped.process = None;
            if world.reach == Reach::AllWatchdogs {
                stopped.timers = Timers::default();
            }
            next.push(("the candidate has the switcher's units stopped", stopped));
        }
    }
    for profile in survivors(world.profile) {
        for loader in survivors(world.loader) {
            let mut cut = after;
            cut.profile = Kept::at(profile);
            cut.loader = Kept::at(loader);
            cut.boots = 0;
            next.push(("the power is cut", power_on(cut, None)));
        }
    }
    let mut rescue = after;
    rescue.boots = 0;
    let rescue = power_on(rescue.synced_all(), Some(Sys::Other));
    next.push((
        "the power is cut, and somebody boots a third system",
        rescue,
    ));
}

/// Whether code of the candidate runs, which may ask PID 1 for anything.
fn runs_the_candidate(process: Process) -> bool {
    process.unit == Unit::Switch
        && matches!(process.effect, Effect::Activate | Effect::Verify)
        && matches!(process.at, At::Effect | At::Half)
}

fn survivors(kept: Kept) -> Vec<Sys> {
    if kept.seen == kept.durable {
        vec![kept.seen]
    } else {
        vec![kept.seen, kept.durable]
    }
}

fn power_on(mut world: World, by_hand: Option<Sys>) -> World {
    let booted = by_hand.unwrap_or(world.loader.seen);
    world.booted = booted;
    world.running = booted;
    world.boot += 1;
    world.boots += 1;
    world.timers = Timers::default();
    world.process = None;
    world.recover_due = true;
    world.trial_due = true;
    world.awaits = false;
    world.told_nothing = false;
    world.going_down = false;
    world.unwatched = false;
    world.marked = false;
    world
}
