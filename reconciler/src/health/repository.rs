//! A pass could take the next commit: proved on trial by one that does all of it, over a new connection.

use std::time::Duration;

use nixus_switcher::Open;
use nixus_switcher::PhaseName;
use nixus_switcher::protocol::{CheckOutcome, Toplevel};
use tokio::time::timeout;

use super::{Scene, unit};
use crate::closure::{self, ClosureError, ResolveError};
use crate::config::Config;
use crate::decide::commit_id::CommitId;
use crate::decide::plan::Head;
use crate::decide::verdict::{Finding, REACH, REPOSITORY};
use crate::host::files::Paths;
use crate::host::process::in_words;
use crate::manifest::ManifestError;
use crate::source::reach::{Reach, reach};
use crate::source::{Source, SourceError};
use crate::trust;

/// Why a dry pass did not come to its end.
enum Problem {
    /// The new generation is wrong, whatever the repository does.
    Own(String),
    /// The repository was not to be used; that may be its own fault.
    Repository(SourceError),
    /// What CI leaves for it was not to be had; that may be theirs.
    Elsewhere(String),
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

impl From<ResolveError> for Problem {
    fn from(error: ResolveError) -> Self {
        match error {
            ResolveError::Manifest(ManifestError::Source(error)) => Self::Repository(error),
            // An outage of a cache is not a fault of the generation that meets it; nor that CI is still at
            // work on the very commit that makes a host follow it.
            ResolveError::Closure(
                ClosureError::NoCache { .. } | ClosureError::Signatures { .. },
            )
            | ResolveError::Gap(_) => Self::Elsewhere(in_words(&error)),
            error => Self::Own(in_words(&error)),
        }
    }
}

/// On trial, and for an operator, what the pass's own unit says; else a look at the branch.
pub async fn check(scene: &Scene<'_>, limit: Duration) -> Vec<Finding> {
    let work = async {
        match scene.open {
            Some(open) => unit::on_trial(scene, open, limit).await,
            None if scene.by_unit => unit::asked(scene, limit).await,
            None => told(scene, list(scene.config, scene.paths).await).await,
        }
    };
    match timeout(limit, work).await {
        Ok(found) => found,
        Err(_) => {
            let error = format!("it was not used within {} s", limit.as_secs());
            not_reached(scene.config, error).await
        }
    }
}

/// All of a pass that is on trial, but for what it would do: whoever makes it hands it over.
pub async fn dry_pass(scene: &Scene<'_>, open: &Open) -> Vec<Finding> {
    told(scene, come_again(scene.config, open, scene.paths).await).await
}

/// Whether a pass could list and fetch the branch.
pub async fn look(scene: &Scene<'_>) -> Vec<Finding> {
    let work = async {
        let listed = list(scene.config, scene.paths).await?;
        source(scene.config, scene.paths).fetch().await?;
        Ok(listed)
    };
    told(scene, work.await).await
}

async fn told(scene: &Scene<'_>, result: Result<String, Problem>) -> Vec<Finding> {
    match result {
        Ok(reason) => vec![Finding::new(REPOSITORY, CheckOutcome::Pass, reason)],
        Err(Problem::Own(problem)) => {
            // What the branch or the cache has become since is not a fault of a boot.
            let boots = scene
                .open
                .is_some_and(|open| open.phase == PhaseName::BootTrial);
            let outcome = match boots {
                true => CheckOutcome::Unknown,
                false => CheckOutcome::Fail,
            };
            vec![Finding::new(REPOSITORY, outcome, problem)]
        }
        Err(Problem::Elsewhere(error)) => {
            vec![Finding::new(REPOSITORY, CheckOutcome::Unknown, error)]
        }
        Err(Problem::Repository(error)) => not_reached(scene.config, in_words(&error)).await,
    }
}

/// The repository did not answer: whose fault that may be.
pub async fn not_reached(config: &Config, error: String) -> Vec<Finding> {
    let repository = |outcome, reason: String| Finding::new(REPOSITORY, outcome, reason);
    match reach(&config.remotes()).await {
        // The kernel knows of no way there: no outage elsewhere does that.
        Reach::NoRoute => vec![repository(
            CheckOutcome::Fail,
            format!("{error}; this host has no route to it"),
        )],
        Reach::Connected => vec![
            repository(CheckOutcome::Unknown, error),
            Finding::new(REACH, CheckOutcome::Pass, "its host accepts connections"),
        ],
        Reach::NotConnected(reason) => vec![
            repository(CheckOutcome::Unknown, error),
            Finding::new(REACH, CheckOutcome::Unknown, reason),
        ],
    }
}

fn source(config: &Config, paths: &Paths) -> Source {
    Source::of(config, paths).any_will_do()
}

async fn list(config: &Config, paths: &Paths) -> Result<String, Problem> {
    match source(config, paths).list().await? {
        Head::At(head) => Ok(format!("{} is at {}", config.branch, head.short())),
        _ => Err(Problem::Own(no_branch(config))),
    }
}

fn no_branch(config: &Config) -> String {
    format!("{} has no branch {}", config.repository.url, config.branch)
}

/// List, fetch, find this commit, and come to the same toplevel again.
async fn come_again(config: &Config, open: &Open, paths: &Paths) -> Result<String, Problem> {
    let source = source(config, paths);
    let Head::At(_) = source.list().await? else {
        return Err(Problem::Own(no_branch(config)));
    };
    let head = source.fetch().await?;
    let accepted = CommitId::try_from(open.commit.id.clone())?;
    let follows = trust::verify(&source, &head, &accepted)?.is_some();
    if !follows && !source.is_of_the_first() {
        // A mirror may have anything; the generation is not to blame for it.
        return Err(Problem::Elsewhere(format!(
            "{} has not answered, and what a mirror has does not contain commit {}",
            config.repository.url,
            accepted.short()
        )));
    }
    if !follows {
        return Err(Problem::Own(format!(
            "the branch {} of {} does not contain commit {}",
            config.branch,
            config.repository.url,
            accepted.short()
        )));
    }
    let commit = trust::verify(&source, &accepted, &accepted)?
        .ok_or_else(|| "the commit does not descend from itself".to_owned())?;
    let again = closure::resolve(config, &source, &commit).await?;
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
