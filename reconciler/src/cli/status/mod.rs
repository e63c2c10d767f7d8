//! `nixus status`: what runs, what is open, what is waited for, what went wrong, what comes next.
//!
//! The fields of [`Status`] are the JSON of `nixus status --json`. They are stable: fields may be
//! added, and `version` counts up when one changes its meaning or goes away.

use std::path::PathBuf;

use jiff::Timestamp;
use nixus_switcher::PhaseName;
use nixus_switcher::protocol::{Ending, Outcome, Toplevel};
use serde::Serialize;
use thiserror::Error;

use super::arguments::{Host, Output, print_json};
use super::exit_code::{CommandError, Exit, Failed, HasExit};
use crate::activation::{ActivationError, Switcher};
use crate::cli::next_step;
use crate::config::Config;
use crate::decide::commit_id::CommitId;
use crate::decide::ledger::{Backoff, Damage, Kept, Ledger, Quarantined};
use crate::decide::plan::Reason;
use crate::decide::plan::suspension::Suspension;
use crate::decide::report::Unproven;
use crate::decide::verdict::sightings::Noticed;
use crate::health::last_pass::{self, LastPass, last_pass, wall};
use crate::health::overdue;
use crate::host::files::Paths;
use crate::host::process::in_words;
use crate::host::set_aside;
use crate::host::systemd::{self, PASS_TIMER};
use crate::pass::ledger_file::{self, LedgerFileError};
use crate::pass::summary::{self, Summary};
use crate::pass::suspension;
use crate::print;
use crate::report::repository::ReportsRepository;
use clap::Args;

pub mod statuses;
mod text;

pub use text::first_line;

/// Show the running system, the current deployment, what the host waits for, recent errors, and the next step.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  nixus status
  nixus status --json | jq .last_pass.waits_for.reason

Exit code 1 only where an operator is needed, or passes have stopped: a host that waits for CI, for peers or for the
git server, and one whose newest commit failed, continues automatically.")]
pub struct StatusArguments {
    /// How to print it.
    #[command(flatten)]
    pub output: Output,
}

impl StatusArguments {
    /// Prints the status, or the summary for those who may not read the rest.
    ///
    /// # Errors
    /// The configuration is wrong, or the state cannot be read.
    pub async fn run(&self, host: &Host) -> Result<Exit, CommandError> {
        if summary::is_all(&host.paths) {
            let none = "no pass of this boot has left a summary; the status needs root";
            let summary = Summary::read(&host.paths.summary);
            let summary = summary.map_err(|error| Failed::because(none, error))?;
            if self.output.json {
                print_json(&summary)?;
            } else {
                print!("{}", summary.text(Timestamp::now()));
            }
            return Ok(Exit::Done);
        }
        let status = status(&host.config()?, &host.paths, &host.switcher).await?;
        if self.output.json {
            print_json(&status)?;
        } else {
            print!("{status}");
        }
        match status.needs_operator() {
            true => Ok(Exit::Failed),
            false => Ok(Exit::Done),
        }
    }
}

impl HasExit for StatusError {}

/// Why the status could not be determined.
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
    /// When the phase is over at the latest.
    pub until: Option<Timestamp>,
    /// Nobody works on it: a pass, or its watchdog, will settle it.
    pub abandoned: bool,
}

/// A commit with its subject.
#[derive(Debug, Serialize)]
pub struct CommitLine {
    /// Its id.
    pub id: String,
    /// The first line of its message.
    pub subject: String,
}

/// The boot.
#[derive(Debug, Serialize)]
pub struct Boot {
    /// What was booted, where that can be determined.
    pub booted: Option<Toplevel>,
    /// Whether what runs has proved that it boots.
    pub proven: bool,
    /// Whether its first boot is on trial now.
    pub on_trial: bool,
    /// Why its trial at boot was inconclusive, where it did not.
    pub told_nothing: Option<String>,
    /// Whether an older generation than the default was picked in the boot menu.
    pub other_picked: bool,
    /// How far a first boot that fails would lead back, where what runs is not boot-proven.
    pub unproven: Option<Unproven>,
    /// The commits that it would undo, newest first.
    pub would_undo: Vec<CommitLine>,
}

