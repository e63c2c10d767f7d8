//! Decides what a pass does next. Pure: an observation goes in, one action comes out.
//!
//! Invariants: nothing quarantined, nothing but a descendant of the accepted commit, and nothing
//! while a deployment is open is ever activated; after a success the answer is `UpToDate`.

use jiff::Timestamp;
use nixus_switcher::protocol::{DeploymentId, Toplevel};

use self::suspension::Suspension;
use crate::config::Drift;
use crate::decide::baseline::Baseline;
use crate::decide::commit_id::CommitId;
use crate::decide::ledger::{Backoff, Ledger};

mod entry;
mod reason;
pub mod suspension;

pub use entry::{Entry, Gap, Then, WithoutEntry};
pub use reason::Reason;

/// What this pass has learned of the branch so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Head {
    /// Not asked yet.
    Unknown,
    /// The repository was asked and has no such branch.
    Missing,
    /// The branch is at this commit.
    At(CommitId),
}

/// How the head relates to the accepted commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ancestry {
    /// The head has not been fetched yet.
    NotFetched,
    /// It is the accepted commit or a descendant.
    Descends,
    /// It is neither: somebody rewrote history.
    Rewritten,
}

/// A deployment that the switcher has not ended yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenDeployment {
    /// Which.
    pub deployment: DeploymentId,
    /// Whether it could not be put right so far.
    pub stuck: bool,
    /// Whether somebody is to look at it, and this pass has not asked anybody to: its time is over and
    /// nobody works on it, or it is stuck and may have been put right.
    pub abandoned: bool,
    /// Whether what runs is on trial in it, and this pass has not yet shown what it could do.
    pub unproved: bool,
}

/// Everything that the decision rests on.
#[derive(Debug)]
pub struct Observation<'a> {
    /// The time.
    pub now: Timestamp,
    /// What earlier passes left.
    pub ledger: &'a Ledger,
    /// What runs.
    pub running: &'a Toplevel,
    /// What the next boot would start, by the system profile or the boot loader, where that is not what
    /// runs: somebody tries out what runs, or has set another default by hand.
    pub next_boot: Option<&'a Toplevel>,
    /// What is done about the latter.
    pub drift: Drift,
    /// What pins the next boot to another system than the one that runs, whatever a deployment makes the
    /// default.
    pub pinned: Option<&'a str>,
    /// The default of the boot loader, where this boot is of another generation.
    pub booted_other: bool,
    /// That an operator holds this host still.
    pub suspension: Option<&'a Suspension>,
    /// Why the switcher's journal cannot be used, where it cannot.
    pub journal_damage: Option<&'a str>,
    /// A deployment that has not ended.
    pub open: Option<&'a OpenDeployment>,
    /// Whether the switcher has ended deployments that the ledger does not know.
    pub outcomes_unseen: bool,
    /// The branch.
    pub head: &'a Head,
    /// The head's history.
    pub ancestry: Ancestry,
    /// What CI has built of the head.
    pub entry: &'a Entry,
    /// What is done about a head that CI has not built.
    pub without_entry: WithoutEntry,
    /// What this pass has made of the head, or of the older commit that is taken in its place.
    pub built: Option<&'a Toplevel>,
    /// Whether the first boot of what runs could not be judged, and this pass has not tried again.
    pub boot_unproven: bool,
    /// The running system, before anything is changed.
    pub baseline: &'a Baseline,
    /// Whether nobody has asked for a while who of the peers is there.
    pub peers_due: bool,
}

/// The next thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Take into account what the switcher has ended.
    Absorb,
    /// Settle a deployment that nobody works on any more.
    Recover(DeploymentId),
    /// Look at all that a pass of what is on trial needs, and hand it to the verification. Nothing else
    /// follows in this pass: what runs after the trial has passes of its own.
    Prove(DeploymentId),
    /// See whether the repository answers the system that runs again, which it did not on trial.
    Witness,
    /// Ask the repository where the branch is.
    List,
    /// Fetch this commit.
    Fetch(CommitId),
    /// Accept this commit into the trusted history.
    Accept(CommitId),
    /// Refuse this head, and say so once.
    Refuse(CommitId),
    /// Look up what CI has built of this commit.
    LookUp(CommitId),
    /// Look for the newest commit before this one that CI has built.
    LookForOlder(CommitId),
    /// Make this host's toplevel of this commit.
    Build(CommitId),
    /// Note that this commit is kept: its toplevel runs already.
    Keep(CommitId, Toplevel),
    /// Look whether the running system is fit to be changed.
    LookAtBaseline,
    /// See who of the peers is there.
    SeePeers,
    /// Have the switcher judge the first boot of what runs, now that the repository answers.
    ProveBoot,
    /// Note that peers on trial go first.
    Hold(CommitId),
    /// Hand this commit's toplevel to the switcher.
    Activate(CommitId, Toplevel),
    /// Nothing can be done now.
    Wait(Reason),
}

