//! Carries decisions out: the watchdog first, then the journal, then the effect, whose result is
//! the next event.

use std::time::Duration;

use thiserror::Error;

use crate::decide::phase::{Phase, PhaseName};
use crate::decide::transaction::{Effect, Event, Step, step};
use crate::error_chain::chain;
use crate::machine::system::{System, SystemError};
use crate::protocol::{BootId, Policy, Request, SystemRef};
use crate::state::disk::Disk;
use crate::state::format;
use crate::state::history;
use crate::state::journal::{BootBefore, Deployment, Journal, JournalError, Record, Watch};
use crate::state::layout::Layout;
use crate::state::network::{Network, Ways};
use crate::state::profile::{Profile, ProfileError};

pub mod boot_trial;
pub(crate) mod effects;
pub mod lost_journal;
pub mod takeover;

/// Inspecting a candidate and syncing its closure may take this long.
const STAGING_SECONDS: u64 = 600;
/// The units of a boot may take this long to come up before they are judged.
const BOOT_SECONDS: u64 = 600;
/// A rollback gets at least this long for each run of `switch-to-configuration`.
const LEAST_SECONDS: u64 = 60;
/// The units of all watchdogs, as `new_watch` names them.
pub(crate) const ALL_WATCHDOGS: &str = "nixus-expire-*";

