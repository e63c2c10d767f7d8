//! A journal that cannot be used: it stops activations, never the machine. What can still be done
//! is done here, by a watchdog or by an operator.
//!
//! While a deployment is open, its GC roots name the candidate, the old system and the one that the
//! boot loader starts. They are enough to go back. The journal is set aside then, and a new one
//! begins with the rollback, which goes on as any other.

use std::path::PathBuf;

use thiserror::Error;

use crate::decide::phase::{Phase, PhaseName, Touched};
use crate::decide::transaction::Event;
use crate::machine::bootloader;
use crate::machine::nixos::NixOs;
use crate::machine::system::{BootDefault, System, SystemError};
use crate::protocol::{
    Cause, Commit, DeploymentId, FailedUnits, Policy, Request, SystemRef, Toplevel,
    carrier_seconds, newest_version,
};
use crate::run::takeover::{self, KILLED, Taken, TakeoverError};
use crate::state::disk::{Disk, HostDisk};
use crate::state::history;
use crate::state::holder;
use crate::state::journal::{self, BootBefore, Deployment, Journal, JournalError, Record};
use crate::state::layout::Layout;
use crate::state::network::{Network, Ways};
use crate::state::profile::Profile;
use crate::state::roots::Root;

const REQUEST_LIMIT: u64 = 1 << 20;
/// Units of runs in a deployment that is taken over without its journal have numbers from here on.
const TAKEOVERS: u32 = 900;

