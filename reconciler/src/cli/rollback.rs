//! `nixus rollback`: an operator goes back to an earlier generation, as safely as a commit comes.
//!
//! What ran is quarantined first, so that no pass brings it back. The generation is on trial as a
//! commit's is, but judged by "not worse than before" only: it is often wanted just when something
//! does not work.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use nixus_switcher::machine::operator;
use nixus_switcher::protocol::{DeploymentId, Ending, Outcome};
use thiserror::Error;

use super::arguments::Host;
use super::exit_code::{CommandError, Exit, HasExit};
use crate::activation::generation::{Generation, GenerationError, find};
use crate::activation::{ActivationError, Candidate, Switcher};
use crate::config::Config;
use crate::decide::report::Reporter;
use crate::health;
use crate::host::files::Paths;
use crate::host::systemd::{self, PASS_UNIT, SystemdError};
use crate::pass::ledger_file::{self, DamagedLedger, LedgerFileError};
use crate::pass::lock::{PassLock, PassLockError};
use crate::println;
use crate::report::repository::{ReportsError, ReportsRepository};
use clap::Args;

/// Roll back to an earlier generation, under a watchdog; what runs is quarantined.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  nixus rollback                          to the generation before the one that runs
  nixus rollback --to 41 \"the shop is slow\"
  nixus retry                             to take up again what was rolled back

The generation has only to be no worse than what runs. The next commit that makes another system is
deployed as usual; to prevent that, run `nixus suspend` first.")]
pub struct Rollback {
    /// The generation's number [default: the one before the running one]
    #[arg(long, value_name = "GENERATION")]
    pub to: Option<u64>,
    /// Why, for those who look at `nixus status`.
    pub reason: Option<String>,
}

impl Rollback {
    /// Rolls back, and waits for the end of it.
    ///
    /// # Errors
    /// The configuration is wrong, or the rollback could not begin or has not ended.
    pub async fn run(&self, host: &Host) -> Result<Exit, CommandError> {
        let why = self.reason.as_deref();
        let begun = begin(&host.config()?, &host.paths, &host.switcher, self.to, why).await?;
        let (number, deployment) = (begun.generation.number(), &begun.deployment);
        println!("Going back to generation {number}, as deployment {deployment}.");
        let outcome = end(&begun, &host.switcher).await?;
        let now = Timestamp::now();
        // The sentence that the report will have.
        println!("{}", Reporter { host: "", now }.ended(&outcome).text);
        match outcome.ending {
            Ending::Confirmed => Ok(Exit::Done),
            _ => Ok(Exit::Failed),
        }
    }
}

/// How often the switcher is asked whether it has ended.
const LOOK: Duration = Duration::from_millis(200);

