//! `nixus verify`: the new generation proves that it could take the next commit, by doing it.
//!
//! It runs from the candidate, as the candidate's own unit, in the place where the candidate's
//! passes will run, and hands what it found to the switcher, which alone decides.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nixus_switcher::protocol::{CheckOutcome, CheckResult, Evidence, Toplevel};
use nixus_switcher::trial::{self, Message};
use nixus_switcher::{Open, PhaseName};
use thiserror::Error;

use crate::activation::{ActivationError, Switcher};
use crate::closure;
use crate::commit_id::CommitId;
use crate::config::Config;
use crate::health::{result, verdict};
use crate::local_checks;
use crate::plan::Head;
use crate::process::in_words;
use crate::source::reach::{self, Reach, reach};
use crate::source::{Source, SourceError};
use crate::state::Paths;
use crate::systemd::{self, SystemdError};
use crate::trust;

mod rounds;

/// What is left of the trial when the last findings are handed over.
const MARGIN: Duration = Duration::from_secs(2);
/// The check that a pass of the new generation can do its work.
pub const REPOSITORY: &str = "repository";
/// The check that the repository's host accepts connections, made where a pass could not.
pub const REACH: &str = "reach";
/// The unit that runs this.
const UNIT: &str = "nixus-verify.service";

/// Why nothing was verified.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// The switcher's state could not be read.
    #[error("cannot tell what is on trial")]
    Switcher(#[source] ActivationError),
    /// There is nothing to verify.
    #[error("no deployment is on trial")]
    NothingOnTrial,
    /// This is not the candidate.
    #[error("this is not the generation on trial: {problem}")]
    NotTheCandidate {
        /// What does not fit.
        problem: String,
    },
    /// systemd could not be asked.
    #[error("cannot tell which unit this is")]
    Systemd(#[source] SystemdError),
    /// The switcher did not take the evidence.
    #[error("cannot hand evidence to the switcher at {}", path.display())]
    HandOver {
        /// Its socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The switcher refused the evidence.
    #[error("the switcher refused the evidence: {reason}")]
    Refused {
        /// Its reason.
        reason: String,
    },
}

/// Checks until all has passed for the soak time, or until the trial is nearly over; then hands the
/// findings to the switcher. `config` is the candidate's, or why it cannot be used.
pub async fn verify(
    config: Result<&Config, String>,
    switcher: &Switcher,
    paths: &Paths,
    socket: &Path,
) -> Result<CheckOutcome, VerifyError> {
    let open = on_trial(switcher)?;
    see_own_generation(&open, switcher).await?;
    let checks = match config {
        Ok(config) => until_settled(config, &open, paths).await,
        Err(problem) => vec![result("configuration", CheckOutcome::Fail, problem)],
    };
    let verdict = verdict(&checks);
    for check in &checks {
        tracing::info!("{}: {:?}: {}", check.check, check.outcome, check.reason);
    }
    let evidence = Evidence {
        version: open.format,
        deployment: open.deployment.clone(),
        boot: open.boot.clone(),
        toplevel: open.candidate.clone(),
        verdict,
        checks,
    };
    hand_over(socket, evidence)?;
    Ok(verdict)
}

fn on_trial(switcher: &Switcher) -> Result<Open, VerifyError> {
    switcher
        .open()
        .map_err(VerifyError::Switcher)?
        .filter(|open| matches!(open.phase, PhaseName::OnTrial | PhaseName::BootTrial))
        .ok_or(VerifyError::NothingOnTrial)
}

/// Only the candidate speaks for the candidate: an old unit that somebody starts during the trial
/// would prove the wrong thing.
async fn see_own_generation(open: &Open, switcher: &Switcher) -> Result<(), VerifyError> {
    let differs = |problem: String| VerifyError::NotTheCandidate { problem };
    let running = switcher.running().map_err(VerifyError::Switcher)?;
    if running != open.candidate {
        return Err(differs(format!("{running} runs")));
    }
    let inside = |path: &str| {
        let path = open.candidate.path().join(path);
        std::fs::canonicalize(&path)
            .map_err(|error| differs(format!("{}: {error}", path.display())))
    };
    let own = std::env::current_exe()
        .and_then(std::fs::canonicalize)
        .map_err(|error| differs(error.to_string()))?;
    if own != inside("sw/bin/nixus")? {
        return Err(differs(format!("{} is not its nixus", own.display())));
    }
    let unit = systemd::fragment(UNIT)
        .await
        .map_err(VerifyError::Systemd)?;
    if unit != Some(inside("etc/systemd/system/nixus-verify.service")?) {
        return Err(differs(format!("{UNIT} was loaded from elsewhere")));
    }
    Ok(())
}

async fn until_settled(config: &Config, open: &Open, paths: &Paths) -> Vec<CheckResult> {
    let left = || time_left(open);
    // After a first round that is cut off, there must be time to look for the server.
    let found = rounds::until_settled(config.soak, left, reach::LIMIT, async || {
        round(config, open, paths).await
    });
    match found.await {
        Some(checks) => checks,
        None => not_reached(config, "it did not answer during the trial".to_owned()).await,
    }
}

async fn round(config: &Config, open: &Open, paths: &Paths) -> Vec<CheckResult> {
    let mut checks = local(open).await;
    checks.extend(repository(config, open, paths).await);
    checks
}

/// The time in which findings can still be gathered.
fn time_left(open: &Open) -> Duration {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME)
        .map_or(Duration::MAX, Duration::from);
    open.phase_deadline.map_or(Duration::MAX, |deadline| {
        Duration::from_secs(deadline)
            .saturating_sub(now)
            .saturating_sub(MARGIN)
    })
}

async fn local(open: &Open) -> Vec<CheckResult> {
    vec![
        local_checks::timer().await,
        local_checks::place().await,
        local_checks::units(&open.failed_before).await,
    ]
}

/// Why a dry pass did not come to its end.
enum Problem {
    /// The new generation is wrong, whatever the repository does.
    Own(String),
    /// The repository was not to be used; that may be its own fault.
    Repository(SourceError),
}

impl From<String> for Problem {
    fn from(problem: String) -> Self {
        Self::Own(problem)
    }
}

impl From<SourceError> for Problem {
    fn from(error: SourceError) -> Self {
        Self::Repository(error)
    }
}

/// The dry pass: list, fetch, find this commit, and come to the same toplevel again.
async fn repository(config: &Config, open: &Open, paths: &Paths) -> Vec<CheckResult> {
    match dry_pass(config, open, paths).await {
        Ok(reason) => vec![result(REPOSITORY, CheckOutcome::Pass, reason)],
        // What the branch or the cache has become since is no fault of a boot.
        Err(Problem::Own(problem)) if open.phase == PhaseName::BootTrial => {
            vec![result(REPOSITORY, CheckOutcome::Unknown, problem)]
        }
        Err(Problem::Own(problem)) => vec![result(REPOSITORY, CheckOutcome::Fail, problem)],
        Err(Problem::Repository(error)) => not_reached(config, in_words(&error)).await,
    }
}

/// The repository did not answer: whose fault that may be.
async fn not_reached(config: &Config, error: String) -> Vec<CheckResult> {
    let repository = |outcome, reason: String| result(REPOSITORY, outcome, reason);
    match reach(&config.remotes()).await {
        // The kernel knows of no way there: no outage elsewhere does that.
        Reach::NoRoute => vec![repository(
            CheckOutcome::Fail,
            format!("{error}; this host has no route to it"),
        )],
        Reach::Connected => vec![
            repository(CheckOutcome::Unknown, error),
            result(REACH, CheckOutcome::Pass, "its host accepts connections"),
        ],
        Reach::NotConnected(reason) => vec![
            repository(CheckOutcome::Unknown, error),
            result(REACH, CheckOutcome::Unknown, reason),
        ],
    }
}

async fn dry_pass(config: &Config, open: &Open, paths: &Paths) -> Result<String, Problem> {
    let source = Source::new(config.remotes(), config.branch.clone(), paths.repository());
    let Head::At(_) = source.list().await? else {
        return Err(Problem::Own(format!(
            "{} has no branch {}",
            config.repository.url, config.branch
        )));
    };
    let head = source.fetch().await?;
    let accepted = CommitId::try_from(open.commit.id.clone())?;
    if trust::verify(&source, &head, &accepted)?.is_none() {
        return Err(Problem::Own(format!(
            "the branch {} of {} does not contain commit {}",
            config.branch,
            config.repository.url,
            accepted.short()
        )));
    }
    let commit = trust::verify(&source, &accepted, &accepted)?
        .ok_or_else(|| "the commit does not descend from itself".to_owned())?;
    let again = closure::resolve(&config.closure, &source, &commit)
        .await
        .map_err(|error| in_words(&error))?;
    same_system(&again, &open.candidate)?;
    Ok(format!(
        "fetched {} and came to the same system again",
        head.short()
    ))
}

fn same_system(again: &Toplevel, candidate: &Toplevel) -> Result<(), String> {
    if again == candidate {
        return Ok(());
    }
    Err(format!(
        "the new generation makes another system of this commit: {again}"
    ))
}

fn hand_over(socket: &Path, evidence: Evidence) -> Result<(), VerifyError> {
    let reply = trial::tell(socket, &Message::Evidence(evidence)).map_err(|source| {
        VerifyError::HandOver {
            path: socket.to_owned(),
            source,
        }
    })?;
    if reply.accepted {
        return Ok(());
    }
    Err(VerifyError::Refused {
        reason: reply.reason.unwrap_or_default(),
    })
}
