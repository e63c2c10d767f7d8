//! A first boot that had no network. The system went back by a reboot, and that need not be its fault: a switch
//! or a DHCP server may have been later than it. It is tried again once the network is there.
//!
//! The system before is a witness: if it has no network either, right after it, the outage is not the candidate's,
//! and nothing is held against it. A candidate that has none twice, where the system before has one, has failed.

use jiff::{SignedDuration, Timestamp};
use nixus_switcher::protocol::{Outcome, Toplevel};
use serde::{Deserialize, Serialize};

use super::{Ledger, quarantined, shorten};
use crate::decide::commit_id::CommitId;

/// So often it goes back without being blamed, where the system before has a network.
const ENOUGH: u32 = 2;
/// How long after it the system before is a witness of that time.
const WITNESS: SignedDuration = SignedDuration::from_mins(10);
/// How many are remembered at most; the oldest go first.
const MAX: usize = 50;

/// A toplevel that had no network when it was booted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DarkBoot {
    /// The toplevel.
    pub toplevel: Toplevel,
    /// The commit that it was kept for.
    pub commit: CommitId,
    /// How often the system before had a network right after it.
    pub against: u32,
    /// What it lacked.
    pub reason: String,
    /// When it went back; nothing once the system before was asked.
    pub awaits: Option<Timestamp>,
}

impl Ledger {
    /// A first boot had no network, and the boot-proven system came back.
    pub(super) fn boot_was_dark(&mut self, outcome: &Outcome, commit: CommitId, reason: &str) {
        let toplevel = outcome.new.toplevel.clone();
        let against = self.dark_boot(&toplevel).map_or(0, |before| before.against);
        self.dark_boots.retain(|one| one.toplevel != toplevel);
        let ended = i64::try_from(outcome.ended).unwrap_or_default();
        self.dark_boots.push(DarkBoot {
            toplevel,
            commit,
            against,
            reason: shorten(reason.trim_start_matches("inconclusive: ")),
            awaits: Some(Timestamp::from_second(ended).unwrap_or_default()),
        });
        if self.dark_boots.len() > MAX {
            self.dark_boots.remove(0);
        }
    }

    /// What is remembered of a toplevel's boots without a network.
    pub fn dark_boot(&self, toplevel: &Toplevel) -> Option<&DarkBoot> {
        self.dark_boots.iter().find(|one| one.toplevel == *toplevel)
    }

    /// Whether the system that came back is to say whether it has a network.
    pub fn wants_network_witness(&self) -> bool {
        self.dark_boots.iter().any(|one| one.awaits.is_some())
    }

    /// The system that came back reaches the repository, or does not. Gives the commit that is not tried again
    /// after this, with the reason, where there is one.
    pub fn network_witnessed(
        &mut self,
        now: Timestamp,
        reached: bool,
    ) -> Option<(CommitId, String)> {
        let mut failed = None;
        for one in &mut self.dark_boots {
            let Some(ended) = one.awaits.take() else {
                continue;
            };
            if reached && now.duration_since(ended) <= WITNESS {
                one.against += 1;
            } else if !reached {
                // An outage that the system before sees too clears it.
                one.against = 0;
            }
            if one.against >= ENOUGH {
                failed = Some(one.clone());
            }
        }
        self.dark_boots.retain(|one| one.against > 0);
        let failed = failed?;
        self.dark_boots
            .retain(|one| one.toplevel != failed.toplevel);
        let reason = format!(
            "it had no network at its first boot, {ENOUGH} times, and the system before it had one each time: {}",
            failed.reason
        );
        let commit = failed.commit.clone();
        self.reject(quarantined(failed.commit, failed.toplevel, &reason, now));
        Some((commit, reason))
    }
}