/// After this many builds in a row that were given up for a newer commit, the next one is not: under
/// pushes every few seconds something still gets deployed.
const MAX_OVERTAKEN: u32 = 2;

/// Whether a build may be given up for a newer commit.
pub fn may_be_overtaken(ledger: &Ledger) -> bool {
    ledger.overtaken < MAX_OVERTAKEN
}

/// The next thing to do.
pub fn plan(seen: &Observation<'_>) -> Action {
    match decide(seen) {
        // Where passes may go on like this for days.
        Action::Wait(
            Reason::UpToDate { .. }
            | Reason::Quarantined { .. }
            | Reason::Inconclusive { .. }
            | Reason::RebootNeeded { .. }
            | Reason::NoManifest { .. }
            | Reason::BootPinned { .. }
            | Reason::Suspended { .. },
        ) if seen.peers_due => Action::SeePeers,
        action => action,
    }
}

fn decide(seen: &Observation<'_>) -> Action {
    // Whether a deployment is open cannot be determined.
    if let Some(why) = seen.journal_damage {
        return Action::Wait(Reason::JournalDamaged {
            why: why.to_owned(),
        });
    }
    if let Some(open) = seen.open {
        let deployment = open.deployment.clone();
        match open {
            OpenDeployment {
                abandoned: true, ..
            } => return Action::Recover(deployment),
            // Polling goes on, and what has ended is reported.
            OpenDeployment { stuck: true, .. } => {
                return plan_stuck(seen, Reason::Stuck { deployment });
            }
            OpenDeployment { unproved: true, .. } => return Action::Prove(deployment),
            _ => return Action::Wait(Reason::DeploymentOpen { deployment }),
        }
    }
    if let Some(damage) = &seen.ledger.damage {
        return Action::Wait(Reason::StateDamaged {
            file: damage.file.clone(),
            why: damage.problem.clone(),
        });
    }
    if seen.outcomes_unseen {
        return Action::Absorb;
    }
    let Some(accepted) = &seen.ledger.accepted else {
        return Action::Wait(Reason::NotAdopted);
    };
    if seen.ledger.wants_witness() || seen.ledger.wants_network_witness() {
        return Action::Witness;
    }
    if let Some(backoff) = &seen.ledger.backoff
        && seen.now < backoff.until
        && !is_for_another_head(backoff, seen.head)
    {
        // Perhaps the fix is there already.
        if backoff.head.is_some() && *seen.head == Head::Unknown {
            return Action::List;
        }
        return Action::Wait(Reason::BackingOff {
            until: backoff.until,
            why: backoff.reason.clone(),
        });
    }
    match seen.head {
        Head::Unknown => Action::List,
        Head::Missing => Action::Wait(Reason::NoBranch),
        Head::At(head) => plan_head(seen, accepted, head),
    }
}

/// Whether the head is not the one that is waited with: whatever that met, this one may not.
fn is_for_another_head(backoff: &Backoff, head: &Head) -> bool {
    match (&backoff.head, head) {
        (Some(before), Head::At(head)) => before != head,
        _ => false,
    }
}

/// A host that could not be put right is watched by its own passes; they change nothing.
fn plan_stuck(seen: &Observation<'_>, reason: Reason) -> Action {
    if seen.ledger.damage.is_some() || seen.ledger.accepted.is_none() {
        return Action::Wait(reason);
    }
    if seen.outcomes_unseen {
        return Action::Absorb;
    }
    let waits = seen
        .ledger
        .backoff
        .as_ref()
        .is_some_and(|backoff| seen.now < backoff.until);
    match seen.head {
        Head::Unknown if !waits => Action::List,
        _ => Action::Wait(reason),
    }
}

