//! Puts back, part by part, what was there before.

use std::time::Duration;

use super::how;
use crate::decide::phase::Phase;
use crate::decide::transaction::Restore;
use crate::error_chain::chain;
use crate::machine::activation::UNITS_FAILED;
use crate::machine::system::{Action, SwitchEnd, System, Units};
use crate::run::{Switcher, back_seconds};
use crate::state::disk::Disk;
use crate::state::journal::Deployment;

/// The activation script failed, and all after it was done.
const SNIPPET_FAILED: i32 = 2;
/// What lets operators in.
const DOORS: [&str; 4] = ["sshd.service", "sshd.socket", "ssh.service", "ssh.socket"];
/// DHCP and networkd need some time.
const NETWORK_SECONDS: u64 = 30;
const NETWORK_PAUSE: Duration = Duration::from_secs(1);

impl<D: Disk, S: System> Switcher<'_, D, S> {
    pub(super) fn restore(&mut self, part: Restore, open: &Deployment) -> Result<(), String> {
        let policy = &open.request.policy;
        let old = &open.old.toplevel;
        if let (Restore::System | Restore::Units, Some(other)) = (part, self.others(open)) {
            self.system.say(&format!(
                "{other} runs, to which somebody else switched: it is left alone"
            ));
            return Ok(());
        }
        match part {
            Restore::System => {
                let limit = Duration::from_secs(back_seconds(policy.activation_seconds));
                let end = self.run(old, Action::Test, true, limit);
                if self.others(open).is_some() {
                    return Ok(());
                }
                let current = self.system.current().map_err(|error| chain(&error))?;
                if &current != old {
                    return Err(format!("{current} still runs; {}", how(&end, limit)));
                }
                match end {
                    // Whether a unit is failed that was not, is looked at once all is done.
                    SwitchEnd::Exited(0 | UNITS_FAILED) => Ok(()),
                    // It came to its end, and was so before.
                    SwitchEnd::Exited(SNIPPET_FAILED) if open.activation_failed_before => Ok(()),
                    end => Err(format!("switch-to-configuration test {}", how(&end, limit))),
                }
            }
            Restore::Profile => {
                let profile = self.profile();
                profile
                    .restore(&open.persistent)
                    .and_then(|()| match open.plan {
                        // What was kept once stays a generation: it may be tried again, or looked at.
                        Some(plan) if !open.boot_trial => {
                            profile.forget(plan, &open.request.candidate)
                        }
                        _ => Ok(()),
                    })
                    .map_err(|error| chain(&error))
            }
            Restore::Boot => {
                let limit = Duration::from_secs(back_seconds(policy.commit_seconds));
                let default = &open.persistent.toplevel;
                match self.run(default, Action::Boot, true, limit) {
                    SwitchEnd::Exited(0) => {}
                    end => {
                        return Err(format!("switch-to-configuration boot {}", how(&end, limit)));
                    }
                }
                self.system.sync().map_err(|error| chain(&error))?;
                self.see_default(open, default).map(drop)
            }
            Restore::Units => self
                .restore_units(open)
                .and_then(|()| self.restored_network(open, NETWORK_SECONDS)),
        }
    }

    /// Addresses and routes come back a little after the units that make them.
    fn restored_network(&mut self, open: &Deployment, patience: u64) -> Result<(), String> {
        let end = self.system.boottime() + patience;
        loop {
            let now = self.system.network(&open.old.toplevel, open.ways_needed());
            let now = now.map_err(|error| chain(&error))?;
            let lost = open.network_before.lost(&now);
            if lost.is_empty() {
                return Ok(());
            }
            if self.system.boottime() >= end {
                return Err(format!("was there before: {}", lost.join(", ")));
            }
            self.system.pause(NETWORK_PAUSE);
        }
    }

    /// Whether all is as it was before: what runs, what is persistent, units and network.
    pub(super) fn look(&mut self, open: &Deployment) -> Result<(), String> {
        let old = &open.old.toplevel;
        let current = self.system.current().map_err(|error| chain(&error))?;
        if &current != old {
            return Err(format!("{current} runs"));
        }
        // An attempt that was cut off may have written what is seen, and not synced it.
        self.system.sync().map_err(|error| chain(&error))?;
        let default = &open.persistent.toplevel;
        let profile = self.profile().current().map_err(|error| chain(&error))?;
        if let Some(other) = profile.filter(|profile| &profile.toplevel != default) {
            return Err(format!("the system profile names {}", other.toplevel));
        }
        self.see_default(open, default)?;
        let now = self.system.units().map_err(|error| chain(&error))?;
        no_door(open, &now.active)?;
        // A pass looks again and again; a reboot has just begun to make its network.
        let patience = match self.record.phase {
            Phase::Stuck { .. } => 0,
            _ => NETWORK_SECONDS,
        };
        self.restored_network(open, patience)
    }

    /// An activation that was undone leaves units stopped that it stopped
    /// (<https://github.com/serokell/deploy-rs/issues/68>).
    ///
    /// What does not stay up by itself is reported, and no more: it may need somebody elsewhere, and a reboot would
    /// not bring them back. Only a systemd that does not answer, and sshd, are a reason for one.
    fn restore_units(&mut self, open: &Deployment) -> Result<(), String> {
        for again in [false, true] {
            let now = self.system.units().map_err(|error| chain(&error))?;
            let missing = self.not_running(open, &now)?;
            if missing.is_empty() {
                break;
            }
            self.system.say(&format!(
                "starting {}: {}",
                if again { "once more" } else { "again" },
                missing.join(", ")
            ));
            if let Err(error) = self.system.start(&missing) {
                self.system.say(&chain(&error));
            }
        }
        let now = self.system.units().map_err(|error| chain(&error))?;
        let mut left = self.not_running(open, &now)?;
        let newly = now.failed.iter();
        left.extend(
            newly
                .filter(|unit| !open.failed_before.contains(unit))
                .cloned(),
        );
        left.sort();
        left.dedup();
        if !left.is_empty() {
            self.system
                .say(&format!("ran before, and do not now: {}", left.join(", ")));
        }
        if let Some(open) = self.record.deployment.as_mut() {
            open.not_running = left;
        }
        no_door(open, &now.active)
    }

    /// The units that were active before and are not now. A later boot has started its units itself, and does
    /// not know all that ran before.
    fn not_running(&self, open: &Deployment, now: &Units) -> Result<Vec<String>, String> {
        let boot = self.system.boot_id().map_err(|error| chain(&error))?;
        let before = open.active_before.iter();
        Ok(before
            .filter(|unit| boot == open.boot && !now.active.contains(unit))
            .cloned()
            .collect())
    }
}

/// The door for operators was open before, and must be.
fn no_door(open: &Deployment, active: &[String]) -> Result<(), String> {
    let shut: Vec<&str> = DOORS
        .into_iter()
        .filter(|door| {
            let is = |units: &[String]| units.iter().any(|unit| unit == door);
            is(&open.active_before) && !is(active)
        })
        .collect();
    match shut.is_empty() {
        true => Ok(()),
        false => Err(format!("ran before: {}", shut.join(", "))),
    }
}