/// Why the switcher stopped without settling the deployment.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "each field is what its message names")]
pub enum RunError {
    /// The journal is not usable.
    #[error("no activations until this is settled")]
    Journal(#[source] JournalError),
    /// What runs here cannot be found out.
    #[error("cannot find out what runs here")]
    System(#[source] SystemError),
    /// The system profile cannot be read.
    #[error("cannot find out what is persistent here")]
    Profile(#[source] ProfileError),
    /// Another deployment is open.
    #[error("a deployment is open ({phase})")]
    Open { phase: PhaseName },
    /// The deployment stays open, and its watchdog armed.
    #[error("the deployment stays open ({phase}): {reason}")]
    Unsettled { phase: PhaseName, reason: String },
}

/// A switcher that holds the lock.
#[derive(Debug)]
pub struct Switcher<'a, D, S> {
    pub(crate) disk: &'a D,
    pub(crate) layout: &'a Layout,
    pub(crate) system: &'a mut S,
    journal: Journal,
    /// What is so, durable or not: a rollback goes on when the journal cannot be written.
    pub(crate) record: Record,
    /// What could not be settled in this run.
    pub(crate) trouble: Option<String>,
}

impl<'a, D: Disk, S: System> Switcher<'a, D, S> {
    /// Opens the journal. The caller holds the lock.
    ///
    /// # Errors
    /// The journal cannot be read, or is damaged.
    pub fn open(disk: &'a D, layout: &'a Layout, system: &'a mut S) -> Result<Self, RunError> {
        let journal = Journal::open(disk, layout).map_err(RunError::Journal)?;
        let record = journal.record().clone();
        Ok(Self {
            disk,
            layout,
            system,
            journal,
            record,
            trouble: None,
        })
    }

    /// The version of what is written.
    pub(crate) fn format(&self) -> u32 {
        self.journal.format()
    }

    /// What the journal says.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// Activates a candidate and keeps it or goes back. What became of it is in the history.
    ///
    /// # Errors
    /// Another deployment is open, what runs cannot be found out, or the deployment stays open.
    pub fn request(&mut self, request: Request) -> Result<(), RunError> {
        let phase = self.record.phase.name();
        if phase != PhaseName::Idle {
            return Err(RunError::Open { phase });
        }
        let profile = self.profile();
        let old = self.system.current().map_err(RunError::System)?;
        let old = SystemRef {
            generation: profile.number(&old).map_err(RunError::Profile)?,
            toplevel: old,
        };
        let persistent = profile
            .current()
            .map_err(RunError::Profile)?
            .unwrap_or_else(|| old.clone());
        let boot = self.system.boot_id().map_err(RunError::System)?;
        // An outcome may be there that the journal could not count.
        if let Ok(newest) = history::newest(self.disk, self.layout) {
            self.record.outcomes = self.record.outcomes.max(newest);
        }
        let involved = [&request.candidate, &old.toplevel, &persistent.toplevel];
        self.journal
            .write_as(format::to_write(self.layout, involved));
        self.record.deployment = Some(Deployment {
            request,
            old,
            persistent,
            seen_boot: boot.clone(),
            boot,
            started: self.system.wallclock(),
            active_before: Vec::new(),
            failed_before: Vec::new(),
            activation_failed_before: false,
            boot_before: BootBefore::default(),
            network_before: Network::default(),
            plan: None,
            evidence: None,
            watch: None,
            runs: 0,
            takeovers: 0,
            boot_trial: false,
            ways: Ways::default(),
            not_running: Vec::new(),
        });
        self.drive(Event::Requested)
    }

    /// Follows from one event until nothing more follows.
    ///
    /// # Errors
    /// The deployment stays open, because something of it could not be written.
    pub fn drive(&mut self, event: Event) -> Result<(), RunError> {
        let outcomes = self.record.outcomes;
        let mut event = event;
        loop {
            self.system.decided(&self.record.phase, &event);
            let Step { phase, effect } = step(&self.record.phase, event);
            event = match self.enter(phase) {
                Ok(()) if effect == Effect::Nothing => break,
                Ok(()) => crate::machine::fault::around(format_args!("{effect:?}"), || {
                    self.effect(effect)
                }),
                // Bookkeeping that cannot be written is left to the watchdog.
                Err(_) if effect == Effect::Nothing && self.trouble.is_some() => break,
                Err(event) => event,
            };
        }
        if self.record.outcomes > outcomes {
            self.system.ended();
        }
        match (self.record.phase.name(), self.trouble.take()) {
            (_, None) => Ok(()),
            (phase, Some(reason)) => Err(RunError::Unsettled { phase, reason }),
        }
    }

    /// Makes a phase durable, under its own watchdog. The one of the phase before is dropped last.
    /// During a rollback neither watchdog nor journal is waited for.
    fn enter(&mut self, phase: Phase) -> Result<(), Event> {
        let back = phase.is_way_back();
        let mut next = self.record.clone();
        let before = next.deployment.as_ref().and_then(|open| open.watch.clone());
        let mut armed = None;
        if let (Some(name), Some(open)) = (phase.watch(), next.deployment.as_mut())
            && before.as_ref().is_none_or(|watch| watch.phase != name)
        {
            let watch = new_watch(name, open, self.system.boottime());
            match self.system.arm(&open.request.deployment, &watch) {
                Ok(()) => {
                    open.watch = Some(watch.clone());
                    armed = Some(watch);
                }
                Err(error) if back => self.system.say(&format!(
                    "no watchdog for the rollback, going back all the same: {}",
                    chain(&error)
                )),
                Err(error) => return Err(Event::WatchdogFailed(chain(&error))),
            }
        }
        if let (Phase::Committing { .. }, Some(open)) = (&phase, next.deployment.as_mut())
            && open.plan.is_none()
        {
            match self.profile().plan(&open.request.candidate) {
                Ok(plan) => open.plan = Some(plan),
                Err(error) => {
                    if let Some(watch) = armed {
                        self.system.disarm(&watch.unit);
                    }
                    return Err(self.not_entered(chain(&error)));
                }
            }
        }
        next.phase = phase;
        if next.phase == Phase::Idle {
            next.deployment = None;
        }
        if (&next != self.journal.record() || self.journal.is_doubtful())
            && let Err(error) =
                crate::machine::fault::around(format_args!("journal-{}", next.phase.name()), || {
                    self.journal.write(self.disk, &next)
                })
        {
            let reason = chain(&error);
            self.system.say(&reason);
            if !back {
                return Err(self.not_entered(reason));
            }
            // A trial at boot that was inconclusive leads nowhere back.
            if let Some(open) = &next.deployment
                && !(open.boot_trial && next.phase.name() == PhaseName::Refused)
            {
                self.system.mark_going_back(&open.request.deployment);
            }
        }
        let old = self.record.phase.name();
        let closed = self.record.deployment.is_some();
        self.record = next;
        self.system.entered(self.record.phase.name());
        if old != self.record.phase.name() {
            self.announce();
        }
        // What could not be written down is tried again, under the watchdog that there is.
        let settled = !self.journal.is_doubtful();
        if self.record.phase == Phase::Idle && closed && settled {
            // Nothing is open: those of steps that could not be made durable are needed no more.
            self.system.disarm(ALL_WATCHDOGS);
        } else if let Some(watch) = before
            && (armed.is_some()
                || matches!(self.record.phase, Phase::Idle | Phase::Stuck { .. }) && settled)
        {
            self.system.disarm(&watch.unit);
        }
        Ok(())
    }

    /// A step forward that is not durable has not been taken. Its watchdog stays all the same: a
    /// write that reports an error may have reached the disk. A phase that is only bookkeeping stays
    /// as it is, under the watchdog that it has.
    fn not_entered(&mut self, reason: String) -> Event {
        if matches!(
            self.record.phase.name(),
            PhaseName::Idle | PhaseName::Booted | PhaseName::BootTrial | PhaseName::Stuck
        ) || self.record.phase.name().is_bookkeeping()
        {
            self.trouble = Some(reason.clone());
        }
        Event::StateNotWritten(reason)
    }

    /// Somebody else goes on with what the one before left: its timers may be gone or used up.
    ///
    /// # Errors
    /// The deployment stays open, because something of it could not be written.
    pub fn take_over(&mut self, event: Event, boot: BootId) -> Result<(), RunError> {
        let stuck = self.record.phase.name() == PhaseName::Stuck;
        if let Some(open) = self.record.deployment.as_mut() {
            open.takeovers += 1;
            if open.boot_trial {
                // What proves itself is this boot.
                open.boot = boot.clone();
            }
            open.seen_boot = boot;
            // Who says so has seen what is missing, and does without it.
            if stuck && event == Event::OperatorReverts {
                open.network_before = Network::default();
            }
            if let Some(watch) = &open.watch
                && !self.system.is_armed(&watch.unit)
            {
                open.watch = None;
            }
        }
        self.drive(event)
    }

    fn announce(&self) {
        let Some(open) = &self.record.deployment else {
            return;
        };
        let within = open.watch.as_ref().map_or(0, |watch| watch.limit);
        let candidate = &open.request.candidate;
        let line = match &self.record.phase {
            Phase::Idle => return,
            Phase::Staged => format!(
                "deployment {}: inspecting {candidate}",
                open.request.deployment
            ),
            Phase::Armed => format!("watchdog armed, {within} s for the activation"),
            Phase::Activating => format!(
                "activating {candidate}, confirmation due within {} s after it",
                open.request.policy.trial_seconds
            ),
            Phase::OnTrial => format!("on trial, confirmation due within {within} s"),
            Phase::Committing { .. } => match &open.plan {
                Some(plan) => format!(
                    "verified, making it permanent as generation {}",
                    plan.number
                ),
                None => "verified, making it permanent".to_owned(),
            },
            Phase::Confirmed { .. } => format!("confirmed {candidate}"),
            Phase::Booted { .. } => format!(
                "{candidate} is booted for the first time, it has to prove itself once its units are up"
            ),
            Phase::BootTrial { .. } => {
                format!("this boot is on trial, proof due within {within} s")
            }
            Phase::BootProven { .. } => format!("{candidate} is boot-proven"),
            Phase::Reverting(revert) => format!(
                "going back to {} ({}), attempt {}",
                open.old.toplevel, revert.cause, revert.attempt
            ),
            Phase::CameBack(_) => format!(
                "{} was booted, what was damaged is looked at once its units are up",
                open.old.toplevel
            ),
            Phase::Reverted { cause } => format!("{} runs again ({cause})", open.old.toplevel),
            Phase::Refused { cause } if open.boot_trial => {
                format!("{candidate} stays, it is not boot-proven yet ({cause})")
            }
            Phase::Refused { cause } => format!("nothing was changed ({cause})"),
            Phase::Stuck { damage, .. } => format!(
                "stuck: neither the new nor the previous system works ({damage}); no more activations until that is put right, or an operator runs nixus-switcher revert"
            ),
        };
        self.system.say(&line);
    }

    pub(crate) fn profile(&self) -> Profile<'a, D> {
        Profile::new(self.disk, self.layout.profiles())
    }

    /// The time left in this phase.
    pub(crate) fn left(&self, open: &Deployment) -> Duration {
        let deadline = open.watch.as_ref().map_or(0, |watch| watch.deadline);
        Duration::from_secs(deadline.saturating_sub(self.system.boottime()).max(1))
    }
}

/// How long one phase may take in all.
fn limit(phase: PhaseName, policy: &Policy) -> u64 {
    match phase {
        PhaseName::Activating => policy.activation_seconds,
        PhaseName::OnTrial => policy.trial_seconds,
        PhaseName::Committing => policy.commit_seconds,
        PhaseName::Booted => BOOT_SECONDS + policy.carrier_seconds,
        PhaseName::CameBack => BOOT_SECONDS,
        PhaseName::BootTrial => policy.trial_seconds,
        // Two attempts, each with both runs, waiting for units and for locks.
        PhaseName::Reverting => {
            2 * (back_seconds(policy.activation_seconds)
                + back_seconds(policy.commit_seconds)
                + 180)
        }
        _ => STAGING_SECONDS,
    }
}

/// The limit of one run of `switch-to-configuration` during a rollback.
pub(crate) fn back_seconds(forward: u64) -> u64 {
    forward.max(LEAST_SECONDS)
}

fn new_watch(phase: PhaseName, open: &Deployment, now: u64) -> Watch {
    let limit = limit(phase, &open.request.policy);
    let id = &open.request.deployment;
    Watch {
        phase,
        unit: match open.takeovers {
            0 => format!("nixus-expire-{id}-{phase}"),
            // One that crashed may have armed a timer that the journal does not know.
            _ => format!("nixus-expire-{id}-{phase}-{now}"),
        },
        deadline: now + limit,
        limit,
    }
}

#[cfg(test)]
mod tests;
