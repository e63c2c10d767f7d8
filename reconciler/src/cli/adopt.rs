//! `nixus adopt`: the first contact of a host with its deploy repository.
//!
//! It pins the commit from which history is accepted and roots what runs. It activates nothing.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use nixus_switcher::protocol::{CheckOutcome, Commit, Toplevel};
use thiserror::Error;

use super::arguments::{Host, parse_commit};
use super::exit_code::{CommandError, Exit, HasExit};
use crate::activation::{ActivationError, Switcher};
use crate::config::Config;
use crate::decide::commit_id::CommitId;
use crate::decide::ledger::Ledger;
use crate::decide::plan::Head;
use crate::decide::report::name;
use crate::health::{Scene, peer, unit};
use crate::host::files::{Paths, replace_link};
use crate::host::process::in_words;
use crate::pass::ledger_file::{self, LedgerFileError};
use crate::pass::lock::{PassLock, PassLockError};
use crate::println;
use crate::report::repository::ReportsRepository;
use crate::source::{Source, SourceError};
use clap::Args;

/// Start to follow the deploy repository; activates nothing.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  nixus adopt                      accept history from the branch's present head on
  nixus adopt --commit 3f2c1a0...  accept history from this commit on
  nixus adopt --again              after the history was rewritten, or the state was damaged")]
pub struct Adopt {
    /// Accept history from this commit on, instead of the branch's head.
    #[arg(long, value_parser = parse_commit)]
    pub commit: Option<CommitId>,
    /// Start over on a host that was adopted before.
    #[arg(long)]
    pub again: bool,
}

impl Adopt {
    /// Adopts this host.
    ///
    /// # Errors
    /// The configuration is wrong, or the host was not adopted.
    pub async fn run(&self, host: &Host) -> Result<Exit, CommandError> {
        let (config, commit) = (host.config()?, self.commit.clone());
        let adopted = adopt(&config, &host.paths, &host.switcher, commit, self.again).await?;
        let anchor = name(&adopted.anchor);
        println!("Adopted: history is accepted from {anchor} on.");
        println!("Nothing was activated; {} runs.", adopted.running);
        Ok(Exit::Done)
    }
}

/// How long peers may take to say that they are there.
const PRESENT: Duration = Duration::from_secs(10);
/// What the unit of the passes may take beside the network.
const UNIT: Duration = Duration::from_secs(30);

