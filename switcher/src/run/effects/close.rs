//! Bookkeeping: what became of a deployment.

use crate::decide::phase::Phase;
use crate::decide::transaction::Event;
use crate::error_chain::chain;
use crate::machine::system::System;
use crate::protocol::{Cause, Ending, Outcome, SystemRef};
use crate::run::Switcher;
use crate::state::boot_proven;
use crate::state::disk::Disk;
use crate::state::history;
use crate::state::journal::{Deployment, ToldNothing, Unproven};
use crate::state::network::Ways;
use crate::state::roots;

impl<D: Disk, S: System> Switcher<'_, D, S> {
    pub(super) fn close(&mut self, open: &Deployment) -> Event {
        let (ending, cause) = match &self.record.phase {
            Phase::Confirmed { .. } | Phase::BootProven { .. } => (Ending::Confirmed, None),
            Phase::Reverted { cause } => (Ending::Reverted, Some(cause.clone())),
            Phase::Refused { cause } => (Ending::Refused, Some(cause.clone())),
            Phase::Stuck { cause, .. } => (Ending::Stuck, Some(cause.clone())),
            _ => return Event::StateNotWritten("the deployment has not ended".to_owned()),
        };
        if open.boot_trial && ending == Ending::Refused {
            return self.stays_unproven(cause);
        }
        let confirmed = ending == Ending::Confirmed;
        if confirmed
            && open.boot_trial
            && let Err(error) = boot_proven::keep(self.disk, self.layout, &open.request.candidate)
        {
            let reason = chain(&error);
            self.trouble = Some(reason.clone());
            return Event::StateNotWritten(reason);
        }
        let evidence = match &self.record.phase {
            Phase::Confirmed { evidence } | Phase::BootProven { evidence } => {
                Some(evidence.clone())
            }
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
            boot_trial: open.boot_trial,
            not_running: open.not_running.clone(),
        };
        if let Err(error) = history::write(self.disk, self.layout, &outcome) {
            let reason = chain(&error);
            self.trouble = Some(reason.clone());
            return Event::StateNotWritten(reason);
        }
        self.record.outcomes = outcome.sequence;
        match (open.boot_trial, ending) {
            (false, Ending::Confirmed) => self.record.unproven = self.unproven(open),
            (true, Ending::Confirmed | Ending::Reverted) => self.record.unproven = None,
            _ => {}
        }
        // A system that could not be brought to work is not to lose its files as well.
        if ending != Ending::Stuck
            && let Err(error) = roots::drop_open(self.disk, self.layout)
        {
            self.system.say(&chain(&error));
        }
        let _ = self.system.hold_switching(false);
        Event::Closed
    }

    /// What was confirmed in place and is still to prove that it boots.
    fn unproven(&self, open: &Deployment) -> Option<Unproven> {
        let candidate = &open.request.candidate;
        if boot_proven::named(self.disk, self.layout).as_ref() == Some(candidate) {
            return None;
        }
        let mut failed_before = open.failed_before.clone();
        // An activation forgets which units are failed (`reset-failed`); the next boot may find them so.
        if let Some(before) = &self.record.unproven
            && before.confirmed_in == open.boot
        {
            failed_before.extend(before.failed_before.iter().cloned());
            failed_before.sort();
            failed_before.dedup();
        }
        Some(Unproven {
            request: open.request.clone(),
            plan: open.plan,
            confirmed_in: open.boot.clone(),
            failed_before,
            told_nothing: None,
            ways: self.ways_now(open),
        })
    }

    /// What a first boot is to have too. A host where it cannot be determined is judged without it.
    fn ways_now(&self, open: &Deployment) -> Ways {
        let to = open.ways_needed();
        match self.system.paths(to) {
            Ok(paths) => paths.to_be_missed(),
            Err(error) => {
                self.system.say(&chain(&error));
                Ways::default()
            }
        }
    }

    /// A trial at boot that was inconclusive is not news; why is remembered.
    fn stays_unproven(&mut self, cause: Option<Cause>) -> Event {
        let boot = self
            .record
            .deployment
            .as_ref()
            .map(|open| open.seen_boot.clone());
        if let Some(unproven) = self.record.unproven.as_mut() {
            let before = unproven.told_nothing.take();
            let trials = before
                .filter(|before| Some(&before.boot) == boot.as_ref())
                .map_or(0, |before| before.trials);
            unproven.told_nothing = boot.zip(cause).map(|(boot, cause)| ToldNothing {
                boot,
                cause,
                trials: trials + 1,
            });
        }
        if let Err(error) = roots::drop_open(self.disk, self.layout) {
            self.system.say(&chain(&error));
        }
        let _ = self.system.hold_switching(false);
        Event::Closed
    }
}