fn plan_head(seen: &Observation<'_>, accepted: &CommitId, head: &CommitId) -> Action {
    let ledger = seen.ledger;
    let kept = ledger.kept.as_ref();
    let kept_runs = kept.is_some_and(|kept| kept.toplevel == *seen.running);
    // Where what was kept still runs, nobody has picked another one: the default was changed.
    if seen.booted_other && !kept_runs {
        return Action::Wait(Reason::BootedOther);
    }
    let kept_commit = || {
        kept.filter(|_| kept_runs)
            .and_then(|kept| CommitId::try_from(kept.commit.id.clone()).ok())
    };
    let drifted = seen
        .next_boot
        .zip(kept_commit())
        .map(|(next_boot, commit)| {
            let next_boot = next_boot.clone();
            Action::Wait(Reason::Drifted { commit, next_boot })
        });
    let pinned = seen.pinned.zip(kept_commit()).map(|(how, commit)| {
        let how = how.to_owned();
        Action::Wait(Reason::BootPinned { commit, how })
    });
    if let (Some(wait), Drift::Refuse) = (drifted.as_ref().or(pinned.as_ref()), seen.drift) {
        return wait.clone();
    }
    let rewritten = || {
        Action::Wait(Reason::HistoryRewritten {
            commit: head.clone(),
            accepted: accepted.clone(),
        })
    };
    if ledger.refused.as_ref() == Some(head) {
        return rewritten();
    }
    let toplevel = seen.built.or_else(|| ledger.known_toplevel(head));
    if head == accepted {
        if ledger
            .kept
            .as_ref()
            .is_some_and(|kept| kept.commit.id == head.as_str() && kept.toplevel == *seen.running)
            && (drifted.is_none() || seen.drift == Drift::Report)
        {
            if let Some(wait) = drifted {
                return wait;
            }
            if seen.boot_unproven {
                return Action::ProveBoot;
            }
            // Deploying it once more would change nothing.
            if let Some(wait) = pinned {
                return wait;
            }
            return Action::Wait(Reason::UpToDate {
                commit: head.clone(),
            });
        }
        if let Some(reason) = forbids(ledger, head, toplevel) {
            return Action::Wait(reason);
        }
    }
    match seen.ancestry {
        Ancestry::NotFetched => return Action::Fetch(head.clone()),
        Ancestry::Rewritten => return Action::Refuse(head.clone()),
        Ancestry::Descends if head != accepted => return Action::Accept(head.clone()),
        Ancestry::Descends => {}
    }
    if let Some(suspension) = seen.suspension.filter(|one| one.holds(seen.now)) {
        return Action::Wait(Reason::Suspended {
            until: suspension.until,
            why: suspension.why.clone(),
        });
    }
    match entry::decide(seen, head) {
        Ok(target) => plan_target(seen, target),
        Err(action) => action,
    }
}

/// The commit that is to be deployed is known: the head, or an older one in its place.
fn plan_target(seen: &Observation<'_>, target: &CommitId) -> Action {
    let ledger = seen.ledger;
    match seen.built {
        None => Action::Build(target.clone()),
        Some(built) if built == seen.running && seen.next_boot.is_none() => {
            Action::Keep(target.clone(), built.clone())
        }
        Some(built) => match seen.baseline {
            Baseline::Unknown => match ledger.held(target) {
                // Peers are not asked again at once.
                Some(held) if seen.now < held.look_again => peers_first(target, &held.since),
                _ => Action::LookAtBaseline,
            },
            Baseline::Sound => Action::Activate(target.clone(), built.clone()),
            Baseline::PeersOnTrial(_) => match ledger.held(target) {
                Some(held) if held.until <= seen.now => {
                    Action::Activate(target.clone(), built.clone())
                }
                Some(held) if seen.now < held.look_again => peers_first(target, &held.since),
                _ => Action::Hold(target.clone()),
            },
            Baseline::Unfit(why) => Action::Wait(Reason::Baseline {
                commit: target.clone(),
                why: why.clone(),
            }),
        },
    }
}

fn peers_first(head: &CommitId, since: &Timestamp) -> Action {
    Action::Wait(Reason::PeersOnTrial {
        commit: head.clone(),
        since: *since,
    })
}

/// Why the head is not tried, by what is remembered of it.
fn forbids(ledger: &Ledger, head: &CommitId, toplevel: Option<&Toplevel>) -> Option<Reason> {
    let commit = head.clone();
    if let Some(entry) = ledger.quarantined(head, toplevel) {
        return Some(match &entry.toplevel {
            Some(toplevel) if entry.needs_reboot => Reason::RebootNeeded {
                commit,
                toplevel: toplevel.clone(),
                why: entry.reason.clone(),
            },
            _ => Reason::Quarantined {
                commit,
                why: entry.reason.clone(),
            },
        });
    }
    let why = ledger.inconclusive(toplevel?)?.to_owned();
    Some(Reason::Inconclusive { commit, why })
}

#[cfg(test)]
mod tests;
