//! The way back: how a deployment ends that is not kept.

use super::{Boot, Effect, Event, REVERT_ATTEMPTS, Restore, Step, to};
use crate::phase::{Phase, Revert, Touched};
use crate::protocol::Cause;

pub(super) fn refuse(cause: Cause) -> Step {
    to(Phase::Refused { cause }, Effect::Close)
}

pub(super) fn revert(from: &Phase, cause: Cause) -> Step {
    revert_what(cause, from.touched(), false)
}

pub(super) fn revert_what(cause: Cause, touched: Touched, rebooted: bool) -> Step {
    match first(touched) {
        None => to(Phase::Reverted { cause }, Effect::Close),
        Some(restore) => to(
            Phase::Reverting(Revert {
                cause,
                touched,
                attempt: 1,
                damage: None,
                rebooted,
            }),
            Effect::Restore(restore),
        ),
    }
}

/// Where the way back begins.
fn first(touched: Touched) -> Option<Restore> {
    if touched.system {
        Some(Restore::System)
    } else if touched.persistent {
        Some(Restore::Profile)
    } else {
        None
    }
}

/// What comes after one part of the way back.
fn next(done: Restore, touched: Touched) -> Option<Restore> {
    match done {
        Restore::System if touched.persistent => Some(Restore::Profile),
        Restore::System => Some(Restore::Units),
        Restore::Profile => Some(Restore::Boot),
        // A boot into the old system starts its units itself, and may still be doing so.
        Restore::Boot if touched.system => Some(Restore::Units),
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
            match next(part, revert.touched) {
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
        Event::BootDefault { .. } => give_up(revert, None),
        Event::RebootFailed(reason) => give_up(revert, Some(reason)),
        // The watchdog found an attempt that died or hung: one attempt less.
        Event::Expired { .. } | Event::FoundGoingBack(_) => finish(Revert {
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
            match first(touched) {
                None => to(
                    Phase::Reverted {
                        cause: revert.cause.clone(),
                    },
                    Effect::Close,
                ),
                Some(part) => to(
                    Phase::Reverting(Revert {
                        touched,
                        damage: None,
                        ..revert.clone()
                    }),
                    Effect::Restore(part),
                ),
            }
        }
        Event::OperatorReverts => match first(revert.touched) {
            Some(part) => same(Effect::Restore(part)),
            None => same(Effect::Nothing),
        },
        _ => same(Effect::Nothing),
    }
}

/// One attempt to put the old system back has ended.
fn finish(revert: Revert) -> Step {
    match (&revert.damage, first(revert.touched)) {
        (None, _) | (_, None) => to(
            Phase::Reverted {
                cause: revert.cause,
            },
            Effect::Close,
        ),
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
        _ => to(phase.clone(), Effect::Nothing),
    }
}
