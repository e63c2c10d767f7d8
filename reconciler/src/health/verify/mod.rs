//! `nixus verify`: the new generation proves that it could take the next commit, by doing it.
//!
//! It runs from the candidate, as the candidate's own unit, in the place where the candidate's
//! passes will run, and hands what it found to the switcher, which alone decides.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nixus_switcher::Open;
use nixus_switcher::PhaseName;
use nixus_switcher::machine::trial_door::{Message, tell};
use nixus_switcher::protocol::{CheckOutcome, CheckResult, Evidence};
use thiserror::Error;

use crate::activation::{ActivationError, Switcher};
use crate::config::Config;
use crate::decide::verdict::Verdict;
use crate::health::Scene;
use crate::host::files::Paths;
use crate::host::process::in_words;
use crate::host::systemd::{self, SystemdError};
use trial::Trial;

mod rounds;
mod trial;

/// What is left of the trial when the last findings are handed over.
const MARGIN: Duration = Duration::from_secs(2);
/// The unit that runs this.
const UNIT: &str = "nixus-verify.service";

/// Why nothing was verified.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// The switcher's state could not be read.
    #[error("cannot determine what is on trial")]
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
    #[error("cannot determine which unit this is")]
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
///
/// # Errors
/// The switcher is not on trial, or does not take the evidence.
pub async fn verify(
    config: Result<&Config, String>,
    switcher: &Switcher,
    paths: &Paths,
    socket: &Path,
) -> Result<CheckOutcome, VerifyError> {
    let open = on_trial(switcher)?;
    let seen = see_own_generation(&open, switcher).await;
    let Verdict {
        outcome: verdict,
        checks,
        ..
    } = match (seen, config) {
        // Who says nothing is taken for no verification at all.
        (Err(VerifyError::Systemd(error)), _) => Verdict {
            outcome: CheckOutcome::Unknown,
            for_good: false,
            checks: vec![CheckResult::new(
                "verify",
                CheckOutcome::Unknown,
                in_words(&error),
            )],
        },
        (Err(error), _) => return Err(error),
        (Ok(()), Ok(config)) => until_settled(config, &open, paths).await,
        (Ok(()), Err(problem)) => Verdict {
            outcome: CheckOutcome::Fail,
            for_good: true,
            checks: vec![CheckResult::new(
                "configuration",
                CheckOutcome::Fail,
                problem,
            )],
        },
    };
    for check in &checks {
        let by = check
            .by
            .as_ref()
            .map_or(String::new(), |peer| format!(" {peer}"));
        tracing::info!("{}{by}: {:?}: {}", check.check, check.outcome, check.reason);
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

async fn until_settled(config: &Config, open: &Open, paths: &Paths) -> Verdict {
    let scene = Scene {
        config,
        paths,
        open: Some(open),
        by_unit: false,
    };
    let left = || time_left(open);
    let reserved = trial::reserved(&config.health);
    let trial = Trial::begin(scene, left().saturating_sub(reserved));
    // After a first round that is cut off, there must be time to look whose fault that is.
    let settled = rounds::until_settled(config.health.soak, left, reserved, async || {
        trial.round().await
    });
    match settled.await {
        Some(verdict) => verdict,
        None => trial.cut_off().await,
    }
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

fn hand_over(socket: &Path, evidence: Evidence) -> Result<(), VerifyError> {
    let reply =
        tell(socket, &Message::Evidence(evidence)).map_err(|source| VerifyError::HandOver {
            path: socket.to_owned(),
            source,
        })?;
    if reply.accepted {
        return Ok(());
    }
    Err(VerifyError::Refused {
        reason: reply.reason.unwrap_or_default(),
    })
}