/// Why nothing was begun. Nothing was changed, but where the switcher did not take it up: then what
/// runs is quarantined already.
#[derive(Debug, Error)]
pub enum RollbackError {
    /// A pass runs.
    #[error("cannot go back while a pass runs")]
    Lock(#[source] PassLockError),
    /// The pass that runs could not be ended.
    #[error("a pass is in the way")]
    Stop(#[source] SystemdError),
    /// A deployment is open.
    #[error(
        "deployment {deployment} is open: `nixus-switcher revert` ends it, and goes back to what ran before it"
    )]
    Open {
        /// Which.
        deployment: DeploymentId,
    },
    /// The ledger could not be read or written.
    #[error("the ledger is not usable")]
    Ledger(#[source] LedgerFileError),
    /// The ledger is lost.
    #[error(transparent)]
    Damaged(#[from] DamagedLedger),
    /// This host follows no repository.
    #[error("this host follows no repository yet: `nixus adopt` comes first")]
    NotAdopted,
    /// There is no such generation.
    #[error(transparent)]
    Generation(#[from] GenerationError),
    /// The reports could not be read, or none be kept.
    #[error("the reports are not usable")]
    Reports(#[source] ReportsError),
    /// The switcher could not be asked.
    #[error("the switcher is not usable")]
    Switcher(#[source] ActivationError),
    /// The deployment did not end in its time.
    #[error("deployment {deployment} has not ended yet: `nixus status` shows how it goes on")]
    StillOpen {
        /// Which.
        deployment: DeploymentId,
    },
}

impl HasExit for RollbackError {
    fn exit(&self) -> Exit {
        match self {
            Self::Lock(error) => error.exit(),
            Self::Open { .. } => Exit::Busy,
            Self::Damaged(_) | Self::NotAdopted => Exit::WrongInput,
            Self::Generation(GenerationError::Profile(_)) => Exit::Failed,
            Self::Generation(_) => Exit::WrongInput,
            Self::Stop(_)
            | Self::Ledger(_)
            | Self::Reports(_)
            | Self::Switcher(_)
            | Self::StillOpen { .. } => Exit::Failed,
        }
    }
}

/// A rollback that the switcher has taken up.
#[derive(Debug)]
pub struct Begun {
    /// Where to.
    pub generation: Generation,
    /// As which deployment.
    pub deployment: DeploymentId,
    /// The longest that it may take.
    pub within: Duration,
}

/// Has the switcher activate the generation of this number, or the one before what runs.
///
/// # Errors
/// There is no such generation, a deployment is open, or the switcher does not take it.
pub async fn begin(
    config: &Config,
    paths: &Paths,
    switcher: &Switcher,
    number: Option<u64>,
    why: Option<&str>,
) -> Result<Begun, RollbackError> {
    let _lock = lock(paths).await?;
    if let Some(open) = switcher.open().map_err(RollbackError::Switcher)? {
        return Err(RollbackError::Open {
            deployment: open.deployment,
        });
    }
    let ledger = ledger_file::of_host(paths).map_err(RollbackError::Ledger)?;
    let mut ledger = ledger_file::sound(ledger)?;
    if ledger.accepted.is_none() {
        return Err(RollbackError::NotAdopted);
    }
    let running = switcher.running().map_err(RollbackError::Switcher)?;
    let all = switcher.generations().map_err(GenerationError::Profile)?;
    let host = &config.host;
    let reports = ReportsRepository::new(paths.reports());
    let said = reports
        .history(host, usize::MAX)
        .map_err(RollbackError::Reports)?;
    let generation = find(all, number, &running, &said)?;
    let before = health::before_rollback(config, paths).await;

    let why = why.map_or(String::new(), |why| format!(": {why}"));
    let why = format!("{} rolled back{why}", operator::name());
    let now = Timestamp::now();
    ledger.roll_back(&running, &why, now);
    ledger.deployments += 1;
    let deployment = name(ledger.deployments, generation.number())?;
    ledger_file::save(&paths.ledger(), &ledger, switcher.format())
        .map_err(RollbackError::Ledger)?;
    let report = Reporter { host, now }.rolling_back(
        generation.number(),
        generation.commit(),
        generation.toplevel(),
        &deployment,
        &why,
    );
    reports.keep(&report).map_err(RollbackError::Reports)?;
    let switch = &config.switch;
    switcher
        .activate(
            Candidate::Generation(&generation),
            deployment.clone(),
            switch,
            Some(before),
            paths,
        )
        .await
        .map_err(RollbackError::Switcher)?;
    // The rollback from a generation that fails takes as long as an activation may.
    let within = 2 * switch.activation_timeout + switch.trial_timeout + switch.commit_timeout;
    Ok(Begun {
        generation,
        deployment,
        within,
    })
}

/// A pass that builds, or waits for a server that is dead, is ended: it may be killed at any time,
/// and an operator who wants to go back has no time for it.
async fn lock(paths: &Paths) -> Result<PassLock, RollbackError> {
    match PassLock::wait(paths) {
        Err(PassLockError::Busy { .. }) => {
            systemd::stop(PASS_UNIT)
                .await
                .map_err(RollbackError::Stop)?;
            PassLock::wait(paths)
        }
        taken => taken,
    }
    .map_err(RollbackError::Lock)
}

fn name(number: u64, generation: u64) -> Result<DeploymentId, RollbackError> {
    format!("{number}-rollback-{generation}").parse().map_err(
        |error: nixus_switcher::protocol::NameError| {
            RollbackError::Switcher(ActivationError::Running {
                problem: error.to_string(),
            })
        },
    )
}

/// Waits until the switcher has ended it, one way or the other.
///
/// # Errors
/// The switcher's state cannot be read, or the end is in none of its files.
pub async fn end(rollback: &Begun, switcher: &Switcher) -> Result<Outcome, RollbackError> {
    let begun = Instant::now();
    loop {
        let ended = switcher.ended_after(0).map_err(RollbackError::Switcher)?;
        let found = ended
            .into_iter()
            .rfind(|outcome| outcome.deployment == rollback.deployment);
        if let Some(outcome) = found {
            return Ok(outcome);
        }
        if begun.elapsed() > rollback.within {
            return Err(RollbackError::StillOpen {
                deployment: rollback.deployment.clone(),
            });
        }
        tokio::time::sleep(LOOK).await;
    }
}
