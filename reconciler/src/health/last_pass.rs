//! How the last pass ended, and whether this host still makes passes: a timer or a unit that was changed by hand
//! shows nowhere else.

use std::time::Duration;

use jiff::Timestamp;
use nixus_switcher::protocol::DeploymentId;
use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::decide::plan::Reason;
use crate::host::files::{Paths, read_bounded};
use crate::host::systemd::{self, PASS_UNIT};

/// The longest note of a pass that is read, in bytes.
const MAX_NOTE: u64 = 256 * 1024;

/// How the last pass ended, for `nixus status`; of this boot only.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LastPass {
    /// When it ended.
    pub time: Timestamp,
    /// What it waits for.
    pub waits_for: Reason,
}

impl LastPass {
    /// The same as it stands beside what is open now: what it waited for may have ended since.
    #[must_use]
    pub fn beside(mut self, open: Option<&DeploymentId>) -> Self {
        if let Some(deployment) = self.waits_for.deployment()
            && Some(deployment) != open
        {
            self.waits_for = Reason::DeploymentEnded {
                deployment: deployment.clone(),
            };
        }
        self
    }
}

/// What the last pass of this boot ended with.
pub(crate) fn last_pass(paths: &Paths) -> Option<LastPass> {
    let text = read_bounded(&paths.last_pass(), MAX_NOTE).ok()?;
    serde_json::from_slice(&text).ok()
}

/// When this boot began.
pub(crate) fn booted(now: Timestamp) -> Option<Timestamp> {
    wall(0, now)
}

/// A time of the boot clock, in seconds, as the wall clock shows it.
pub(crate) fn wall(boot_seconds: u64, now: Timestamp) -> Option<Timestamp> {
    let boot_now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).ok()?;
    let left = i64::try_from(boot_seconds)
        .ok()?
        .checked_sub(boot_now.tv_sec())?;
    now.checked_add(jiff::SignedDuration::from_secs(left)).ok()
}

/// Since when this host makes no passes although some are due; nothing where they come.
pub async fn of_host(config: &Config, paths: &Paths) -> Option<Timestamp> {
    let last = last_pass(paths).map(|pass| pass.time);
    let now = Timestamp::now();
    let since = stopped(last, booted(now), now, config.passes.longest_pause())?;
    // One that builds for hours is a pass all the same.
    let ended = systemd::has_ended(PASS_UNIT).await.unwrap_or(true);
    ended.then_some(since)
}

/// Since when there has been no pass, where that is longer than there may be none: since the end of the last, or
/// since the boot.
pub(crate) fn stopped(
    last: Option<Timestamp>,
    booted: Option<Timestamp>,
    now: Timestamp,
    longest: Duration,
) -> Option<Timestamp> {
    let since = last.or(booted)?;
    let pause = Duration::try_from(now.duration_since(since)).ok()?;
    (pause > longest).then_some(since)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_have_stopped_where_none_has_ended_for_longer_than_may_be() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let check = |last: Option<i64>, booted: Option<i64>, expected: Option<i64>| {
            let longest = Duration::from_secs(180);
            let found = stopped(last.map(at), booted.map(at), at(1000), longest);
            assert_eq!(found.map(Timestamp::as_second), expected);
        };
        check(Some(900), Some(0), None);
        check(Some(820), Some(0), None);
        check(Some(819), Some(0), Some(819));
        // The clock was set back since.
        check(Some(2000), Some(0), None);
        // None since the boot.
        check(None, Some(900), None);
        check(None, Some(1), Some(1));
        check(None, None, None);
    }
}
