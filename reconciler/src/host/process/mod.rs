//! Runs a child process: argument vector only, a time limit, a limit on what it may print, and the
//! end of its whole process group when it is given up.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use nixus_switcher::printable::printable;
use nixus_switcher::waits::{self, Kind, Wait};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

use crate::address::without_credentials;

mod conversation;

pub use conversation::Session;

/// How much of a child's standard error is kept, in bytes: its end, where the reason stands.
const STDERR_KEPT: usize = 16 * 1024;

/// Why a child process gave no result.
#[derive(Debug, Error)]
pub enum ProcessError {
    /// The program could not be started.
    #[error("cannot start {program:?}")]
    Start {
        /// The program.
        program: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Its output could not be read, or its end not be waited for.
    #[error("lost contact with {program:?}")]
    Read {
        /// The program.
        program: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It ran for too long and was ended.
    #[error("{program:?} was ended after {} s", limit.as_secs())]
    TimedOut {
        /// The program.
        program: String,
        /// The limit.
        limit: Duration,
    },
    /// It brought nothing for too long and was ended.
    #[error("{program:?} made no progress for {} s (repository.timeout) and was ended", limit.as_secs())]
    Stalled {
        /// The program.
        program: String,
        /// The limit.
        limit: Duration,
    },
    /// It brought too much, or the disk was full before it was done, and was ended.
    #[error(
        "{program:?} was ended after {came} bytes: at most {limit} are taken, and the disk is not filled"
    )]
    TooMuch {
        /// The program.
        program: String,
        /// How much came.
        came: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// It printed too much and was ended.
    #[error("{program:?} printed more than {limit} bytes and was ended")]
    OutputTooLong {
        /// The program.
        program: String,
        /// The limit in bytes.
        limit: usize,
    },
    /// It ended with a failure.
    #[error("{} ({program}: {})", stderr.trim(), describe(*.status))]
    Failed {
        /// The program.
        program: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it printed on standard error.
        stderr: String,
    },
}

impl ProcessError {
    /// Whether the child was ended by us, or lost from sight, rather than by itself.
    pub fn is_given_up(&self) -> bool {
        matches!(
            self,
            Self::Read { .. }
                | Self::TimedOut { .. }
                | Self::Stalled { .. }
                | Self::TooMuch { .. }
                | Self::OutputTooLong { .. }
        )
    }

    /// The same failure with only what matters of its standard error.
    #[must_use]
    pub fn told_by(self, essence: impl FnOnce(&str) -> String) -> Self {
        match self {
            Self::Failed {
                program,
                status,
                stderr,
            } => Self::Failed {
                program,
                status,
                stderr: essence(&stderr),
            },
            other => other,
        }
    }
}

/// A program, its arguments and its limits.
#[derive(Debug, Clone)]
pub struct Invocation {
    program: OsString,
    name: Option<String>,
    arguments: Vec<OsString>,
    environment: Vec<(OsString, OsString)>,
    input: Option<Vec<u8>>,
    limit: Duration,
    output_limit: usize,
}

impl Invocation {
    /// A program that may run for `limit` and print at most 1 MiB.
    pub fn new(program: impl Into<OsString>, limit: Duration) -> Self {
        Self {
            program: program.into(),
            name: None,
            arguments: Vec::new(),
            environment: Vec::new(),
            input: None,
            limit,
            output_limit: 1024 * 1024,
        }
    }

    /// Adds one argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds several arguments.
    #[must_use]
    pub fn args<I: IntoIterator<Item: AsRef<OsStr>>>(mut self, arguments: I) -> Self {
        self.arguments
            .extend(arguments.into_iter().map(|a| a.as_ref().to_owned()));
        self
    }

    /// Puts another program with its arguments before this one, which runs it in its own place.
    /// Failures are still told by this one's name.
    #[must_use]
    pub fn run_by<I: IntoIterator<Item: AsRef<OsStr>>>(
        mut self,
        program: impl Into<OsString>,
        arguments: I,
    ) -> Self {
        let inner = std::mem::replace(&mut self.program, program.into());
        self.name = Some(inner.to_string_lossy().into_owned());
        let own = std::mem::take(&mut self.arguments);
        self = self.args(arguments).arg(inner);
        self.arguments.extend(own);
        self
    }

    /// Sets a variable in the child's environment.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.environment
            .push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Gives the child some bytes, and then the end, as its standard input. They must fit into a pipe.
    #[must_use]
    pub fn input(mut self, bytes: Vec<u8>) -> Self {
        self.input = Some(bytes);
        self
    }

    /// Lets the program run for so long.
    #[must_use]
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The program, as failures are told by.
    pub fn name(&self) -> String {
        let name = self.name.clone();
        name.unwrap_or_else(|| self.program.to_string_lossy().into_owned())
    }

    /// Lets the program print at most so many bytes.
    #[must_use]
    pub fn output_limit(mut self, bytes: usize) -> Self {
        self.output_limit = bytes;
        self
    }

