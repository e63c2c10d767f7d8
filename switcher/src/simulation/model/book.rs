//! Phases, events and decisions as numbers, so that a state is small and a decision is looked up.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

use crate::decide::phase::{Phase, PhaseName};
use crate::decide::transaction::{Boot, Effect, Event, Restore, Step};
use crate::protocol::{BootId, Cause, CheckOutcome, Evidence, Toplevel, newest_version};
use crate::simulation::kinds::kind;

/// A phase, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct PhaseId(u16);

/// A decision function; `step`, or `step` with one decision changed.
pub type Decide<'a> = &'a dyn Fn(&Phase, Event) -> Step;

/// An event without the words that it carries: they decide nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Happening {
    Requested,
    StageDone,
    StageFailed,
    WatchdogSeen,
    WatchdogFailed,
    StateNotWritten,
    Activated,
    ActivationFailed,
    ActivationBusy,
    Verified,
    NotVerified,
    ProfileSet,
    BootInstalled,
    CommitChecked,
    CommitFailed,
    Restored(Restore, bool),
    BootDefault(bool),
    Rebooting,
    RebootFailed,
    Closed,
    Expired { alive: bool },
    Found(Boot),
    FoundGoingBack(Boot),
    OperatorReverts,
    BootedUnproven { late: bool },
    UnitsAwaited,
    UnitsUp,
    NetworkAwaited,
    Looked(bool),
    BootInconclusive,
}

/// One phase, with what is asked of it often.
#[derive(Debug, Clone)]
struct Known {
    phase: Phase,
    name: PhaseName,
    watch: Option<PhaseName>,
    back: bool,
}

/// Remembers each phase and decision that came up.
pub(super) struct Book<'a> {
    decide: Decide<'a>,
    evidence: Evidence,
    phases: RefCell<Vec<Known>>,
    numbers: RefCell<HashMap<String, PhaseId>>,
    decisions: RefCell<HashMap<(PhaseId, Happening), (PhaseId, Effect)>>,
    pairs: RefCell<BTreeSet<(PhaseName, &'static str)>>,
}

impl<'a> Book<'a> {
    pub(super) fn new(decide: Decide<'a>) -> Option<Self> {
        Some(Self {
            decide,
            evidence: evidence()?,
            phases: RefCell::default(),
            numbers: RefCell::default(),
            decisions: RefCell::default(),
            pairs: RefCell::default(),
        })
    }

    pub(super) fn number(&self, phase: Phase) -> PhaseId {
        let mut phases = self.phases.borrow_mut();
        let next = PhaseId(u16::try_from(phases.len()).unwrap_or(u16::MAX));
        *self
            .numbers
            .borrow_mut()
            .entry(format!("{phase:?}"))
            .or_insert_with(|| {
                phases.push(Known {
                    name: phase.name(),
                    watch: phase.watch(),
                    back: phase.is_way_back(),
                    phase,
                });
                next
            })
    }

    fn with<T>(&self, id: PhaseId, look: impl FnOnce(&Known) -> T) -> T {
        // Numbers are given out by `number` only.
        look(&self.phases.borrow()[usize::from(id.0)])
    }

    pub(super) fn phase(&self, id: PhaseId) -> Phase {
        self.with(id, |known| known.phase.clone())
    }

    pub(super) fn name(&self, id: PhaseId) -> PhaseName {
        self.with(id, |known| known.name)
    }

    pub(super) fn watch(&self, id: PhaseId) -> Option<PhaseName> {
        self.with(id, |known| known.watch)
    }

    pub(super) fn is_way_back(&self, id: PhaseId) -> bool {
        self.with(id, |known| known.back)
    }

    /// What follows from an event.
    pub(super) fn step(&self, phase: PhaseId, happening: Happening) -> (PhaseId, Effect) {
        let key = (phase, happening);
        if let Some(decision) = self.decisions.borrow().get(&key) {
            return *decision;
        }
        let before = self.phase(phase);
        let event = self.event(happening);
        self.pairs
            .borrow_mut()
            .insert((before.name(), kind(&event)));
        let step = (self.decide)(&before, event);
        let decision = (self.number(step.phase), step.effect);
        self.decisions.borrow_mut().insert(key, decision);
        decision
    }

    #[cfg(test)]
    pub(super) fn evidence(&self) -> Evidence {
        self.evidence.clone()
    }

    /// The pairs of phase and event that came up.
    pub(super) fn pairs(&self) -> BTreeSet<(PhaseName, &'static str)> {
        self.pairs.borrow().clone()
    }

    fn event(&self, happening: Happening) -> Event {
        let why = || "why".to_owned();
        let cause = || Cause::Operator;
        match happening {
            Happening::Requested => Event::Requested,
            Happening::StageDone => Event::StageDone,
            Happening::StageFailed => Event::StageFailed(cause()),
            Happening::WatchdogSeen => Event::WatchdogSeen,
            Happening::WatchdogFailed => Event::WatchdogFailed(why()),
            Happening::StateNotWritten => Event::StateNotWritten(why()),
            Happening::Activated => Event::Activated,
            Happening::ActivationFailed => Event::ActivationFailed(cause()),
            Happening::ActivationBusy => Event::ActivationBusy,
            Happening::Verified => Event::Verified(self.evidence.clone()),
            Happening::NotVerified => Event::NotVerified(cause()),
            Happening::ProfileSet => Event::ProfileSet,
            Happening::BootInstalled => Event::BootInstalled,
            Happening::CommitChecked => Event::CommitChecked,
            Happening::CommitFailed => Event::CommitFailed(why()),
            Happening::Restored(part, well) => Event::Restored(part, (!well).then(why)),
            Happening::BootDefault(old) => Event::BootDefault { old },
            Happening::Rebooting => Event::Rebooting,
            Happening::RebootFailed => Event::RebootFailed(why()),
            Happening::Closed => Event::Closed,
            Happening::Expired { alive } => Event::Expired { alive, limit: 9 },
            Happening::Found(boot) => Event::Found(boot),
            Happening::FoundGoingBack(boot) => Event::FoundGoingBack(boot),
            Happening::OperatorReverts => Event::OperatorReverts,
            Happening::BootedUnproven { late } => Event::BootedUnproven { late },
            Happening::UnitsAwaited => Event::UnitsAwaited,
            Happening::UnitsUp => Event::UnitsUp,
            Happening::NetworkAwaited => Event::NetworkAwaited,
            Happening::Looked(well) => Event::Looked((!well).then(why)),
            Happening::BootInconclusive => Event::BootInconclusive(cause()),
        }
    }
}

/// The evidence of a trial that went well.
fn evidence() -> Option<Evidence> {
    let path = PathBuf::from("/nix/store/0123456789abcdfghijklmnpqrsvwxyz-new");
    Some(Evidence {
        version: newest_version(),
        deployment: "d-1".parse().ok()?,
        boot: BootId("boot-1".to_owned()),
        toplevel: Toplevel::try_from(path).ok()?,
        verdict: CheckOutcome::Pass,
        checks: Vec::new(),
    })
}
