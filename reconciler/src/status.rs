//! `nixus status`: what runs, what is open, what is waited for, what went wrong.

use std::fmt;
use std::path::PathBuf;

use jiff::Timestamp;
use nixus_switcher::protocol::Toplevel;
use serde::Serialize;
use thiserror::Error;

use crate::activation::{ActivationError, Switcher};
use crate::commit_id::CommitId;
use crate::config::Config;
use crate::ledger::{Damage, Kept, Quarantined};
use crate::ledger_file::{self, LedgerFileError};
use crate::reconcile::LastPass;
use crate::report::name;
use crate::reports_repository::ReportsRepository;
use crate::set_aside;
use crate::state::{Paths, read_bounded};

/// The longest note of a pass that is read, in bytes.
const MAX_NOTE: u64 = 256 * 1024;
/// How many quarantined entries people are shown; the last ones.
const SHOWN_QUARANTINED: usize = 3;

/// Why the status could not be told.
#[derive(Debug, Error)]
pub enum StatusError {
    /// The ledger could not be read.
    #[error("the ledger is not usable")]
    Ledger(#[source] LedgerFileError),
    /// The switcher could not be asked.
    #[error("the switcher is not usable")]
    Switcher(#[source] ActivationError),
}

/// A deployment that has not ended.
#[derive(Debug, Serialize)]
pub struct OpenView {
    /// Its id.
    pub deployment: String,
    /// What the switcher is doing.
    pub phase: String,
    /// The commit.
    pub commit: CommitLine,
    /// What is to run.
    pub candidate: Toplevel,
}

/// A commit with its subject.
#[derive(Debug, Serialize)]
pub struct CommitLine {
    /// Its id.
    pub id: String,
    /// The first line of its message.
    pub subject: String,
}

/// The state of one host; the JSON of `nixus status --json` has these fields.
#[derive(Debug, Serialize)]
pub struct Status {
    /// The version of this format.
    pub version: u32,
    /// The host.
    pub host: String,
    /// What runs now.
    pub running: Toplevel,
    /// Its generation, where the system profile is at it.
    pub generation: Option<u64>,
    /// The commit that this host is on.
    pub kept: Option<Kept>,
    /// Where the accepted history begins.
    pub anchor: Option<CommitId>,
    /// The newest accepted commit.
    pub accepted: Option<CommitId>,
    /// A deployment that has not ended.
    pub open: Option<OpenView>,
    /// What the last pass of this boot ended with.
    pub last_pass: Option<LastPass>,
    /// What is not tried again.
    pub quarantine: Vec<Quarantined>,
    /// Whether reports wait to be sent; nothing where that cannot be told.
    pub reports_unsent: Option<bool>,
    /// Why the ledger cannot be used; then nothing is activated.
    pub damage: Option<Damage>,
    /// Damaged state that was set aside, to be looked at and deleted by a person.
    pub set_aside: Vec<PathBuf>,
}

/// Gathers the status; changes nothing.
pub fn status(config: &Config, paths: &Paths, switcher: &Switcher) -> Result<Status, StatusError> {
    let mut ledger = ledger_file::load(&paths.ledger()).map_err(StatusError::Ledger)?;
    if ledger.damage.is_some() {
        ledger.rebuild(&switcher.ended_after(0).map_err(StatusError::Switcher)?);
    }
    let running = switcher.running().map_err(StatusError::Switcher)?;
    let open = switcher.open().map_err(StatusError::Switcher)?;
    let reports_unsent = config.reports.as_ref().and_then(|_| {
        let reports = ReportsRepository::new(paths.reports());
        reports.unsent(&config.host).ok()
    });
    Ok(Status {
        version: 1,
        host: config.host.clone(),
        generation: switcher.generation_of(&running),
        running,
        kept: ledger.kept,
        anchor: ledger.anchor,
        accepted: ledger.accepted,
        open: open.map(|open| OpenView {
            deployment: open.deployment.to_string(),
            phase: open.phase.to_string(),
            commit: CommitLine {
                id: open.commit.id,
                subject: open.commit.subject,
            },
            candidate: open.candidate,
        }),
        last_pass: read_bounded(&paths.last_pass(), MAX_NOTE)
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok()),
        quarantine: ledger.quarantine,
        reports_unsent,
        damage: ledger.damage,
        set_aside: [paths.ledger(), paths.repository(), paths.reports()]
            .iter()
            .flat_map(|path| set_aside::found(path))
            .collect(),
    })
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &str, value: String| writeln!(f, "{name:<12}{value}");
        line("host", self.host.clone())?;
        let generation = self
            .generation
            .map_or(String::new(), |number| format!(" (generation {number})"));
        line("running", format!("{}{generation}", self.running))?;
        match &self.kept {
            Some(kept) => line(
                "commit",
                format!("{}, since {:.0}", name(&kept.commit), kept.since),
            )?,
            None => line("commit", "none confirmed yet".to_owned())?,
        }
        if let Some(open) = &self.open {
            let short = open.commit.id.get(..7).unwrap_or_default();
            line(
                "open",
                format!(
                    "deployment {} of commit {short} {:?}: {}",
                    open.deployment, open.commit.subject, open.phase
                ),
            )?;
        }
        let waits = match &self.last_pass {
            Some(pass) => format!("{} (pass ended {})", pass.waits_for, ago(pass.time)),
            None => "no pass has run since this boot".to_owned(),
        };
        line("waiting", waits)?;
        for entry in self.quarantine.iter().rev().take(SHOWN_QUARANTINED) {
            let text = format!("{}: {}", entry.commit.short(), first_line(&entry.reason));
            line("quarantined", text)?;
        }
        if self.reports_unsent == Some(true) {
            line("reports", "some wait to be sent".to_owned())?;
        }
        if let Some(damage) = &self.damage {
            line("damaged", format!("{} {}", damage.file, damage.problem))?;
        }
        for path in &self.set_aside {
            line("set aside", path.display().to_string())?;
        }
        Ok(())
    }
}

/// The first line of a text.
pub fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// How long ago something was, in words.
pub fn ago(time: Timestamp) -> String {
    format!("{} ago", age(time))
}

/// How old something is, in its largest unit.
pub fn age(time: Timestamp) -> String {
    let seconds = Timestamp::now()
        .as_second()
        .saturating_sub(time.as_second());
    match seconds {
        ..=119 => format!("{} s", seconds.max(0)),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86400),
    }
}
