//! The abstract machine, small enough to be the key of a table.

use super::book::PhaseId;
use crate::decide::phase::PhaseName;
use crate::decide::transaction::Effect;

/// How much may go wrong in one deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Power cuts, switchers that are killed, switchers that hang until their watchdog fires.
    pub crashes: u8,
    /// Writes, watchdogs and parts of the rollback that fail.
    pub faults: u8,
    /// Times that an operator steps in.
    pub operators: u8,
    /// Reboots in order, once nothing is open.
    pub restarts: u8,
    /// What an order to PID 1 reaches that stops units.
    pub reach: Reach,
}

/// How far the candidate reaches that has PID 1 stop units, by a pattern or by isolating a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reach {
    /// The switcher and its first watchdog: the second has another name, and outlives isolation.
    FirstWatchdog,
    /// Both watchdogs, as it would be without that.
    AllWatchdogs,
}

impl Bounds {
    /// What every test run explores, in seconds.
    pub const QUICK: Self = Self {
        crashes: 3,
        faults: 1,
        operators: 1,
        restarts: 1,
        reach: Reach::FirstWatchdog,
    };
    /// The same with two faults, in a minute.
    pub const FULL: Self = Self {
        faults: 2,
        ..Self::QUICK
    };
}

/// A system.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Sys {
    Old,
    New,
    /// An activation was cut off.
    Mixed,
    /// Somebody's rescue.
    Other,
}

/// Something on a disk: what is seen, and what a power cut may leave instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Kept {
    pub seen: Sys,
    pub durable: Sys,
}

impl Kept {
    pub(super) fn at(sys: Sys) -> Self {
        Self {
            seen: sys,
            durable: sys,
        }
    }

    pub(super) fn set(self, sys: Sys) -> Self {
        Self { seen: sys, ..self }
    }

    pub(super) fn synced(self) -> Self {
        Self::at(self.seen)
    }
}

/// A set of watchdogs, by the phase that each was armed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(super) struct Timers(u16);

impl Timers {
    pub(super) fn with(self, phase: PhaseName) -> Self {
        Self(self.0 | (1 << phase as u16))
    }

    pub(super) fn without(self, phase: PhaseName) -> Self {
        Self(self.0 & !(1 << phase as u16))
    }

    pub(super) fn has(self, phase: PhaseName) -> bool {
        self.0 & (1 << phase as u16) != 0
    }

    /// Whether one of them still has a say in this phase.
    pub(super) fn watch(self, phase: PhaseName) -> bool {
        WATCHED
            .into_iter()
            .any(|timer| self.has(timer) && phase.is_watched_by(timer))
    }
}

/// The phases that have a watchdog of their own.
pub(super) const WATCHED: [PhaseName; 8] = [
    PhaseName::Staged,
    PhaseName::Activating,
    PhaseName::OnTrial,
    PhaseName::Committing,
    PhaseName::Booted,
    PhaseName::BootTrial,
    PhaseName::Reverting,
    PhaseName::CameBack,
];

/// What a record of the journal says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Record {
    pub phase: PhaseId,
    pub watch: Option<PhaseName>,
    /// The last boot in which somebody worked on it.
    pub seen: u8,
}

/// Where a switcher is in carrying out a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum At {
    Arm,
    Write,
    Disarm,
    Effect,
    /// An effect that takes its time has begun.
    Half,
}

/// A process that holds the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Process {
    /// What is so for it, durable or not.
    pub record: Record,
    /// What it knows to be durable.
    pub written: Record,
    pub doubtful: bool,
    pub trouble: bool,
    pub next: Record,
    pub effect: Effect,
    pub armed: bool,
    pub at: At,
    /// The unit that it runs in, which starts it again when it is killed.
    pub unit: Unit,
}

/// Whose process it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Unit {
    /// The deployment's own; it is not started again.
    Switch,
    /// A watchdog's.
    Watchdog(PhaseName),
    /// The recovery's at boot.
    Recover,
    /// The one that waits for the units of a boot.
    BootTrial,
    /// An operator's.
    Operator,
}

/// How the deployment ended, by its history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Ended {
    Not,
    Confirmed,
    Reverted,
    Refused,
    Stuck,
}

/// Everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct World {
    /// The newest record that a power cut leaves.
    pub journal: Record,
    pub profile: Kept,
    pub loader: Kept,
    pub running: Sys,
    pub booted: Sys,
    pub boot: u8,
    pub timers: Timers,
    pub process: Option<Process>,
    /// The recovery's unit is still to run, or to run again.
    pub recover_due: bool,
    /// The machine is about to reboot because the switcher wants it.
    pub going_down: bool,
    pub asked: bool,
    pub crashes: u8,
    pub faults: u8,
    pub operators: u8,
    pub restarts: u8,
    pub reach: Reach,
    /// Boots since the last power cut, and before it was all settled.
    pub boots: u8,
    pub reboots: u8,
    /// Evidence of this deployment came in.
    pub proved: bool,
    /// A step back was durable, or was begun.
    pub went_back: bool,
    /// It is noted in this boot that the rollback has begun.
    pub marked: bool,
    /// A watchdog for the rollback could not be armed: nobody but the next boot is left.
    pub unwatched: bool,
    pub ended: Ended,
    /// The recovery looks whether a trial at boot is due.
    pub trial_due: bool,
    /// What is open, or was last, is the trial at the first boot.
    pub trial: bool,
    /// Somebody waits for the units of this boot to be up.
    pub awaits: bool,
    /// It was confirmed in place, and waits for its first boot.
    pub unproven: bool,
    /// The trial at this boot was inconclusive.
    pub told_nothing: bool,
    /// Evidence came in after a boot.
    pub proved_at_boot: bool,
    /// It is the boot-proven system.
    pub boot_proven: bool,
}

impl World {
    /// A machine that runs the old system, and is idle.
    pub(super) fn new(idle: PhaseId, bounds: Bounds) -> Self {
        Self {
            journal: Record {
                phase: idle,
                watch: None,
                seen: 1,
            },
            profile: Kept::at(Sys::Old),
            loader: Kept::at(Sys::Old),
            running: Sys::Old,
            booted: Sys::Old,
            boot: 1,
            timers: Timers::default(),
            process: None,
            recover_due: false,
            going_down: false,
            asked: false,
            crashes: bounds.crashes,
            faults: bounds.faults,
            operators: bounds.operators,
            restarts: bounds.restarts,
            reach: bounds.reach,
            boots: 0,
            reboots: 0,
            proved: false,
            went_back: false,
            marked: false,
            unwatched: false,
            ended: Ended::Not,
            trial_due: false,
            trial: false,
            awaits: false,
            unproven: false,
            told_nothing: false,
            proved_at_boot: false,
            boot_proven: false,
        }
    }

    /// After a clean shutdown all that was written is on the disk.
    pub(super) fn synced_all(self) -> Self {
        Self {
            profile: self.profile.synced(),
            loader: self.loader.synced(),
            ..self
        }
    }

    /// The same with nothing left that may go wrong.
    pub(super) fn spent(self) -> Self {
        Self {
            crashes: 0,
            faults: 0,
            operators: 0,
            restarts: 0,
            ..self
        }
    }
}