/// The last thing that went wrong.
#[derive(Debug, Serialize)]
pub struct Failure {
    /// When.
    pub time: Timestamp,
    /// The commit, where it was one's.
    pub commit: Option<String>,
    /// What.
    pub text: String,
}

/// The state of one host; the JSON of `nixus status --json` has these fields.
#[derive(Debug, Serialize)]
pub struct Status {
    /// When it was asked for: ages are counted from it.
    #[serde(skip)]
    pub now: Timestamp,
    /// The version of this format.
    pub version: u32,
    /// The host.
    pub host: String,
    /// What runs now.
    pub running: Toplevel,
    /// Its generation, where the system profile is at it.
    pub generation: Option<u64>,
    /// The boot.
    pub boot: Boot,
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
    /// What will happen next, in a sentence.
    pub next: String,
    /// Since when no pass has ended although some were due; nothing where they come.
    pub passes_stopped: Option<Timestamp>,
    /// That passes are kept out for longer than one may take.
    pub pass_overdue: Option<Reason>,
    /// Peers that this host has noticed something of.
    pub noticed: Vec<Noticed>,
    /// When the next pass is due; nothing while one runs, or where systemd has no timer for it.
    pub next_pass: Option<Timestamp>,
    /// That an operator holds this host still.
    pub suspended: Option<Suspension>,
    /// A wait after failures.
    pub backoff: Option<Backoff>,
    /// The last thing that went wrong, whether or not it was overcome since.
    pub last_failure: Option<Failure>,
    /// What is not tried again.
    pub quarantine: Vec<Quarantined>,
    /// Whether reports wait to be sent; nothing where that cannot be determined.
    pub reports_unsent: Option<bool>,
    /// How commit statuses are on their way; nothing where this host posts none.
    pub statuses: Option<statuses::StatusesView>,
    /// Why the ledger cannot be used; then nothing is activated.
    pub damage: Option<Damage>,
    /// Why the switcher's journal cannot be used; then nothing is activated, and `open` is of no meaning.
    pub journal_damage: Option<String>,
    /// Files of the switcher's history that cannot be read, and are left out.
    pub history_damage: Vec<String>,
    /// Damaged state that was set aside, to be looked at and deleted by a person.
    pub set_aside: Vec<PathBuf>,
}

impl Status {
    /// Whether somebody has to look after this host: it waits for an operator, or makes no passes any more.
    pub fn needs_operator(&self) -> bool {
        let waits = self.last_pass.as_ref().map(|pass| &pass.waits_for);
        self.damage.is_some()
            || self.journal_damage.is_some()
            || self.passes_stopped.is_some()
            || waits.is_some_and(Reason::needs_operator)
    }
}

