//! The process in the unit of hooks: runs them one after the other, each bounded in time, and keeps the end of what
//! the one that failed said.

use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Command;

use super::Request;

/// What is kept of what a hook said, in bytes.
const KEPT: usize = 1000;

/// What the unit has beyond the time of its hooks.
pub const TO_END: Duration = Duration::from_secs(30);

/// How long the output of a hook that has ended is read on: what it left behind may hold it open.
const REST: Duration = Duration::from_secs(1);

/// How a hook failed.
#[derive(Debug, Error)]
pub enum RunError {
    /// It could not be started.
    #[error("{program} cannot be started")]
    Start {
        /// The program.
        program: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It ended badly.
    #[error("{program} ended with {how}{}", after_colon(said))]
    Failed {
        /// The program.
        program: String,
        /// Its exit code or signal.
        how: String,
        /// The end of what it said.
        said: String,
    },
    /// It did not end in time, and was killed with all that it had started.
    #[error("{program} did not end within {} s{}", limit.as_secs(), after_colon(said))]
    TimedOut {
        /// The program.
        program: String,
        /// Its time.
        limit: Duration,
        /// The end of what it said.
        said: String,
    },
}

fn after_colon(said: &str) -> String {
    match said.is_empty() {
        true => String::new(),
        false => format!(": {said}"),
    }
}

/// Runs the programs of a request until one fails. What they say goes to standard error, and so to the journal.
///
/// # Errors
/// With the first one that failed.
pub async fn run(request: &Request) -> Result<(), RunError> {
    for command in &request.commands {
        if let Some((program, arguments)) = command.split_first() {
            run_one(program, arguments, request).await?;
        }
    }
    Ok(())
}

async fn run_one(program: &str, arguments: &[String], request: &Request) -> Result<(), RunError> {
    let program = program.to_owned();
    let start = |source| RunError::Start {
        program: program.clone(),
        source,
    };
    let mut child = Command::new(&program)
        .args(arguments)
        .envs(&request.environment)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(start)?;
    let group = child.id().and_then(|id| i32::try_from(id).ok());
    let said = Arc::new(Mutex::new(Vec::new()));
    let hearing = [
        child
            .stdout
            .take()
            .map(|pipe| tokio::spawn(hear(pipe, Arc::clone(&said)))),
        child
            .stderr
            .take()
            .map(|pipe| tokio::spawn(hear(pipe, Arc::clone(&said)))),
    ];
    let limit = Duration::from_secs(request.seconds);
    let ended = tokio::time::timeout(limit, child.wait()).await;
    if ended.is_err()
        && let Some(group) = group
    {
        // It may have ended in the meantime; there is nothing else to do about an error.
        let _ = killpg(Pid::from_raw(group), Signal::SIGKILL);
    }
    for mut heard in hearing.into_iter().flatten() {
        if tokio::time::timeout(REST, &mut heard).await.is_err() {
            heard.abort();
        }
    }
    let said = end_of(&said.lock().unwrap_or_else(PoisonError::into_inner));
    match ended {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(RunError::Failed {
            program,
            how: how(status),
            said,
        }),
        Ok(Err(source)) => Err(start(source)),
        Err(_) => Err(RunError::TimedOut {
            program,
            limit,
            said,
        }),
    }
}

async fn hear(mut pipe: impl AsyncRead + Unpin, said: Arc<Mutex<Vec<u8>>>) {
    let mut chunk = vec![0; 4096];
    while let Ok(count @ 1..) = pipe.read(&mut chunk).await {
        let bytes = chunk.get(..count).unwrap_or_default();
        // Nobody may be listening.
        let _ = std::io::stderr().write_all(bytes);
        let mut kept = said.lock().unwrap_or_else(PoisonError::into_inner);
        kept.extend_from_slice(bytes);
        let surplus = kept.len().saturating_sub(KEPT);
        kept.drain(..surplus);
    }
}

/// The last lines as one, for a report.
fn end_of(said: &[u8]) -> String {
    let text: String = String::from_utf8_lossy(said)
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .collect();
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn how(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "an unknown status".to_owned(),
    }
}