/// Why a host was not adopted. Nothing was changed.
#[derive(Debug, Error)]
pub enum AdoptError {
    /// A pass runs.
    #[error("cannot adopt while a pass runs")]
    Lock(#[source] PassLockError),
    /// The ledger could not be read or written.
    #[error("the ledger is not usable")]
    Ledger(#[source] LedgerFileError),
    /// It was adopted before.
    #[error(
        "this host was adopted at {anchor} already: `nixus adopt --again` starts over and forgets what was quarantined"
    )]
    Already {
        /// The pinned commit.
        anchor: CommitId,
    },
    /// It was adopted before, but what it remembered is lost.
    #[error(
        "{file} {problem}: `nixus adopt --again` starts over, and keeps in quarantine whatever failed according to the switcher's history"
    )]
    Damaged {
        /// The file, where it is now.
        file: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The repository could not be used.
    #[error("cannot take the history from the deploy repository")]
    Source(#[source] SourceError),
    /// The branch does not exist.
    #[error("{url} has no branch {branch:?}")]
    NoBranch {
        /// The repository.
        url: String,
        /// The branch.
        branch: String,
    },
    /// The unit that makes the passes could not do what this command could.
    #[error("no pass on this host could follow the repository: {why}")]
    Unit {
        /// What it said, or how it ended.
        why: String,
    },
    /// The commit asked for is not in the branch.
    #[error("commit {commit} is not in the history of branch {branch:?}")]
    NotInBranch {
        /// The commit.
        commit: CommitId,
        /// The branch.
        branch: String,
    },
    /// What runs could not be determined.
    #[error("cannot determine what runs")]
    Running(#[source] ActivationError),
    /// What runs could not be rooted.
    #[error("cannot root the running system at {}", path.display())]
    Root {
        /// The root.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl HasExit for AdoptError {
    fn exit(&self) -> Exit {
        match self {
            Self::Lock(error) => error.exit(),
            Self::Already { .. }
            | Self::Damaged { .. }
            | Self::NotInBranch { .. }
            | Self::NoBranch { .. } => Exit::WrongInput,
            Self::Ledger(_)
            | Self::Source(_)
            | Self::Unit { .. }
            | Self::Running(_)
            | Self::Root { .. } => Exit::Failed,
        }
    }
}

/// What was pinned.
#[derive(Debug)]
pub struct Adopted {
    /// The commit from which history is accepted.
    pub anchor: Commit,
    /// What runs, and is kept until something else is confirmed.
    pub running: Toplevel,
}

/// Adopts this host at `commit`, or at the head of the branch.
///
/// # Errors
/// The host is adopted already, a pass runs, the commit cannot be fetched or built, a check fails, or
/// the ledger cannot be written.
pub async fn adopt(
    config: &Config,
    paths: &Paths,
    switcher: &Switcher,
    commit: Option<CommitId>,
    again: bool,
) -> Result<Adopted, AdoptError> {
    let lock = || PassLock::wait(paths).map_err(AdoptError::Lock);
    let adoptable = || adoptable(paths, again);
    // The one who looks needs the lock.
    let (anchor, name) = {
        let _lock = lock()?;
        adoptable()?;
        anchor(config, paths, commit).await?
    };
    see_what_a_pass_can_do(config, paths).await?;
    let _lock = lock()?;
    let mut ledger = adoptable()?;
    let running = switcher.running().map_err(AdoptError::Running)?;
    root(&paths.adopted, &running)?;
    if let Some(remote) = &config.reports {
        let reports = ReportsRepository::new(paths.reports());
        if let Err(error) = reports.take_over(&config.host, remote).await {
            tracing::warn!("earlier reports are not continued: {}", in_words(&error));
        }
    }
    let history = switcher.ended_after(0).map_err(AdoptError::Running)?;
    ledger.rebuild(&history);
    ledger_file::set_aside_damaged(&paths.ledger(), &mut ledger, true)
        .map_err(AdoptError::Ledger)?;
    ledger.adopt(anchor);
    // Whoever is seen from the beginning is known to be there when it is behind a shut door.
    let present = peer::present(&config.health, PRESENT).await;
    ledger.hear_of_peers(&present, Timestamp::now(), config.health.peers_lost_after);
    ledger_file::save(&paths.ledger(), &ledger, switcher.format()).map_err(AdoptError::Ledger)?;
    Ok(Adopted {
        anchor: name,
        running,
    })
}

/// The ledger of a host that may be adopted.
fn adoptable(paths: &Paths, again: bool) -> Result<Ledger, AdoptError> {
    let ledger = ledger_file::of_host(paths).map_err(AdoptError::Ledger)?;
    if let (Some(damage), false) = (&ledger.damage, again) {
        return Err(AdoptError::Damaged {
            file: damage.file.clone(),
            problem: damage.problem.clone(),
        });
    }
    if let (Some(anchor), false) = (&ledger.anchor, again) {
        return Err(AdoptError::Already {
            anchor: anchor.clone(),
        });
    }
    Ok(ledger)
}

/// This command has an operator's path, environment and perhaps keys. What counts is whether the unit of
/// the passes can use the repository with its own.
async fn see_what_a_pass_can_do(config: &Config, paths: &Paths) -> Result<(), AdoptError> {
    let scene = Scene {
        config,
        paths,
        open: None,
        by_unit: true,
    };
    let found = unit::asked(&scene, 2 * config.repository.timeout + UNIT).await;
    let unwell = found
        .iter()
        .find(|one| one.outcome != CheckOutcome::Pass)
        .map(|one| one.reason.clone());
    unwell.map_or(Ok(()), |why| Err(AdoptError::Unit { why }))
}

async fn anchor(
    config: &Config,
    paths: &Paths,
    commit: Option<CommitId>,
) -> Result<(CommitId, Commit), AdoptError> {
    let source = Source::of(config, paths);
    if source.list().await.map_err(AdoptError::Source)? == Head::Missing {
        return Err(AdoptError::NoBranch {
            url: config.repository.url.clone(),
            branch: config.branch.clone(),
        });
    }
    let head = source.fetch().await.map_err(AdoptError::Source)?;
    let anchor = commit.unwrap_or_else(|| head.clone());
    if !source
        .descends(&head, &anchor)
        .map_err(AdoptError::Source)?
    {
        return Err(AdoptError::NotInBranch {
            commit: anchor,
            branch: config.branch.clone(),
        });
    }
    let name = source.commit(&anchor).map_err(AdoptError::Source)?;
    Ok((anchor, name))
}

fn root(path: &Path, toplevel: &Toplevel) -> Result<(), AdoptError> {
    replace_link(path, toplevel.path()).map_err(|source| AdoptError::Root {
        path: path.to_owned(),
        source,
    })
}