/// Gathers the status; changes nothing.
///
/// # Errors
/// The ledger, the reports or the switcher's state cannot be read.
pub async fn status(
    config: &Config,
    paths: &Paths,
    switcher: &Switcher,
) -> Result<Status, StatusError> {
    let mut ledger = ledger_file::of_host(paths).map_err(StatusError::Ledger)?;
    let history = switcher.ended_after(0).map_err(StatusError::Switcher)?;
    ledger.rebuild(&history);
    let running = switcher.running().map_err(StatusError::Switcher)?;
    let (open, journal_damage) = match switcher.open() {
        Ok(open) => (open, None),
        Err(ActivationError::Journal(error)) => (None, Some(in_words(&error))),
        Err(error) => return Err(StatusError::Switcher(error)),
    };
    let booted = switcher.booted().ok();
    let boot_proven = switcher.boot_proven().filter(|proven| *proven != running);
    let unproven = switcher.unproven().filter(|one| one.toplevel == running);
    let now = Timestamp::now();
    let last_pass = last_pass(paths);
    let suspended = suspension::read(paths).filter(|one| one.holds(now));
    let reports_unsent = config.reports.as_ref().and_then(|_| {
        let reports = ReportsRepository::new(paths.reports());
        reports.unsent(&config.host).ok()
    });
    let abandoned = open.as_ref().is_some_and(|open| switcher.is_left(open));
    let last_pass = last_pass.map(|pass| pass.beside(open.as_ref().map(|open| &open.deployment)));
    let next = match (&suspended, &last_pass) {
        _ if abandoned => next_step::ABANDONED.to_owned(),
        (Some(suspended), _) => next_step::next(&Reason::Suspended {
            until: suspended.until,
            why: suspended.why.clone(),
        }),
        (None, Some(pass)) => next_step::next(&pass.waits_for),
        (None, None) => "the first pass of this boot looks at everything anew".to_owned(),
    };
    Ok(Status {
        now,
        version: 1,
        host: config.host.clone(),
        generation: switcher.generation_of(&running),
        boot: Boot {
            proven: switcher.boot_proven().as_ref() == Some(&running)
                || (booted.as_ref() == Some(&running) && unproven.is_none()),
            on_trial: open
                .as_ref()
                .is_some_and(|open| matches!(open.phase, PhaseName::Booted | PhaseName::BootTrial)),
            told_nothing: unproven.and_then(|one| one.told_nothing),
            booted,
            other_picked: switcher.booted_other(&switcher.boot_default()),
            unproven: boot_proven.as_ref().map(|proven| Unproven {
                commits: ledger.kept_since(proven).len(),
                generation: switcher.number_of(proven),
            }),
            would_undo: boot_proven
                .iter()
                .flat_map(|proven| ledger.kept_since(proven))
                .map(|kept| CommitLine {
                    id: kept.commit.id.clone(),
                    subject: kept.commit.subject.clone(),
                })
                .collect(),
        },
        running,
        last_pass,
        passes_stopped: last_pass::of_host(config, paths).await,
        pass_overdue: overdue::of_lock(paths, config.passes.timeout),
        noticed: ledger
            .sightings
            .noticed(now, config.health.peers_lost_after),
        next_pass: systemd::next_elapse(PASS_TIMER).await.ok().flatten(),
        suspended,
        last_failure: last_failure(&ledger, &history),
        kept: ledger.kept,
        anchor: ledger.anchor,
        accepted: ledger.accepted,
        open: open.map(|open| OpenView {
            until: open.phase_deadline.and_then(|deadline| wall(deadline, now)),
            deployment: open.deployment.to_string(),
            phase: open.phase.to_string(),
            commit: CommitLine {
                id: open.commit.id,
                subject: open.commit.subject,
            },
            candidate: open.candidate,
            abandoned,
        }),
        backoff: ledger.backoff,
        quarantine: ledger.quarantine,
        reports_unsent,
        statuses: statuses::view(config, paths, switcher),
        damage: ledger.damage,
        history_damage: switcher.history_damage(),
        set_aside: [paths.ledger(), paths.repository(), paths.reports()]
            .iter()
            .chain(&switcher.journal_files())
            .flat_map(|path| set_aside::found(path))
            .collect(),
        next: match &journal_damage {
            Some(why) => next_step::next(&Reason::JournalDamaged { why: why.clone() }),
            None => next,
        },
        journal_damage,
    })
}

/// The newest of what the switcher, the builder and the network did not manage.
fn last_failure(ledger: &Ledger, history: &[Outcome]) -> Option<Failure> {
    let ended = history.iter().rev().find_map(|outcome| {
        let cause = outcome.cause.as_ref()?;
        let time = i64::try_from(outcome.ended).ok()?;
        (outcome.ending != Ending::Confirmed).then_some(Failure {
            time: Timestamp::from_second(time).ok()?,
            commit: Some(outcome.commit.id.clone()),
            text: format!("deployment {}: {cause}", outcome.deployment),
        })
    });
    let not_built = ledger
        .quarantine
        .iter()
        .rev()
        .find(|one| one.toplevel.is_none());
    let not_built = not_built.map(|entry| Failure {
        time: entry.since,
        commit: Some(entry.commit.to_string()),
        text: format!("not built: {}", entry.reason),
    });
    ended
        .into_iter()
        .chain(not_built)
        .max_by_key(|one| one.time)
}

#[cfg(test)]
mod tests;
