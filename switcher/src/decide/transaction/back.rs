//! The rollback: how a deployment ends that is not kept.

use super::{Boot, Effect, Event, REVERT_ATTEMPTS, Restore, Step, to};
use crate::decide::phase::{Phase, Revert, Touched};
use crate::protocol::Cause;

pub(super) fn refuse(cause: Cause) -> Step {
    to(Phase::Refused { cause }, Effect::Close)
}

pub(super) fn revert(from: &Phase, cause: Cause) -> Step {
    revert_what(cause, from.touched(), false)
}

pub(super) fn revert_what(cause: Cause, touched: Touched, rebooted: bool) -> Step {
    begin(Revert {
        cause,
        touched,
        attempt: 1,
        damage: None,
        rebooted,
        came_back: rebooted,
        by_reboot: false,
    })
}

/// Back to the boot-proven system: it is made the default again, then the machine reboots into it.
pub(super) fn revert_by_reboot(cause: Cause, touched: Touched) -> Step {
    begin(Revert {
        cause,
        touched,
        attempt: 1,
        damage: None,
        rebooted: false,
        came_back: false,
        by_reboot: true,
    })
}

fn begin(revert: Revert) -> Step {
    match first(&revert, revert.touched) {
        None => back(revert),
        Some(part) => to(Phase::Reverting(revert), Effect::Restore(part)),
    }
}

/// The old system is back. Whether the reboot that damage led to has helped is still to be seen.
fn back(revert: Revert) -> Step {
    if revert.came_back && !revert.by_reboot && !revert.touched.system {
        let revert = Revert {
            damage: None,
            ..revert
        };
        return to(Phase::CameBack(revert), Effect::AwaitUnits);
    }
    to(
        Phase::Reverted {
            cause: revert.cause,
        },
        Effect::Close,
    )
}

/// Where the rollback begins.
fn first(revert: &Revert, touched: Touched) -> Option<Restore> {
    if touched.system && !revert.by_reboot {
        Some(Restore::System)
    } else if touched.persistent {
        Some(Restore::Profile)
    } else {
        None
    }
}

/// What comes after one part of the rollback.
fn next(done: Restore, revert: &Revert) -> Option<Restore> {
    let touched = revert.touched;
    match done {
        Restore::System if touched.persistent => Some(Restore::Profile),
        Restore::System => Some(Restore::Units),
        Restore::Profile => Some(Restore::Boot),
        // A boot into the old system starts its units itself, and may still be doing so.
        Restore::Boot if touched.system && !revert.by_reboot => Some(Restore::Units),
        Restore::Boot | Restore::Units => None,
    }
}

pub(super) fn reverting(revert: &Revert, event: Event) -> Step {
    let same = |effect| to(Phase::Reverting(revert.clone()), effect);
    match event {
        Event::Restored(part, damage) => {
            let revert = Revert {
                damage: revert.damage.clone().or(damage),
                ..revert.clone()
            };
            match next(part, &revert) {
                Some(part) => to(Phase::Reverting(revert), Effect::Restore(part)),
                None => finish(revert),
            }
        }
        // Where the old system runs already, a reboot repairs nothing; and it would come again at
        // each boot while the journal cannot be written.
        Event::BootDefault { old: true } if !revert.rebooted && revert.touched.system => to(
            Phase::Reverting(Revert {
                rebooted: true,
                ..revert.clone()
            }),
            Effect::Reboot,
        ),
        Event::BootDefault { .. } => give_up(revert, not_by_reboot(revert)),
        Event::RebootFailed(reason) => give_up(revert, Some(reason)),
        // The watchdog found an attempt that died or hung: one attempt less.
        Event::Expired { alive, .. } => finish(Revert {
            damage: Some("putting the old system back did not end in time".to_owned()),
            rebooted: revert.rebooted && (alive || revert.came_back),
            ..revert.clone()
        }),
        Event::FoundGoingBack(_) => finish(Revert {
            damage: Some("putting the old system back did not end in time".to_owned()),
            ..revert.clone()
        }),
        Event::Found(boot) => {
            let touched = match boot {
                Boot::Same => revert.touched,
                Boot::New => Touched::ALL,
                Boot::Old | Boot::Other => Touched {
                    system: false,
                    ..revert.touched
                },
            };
            let used = revert.rebooted && (boot != Boot::Same || revert.came_back);
            begin(Revert {
                touched,
                damage: None,
                // A switcher that died before the machine went down has not used it.
                rebooted: used,
                // Somebody's rescue is left alone.
                // A second attempt was damage, whether the reboot could be written down or not.
                came_back: boot != Boot::Other
                    && (used || (boot == Boot::Old && revert.attempt > 1)),
                ..revert.clone()
            })
        }
        // In the same boot: a reboot that was noted has not happened.
        Event::OperatorReverts => match first(revert, revert.touched) {
            Some(part) => to(
                Phase::Reverting(Revert {
                    rebooted: revert.rebooted && revert.came_back,
                    ..revert.clone()
                }),
                Effect::Restore(part),
            ),
            None => same(Effect::Nothing),
        },
        _ => same(Effect::Nothing),
    }
}

