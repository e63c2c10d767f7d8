//! What is going on, for those who only want to know: the reconciler, `nixus verify`, people.

use serde::{Deserialize, Serialize};

use crate::decide::phase::{Phase, PhaseName};
use crate::error_chain::chain;
use crate::protocol::{
    Before, BootId, Commit, DeploymentId, Outcome, SystemRef, Toplevel, newest_version,
};
use crate::state::disk::HostDisk;
use crate::state::history::{self, History};
use crate::state::holder;
use crate::state::journal::{self, JournalError, Record, Unproven};
use crate::state::layout::Layout;

/// The deployment that is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// Its id.
    pub deployment: DeploymentId,
    /// The version of the journal, which whoever speaks to the switcher uses as well.
    pub format: u32,
    /// Where it is; `stuck` included.
    pub phase: PhaseName,
    /// What it activates.
    pub candidate: Toplevel,
    /// What ran before.
    pub old: SystemRef,
    /// The commit that it is for.
    pub commit: Commit,
    /// The boot in which it began; evidence must be from this boot.
    pub boot: BootId,
    /// Units that were failed before.
    pub failed_before: Vec<String>,
    /// What was so before, where the one who asked has looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Before>,
    /// When the phase has to be over, in seconds of CLOCK_BOOTTIME.
    pub phase_deadline: Option<u64>,
    /// When it began, in seconds since 1970.
    pub started: u64,
}

/// All that `nixus-switcher status` shows; the JSON of `nixus-switcher status --json` has these
/// fields. Fields may be added; `version` counts up when one changes its meaning or goes away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The version of this message.
    pub version: u32,
    /// The open deployment.
    pub open: Option<Open>,
    /// A switcher is at work. An open deployment without one waits for its watchdog, or for
    /// `nixus-switcher recover`.
    pub running: bool,
    /// What could not be put right, where the host is stuck.
    pub stuck: Option<String>,
    /// What was confirmed in place and has not proved yet that it boots.
    pub unproven: Option<UnprovenView>,
    /// How the last deployment ended.
    pub last: Option<Outcome>,
    /// Why the journal cannot be used. Then nothing is activated, and `open` and `stuck` show nothing.
    #[serde(default)]
    pub journal_damage: Option<String>,
    /// What of the history cannot be used, and is left out.
    #[serde(default)]
    pub history_damage: Vec<String>,
}

/// A system that has not proved yet that it boots.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnprovenView {
    /// The system.
    pub toplevel: Toplevel,
    /// Why its last trial at boot was inconclusive, where there was one.
    pub told_nothing: Option<String>,
    /// How many trials were inconclusive since the last boot that had one.
    pub trials: u32,
}

impl UnprovenView {
    fn of(unproven: Unproven) -> Self {
        Self {
            toplevel: unproven.request.candidate,
            trials: unproven.told_nothing.as_ref().map_or(0, |told| told.trials),
            told_nothing: unproven.told_nothing.map(|told| told.cause.to_string()),
        }
    }
}

/// The open deployment, if there is one. Needs no lock.
///
/// # Errors
/// The journal cannot be read.
pub fn open(layout: &Layout) -> Result<Option<Open>, JournalError> {
    let (format, record) = journal::read_with_format(&HostDisk, layout)?;
    let phase = record.phase.name();
    Ok(record.deployment.map(|open| Open {
        deployment: open.request.deployment,
        format,
        phase,
        candidate: open.request.candidate,
        old: open.old,
        commit: open.request.commit,
        boot: open.boot,
        failed_before: open.failed_before,
        before: open.request.before,
        phase_deadline: open.watch.map(|watch| watch.deadline),
        started: open.started,
    }))
}

/// What has not proved yet that it boots. Each pass asks, so that no more is read than needed.
///
/// # Errors
/// The journal cannot be read.
pub fn unproven(layout: &Layout) -> Result<Option<UnprovenView>, JournalError> {
    let record = journal::read(&HostDisk, layout)?;
    Ok(record.unproven.map(UnprovenView::of))
}

/// Everything at once, as far as it can be determined.
pub fn status(layout: &Layout) -> Status {
    let (open, record, journal_damage) = match (open(layout), journal::read(&HostDisk, layout)) {
        (Ok(open), Ok(record)) => (open, record, None),
        (Err(error), _) | (_, Err(error)) => (None, Record::default(), Some(chain(&error))),
    };
    let history = history::read(&HostDisk, layout, 0).unwrap_or_else(|error| History {
        damaged: vec![chain(&error)],
        ..History::default()
    });
    Status {
        version: newest_version(),
        open,
        unproven: record.unproven.map(UnprovenView::of),
        running: holder::is_held(layout),
        stuck: match record.phase {
            Phase::Stuck { damage, .. } => Some(damage),
            _ => None,
        },
        last: history.outcomes.into_iter().next_back(),
        journal_damage,
        history_damage: history.damaged,
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.open {
            None if self.journal_damage.is_some() => {
                writeln!(f, "cannot determine whether a deployment is in progress")?;
            }
            None => writeln!(f, "no deployment is open")?,
            Some(open) => {
                writeln!(f, "deployment {} is {}", open.deployment, open.phase)?;
                writeln!(f, "  candidate {}", open.candidate)?;
                writeln!(f, "  old       {}", open.old.toplevel)?;
                writeln!(
                    f,
                    "  commit    {} {:?}",
                    open.commit.id, open.commit.subject
                )?;
                if !self.running && open.phase != PhaseName::Stuck {
                    writeln!(f, "  no switcher is at work; its watchdog will settle this")?;
                }
            }
        }
        if let Some(damage) = &self.journal_damage {
            writeln!(f, "{damage}")?;
            writeln!(f, "{}; what runs is left alone", journal::WAY_ON)?;
        }
        for damage in &self.history_damage {
            writeln!(f, "left out of the history: {damage}")?;
        }
        if let Some(damage) = &self.stuck {
            writeln!(f, "stuck: {damage}")?;
            writeln!(
                f,
                "no more activations until the old system is back: nixus-switcher revert"
            )?;
        }
        if let Some(unproven) = &self.unproven {
            writeln!(f, "not boot-proven yet: {}", unproven.toplevel)?;
            if let Some(why) = &unproven.told_nothing {
                writeln!(f, "  its trial at boot was inconclusive: {why}")?;
            }
        }
        if let Some(last) = &self.last {
            writeln!(
                f,
                "last: {} {} {}{}",
                last.deployment,
                match last.ending {
                    _ if last.boot_trial && last.cause.is_none() => "found bootable",
                    _ if last.boot_trial => "went back from the first boot of",
                    crate::protocol::Ending::Confirmed => "kept the change to",
                    crate::protocol::Ending::Reverted => "went back from the change to",
                    crate::protocol::Ending::Refused => "refused the change to",
                    crate::protocol::Ending::Stuck => "got stuck with the change to",
                },
                last.new.toplevel,
                last.cause
                    .as_ref()
                    .map(|cause| format!(" ({cause})"))
                    .or_else(|| Some(format!(" ({})", last.evidence.as_ref()?.confirmed_by()?)))
                    .unwrap_or_default()
            )?;
        }
        Ok(())
    }
}
