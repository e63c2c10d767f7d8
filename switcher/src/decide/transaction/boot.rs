//! The first boot of what was confirmed in place: a trial again, after which it is boot-proven or the
//! boot-proven system comes back by one reboot.
//!
//! Only what is wrong with the booted system itself leads back. Where it could not prove itself because
//! of others, it stays, not boot-proven; a later pass or boot tries again.

use super::back::{refuse, revert_by_reboot};
use super::{BOOT_TRIAL_ATTEMPTS, BOOTS_TRIED, Boot, Effect, Event, Step, to};
use crate::decide::phase::{Phase, Touched};
use crate::protocol::Cause;

pub(super) fn booted(phase: &Phase, boots: u8, late: bool, event: Event) -> Step {
    match event {
        // After a power cut of a whole site its switches come later than its hosts.
        Event::UnitsUp => to(phase.clone(), Effect::AwaitNetwork),
        // Units that never come up are judged as they are.
        Event::NetworkAwaited | Event::Expired { .. } => to(
            Phase::BootTrial {
                attempt: 1,
                boots,
                late,
            },
            Effect::VerifyBoot,
        ),
        Event::Found(Boot::Same) => to(phase.clone(), Effect::AwaitUnits),
        event => either(phase, boots, late, event),
    }
}

pub(super) fn boot_trial(phase: &Phase, attempt: u8, boots: u8, late: bool, event: Event) -> Step {
    match event {
        Event::Verified(evidence) => to(Phase::BootProven { evidence }, Effect::Close),
        Event::NotVerified(cause) => failed(cause, late),
        Event::BootInconclusive(cause) => refuse(cause),
        Event::Expired { alive: true, limit } => {
            failed(Cause::NotConfirmed { seconds: limit }, late)
        }
        Event::Expired { alive: false, .. } | Event::Found(Boot::Same)
            if attempt < BOOT_TRIAL_ATTEMPTS =>
        {
            to(
                Phase::BootTrial {
                    attempt: attempt + 1,
                    boots,
                    late,
                },
                Effect::VerifyBoot,
            )
        }
        Event::Expired { alive: false, .. } | Event::Found(Boot::Same) => {
            failed(Cause::SwitcherDied, late)
        }
        event => either(phase, boots, late, event),
    }
}

/// What is the same before and after the units are up.
fn either(phase: &Phase, boots: u8, late: bool, event: Event) -> Step {
    let again = |boots| to(Phase::Booted { boots, late: false }, Effect::AwaitUnits);
    match event {
        // Long after a boot a crash says nothing about it.
        Event::Found(Boot::New) if late => again(1),
        Event::Found(Boot::New) if boots < BOOTS_TRIED => again(boots + 1),
        Event::Found(Boot::New) => failed(Cause::Crashed, late),
        // Somebody picked another system in the boot menu: leave it alone.
        Event::Found(Boot::Old | Boot::Other) => refuse(Cause::Crashed),
        Event::FoundGoingBack(Boot::Same | Boot::New) => {
            revert_by_reboot(Cause::SwitcherDied, Touched::ALL)
        }
        Event::FoundGoingBack(Boot::Old | Boot::Other) => {
            revert_by_reboot(Cause::SwitcherDied, Touched::PERSISTENT)
        }
        Event::OperatorReverts => revert_by_reboot(Cause::Operator, Touched::ALL),
        Event::WatchdogFailed(reason) => refuse(Cause::NotReady { reason }),
        _ => to(phase.clone(), Effect::Nothing),
    }
}

fn failed(cause: Cause, late: bool) -> Step {
    if late {
        refuse(cause)
    } else {
        revert_by_reboot(cause, Touched::ALL)
    }
}
