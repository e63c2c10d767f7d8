//! A host that has nothing to report says so now and then: else one that is gone looks like one that is well.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::time::{Duration, SystemTime};

use jiff::Timestamp;

use super::{Head, Pass, PassError, Reason};
use crate::config::Config;
use crate::decide::report::{Pulse, Report};
use crate::health::last_pass::LastPass;
use crate::host::files::{Paths, read_bounded};
use crate::report::repository::ReportsRepository;

/// The longest note of a pass that is read, in bytes.
const MAX_NOTE: u64 = 256 * 1024;

/// A host that has come back says so where it has been silent for this part of the time between heartbeats: a server
/// that was away for a moment is not met by the whole fleet at once.
const RECOVERED: u32 = 24;

/// How long after the last report a heartbeat is due: the time that is configured, give or take an eighth by what is
/// this host's and this report's own, so that a fleet that took a commit together does not report together.
fn due_after(host: &str, last: u64, heartbeat: Duration) -> Duration {
    let mut hasher = DefaultHasher::new();
    (host, last).hash(&mut hasher);
    let share = u32::try_from(hasher.finish() % 1000).unwrap_or(0);
    heartbeat * 7 / 8 + heartbeat / 4 * share / 1000
}

/// Whether a heartbeat is due, so long after the last report.
fn is_due(silent: Duration, due_after: Duration, heartbeat: Duration, recovered: bool) -> bool {
    silent >= due_after || recovered && silent >= heartbeat / RECOVERED
}

/// What each report says of the next.
pub(super) fn pulse(config: &Config, head: &Head, since: Option<Timestamp>) -> Option<Pulse> {
    config.reports.as_ref()?;
    let longest = config.heartbeat * 9 / 8 + config.passes.longest_pause();
    Some(Pulse {
        within: longest.as_secs(),
        head: match head {
            Head::At(commit) => Some(commit.clone()),
            Head::Unknown | Head::Missing => None,
        },
        since,
    })
}

/// Whether the pass before this one could not do what it was to do, or there was none since the boot.
pub(super) fn had_trouble(paths: &Paths) -> bool {
    let text = read_bounded(&paths.last_pass(), MAX_NOTE).unwrap_or_default();
    serde_json::from_slice::<LastPass>(&text).map_or(true, |last| {
        matches!(last.waits_for, Reason::BackingOff { .. })
    })
}

impl Pass<'_> {
    /// Says again what was said last, where that is due. Only where the repository has just answered: what cannot be
    /// sent would be old when it is.
    pub(super) fn beat(&mut self, reason: &Reason) -> Result<(), PassError> {
        let answers = matches!(self.head, Head::At(_) | Head::Missing);
        if self.config.reports.is_none() || !answers || matches!(reason, Reason::BackingOff { .. })
        {
            return Ok(());
        }
        let reports = ReportsRepository::new(self.paths.reports());
        let newest = reports.reference_file(&self.config.host);
        let changed = std::fs::metadata(newest).and_then(|newest| newest.modified());
        // Where it was packed, or the clock was set back, the report itself says when it was made.
        let silent = changed.ok().and_then(|changed| {
            let silent = SystemTime::now().duration_since(changed).ok()?;
            let last = changed.duration_since(SystemTime::UNIX_EPOCH).ok()?;
            Some((silent, last.as_secs()))
        });
        if let Some((silent, last)) = silent
            && !self.is_due(silent, last)
        {
            return Ok(());
        }
        let last = reports
            .last(&self.config.host)
            .map_err(PassError::Reports)?;
        let Some(last) = last else {
            return Ok(());
        };
        let made = u64::try_from(last.time.as_second()).unwrap_or(0);
        let silent = Duration::try_from(Timestamp::now().duration_since(last.time));
        let due = silent.map_or(true, |silent| self.is_due(silent, made));
        if !due {
            return Ok(());
        }
        self.report(|reporter| reporter.heartbeat(&last))
    }

    fn is_due(&self, silent: Duration, last: u64) -> bool {
        let heartbeat = self.config.heartbeat;
        let due_after = due_after(&self.config.host, last, heartbeat);
        is_due(silent, due_after, heartbeat, self.had_trouble)
    }

    /// A report with what is to be known of the next.
    pub(super) fn with_pulse(&self, report: Report) -> Report {
        let since = report.pulse.as_ref().and_then(|pulse| pulse.since);
        Report {
            pulse: pulse(self.config, &self.head, since),
            ..report
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fleet_of_ten_thousand_beats_seven_times_a_minute() {
        let day = Duration::from_secs(24 * 60 * 60);
        let hosts: Vec<String> = (0..10_000).map(|number| format!("host{number}")).collect();
        // All of them took a commit in the same second; what matters is the busiest minute of all, ever after.
        let mut minutes = vec![0_u32; 24 * 60 * 10];
        let mut beats = 0_u32;
        for host in &hosts {
            let mut at = Duration::ZERO;
            loop {
                let wait = due_after(host, at.as_secs(), day);
                assert!(wait >= day * 7 / 8 && wait <= day * 9 / 8, "{wait:?}");
                at += wait;
                let Some(minute) = minutes.get_mut(usize::try_from(at.as_secs() / 60).unwrap())
                else {
                    break;
                };
                *minute += 1;
                beats += 1;
            }
        }
        let mean = f64::from(beats) / f64::from(u32::try_from(minutes.len()).unwrap());
        assert!((6.0..7.5).contains(&mean), "{mean}");
        // Six hours for all of them the first time, and less crowded with each day.
        let most = |day: usize| {
            minutes[day * 1440..(day + 1) * 1440]
                .iter()
                .max()
                .copied()
                .unwrap()
        };
        assert!(most(1) < 60, "{}", most(1));
        assert!(most(9) < 30, "{}", most(9));
    }

    #[test]
    fn a_host_that_has_come_back_says_so_unless_it_has_just_reported() {
        let day = Duration::from_secs(24 * 60 * 60);
        let hours = |hours: u64| Duration::from_secs(hours * 60 * 60);
        for (silent, recovered, due) in [
            (hours(0), false, false),
            (hours(0), true, false),
            (hours(1), true, true),
            (hours(12), false, false),
            (hours(24), false, true),
            (hours(100), true, true),
        ] {
            assert_eq!(
                is_due(silent, day, day, recovered),
                due,
                "{silent:?} {recovered}"
            );
        }
    }
}
