//! Each effect of a deployment, and the event that its result is.

use std::path::Path;
use std::time::Duration;

use crate::decide::transaction::{Effect, Event};
use crate::error_chain::chain;
use crate::machine::activation::said::Said;
use crate::machine::activation::{self, Facts, UNITS_FAILED, Verdict};
use crate::machine::system::{Action, BUSY, PinKind, Switch, SwitchEnd, System, TrialEnd};
use crate::protocol::{Cause, Toplevel};
use crate::run::Switcher;
use crate::state::boot_proven;
use crate::state::disk::Disk;
use crate::state::journal::Deployment;
use crate::state::roots::{self, Root};

mod back;
mod boot;
mod close;
mod default;
mod others;

/// The new system cannot take over from the one that runs.
const REBOOT_NEEDED: i32 = 100;
/// The exit code that stands for SIGKILL.
const KILLED: i32 = 137;
/// The longest that the checks of a candidate may take.
const CHECKS: Duration = Duration::from_secs(120);
/// How many lines of what its checks said are kept.
const WORDS: usize = 5;
/// Why an activation gave up twice that says nothing of the system itself.
const SESSIONS: &str = "users' sessions were in its way, twice";
/// How long to wait for somebody else's `switch-to-configuration` before trying again.
const BUSY_PAUSE: Duration = Duration::from_secs(1);

