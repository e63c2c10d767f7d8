//! The effects of a trial at boot.

use std::time::Duration;

use crate::decide::transaction::Event;
use crate::error_chain::chain;
use crate::machine::network::Connection;
use crate::machine::system::{System, TrialEnd};
use crate::protocol::{Cause, CheckOutcome, CheckResult, Evidence, NETWORK};
use crate::run::Switcher;
use crate::state::disk::Disk;
use crate::state::journal::Deployment;
use crate::state::roots::{self, Root};

/// A carrier comes without being asked for.
const CARRIER_PAUSE: Duration = Duration::from_secs(1);
/// The check that this system reaches the repository.
const REPOSITORY: &str = "repository";
/// Findings that no network changes: the generation's own units and configuration.
const OWN: [&str; 3] = ["timer", "place", "configuration"];

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

    /// An interface without a carrier is waited for: a switch may still be starting. What else is missing is
    /// for the trial to tell.
    pub(super) fn await_network(&mut self, open: &Deployment) -> Event {
        let end = self.system.boottime() + open.request.policy.carrier_seconds;
        let mut said = None;
        loop {
            match self.connection(open) {
                Some(dark @ Connection::NoCarrier(_)) if self.system.boottime() < end => {
                    if said.as_ref() != Some(&dark) {
                        let left = end - self.system.boottime();
                        self.system
                            .say(&format!("{dark}, waiting {left} s at most"));
                        said = Some(dark);
                    }
                    self.system.pause(CARRIER_PAUSE);
                }
                _ => return Event::NetworkAwaited,
            }
        }
    }

    /// What there is of the ways that this system had; nothing where that cannot be determined.
    fn connection(&self, open: &Deployment) -> Option<Connection> {
        match self.system.paths(&open.ways.to) {
            Ok(paths) => Some(paths.connection(&open.ways)),
            Err(error) => {
                self.system.say(&chain(&error));
                None
            }
        }
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
            TrialEnd::NotVerified(cause, evidence) => {
                let connection = self.connection(open).unwrap_or(Connection::Open);
                (judge(cause, evidence.as_ref(), &connection), evidence)
            }
        };
        if let Some(open) = self.record.deployment.as_mut() {
            open.evidence = evidence;
        }
        event
    }
}

/// Evidence that is inconclusive is of an outage elsewhere, and somebody else who switches tells
/// nothing. No evidence at all is this boot's own failure.
///
/// Without a network nothing can be determined either, but the system may be at fault: it goes back, and that is
/// not held against it. An interface that is missing is its own failure.
fn judge(cause: Cause, evidence: Option<&Evidence>, connection: &Connection) -> Event {
    let could_not_tell = evidence.is_some_and(|found| found.verdict == CheckOutcome::Unknown);
    let found_wrong = |found: &Evidence| {
        let counts = found.checks.iter().filter(|one| one.disregarded.is_none());
        let mut failed = counts.filter(|one| one.outcome == CheckOutcome::Fail);
        failed.any(|one| OWN.contains(&one.check.as_str()))
    };
    let reaches = |found: &Evidence| {
        let mut checks = found.checks.iter();
        checks.any(|one| one.check == REPOSITORY && one.outcome == CheckOutcome::Pass)
    };
    let network = |outcome| CheckResult::new(NETWORK, outcome, connection.to_string());
    match connection {
        _ if matches!(cause, Cause::Operator | Cause::NoVerification) => Event::NotVerified(cause),
        _ if cause == Cause::Busy => Event::BootInconclusive(cause),
        Connection::Missing(_) if evidence.is_some() => {
            let mut checks = vec![network(CheckOutcome::Fail)];
            if let Cause::VerificationFailed { checks: found } = cause {
                checks.extend(found);
            }
            Event::NotVerified(Cause::VerificationFailed { checks })
        }
        // Others may be out of reach because of an outage elsewhere; one who reaches the repository has a network.
        Connection::NoRoute(_) if could_not_tell => Event::BootInconclusive(cause),
        Connection::NoCarrier(_) | Connection::NoRoute(_)
            if evidence.is_some_and(|found| !found_wrong(found) && !reaches(found)) =>
        {
            let checks = vec![network(CheckOutcome::Unknown)];
            Event::NotVerified(Cause::VerificationInconclusive { checks })
        }
        _ if could_not_tell => Event::BootInconclusive(cause),
        _ => Event::NotVerified(cause),
    }
}

#[cfg(test)]
mod tests;
