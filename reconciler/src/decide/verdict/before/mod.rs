//! Whether the running system is fit to be changed, by what its checks find: pure.
//!
//! Two hosts with the same mistake lock each other out, and neither can be asked while it is on trial.
//! So a host begins only where somebody is there who can say afterwards that it is still reached; what
//! it knows of its peers tells one on trial from one that is gone for long.

use std::time::Duration;

use jiff::Timestamp;
use nixus_switcher::protocol::CheckOutcome;

use super::sightings::Sightings;
use super::{Finding, Lasts, SSH};
use crate::decide::baseline::Baseline;

/// What is known of the peers before anything is changed.
#[derive(Debug, Clone, Copy)]
pub struct Known<'a> {
    /// When each was seen.
    pub sightings: &'a Sightings,
    /// After how long a silence one is lost.
    pub lost_after: Duration,
    /// The time.
    pub now: Timestamp,
    /// Who the candidate's peers are, where that can be determined.
    pub stay: Option<&'a [String]>,
}

impl Known<'_> {
    fn is_lost(&self, peer: &str) -> bool {
        self.sightings.is_lost(peer, self.now, self.lost_after)
    }

    fn stays(&self, peer: &str) -> bool {
        self.stay
            .is_none_or(|stay| stay.iter().any(|name| name == peer))
    }
}

/// The peers that are not waited for: those that do not answer, and have not for long.
pub fn lost(found: &[Finding], known: &Known<'_>) -> Vec<String> {
    found
        .iter()
        .filter(|one| !one.answered)
        .filter_map(|one| one.by.clone())
        .filter(|peer| known.is_lost(peer))
        .collect()
}

/// Whether a system of which this was found may be changed. `required` says which checks are.
pub fn fitness(found: &[Finding], known: &Known<'_>, required: impl Fn(&str) -> bool) -> Baseline {
    // A commit may be what opens the door again, so it is not kept shut for one that may; but where the
    // door opens by itself, the commit is judged by a better baseline then.
    let passes_by_itself = |one: &&Finding| {
        one.check == SSH
            && match one.outcome {
                CheckOutcome::Pass => false,
                CheckOutcome::Unknown => true,
                CheckOutcome::Fail => one.lasts == Lasts::Briefly,
            }
    };
    if let Some(ssh) = found
        .iter()
        .find(passes_by_itself)
        .filter(|_| required(SSH))
    {
        return Baseline::Unfit(format!("ssh: {}", ssh.reason));
    }
    let peers: Vec<&Finding> = found
        .iter()
        .filter(|one| one.by.as_ref().is_some_and(|peer| known.stays(peer)))
        .collect();
    if required(super::PEER)
        && let Some(why) = unwitnessed(&peers, known)
    {
        return Baseline::Unfit(why);
    }
    let on_trial: Vec<String> = peers
        .iter()
        .filter(|one| one.on_trial)
        .filter_map(|one| one.by.clone())
        .collect();
    if on_trial.is_empty() {
        Baseline::Sound
    } else {
        Baseline::PeersOnTrial(on_trial)
    }
}

/// Why nobody could say afterwards that the host is still reached, although somebody should. A peer that
/// answers and does not get in is waited for no longer: that may be what the commit mends.
fn unwitnessed(peers: &[&Finding], known: &Known<'_>) -> Option<String> {
    if peers.iter().any(|one| one.answered) {
        return None;
    }
    let silent: Vec<String> = peers
        .iter()
        .filter_map(|one| Some((one.by.as_ref()?, one)))
        .filter(|(peer, _)| !known.is_lost(peer))
        .map(|(peer, one)| {
            let seen = known.sightings.seen(peer);
            let seen = seen.map_or(String::new(), |seen| format!(", last seen at {seen:.0}"));
            format!("{peer} ({}{seen})", one.reason)
        })
        .collect();
    (!silent.is_empty()).then(|| {
        format!(
            "peer: none could be asked, and one that may be on trial is waited for: {}",
            silent.join(", ")
        )
    })
}

#[cfg(test)]
mod tests;
