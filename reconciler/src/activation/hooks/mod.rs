//! An operator's own programs around a deployment: run as root, one after the other, in a transient unit of their
//! own that is bounded in time. Nothing waits for those that run after a deployment, and a failure of theirs
//! changes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nixus_switcher::protocol::{Commit, DeploymentId, Toplevel};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::config::hooks::Hooks;
use crate::host::files::{Paths, read_bounded, write_atomically, write_durably};
use crate::host::process::{Invocation, ProcessError};
use crate::host::systemd::{self, SystemdError};

mod run;

pub use run::{RunError, run};

/// The unit of hooks that run before an activation. There is one pass at a time.
const BEFORE: &str = "nixus-hooks-before.service";

/// What systemd may take to start a unit, and to end one whose time is over.
const GRACE: Duration = Duration::from_secs(60);

/// The longest file that is read, in bytes.
const LONGEST: u64 = 256 * 1024;

/// Why hooks did not run to a good end.
#[derive(Debug, Error)]
pub enum HookError {
    /// What is to be run could not be handed over.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// This executable does not know its own path.
    #[error("cannot locate the running executable")]
    Executable(#[source] std::io::Error),
    /// The unit of those before was not run.
    #[error("the hooks before the activation were not run")]
    Unit(#[source] ProcessError),
    /// The unit of those after was not started.
    #[error("the hooks after the deployment were not started")]
    Start(#[source] SystemdError),
    /// One of them failed.
    #[error("held back by a hook: {0}")]
    Failed(String),
    /// What became of them is not known.
    #[error("how the hooks ended cannot be read from {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// What is to be run, for the process that does it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// The programs with their arguments.
    pub commands: Vec<Vec<String>>,
    /// How long each may run, in seconds.
    pub seconds: u64,
    /// What each finds in its environment.
    pub environment: BTreeMap<String, String>,
    /// Where to write how they ended.
    pub result: PathBuf,
    /// The deployment that they follow; nothing before one.
    pub deployment: Option<DeploymentId>,
}

/// How hooks ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// The deployment that they followed; nothing before one.
    pub deployment: Option<DeploymentId>,
    /// What failed, in words.
    pub failure: Option<String>,
}

/// A deployment that is to begin, as hooks are told of it.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// This host.
    pub host: &'a str,
    /// The commit.
    pub commit: &'a Commit,
    /// The system before.
    pub old: &'a Toplevel,
    /// The commit's system.
    pub new: &'a Toplevel,
}

/// How a deployment ended, as hooks are told of it.
#[derive(Debug, Clone, Copy)]
pub struct Outcome<'a> {
    /// The deployment.
    pub deployment: &'a DeploymentId,
    /// Whether the commit's system is kept.
    pub kept: bool,
    /// Whether it was the first boot of that system.
    pub first_boot: bool,
    /// The generation that runs now, where it has a number.
    pub generation: Option<u64>,
    /// What was reported.
    pub text: &'a str,
}

/// The variables of hooks before an activation.
fn before_of(change: Change<'_>) -> BTreeMap<String, String> {
    named("before", change, &[])
}

/// The variables of hooks after a deployment.
fn after_of(change: Change<'_>, outcome: Outcome<'_>) -> BTreeMap<String, String> {
    let generation = outcome
        .generation
        .map_or(String::new(), |it| it.to_string());
    let (word, state) = match outcome.kept {
        true => ("confirmed", "success"),
        false => ("rolled-back", "failure"),
    };
    named(
        "after",
        change,
        &[
            ("NIXUS_DEPLOYMENT", outcome.deployment.as_str()),
            ("NIXUS_OUTCOME", word),
            ("NIXUS_STATE", state),
            (
                "NIXUS_FIRST_BOOT",
                if outcome.first_boot { "1" } else { "0" },
            ),
            ("NIXUS_GENERATION", &generation),
            ("NIXUS_REASON", outcome.text),
        ],
    )
}

fn named(hook: &str, change: Change<'_>, more: &[(&str, &str)]) -> BTreeMap<String, String> {
    let old = change.old.to_string();
    let new = change.new.to_string();
    let always = [
        ("NIXUS_HOOK", hook),
        ("NIXUS_HOST", change.host),
        ("NIXUS_COMMIT", change.commit.id.as_str()),
        ("NIXUS_SUBJECT", change.commit.subject.as_str()),
        ("NIXUS_OLD_SYSTEM", old.as_str()),
        ("NIXUS_NEW_SYSTEM", new.as_str()),
    ];
    always
        .iter()
        .chain(more)
        // No variable can hold a zero byte.
        .map(|(name, value)| ((*name).to_owned(), value.replace('\0', "")))
        .collect()
}

/// Runs the hooks before an activation, and waits for their end.
///
/// # Errors
/// One of them failed, or could not be run: the commit is held back.
pub async fn before(hooks: &Hooks, paths: &Paths, change: Change<'_>) -> Result<(), HookError> {
    let result = paths.run.join("hooks-before-ended.json");
    let request = Request {
        commands: hooks.before.clone(),
        seconds: hooks.timeout.as_secs(),
        environment: before_of(change),
        result: result.clone(),
        deployment: None,
    };
    let place = hand_over(&request, &paths.run.join("hooks-before.json"))?;
    let _ = fs::remove_file(&result);
    // Those of a pass that was killed would be a second time the same.
    if let Err(error) = systemd::stop(BEFORE).await {
        tracing::debug!("{}", crate::host::process::in_words(&error));
    }
    let limit = longest(hooks, request.commands.len());
    let unit = Invocation::new("systemd-run", limit + GRACE)
        .args(arguments(BEFORE, limit))
        .args(["--wait", "--"])
        .arg(own()?)
        .arg("run-hooks")
        .arg(place)
        .output()
        .await;
    let ended = read_ended(&result);
    let _ = fs::remove_file(&result);
    match (unit, ended) {
        (Ok(_), Ok(Ended { failure: None, .. })) => Ok(()),
        (
            _,
            Ok(Ended {
                failure: Some(failure),
                ..
            }),
        ) => Err(HookError::Failed(failure)),
        (Err(source), _) => Err(HookError::Unit(source)),
        (Ok(_), Err(source)) => Err(HookError::Read {
            path: result,
            source,
        }),
    }
}

