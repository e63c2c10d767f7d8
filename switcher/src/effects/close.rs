//! Bookkeeping: what became of a deployment.

use crate::disk::Disk;
use crate::history;
use crate::journal::Deployment;
use crate::nixos::chain;
use crate::phase::Phase;
use crate::protocol::{Ending, Outcome, SystemRef};
use crate::roots;
use crate::run::Switcher;
use crate::system::System;
use crate::transaction::Event;

impl<D: Disk, S: System> Switcher<'_, D, S> {
    pub(super) fn close(&mut self, open: &Deployment) -> Event {
        let (ending, cause) = match &self.record.phase {
            Phase::Confirmed { .. } => (Ending::Confirmed, None),
            Phase::Reverted { cause } => (Ending::Reverted, Some(cause.clone())),
            Phase::Refused { cause } => (Ending::Refused, Some(cause.clone())),
            Phase::Stuck { cause, .. } => (Ending::Stuck, Some(cause.clone())),
            _ => return Event::StateNotWritten("the deployment has not ended".to_owned()),
        };
        let confirmed = ending == Ending::Confirmed;
        let evidence = match &self.record.phase {
            Phase::Confirmed { evidence } => Some(evidence.clone()),
            _ => open.evidence.clone(),
        };
        let outcome = Outcome {
            version: self.format(),
            sequence: self.record.outcomes + 1,
            deployment: open.request.deployment.clone(),
            commit: open.request.commit.clone(),
            old: open.old.clone(),
            new: SystemRef {
                toplevel: open.request.candidate.clone(),
                generation: open.plan.filter(|_| confirmed).map(|plan| plan.number),
            },
            ending,
            cause,
            evidence,
            started: open.started,
            ended: self.system.wallclock(),
            left_alone: self.others(open).filter(|_| ending == Ending::Reverted),
        };
        if let Err(error) = history::write(self.disk, self.layout, &outcome) {
            let reason = chain(&error);
            self.trouble = Some(reason.clone());
            return Event::StateNotWritten(reason);
        }
        self.record.outcomes = outcome.sequence;
        // A system that could not be brought to work is not to lose its files as well.
        if ending != Ending::Stuck
            && let Err(error) = roots::drop_open(self.disk, self.layout)
        {
            self.system.say(&chain(&error));
        }
        let _ = self.system.hold_switching(false);
        Event::Closed
    }
}
