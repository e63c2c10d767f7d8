//! The phases and the kinds of events: what tables and coverage count.

use crate::decide::phase::PhaseName;
use crate::decide::transaction::{Boot, Event, Restore};

/// Makes the list and the function from the same lines, so that neither can lack a kind; and the
/// function does not compile while an event has none.
macro_rules! kinds {
    ($($pattern:pat => $name:literal,)*) => {
        /// All kinds of events.
        pub const KINDS: &[&str] = &[$($name),*];

        /// The kind of an event.
        pub fn kind(event: &Event) -> &'static str {
            match event {
                $($pattern => $name,)*
            }
        }
    };
}

kinds! {
    Event::Requested => "requested",
    Event::StageDone => "stage done",
    Event::StageFailed(_) => "stage failed",
    Event::WatchdogSeen => "watchdog seen",
    Event::WatchdogFailed(_) => "watchdog failed",
    Event::StateNotWritten(_) => "state not written",
    Event::Activated => "activated",
    Event::ActivationFailed(_) => "activation failed",
    Event::ActivationBusy => "activation busy",
    Event::Verified(_) => "verified",
    Event::NotVerified(_) => "not verified",
    Event::ProfileSet => "profile set",
    Event::BootInstalled => "boot installed",
    Event::CommitChecked => "commit checked",
    Event::CommitFailed(_) => "commit failed",
    Event::Restored(Restore::System, None) => "system back",
    Event::Restored(Restore::System, Some(_)) => "system not back",
    Event::Restored(Restore::Profile, None) => "profile back",
    Event::Restored(Restore::Profile, Some(_)) => "profile not back",
    Event::Restored(Restore::Boot, None) => "boot back",
    Event::Restored(Restore::Boot, Some(_)) => "boot not back",
    Event::Restored(Restore::Units, None) => "units back",
    Event::Restored(Restore::Units, Some(_)) => "units not back",
    Event::BootDefault { old: true } => "old is default",
    Event::BootDefault { old: false } => "old is not default",
    Event::Rebooting => "rebooting",
    Event::RebootFailed(_) => "reboot failed",
    Event::Closed => "closed",
    Event::Expired { alive: false, .. } => "expired, dead",
    Event::Expired { alive: true, .. } => "expired, alive",
    Event::Found(Boot::Same) => "found in the same boot",
    Event::Found(Boot::Old) => "found, booted old",
    Event::Found(Boot::New) => "found, booted new",
    Event::Found(Boot::Other) => "found, booted other",
    Event::FoundGoingBack(_) => "found going back",
    Event::OperatorReverts => "operator reverts",
    Event::BootedUnproven { .. } => "booted unproven",
    Event::UnitsAwaited => "units awaited",
    Event::UnitsUp => "units up",
    Event::NetworkAwaited => "network awaited",
    Event::Looked(None) => "nothing is wrong",
    Event::Looked(Some(_)) => "something is wrong",
    Event::BootInconclusive(_) => "boot inconclusive",
}

/// All phases, in their order.
pub const PHASES: &[PhaseName] = &[
    PhaseName::Idle,
    PhaseName::Staged,
    PhaseName::Armed,
    PhaseName::Activating,
    PhaseName::OnTrial,
    PhaseName::Committing,
    PhaseName::Confirmed,
    PhaseName::Booted,
    PhaseName::BootTrial,
    PhaseName::BootProven,
    PhaseName::Reverting,
    PhaseName::CameBack,
    PhaseName::Reverted,
    PhaseName::Refused,
    PhaseName::Stuck,
];