/// Starts the hooks after a deployment, and does not wait for them. How they ended is for a later pass.
///
/// # Errors
/// They were not started.
pub async fn start_after(
    hooks: &Hooks,
    paths: &Paths,
    change: Change<'_>,
    outcome: Outcome<'_>,
) -> Result<(), HookError> {
    let name = format!("hooks-after-{}.json", outcome.deployment);
    let request = Request {
        commands: hooks.after.clone(),
        seconds: hooks.timeout.as_secs(),
        environment: after_of(change, outcome),
        result: folder(paths).join(&name),
        deployment: Some(outcome.deployment.clone()),
    };
    let place = hand_over(&request, &paths.run.join(&name))?;
    // A first boot follows the activation of the same deployment.
    let kind = if outcome.first_boot { "boot" } else { "after" };
    let unit = format!("nixus-hooks-{kind}-{}.service", outcome.deployment);
    let limit = longest(hooks, request.commands.len());
    let started = Invocation::new("systemd-run", GRACE)
        .args(arguments(&unit, limit))
        .args(["--no-block", "--"])
        .arg(own()?)
        .arg("run-hooks")
        .arg(place)
        .output()
        .await;
    started
        .map(drop)
        .map_err(|source| HookError::Start(SystemdError::Run { unit, source }))
}

/// How hooks after deployments ended that no pass has reported yet: those that failed. They are forgotten.
pub fn take_failures(paths: &Paths) -> Vec<Ended> {
    let Ok(entries) = fs::read_dir(folder(paths)) else {
        return Vec::new();
    };
    let mut failures = Vec::new();
    for entry in entries.flatten().take(100) {
        let path = entry.path();
        if path.extension().is_some_and(|end| end == "json") {
            failures.extend(
                read_ended(&path)
                    .ok()
                    .filter(|ended| ended.failure.is_some()),
            );
            let _ = fs::remove_file(&path);
        }
    }
    failures
}

/// How the programs of a request ended, where whoever wants to know looks for it.
///
/// # Errors
/// It cannot be written.
pub fn note(request: &Request, failure: Option<String>) -> Result<(), HookError> {
    // That those after a deployment ended well is not news.
    if failure.is_none() && request.deployment.is_some() {
        return Ok(());
    }
    let ended = Ended {
        deployment: request.deployment.clone(),
        failure,
    };
    let written = serde_json::to_vec(&ended)
        .map_err(std::io::Error::from)
        .and_then(|text| write_durably(&request.result, &text));
    written.map_err(|source| HookError::Write {
        path: request.result.clone(),
        source,
    })
}

/// A request, as it was handed over; its file is removed.
///
/// # Errors
/// It cannot be read.
pub fn take_request(path: &Path) -> Result<Request, HookError> {
    let read = read_bounded(path, LONGEST)
        .and_then(|text| serde_json::from_slice(&text).map_err(std::io::Error::from));
    let _ = fs::remove_file(path);
    read.map_err(|source| HookError::Read {
        path: path.to_owned(),
        source,
    })
}

fn folder(paths: &Paths) -> PathBuf {
    paths.state.join("hooks")
}

fn hand_over(request: &Request, path: &Path) -> Result<PathBuf, HookError> {
    let written = serde_json::to_vec(request)
        .map_err(std::io::Error::from)
        .and_then(|text| write_atomically(path, &text));
    written
        .map(|()| path.to_owned())
        .map_err(|source| HookError::Write {
            path: path.to_owned(),
            source,
        })
}

fn read_ended(path: &Path) -> std::io::Result<Ended> {
    let text = read_bounded(path, LONGEST)?;
    serde_json::from_slice(&text).map_err(std::io::Error::from)
}

/// How long all of them together may take.
fn longest(hooks: &Hooks, commands: usize) -> Duration {
    let commands = u32::try_from(commands).unwrap_or(u32::MAX);
    hooks.timeout.saturating_mul(commands) + run::TO_END
}

fn own() -> Result<PathBuf, HookError> {
    std::env::current_exe()
        .and_then(fs::canonicalize)
        .map_err(HookError::Executable)
}

fn arguments(unit: &str, limit: Duration) -> Vec<String> {
    let mut arguments: Vec<String> = ["--quiet", "--collect", "--no-ask-password"]
        .map(str::to_owned)
        .into();
    arguments.push(format!("--unit={unit}"));
    arguments.push("--description=Hooks around a deployment".to_owned());
    arguments.push("--service-type=exec".to_owned());
    arguments.push("--working-directory=/".to_owned());
    arguments.push(format!("--property=RuntimeMaxSec={}", limit.as_secs()));
    // Whatever a hook leaves behind ends with its unit.
    arguments.push("--property=KillMode=control-group".to_owned());
    arguments.push("--property=TimeoutStopSec=10".to_owned());
    // The running generation's programs, for scripts that name none by its path.
    arguments.push(
        "--setenv=PATH=/run/current-system/sw/bin:/run/current-system/sw/sbin:/usr/bin:/bin"
            .to_owned(),
    );
    arguments.push("--setenv=HOME=/root".to_owned());
    arguments
}

#[cfg(test)]
mod tests;