impl<D: Disk, S: System> Switcher<'_, D, S> {
    /// Carries one effect out.
    pub(crate) fn effect(&mut self, effect: Effect) -> Event {
        let Some(open) = self.record.deployment.clone() else {
            return Event::StateNotWritten("the journal names no deployment".to_owned());
        };
        match effect {
            // The loop ends before this.
            Effect::Nothing => Event::Closed,
            Effect::Stage => match self.stage(&open) {
                Ok(()) => Event::StageDone,
                Err(cause) => Event::StageFailed(cause),
            },
            Effect::SeeWatchdog => match &open.watch {
                Some(watch) if self.system.is_armed(&watch.unit) => self.see_fit(&open),
                _ => Event::WatchdogFailed("the watchdog is not armed".to_owned()),
            },
            Effect::Activate => self.activate(&open),
            Effect::Verify => self.verify(&open),
            Effect::SetProfile => match open.plan {
                None => Event::CommitFailed("no generation was planned".to_owned()),
                Some(plan) => match self.profile().set(plan, &open.request.candidate) {
                    Ok(()) => Event::ProfileSet,
                    Err(error) => Event::CommitFailed(chain(&error)),
                },
            },
            Effect::InstallBoot => {
                let limit = self.left(&open);
                match self.run(&open.request.candidate, Action::Boot, false, limit) {
                    SwitchEnd::Exited(0) => Event::BootInstalled,
                    end => Event::CommitFailed(format!(
                        "switch-to-configuration boot {}",
                        how(&end, limit)
                    )),
                }
            }
            Effect::CheckCommit => match self.check_commit(&open) {
                Ok(()) => Event::CommitChecked,
                Err(reason) => Event::CommitFailed(reason),
            },
            Effect::Restore(part) => {
                let damage = self.restore(part, &open).err();
                if let Some(damage) = &damage {
                    self.system.say(&format!("not put back: {damage}"));
                }
                Event::Restored(part, damage)
            }
            Effect::SeeBootDefault => Event::BootDefault {
                old: self.starts_old(&open),
            },
            Effect::Reboot => {
                self.system.say("rebooting into the old system");
                match self.system.reboot() {
                    Ok(()) => Event::Rebooting,
                    Err(error) => Event::RebootFailed(chain(&error)),
                }
            }
            Effect::Close => self.close(&open),
            Effect::AwaitUnits => self.await_units(&open),
            Effect::AwaitNetwork => self.await_network(&open),
            Effect::Look => Event::Looked(self.look(&open).err()),
            Effect::VerifyBoot => self.verify_boot(&open),
        }
    }

    fn stage(&mut self, open: &Deployment) -> Result<(), Cause> {
        let not_ready = |reason: String| Cause::NotReady { reason };
        let candidate = &open.request.candidate;
        if let Some(cause) = self.system.refusal(candidate, &open.old.toplevel) {
            return Err(cause);
        }
        if !self.waits_out_others() || self.is_changed(open) {
            return Err(Cause::Busy);
        }
        let keep = |root, path: &Path| roots::keep(self.disk, self.layout, root, path);
        // The watchdog is armed already, and runs this program.
        self.system
            .own_path()
            .map_or(Ok(()), |path| keep(Root::Switcher, &path))
            .and_then(|()| keep(Root::Candidate, candidate.path()))
            .and_then(|()| keep(Root::Old, open.old.toplevel.path()))
            .and_then(|()| keep(Root::Persistent, open.persistent.toplevel.path()))
            .and_then(|()| match self.boot_proven(open) {
                Some(system) => boot_proven::keep(self.disk, self.layout, &system),
                None => Ok(()),
            })
            .map_err(|error| not_ready(chain(&error)))?;
        self.system
            .sync()
            .map_err(|error| not_ready(chain(&error)))?;
        let units = self
            .system
            .units()
            .map_err(|error| not_ready(chain(&error)))?;
        let network = self
            .system
            .network(&open.old.toplevel, open.ways_needed())
            .map_err(|error| not_ready(chain(&error)))?;
        let activation_failed = self.system.activation_failed(&open.old.toplevel);
        let boot_before = default::before(&self.system.boot_default());
        if let Some(open) = self.record.deployment.as_mut() {
            open.activation_failed_before = activation_failed;
            open.boot_before = boot_before;
            open.active_before = units.active;
            open.failed_before = units.failed;
            open.network_before = network;
        }
        Ok(())
    }

    /// The last system that proved that it boots. One that was booted and that a deployment starts
    /// from has done so, unless its own trial is still to come.
    fn boot_proven(&self, open: &Deployment) -> Option<Toplevel> {
        let known = boot_proven::named(self.disk, self.layout);
        let old = &open.old.toplevel;
        let unproven = self.record.unproven.as_ref();
        let on_trial = known.is_some() && unproven.is_some_and(|one| &one.request.candidate == old);
        match self.system.booted() {
            Ok(booted) if &booted == old && !on_trial => Some(booted),
            _ => known,
        }
    }

    /// Whether the candidate itself has nothing against being switched to. Its checks are its own code,
    /// and so are run under the watchdog.
    fn see_fit(&mut self, open: &Deployment) -> Event {
        let candidate = &open.request.candidate;
        let changes = self.system.inhibitors(&open.old.toplevel, candidate);
        if !changes.is_empty() {
            return Event::StageFailed(Cause::RebootNeeded { changes });
        }
        let limit = self.left(open).min(CHECKS);
        let end = self.run(candidate, Action::Check, false, limit);
        let said = self.system.said();
        if self.is_changed(open) {
            let said = "its checks have changed the system that runs or boots".to_owned();
            return Event::ActivationFailed(Cause::ChecksRefused { said });
        }
        match end {
            SwitchEnd::Exited(0) => Event::WatchdogSeen,
            SwitchEnd::Exited(BUSY) => Event::StageFailed(Cause::Busy),
            // It has no checks: they came later than the program (nixpkgs, 2024).
            SwitchEnd::Exited(_) if said.to_lowercase().contains("usage:") => Event::WatchdogSeen,
            SwitchEnd::Exited(KILLED) => Event::StageFailed(Cause::NotReady {
                reason: "the checks of the new generation were killed".to_owned(),
            }),
            SwitchEnd::Exited(_) => Event::StageFailed(Cause::ChecksRefused {
                said: last_words(&said),
            }),
            SwitchEnd::TimedOut { .. } => Event::StageFailed(Cause::ChecksRefused {
                said: format!("its checks did not end within {} s", limit.as_secs()),
            }),
            SwitchEnd::NotRun(reason) => Event::StageFailed(Cause::NotReady { reason }),
        }
    }

    fn activate(&mut self, open: &Deployment) -> Event {
        match self.activate_once(open, true) {
            Some(event) => event,
            // A session that ended meanwhile is over now.
            None => {
                self.system
                    .say("only users' sessions were in the way of the activation: once more");
                self.activate_once(open, false).unwrap_or(Event::Activated)
            }
        }
    }

    /// Activates; nothing where only users' sessions were in the way, of the first of two tries.
    fn activate_once(&mut self, open: &Deployment, first: bool) -> Option<Event> {
        let candidate = &open.request.candidate;
        let limit = self.left(open);
        let end = self.run(candidate, Action::Test, false, limit);
        let failed = |exit_code, units, findings| {
            Some(Event::ActivationFailed(Cause::ActivationFailed {
                exit_code,
                units,
                findings,
            }))
        };
        let code = match end {
            SwitchEnd::Exited(BUSY) if self.system.current().ok().as_ref() != Some(candidate) => {
                return Some(Event::ActivationBusy);
            }
            SwitchEnd::Exited(REBOOT_NEEDED) => {
                return Some(Event::ActivationFailed(Cause::RebootNeeded {
                    changes: Vec::new(),
                }));
            }
            SwitchEnd::Exited(code) => code,
            SwitchEnd::TimedOut { waits_for } => {
                return Some(Event::ActivationFailed(Cause::ActivationTimedOut {
                    seconds: open.request.policy.activation_seconds,
                    waits_for,
                }));
            }
            SwitchEnd::NotRun(reason) => {
                self.system.say(&format!(
                    "switch-to-configuration could not be run: {reason}"
                ));
                // systemd's EXIT_EXEC.
                return failed(203, Vec::new(), Vec::new());
            }
        };
        if let Some(other) = self.others(open) {
            self.system
                .say(&format!("somebody else switched to {other}"));
            return Some(Event::ActivationFailed(Cause::Busy));
        }
        let looked = self.newly_failed(open).and_then(|units| {
            let stopped = self.system.stopped(candidate, &open.active_before);
            stopped
                .map(|stopped| (units, stopped))
                .map_err(|error| chain(&error))
        });
        let (units, stopped) = match looked {
            Ok(found) => found,
            Err(reason) => {
                self.system.say(&reason);
                return failed(code, Vec::new(), Vec::new());
            }
        };
        let runs = self.system.current().ok().as_ref() == Some(candidate);
        if !runs {
            self.system
                .say("the activation ended, and another system runs than the candidate");
        }
        let said = Said::read(&self.system.said());
        let verdict = activation::judge(&Facts {
            code,
            said: &said,
            failed: &units,
            failed_before: &open.failed_before,
            stopped: &stopped,
            runs,
            policy: open.request.policy.failed_units,
        });
        match verdict {
            Verdict::Failed { units, findings } => {
                for finding in &findings {
                    self.system.say(finding);
                }
                if !units.is_empty() {
                    self.system
                        .say(&format!("newly failed units: {}", units.join(", ")));
                }
                failed(code, units, findings)
            }
            Verdict::OnlySessions if first => None,
            Verdict::OnlySessions if code == UNITS_FAILED => {
                self.system
                    .say("units of users were not all put right; the system itself is well");
                Some(Event::Activated)
            }
            // It gave up before it had started the system's units.
            Verdict::OnlySessions => failed(code, Vec::new(), vec![SESSIONS.to_owned()]),
            Verdict::Succeeded(lines) => {
                for line in &lines {
                    self.system.say(line);
                }
                Some(Event::Activated)
            }
        }
    }

    fn verify(&mut self, open: &Deployment) -> Event {
        let (event, evidence) = match self.trial(open) {
            TrialEnd::Verified(evidence) => {
                let ours = evidence.deployment == open.request.deployment
                    && evidence.boot == open.boot
                    && evidence.toplevel == open.request.candidate;
                if ours {
                    (Event::Verified(evidence.clone()), Some(evidence))
                } else {
                    let cause = Cause::VerificationInconclusive {
                        checks: evidence.checks,
                    };
                    (Event::NotVerified(cause), None)
                }
            }
            TrialEnd::NotVerified(cause, evidence) => (Event::NotVerified(cause), evidence),
        };
        if let Some(open) = self.record.deployment.as_mut() {
            open.evidence = evidence;
        }
        event
    }

    fn trial(&mut self, open: &Deployment) -> TrialEnd {
        // Nobody else is to switch meanwhile. Who already does is waited for, and has the last word.
        let end = if self.waits_out_others() && self.others(open).is_none() {
            self.system.trial(open)
        } else {
            TrialEnd::NotVerified(Cause::Busy, None)
        };
        let _ = self.system.hold_switching(false);
        end
    }

    fn check_commit(&mut self, open: &Deployment) -> Result<(), String> {
        let candidate = &open.request.candidate;
        self.system.sync().map_err(|error| chain(&error))?;
        let current = self.profile().current().map_err(|error| chain(&error))?;
        if current.as_ref().map(|system| &system.toplevel) != Some(candidate) {
            return Err("the system profile names another system".to_owned());
        }
        match self.see_default(open, candidate)? {
            // The candidate's own doing, or somebody's meanwhile.
            Some(pin) if !open.boot_before.pinned && pin.kind == PinKind::Firmware => {
                Err(format!("the next boot would not start it: {pin}"))
            }
            _ => Ok(()),
        }
    }

    fn newly_failed(&self, open: &Deployment) -> Result<Vec<String>, String> {
        let mut failed = self.system.units().map_err(|error| chain(&error))?.failed;
        failed.retain(|unit| !open.failed_before.contains(unit));
        Ok(failed)
    }

    /// Runs `switch-to-configuration`. During a rollback, and for the boot loader, somebody else's run
    /// is waited for.
    fn run(
        &mut self,
        toplevel: &Toplevel,
        action: Action,
        unchecked: bool,
        limit: Duration,
    ) -> SwitchEnd {
        let _ = self.system.hold_switching(false);
        let end = self.system.boottime() + limit.as_secs();
        loop {
            let Some(open) = self.record.deployment.as_mut() else {
                return SwitchEnd::NotRun("no deployment is open".to_owned());
            };
            open.runs += 1;
            let switch = Switch {
                deployment: open.request.deployment.clone(),
                toplevel: toplevel.clone(),
                action,
                unchecked,
                run: open.takeovers * 1000 + open.runs,
                limit: Duration::from_secs(end.saturating_sub(self.system.boottime()).max(1)),
            };
            let patient = unchecked || action == Action::Boot;
            match self.system.switch(&switch) {
                SwitchEnd::Exited(BUSY) if patient && self.system.boottime() + 1 < end => {
                    self.system.pause(BUSY_PAUSE);
                    if let Some(open) = &self.record.deployment
                        && let Some(other) = self.others(open)
                        && action == Action::Test
                    {
                        return SwitchEnd::NotRun(format!("somebody else switched to {other}"));
                    }
                }
                end => return end,
            }
        }
    }
}

/// The end of what was printed, in one line.
fn last_words(said: &str) -> String {
    let lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
    let lines: Vec<String> = lines.map(|line| line.chars().take(200).collect()).collect();
    match lines.len() {
        0 => "its checks failed without a word".to_owned(),
        count => lines[count.saturating_sub(WORDS)..].join("; "),
    }
}

/// How a run ended, as the end of a sentence.
fn how(end: &SwitchEnd, limit: Duration) -> String {
    match end {
        SwitchEnd::Exited(code) => format!("ended with exit code {code}"),
        SwitchEnd::TimedOut { .. } => format!("did not end within {} s", limit.as_secs()),
        SwitchEnd::NotRun(reason) => format!("could not be run: {reason}"),
    }
}
