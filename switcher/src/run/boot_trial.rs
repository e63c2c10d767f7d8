//! Opens the trial of a system that was confirmed in place, when it is booted for the first time.
//!
//! `recover` opens it early at boot and keeps nobody waiting: a unit of its own comes back once the
//! units are up. The default that somebody else set, and an older system that somebody picked in the
//! boot menu, are not on trial.

use crate::decide::phase::Phase;
use crate::decide::transaction::Event;
use crate::machine::nixos::NixOs;
use crate::machine::system::System;
use crate::protocol::{BootId, DeploymentId, SystemRef};
use crate::run::takeover::{KILLED, Taken, TakeoverError, alone, settle, take_over};
use crate::run::{ALL_WATCHDOGS, RunError, Switcher};
use crate::state::boot_proven;
use crate::state::disk::{Disk, HostDisk};
use crate::state::holder;
use crate::state::journal::{self, BootBefore, Deployment, Unproven};
use crate::state::layout::Layout;
use crate::state::network::Network;

impl<D: Disk, S: System> Switcher<'_, D, S> {
    /// Opens the trial, if the system that was booted is due for one; says whether it is.
    ///
    /// # Errors
    /// What was booted cannot be found out, or the deployment stays open.
    pub fn boot_trial(&mut self) -> Result<bool, RunError> {
        let boot = self.system.boot_id().map_err(RunError::System)?;
        let Some((deployment, late)) = self.due(&boot)? else {
            return Ok(false);
        };
        self.record.deployment = Some(deployment);
        self.drive(Event::BootedUnproven { late })?;
        Ok(true)
    }

    fn due(&self, boot: &BootId) -> Result<Option<(Deployment, bool)>, RunError> {
        let Some(unproven) = &self.record.unproven else {
            return Ok(None);
        };
        let candidate = &unproven.request.candidate;
        let booted = self.system.booted().map_err(RunError::System)?;
        let current = self.system.current().map_err(RunError::System)?;
        let profile = self.profile();
        let default = profile.current().map_err(RunError::Profile)?;
        let is_default = default.is_some_and(|default| &default.toplevel == candidate);
        let Some(old) = boot_proven::named(self.disk, self.layout) else {
            return Ok(None);
        };
        let is_due = self.record.phase == Phase::Idle
            && &booted == candidate
            && &current == candidate
            && is_default
            && &old != candidate;
        if !is_due {
            return Ok(None);
        }
        let told_nothing = unproven.told_nothing.as_ref().map(|told| &told.boot);
        let late = told_nothing == Some(boot) || &unproven.confirmed_in == boot;
        let old = SystemRef {
            generation: profile.number(&old).map_err(RunError::Profile)?,
            toplevel: old,
        };
        let Some(id) = self.id(boot) else {
            return Ok(None);
        };
        Ok(Some((self.deployment(unproven, id, boot, old), late)))
    }

    /// Unique: no two trials begin in one second of a boot.
    fn id(&self, boot: &BootId) -> Option<DeploymentId> {
        let short: String = boot
            .0
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .take(8)
            .collect();
        format!("boot-{short}-{}", self.system.boottime())
            .parse()
            .ok()
    }

    fn deployment(
        &self,
        unproven: &Unproven,
        id: DeploymentId,
        boot: &BootId,
        old: SystemRef,
    ) -> Deployment {
        let mut request = unproven.request.clone();
        request.deployment = id;
        Deployment {
            request,
            persistent: old.clone(),
            old,
            boot: boot.clone(),
            seen_boot: boot.clone(),
            started: self.system.wallclock(),
            active_before: Vec::new(),
            failed_before: unproven.failed_before.clone(),
            activation_failed_before: false,
            boot_before: BootBefore {
                told: true,
                pinned: true,
            },
            network_before: Network::default(),
            plan: unproven.plan,
            evidence: None,
            watch: None,
            runs: 0,
            takeovers: 0,
            boot_trial: true,
            ways: unproven.ways.clone(),
            not_running: Vec::new(),
        }
    }
}

/// Settles what a crash left, at boot or later, and opens the trial of a boot that is due for one.
/// Leaves at once where a switcher works.
///
/// # Errors
/// The lock or the journal cannot be used, or the deployment stays open.
pub fn recover(layout: &Layout, system: &mut NixOs) -> Result<Taken, TakeoverError> {
    alone(layout, system, at_boot)
}

/// What the recovery does at boot: settles what a crash left, then opens the trial that is due.
///
/// # Errors
/// The journal cannot be used, or the deployment stays open.
pub fn at_boot<D: Disk, S: System>(
    disk: &D,
    layout: &Layout,
    system: &mut S,
) -> Result<Taken, TakeoverError> {
    let settled = settle(disk, layout, system)?;
    if matches!(settled, Taken::Nothing) {
        drop_leftovers(system);
    }
    let mut switcher = Switcher::open(disk, layout, system).map_err(TakeoverError::Run)?;
    if switcher.boot_trial().map_err(TakeoverError::Run)? {
        return Ok(Taken::Settled(switcher.record().phase.name()));
    }
    Ok(settled)
}

/// The units of a boot on trial are up, as far as they come.
///
/// # Errors
/// The lock or the journal cannot be used, or the deployment stays open.
pub fn units_up(layout: &Layout, system: &mut NixOs) -> Result<Taken, TakeoverError> {
    let Some(_held) = holder::take(layout, KILLED).map_err(TakeoverError::Lock)? else {
        return Ok(Taken::Busy);
    };
    judge(&HostDisk, layout, system)
}

/// The same for a caller that holds the lock.
///
/// # Errors
/// The journal cannot be used, or the deployment stays open.
pub fn judge<D: Disk, S: System>(
    disk: &D,
    layout: &Layout,
    system: &mut S,
) -> Result<Taken, TakeoverError> {
    let record = journal::read(disk, layout).map_err(TakeoverError::Journal)?;
    match record.phase {
        Phase::Booted { .. } | Phase::CameBack(_) => {
            take_over(disk, layout, system, Event::UnitsUp)
        }
        // Its own unit was killed, and started again.
        Phase::BootTrial { .. } | Phase::BootProven { .. } => settle(disk, layout, system),
        Phase::Idle => {
            drop_leftovers(system);
            Ok(Taken::Nothing)
        }
        _ => Ok(Taken::Nothing),
    }
}

/// Who was killed right after its last record has not dropped its watchdogs. They would find
/// nothing to do, but nobody should have to wonder about them.
fn drop_leftovers(system: &mut impl System) {
    system.disarm(ALL_WATCHDOGS);
}