/// One attempt to put the old system back has ended.
fn finish(revert: Revert) -> Step {
    match (&revert.damage, first(&revert, revert.touched)) {
        // The default is the old system again, and what is left still runs.
        (None, _) if revert.by_reboot && revert.touched.system => {
            to(Phase::Reverting(revert), Effect::SeeBootDefault)
        }
        (None, _) | (_, None) => back(revert),
        (Some(_), Some(part)) if revert.attempt < REVERT_ATTEMPTS => to(
            Phase::Reverting(Revert {
                attempt: revert.attempt + 1,
                damage: None,
                ..revert
            }),
            Effect::Restore(part),
        ),
        (Some(_), Some(_)) => to(Phase::Reverting(revert), Effect::SeeBootDefault),
    }
}

/// Why a machine stays where it is that had to be rebooted into the old system.
fn not_by_reboot(revert: &Revert) -> Option<String> {
    let why = match revert.rebooted {
        true => "it was rebooted once, and the same system came up again",
        false => "the boot loader is not seen to start the boot-proven system",
    };
    (revert.by_reboot && revert.touched.system).then(|| why.to_owned())
}

fn give_up(revert: &Revert, reason: Option<String>) -> Step {
    let damage = [revert.damage.clone(), reason]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join("; ");
    to(
        Phase::Stuck {
            cause: revert.cause.clone(),
            touched: revert.touched,
            damage,
            recorded: false,
        },
        Effect::Close,
    )
}

pub(super) fn came_back(phase: &Phase, revert: &Revert, event: Event) -> Step {
    match event {
        // Units that never come up are looked at as they are.
        Event::UnitsUp | Event::Expired { .. } | Event::OperatorReverts => {
            to(phase.clone(), Effect::Look)
        }
        Event::Looked(None) | Event::Found(Boot::Other) => to(
            Phase::Reverted {
                cause: revert.cause.clone(),
            },
            Effect::Close,
        ),
        Event::Looked(damage) => give_up(
            &Revert {
                damage,
                touched: Touched::SYSTEM,
                ..revert.clone()
            },
            None,
        ),
        Event::Found(Boot::New) => revert_what(revert.cause.clone(), Touched::ALL, true),
        Event::Found(_) | Event::FoundGoingBack(_) => to(phase.clone(), Effect::AwaitUnits),
        _ => to(phase.clone(), Effect::Nothing),
    }
}

pub(super) fn ended(phase: &Phase, event: Event) -> Step {
    match event {
        Event::Closed => to(Phase::Idle, Effect::Nothing),
        Event::Found(_)
        | Event::FoundGoingBack(_)
        | Event::Expired { .. }
        | Event::OperatorReverts => to(phase.clone(), Effect::Close),
        _ => to(phase.clone(), Effect::Nothing),
    }
}

pub(super) fn stuck(phase: &Phase, event: Event) -> Step {
    let Phase::Stuck {
        cause,
        touched,
        damage,
        recorded,
    } = phase
    else {
        return to(phase.clone(), Effect::Nothing);
    };
    match event {
        Event::Closed => to(
            Phase::Stuck {
                cause: cause.clone(),
                touched: *touched,
                damage: damage.clone(),
                recorded: true,
            },
            Effect::Nothing,
        ),
        // The candidate may have been booted since.
        Event::OperatorReverts | Event::FoundGoingBack(_) => {
            revert_what(cause.clone(), Touched::ALL, true)
        }
        // A boot into the old system repairs what runs; the rest is put right now.
        Event::Found(Boot::Old) => {
            let touched = Touched {
                system: false,
                ..*touched
            };
            revert_what(cause.clone(), touched, true)
        }
        Event::Found(_) if !recorded => to(phase.clone(), Effect::Close),
        // It ends by itself once nothing is wrong any more.
        Event::Found(Boot::Same) => to(phase.clone(), Effect::Look),
        // What the attempts before did not come to is done now, once.
        Event::Looked(None) => to(
            Phase::Reverting(Revert {
                cause: cause.clone(),
                touched: *touched,
                attempt: REVERT_ATTEMPTS,
                damage: None,
                rebooted: true,
                // It is not a reason for a reboot, whatever becomes of it.
                came_back: true,
                by_reboot: false,
            }),
            Effect::Restore(match touched.persistent {
                true => Restore::Profile,
                false => Restore::Units,
            }),
        ),
        Event::Looked(Some(damage)) => to(
            Phase::Stuck {
                cause: cause.clone(),
                touched: *touched,
                damage,
                recorded: *recorded,
            },
            Effect::Nothing,
        ),
        _ => to(phase.clone(), Effect::Nothing),
    }
}
