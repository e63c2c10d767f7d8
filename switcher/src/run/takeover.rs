//! What to do with a deployment that somebody else left open: after a crash of the machine or of the
//! switcher, when a watchdog fires, and when an operator steps in.

use std::io;
use std::time::Duration;

use thiserror::Error;

use crate::decide::phase::{Phase, PhaseName};
use crate::decide::transaction::{Boot, Event};
use crate::machine::nixos::NixOs;
use crate::machine::system::{System, SystemError};
use crate::machine::systemd::{SECOND, Systemd, is_ours};
use crate::protocol::{DeploymentId, Toplevel};
use crate::run::{RunError, Switcher};
use crate::state::bounded::read_bounded;
use crate::state::disk::{Disk, HostDisk};
use crate::state::holder;
use crate::state::journal::{self, Deployment, JournalError};
use crate::state::layout::Layout;
use crate::state::profile::Profile;

/// Processes that were killed release the lock within this time, or not at all.
pub(crate) const KILLED: Duration = Duration::from_secs(60);
/// Whoever looks whether the lock is held holds it for a moment.
const MOMENT: Duration = Duration::from_secs(2);

/// Why an open deployment was not settled.
#[derive(Debug, Error)]
pub enum TakeoverError {
    /// The lock file could not be used.
    #[error("cannot use the switcher's lock")]
    Lock(#[source] io::Error),
    /// Its holder could not be ended.
    #[error("the switcher's lock is still held{0}")]
    Held(String),
    /// The journal could not be read.
    #[error("no activations until this is settled")]
    Journal(#[source] JournalError),
    /// What runs here could not be found out.
    #[error("cannot find out what runs here")]
    System(#[source] SystemError),
    /// Settling it failed.
    #[error("the deployment is not settled")]
    Run(#[source] RunError),
}

/// What taking over came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// Somebody else works on it.
    Busy,
    /// There was nothing to settle.
    Nothing,
    /// It is in this phase now.
    Settled(PhaseName),
}

/// Only settles what a crash left: the caller has something else in mind.
///
/// # Errors
/// The lock or the journal cannot be used, or the deployment stays open.
pub fn settle_only(layout: &Layout, system: &mut NixOs) -> Result<Taken, TakeoverError> {
    alone(layout, system, settle)
}

/// Does some work on an open deployment under the lock, once nobody else works on it. Leaves at once where a
/// switcher works.
pub(crate) fn alone(
    layout: &Layout,
    system: &mut NixOs,
    work: impl FnOnce(&HostDisk, &Layout, &mut NixOs) -> Result<Taken, TakeoverError>,
) -> Result<Taken, TakeoverError> {
    let Some(_held) = holder::take(layout, MOMENT).map_err(TakeoverError::Lock)? else {
        return Ok(Taken::Busy);
    };
    let record = journal::read(&HostDisk, layout).map_err(TakeoverError::Journal)?;
    if let Some(open) = record.deployment {
        let id = open.request.deployment.as_str();
        for problem in kill_others(layout, system.systemd(), id) {
            system.say(&problem);
        }
    }
    work(&HostDisk, layout, system)
}

/// The same for a caller that holds the lock, and has seen that nothing else runs.
///
/// # Errors
/// The journal cannot be used, what runs cannot be found out, or the deployment stays open.
pub fn settle<D: Disk, S: System>(
    disk: &D,
    layout: &Layout,
    system: &mut S,
) -> Result<Taken, TakeoverError> {
    let record = journal::read(disk, layout).map_err(TakeoverError::Journal)?;
    let Some(open) = record.deployment else {
        return Ok(Taken::Nothing);
    };
    let boot = found_in(&open, system).map_err(TakeoverError::System)?;
    system.say(&format!(
        "deployment {} was left open ({}), {}",
        open.request.deployment,
        record.phase.name(),
        match boot {
            Boot::Same => "its switcher died",
            Boot::Old => "the machine has booted the old system since",
            Boot::New => "the machine has booted the candidate since",
            Boot::Other => "the machine has booted a third system since",
        }
    ));
    take_over(disk, layout, system, Event::Found(boot))
}

fn found_in(open: &Deployment, system: &impl System) -> Result<Boot, SystemError> {
    if system.boot_id()? == open.seen_boot {
        return Ok(Boot::Same);
    }
    let booted = system.booted()?;
    Ok(
        if booted == open.old.toplevel || booted == open.persistent.toplevel {
            Boot::Old
        } else if booted == open.request.candidate {
            Boot::New
        } else {
            Boot::Other
        },
    )
}

/// What somebody finds who takes over. The journal may not know of the last boot, nor of a rollback
/// that had begun: it cannot always be written, and then both happen without it.
fn find(
    phase: &Phase,
    open: &Deployment,
    system: &impl System,
    old_is_set: bool,
    event: Event,
) -> Result<Event, TakeoverError> {
    let reverts = event == Event::OperatorReverts;
    let goes_on = matches!(
        phase.name(),
        PhaseName::Reverting
            | PhaseName::CameBack
            | PhaseName::Reverted
            | PhaseName::Refused
            | PhaseName::BootProven
    );
    // A reboot forgets what was noted of the rollback from a boot, but not what that had set.
    let unwritten = !goes_on && (old_is_set || system.is_going_back(&open.request.deployment));
    Ok(
        match found_in(open, system).map_err(TakeoverError::System)? {
            boot if unwritten => Event::FoundGoingBack(boot),
            Boot::Same => event,
            Boot::New if reverts && phase.name() == PhaseName::Committing => event,
            _ if reverts && phase.name() == PhaseName::Stuck => event,
            boot => Event::Found(boot),
        },
    )
}

/// A watchdog fired: ends the phase that nobody else ended. A watchdog whose phase is over does
/// nothing.
///
/// # Errors
/// The lock is still held after its holder was killed, the journal cannot be used, or the deployment
/// stays open.
pub fn expire(
    layout: &Layout,
    system: &mut NixOs,
    deployment: &DeploymentId,
    phase: PhaseName,
) -> Result<Taken, TakeoverError> {
    let record = journal::read(&HostDisk, layout).map_err(TakeoverError::Journal)?;
    let Some(open) = is_due(&record.phase, record.deployment, deployment, phase) else {
        return Ok(Taken::Nothing);
    };
    let alive = holder::is_held(layout);
    system.say(&format!(
        "the watchdog of deployment {deployment} fired ({phase}), its switcher {}",
        if alive { "is over its time" } else { "is gone" }
    ));
    let limit = open.watch.map_or(0, |watch| watch.limit);
    oust(layout, system, deployment, Event::Expired { alive, limit })
}

/// An operator wants the old system back, and no trial is open that could be determined.
///
/// # Errors
/// The lock is still held after its holder was killed, the journal cannot be used, or the deployment
/// stays open.
pub fn revert(layout: &Layout, system: &mut NixOs) -> Result<Taken, TakeoverError> {
    let record = journal::read(&HostDisk, layout).map_err(TakeoverError::Journal)?;
    match record.deployment {
        Some(open) => oust(
            layout,
            system,
            &open.request.deployment,
            Event::OperatorReverts,
        ),
        None => Ok(Taken::Nothing),
    }
}

/// The open deployment, if this watchdog is to end its phase.
fn is_due(
    now: &Phase,
    open: Option<Deployment>,
    deployment: &DeploymentId,
    phase: PhaseName,
) -> Option<Deployment> {
    open.filter(|open| &open.request.deployment == deployment && now.name().is_watched_by(phase))
}

/// Ends whoever works on the deployment, and goes on in their place.
fn oust(
    layout: &Layout,
    system: &mut NixOs,
    deployment: &DeploymentId,
    event: Event,
) -> Result<Taken, TakeoverError> {
    let problems = kill_others(layout, system.systemd(), deployment.as_str());
    let Some(_held) = holder::take(layout, KILLED).map_err(TakeoverError::Lock)? else {
        return Err(TakeoverError::Held(
            problems.iter().map(|text| format!("; {text}")).collect(),
        ));
    };
    // The journal is read again: the one who was ended may have gone a step further. Its work is
    // cut off there, so the event counts in whatever phase that left.
    let record = journal::read(&HostDisk, layout).map_err(TakeoverError::Journal)?;
    if record
        .deployment
        .is_none_or(|open| &open.request.deployment != deployment)
    {
        return Ok(Taken::Nothing);
    }
    take_over(&HostDisk, layout, system, event)
}

/// Goes on with the open deployment. The caller holds the lock.
///
/// # Errors
/// The journal cannot be used, what runs cannot be found out, or the deployment stays open.
pub fn take_over<D: Disk, S: System>(
    disk: &D,
    layout: &Layout,
    system: &mut S,
    event: Event,
) -> Result<Taken, TakeoverError> {
    let record = journal::read(disk, layout).map_err(TakeoverError::Journal)?;
    let event = match record.deployment {
        Some(open) => {
            let old_is_set = open.boot_trial && is_set(disk, layout, system, &open.old.toplevel);
            find(&record.phase, &open, system, old_is_set, event)?
        }
        None => event,
    };
    let boot = system.boot_id().map_err(TakeoverError::System)?;
    let mut switcher = Switcher::open(disk, layout, system).map_err(TakeoverError::Run)?;
    switcher
        .take_over(event, boot)
        .map_err(TakeoverError::Run)?;
    Ok(Taken::Settled(switcher.record().phase.name()))
}

/// Whether the profile names this system, or the boot loader starts it.
fn is_set(disk: &impl Disk, layout: &Layout, system: &impl System, toplevel: &Toplevel) -> bool {
    let profile = Profile::new(disk, layout.profiles()).current();
    profile.is_ok_and(|now| now.is_some_and(|now| &now.toplevel == toplevel))
        || system.boot_default().installed() == Some(toplevel)
}

/// Kills whatever still works on a deployment: switchers, watchdogs that hang, and
/// `switch-to-configuration`. The caller's own unit is spared.
pub(crate) fn kill_others(layout: &Layout, systemd: &Systemd, deployment: &str) -> Vec<String> {
    let own = holder::own_unit();
    let mut units = vec![format!("nixus-switch-{deployment}.service")];
    if holder::is_held(layout)
        && let Ok(bytes) = read_bounded(&layout.lock(), 512)
    {
        units.push(String::from_utf8_lossy(&bytes).trim().to_owned());
    }
    for kind in ["nixus-expire-", "nixus-stc-", SECOND] {
        // systemd that does not answer cannot say; then the first two are what can be known.
        units.extend(
            systemd
                .names(&format!("{kind}{deployment}-*.service"))
                .unwrap_or_default(),
        );
    }
    units.retain(|unit| is_ours(unit) && unit.ends_with(".service") && Some(unit) != own.as_ref());
    units.dedup();
    units
        .iter()
        .filter_map(|unit| systemd.end(unit).err())
        .map(|error| error.to_string())
        .collect()
}