/// Why a lost journal could not be replaced.
#[derive(Debug, Error)]
pub enum LostError {
    /// The lock could not be used.
    #[error("cannot use the switcher's lock")]
    Lock(#[source] std::io::Error),
    /// Somebody still works, with a journal of their own in memory.
    #[error("the switcher's lock is still held")]
    Held,
    /// It could not be set aside, or begun anew.
    #[error("the journal cannot be replaced")]
    Journal(#[source] JournalError),
    /// What runs here could not be found out.
    #[error("cannot find out what runs here")]
    System(#[source] SystemError),
    /// The rollback did not end.
    #[error("the rollback is not settled")]
    Back(#[source] TakeoverError),
}

/// What was done about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replaced {
    /// Where the old files are.
    pub aside: Vec<PathBuf>,
    /// Where the rollback ended, where there was one to go.
    pub back: Option<PhaseName>,
}

/// Sets the journal aside, ends whoever works on a deployment, and goes back where one was open.
///
/// # Errors
/// The lock cannot be taken, the journal cannot be set aside, or going back fails.
pub fn replace(layout: &Layout, system: &mut NixOs, cause: Cause) -> Result<Replaced, LostError> {
    for problem in takeover::kill_others(layout, system.systemd(), "*") {
        system.say(&problem);
    }
    let Some(_held) = holder::take(layout, KILLED).map_err(LostError::Lock)? else {
        return Err(LostError::Held);
    };
    replace_on(&HostDisk, layout, system, cause)
}

/// Whether there is a rollback to go: a deployment was open, and its candidate is not permanent.
pub fn was_open(layout: &Layout) -> bool {
    rooted(&HostDisk, layout, &bootloader::default(layout)).is_some()
}

/// The same for a caller that holds the lock.
///
/// # Errors
/// The journal cannot be set aside, or going back fails.
pub fn replace_on<D: Disk, S: System>(
    disk: &D,
    layout: &Layout,
    system: &mut S,
    cause: Cause,
) -> Result<Replaced, LostError> {
    let record = rebuild(disk, layout, system, cause)?;
    let aside = journal::set_aside(disk, layout).map_err(LostError::Journal)?;
    let Some(record) = record else {
        return Ok(Replaced { aside, back: None });
    };
    Journal::open(disk, layout)
        .and_then(|mut journal| journal.write(disk, &record))
        .map_err(LostError::Journal)?;
    system.say("the journal is lost: going back to the system that the GC roots name");
    let taken = takeover::take_over(disk, layout, system, Event::OperatorReverts)
        .map_err(LostError::Back)?;
    Ok(Replaced {
        aside,
        back: match taken {
            Taken::Settled(phase) => Some(phase),
            Taken::Nothing | Taken::Busy => None,
        },
    })
}

struct Rooted {
    candidate: Toplevel,
    old: Toplevel,
    persistent: Toplevel,
}

/// All three are there from before the first change until the deployment is closed. A candidate
/// that the profile names, and that the boot loader starts as far as can be determined, was made permanent;
/// one of the two alone is half a commit.
fn rooted(disk: &impl Disk, layout: &Layout, boot: &BootDefault) -> Option<Rooted> {
    let named = |root: Root| {
        let target = disk.read_link(&layout.roots().join(root.name())).ok()?;
        Toplevel::try_from(target).ok()
    };
    let rooted = Rooted {
        candidate: named(Root::Candidate)?,
        old: named(Root::Old)?,
        persistent: named(Root::Persistent)?,
    };
    let profile = Profile::new(disk, layout.profiles());
    let permanent = profile.current().ok().flatten();
    let boots = match boot {
        BootDefault::Unknown(_) => true,
        // A pin outranks what was made permanent, and stays.
        told => told.installed() == Some(&rooted.candidate),
    };
    let confirmed = boots && permanent.is_some_and(|system| system.toplevel == rooted.candidate);
    (!confirmed).then_some(rooted)
}

fn rebuild<D: Disk, S: System>(
    disk: &D,
    layout: &Layout,
    system: &S,
    cause: Cause,
) -> Result<Option<Record>, LostError> {
    let Some(rooted) = rooted(disk, layout, &system.boot_default()) else {
        return Ok(None);
    };
    let profile = Profile::new(disk, layout.profiles());
    let reference = |toplevel: Toplevel| SystemRef {
        generation: profile.number(&toplevel).ok().flatten(),
        toplevel,
    };
    let boot = system.boot_id().map_err(LostError::System)?;
    let now = system.wallclock();
    let deployment = Deployment {
        request: asked(disk, layout, &rooted.candidate)
            .unwrap_or_else(|| unknown(rooted.candidate, now)),
        old: reference(rooted.old),
        persistent: reference(rooted.persistent),
        boot: boot.clone(),
        seen_boot: boot,
        started: now,
        active_before: Vec::new(),
        // What failed before is lost; what is failed now is not blamed during a rollback.
        activation_failed_before: false,
        boot_before: BootBefore::default(),
        failed_before: system.units().map(|units| units.failed).unwrap_or_default(),
        network_before: Network::default(),
        plan: None,
        evidence: None,
        watch: None,
        runs: 0,
        takeovers: TAKEOVERS,
        boot_trial: false,
        ways: Ways::default(),
        not_running: Vec::new(),
    };
    Ok(Some(Record {
        outcomes: history::newest(disk, layout).unwrap_or_default(),
        phase: Phase::Stuck {
            cause,
            touched: Touched::ALL,
            damage: "the journal was lost".to_owned(),
            recorded: true,
        },
        deployment: Some(deployment),
        unproven: None,
    }))
}

/// The request for this candidate, where it was made in this boot: it names the commit.
fn asked(disk: &impl Disk, layout: &Layout, candidate: &Toplevel) -> Option<Request> {
    let dir = layout.run();
    let requests = disk.list(&dir).ok()?.into_iter().filter_map(|name| {
        if !name.starts_with("request-") || !name.ends_with(".json") {
            return None;
        }
        let bytes = disk.read(&dir.join(name), REQUEST_LIMIT).ok()?;
        serde_json::from_slice::<Request>(&bytes).ok()
    });
    // Ids count up: of several requests for one system, the last one is open.
    let number = |id: &DeploymentId| id.as_str().split('-').next()?.parse::<u64>().ok();
    requests
        .filter(|request| &request.candidate == candidate)
        .max_by_key(|request| number(&request.deployment))
}

fn unknown(candidate: Toplevel, now: u64) -> Request {
    Request {
        version: newest_version(),
        deployment: DeploymentId::of_lost(now),
        candidate,
        commit: Commit {
            id: "unknown".to_owned(),
            subject: "the switcher's journal was lost".to_owned(),
        },
        policy: Policy {
            activation_seconds: 900,
            trial_seconds: 300,
            commit_seconds: 300,
            failed_units: FailedUnits::Revert,
            carrier_seconds: carrier_seconds(),
        },
        before: None,
    }
}

#[cfg(test)]
mod tests;