    /// Runs the program and gives its standard output where it succeeded.
    ///
    /// # Errors
    /// The program cannot be started, fails, says too much, or does not end in time.
    pub async fn output(self) -> Result<Vec<u8>, ProcessError> {
        self.output_heard(&mut |_| {}).await
    }

    /// The same; `hear` is given every piece of standard error when it comes.
    ///
    /// # Errors
    /// Those of [`Invocation::output`].
    pub async fn output_heard(
        self,
        hear: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<Vec<u8>, ProcessError> {
        let program = self.name();
        let (status, stdout, stderr) = self.run(&program, hear).await?;
        if status.success() {
            Ok(stdout)
        } else {
            Err(ProcessError::Failed {
                program,
                status,
                stderr,
            })
        }
    }

    fn wait(&self, program: &str) -> Wait {
        waits::begin(Kind::Child, || {
            let mut words = vec![program.into()];
            words.extend(self.arguments.iter().map(|word| word.to_string_lossy()));
            without_credentials(&words.join(" "))
        })
    }

    fn spawn(&self) -> Result<(Child, Group), ProcessError> {
        let child = Command::new(&self.program)
            .args(&self.arguments)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(match &self.input {
                Some(_) => Stdio::piped(),
                None => Stdio::null(),
            })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(|source| ProcessError::Start {
                program: self.program.to_string_lossy().into_owned(),
                source,
            })?;
        let group = Group::of(child.id());
        Ok((child, group))
    }

    async fn run(
        self,
        program: &str,
        hear: &mut (dyn FnMut(&[u8]) + Send),
    ) -> Result<(ExitStatus, Vec<u8>, String), ProcessError> {
        let _wait = self.wait(program);
        let (mut child, mut group) = self.spawn()?;
        let read = |source| ProcessError::Read {
            program: program.to_owned(),
            source,
        };
        let stdin = child.stdin.take();
        let stdout = child.stdout.take();
        let stderr = child.stderr.take();
        let work = async {
            if let (Some(mut pipe), Some(input)) = (stdin, &self.input) {
                // A child that does not read it is judged by its end.
                let _ = pipe.write_all(input).await;
            }
            let (stdout, stderr) =
                tokio::try_join!(head_of(stdout, self.output_limit), tail_of(stderr, hear))
                    .map_err(read)?;
            let Some(stdout) = stdout else {
                return Err(ProcessError::OutputTooLong {
                    program: program.to_owned(),
                    limit: self.output_limit,
                });
            };
            let status = child.wait().await.map_err(read)?;
            Ok((status, stdout, stderr))
        };
        let result = tokio::time::timeout(self.limit, work)
            .await
            .unwrap_or_else(|_| {
                Err(ProcessError::TimedOut {
                    program: program.to_owned(),
                    limit: self.limit,
                })
            })?;
        group.ended();
        Ok(result)
    }
}

/// Ends a process group when dropped, so that a cancelled or overdue child leaves nothing behind.
#[derive(Debug)]
struct Group(Option<Pid>);

impl Group {
    fn of(id: Option<u32>) -> Self {
        Self(id.and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw))
    }

    fn ended(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It may have ended in the meantime; there is nothing else to do about an error.
            let _ = killpg(group, Signal::SIGKILL);
        }
    }
}

async fn head_of(
    pipe: Option<impl AsyncRead + Unpin>,
    limit: usize,
) -> std::io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    if let Some(pipe) = pipe {
        pipe.take(limit as u64 + 1).read_to_end(&mut bytes).await?;
    }
    Ok((bytes.len() <= limit).then_some(bytes))
}

async fn tail_of(
    pipe: Option<impl AsyncRead + Unpin>,
    hear: &mut (dyn FnMut(&[u8]) + Send),
) -> std::io::Result<String> {
    let mut kept = Vec::new();
    if let Some(mut pipe) = pipe {
        let mut chunk = vec![0; 8192];
        loop {
            let count = pipe.read(&mut chunk).await?;
            if count == 0 {
                break;
            }
            hear(&chunk[..count]);
            kept.extend_from_slice(&chunk[..count]);
            if kept.len() > 2 * STDERR_KEPT {
                kept.drain(..kept.len() - STDERR_KEPT);
            }
        }
    }
    let start = kept.len().saturating_sub(STDERR_KEPT);
    Ok(String::from_utf8_lossy(&kept[start..]).into_owned())
}

/// A program of the same package as this one, by its own path in the store, so that an activation cannot change it.
///
/// # Errors
/// It is not there, or the path of this program cannot be found.
pub fn sibling(name: &str) -> std::io::Result<std::path::PathBuf> {
    let own = std::env::current_exe()?;
    std::fs::canonicalize(own.with_file_name(name))
}

/// An error and its sources in one line, for reports and logs.
pub fn in_words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        words.push_str(": ");
        words.push_str(&error.to_string());
        source = error.source();
    }
    // A server, a program or a commit may have said some of it.
    let words = printable(&words);
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "unknown status".to_owned(),
    }
}

#[cfg(test)]
mod tests;
