//! The effects of a trial at boot.

use crate::disk::Disk;
use crate::journal::Deployment;
use crate::nixos::chain;
use crate::protocol::{Cause, CheckOutcome, Evidence};
use crate::roots::{self, Root};
use crate::run::Switcher;
use crate::system::{System, TrialEnd};
use crate::transaction::Event;

impl<D: Disk, S: System> Switcher<'_, D, S> {
    pub(super) fn await_units(&mut self, open: &Deployment) -> Event {
        self.keep_candidate(open);
        if let Err(error) = self.system.await_units(&open.request.deployment) {
            // The watchdog judges this boot, only later.
            self.system.say(&format!(
                "nobody waits for the units to be up: {}",
                chain(&error)
            ));
        }
        Event::UnitsAwaited
    }

    /// Its generation goes before the boot loader is put back, and that may fail.
    fn keep_candidate(&mut self, open: &Deployment) {
        let candidate = open.request.candidate.path();
        if let Err(error) = roots::keep_at_once(self.disk, self.layout, Root::Candidate, candidate)
        {
            self.system.say(&chain(&error));
        }
    }

    pub(super) fn verify_boot(&mut self, open: &Deployment) -> Event {
        self.keep_candidate(open);
        let (event, evidence) = match self.trial(open) {
            TrialEnd::Verified(evidence) => (Event::Verified(evidence.clone()), Some(evidence)),
            TrialEnd::NotVerified(cause, evidence) => (judge(cause, evidence.as_ref()), evidence),
        };
        if let Some(open) = self.record.deployment.as_mut() {
            open.evidence = evidence;
        }
        event
    }
}

/// Evidence that could not tell is of an outage elsewhere, and somebody else who switches tells
/// nothing. No evidence at all is this boot's own failure.
fn judge(cause: Cause, evidence: Option<&Evidence>) -> Event {
    let could_not_tell = evidence.is_some_and(|found| found.verdict == CheckOutcome::Unknown);
    if (could_not_tell && cause != Cause::Operator) || cause == Cause::Busy {
        Event::BootInconclusive(cause)
    } else {
        Event::NotVerified(cause)
    }
}
