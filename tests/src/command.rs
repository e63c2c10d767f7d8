//! Runs programs: argument vectors, bounded output, a time limit.

use std::cell::Cell;
use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;
use wait4::Wait4 as _;

use crate::meter::{self, Wait};

/// How much of each stream is kept, in bytes.
const KEPT: usize = 16 << 20;

thread_local! {
    static STARTED: Cell<u64> = const { Cell::new(0) };
}

/// How many programs this thread has started.
pub fn started() -> u64 {
    STARTED.get()
}

/// What a program that ended has said.
#[derive(Debug, Clone)]
pub struct Output {
    /// The exit code; `None` after a signal.
    pub code: Option<i32>,
    /// Standard output, at most 16 MiB, invalid UTF-8 replaced.
    pub stdout: String,
    /// Standard error, likewise.
    pub stderr: String,
}

impl Output {
    /// Whether the exit code was 0.
    pub fn ok(&self) -> bool {
        self.code == Some(0)
    }
}

/// Runs a program to its end, whatever its exit code.
///
/// # Errors
/// When it cannot be started, or did not end within `limit` (it is killed then).
pub fn run(command: &mut Command, input: Option<&[u8]>, limit: Duration) -> Result<Output> {
    let _waiting = meter::wait(Wait::Command);
    STARTED.set(STARTED.get() + 1);
    let shown = shown(command);
    command
        .stdin(if input.is_some() {
            Stdio::piped()
        } else {
            Stdio::null()
        })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start {shown}"))?;
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    if let (Some(mut pipe), Some(input)) = (child.stdin.take(), input) {
        let input = input.to_vec();
        // A program that does not read its input to the end is judged by its exit code.
        thread::spawn(move || pipe.write_all(&input).is_ok());
    }
    let code = wait(&mut child, limit)
        .with_context(|| format!("cannot wait for {shown}"))?
        .ok_or_else(|| {
            anyhow::anyhow!(
                "{shown} did not end within {} s: {}",
                limit.as_secs(),
                stderr.text().trim()
            )
        })?;
    Ok(Output {
        code,
        stdout: stdout.finish(),
        stderr: stderr.finish(),
    })
}

/// Runs a program that must succeed, and gives its standard output.
///
/// # Errors
/// Those of [`run`], and an exit code other than 0, with what it wrote to standard error.
pub fn must(command: &mut Command, input: Option<&[u8]>, limit: Duration) -> Result<String> {
    let output = run(command, input, limit)?;
    if !output.ok() {
        let code = output
            .code
            .map_or("a signal".to_owned(), |code| format!("exit code {code}"));
        bail!(
            "{} ended with {code}: {}{}",
            shown(command),
            output.stderr.trim(),
            output.stdout.trim()
        );
    }
    Ok(output.stdout)
}

/// A command as a person would type it.
fn shown(command: &Command) -> String {
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(OsStr::to_string_lossy)
        .collect();
    words.join(" ")
}

/// Waits for the end; `None` at the time limit, after which the program is killed.
fn wait(child: &mut Child, limit: Duration) -> Result<Option<Option<i32>>> {
    let start = Instant::now();
    let mut pause = Duration::from_micros(500);
    let pid = Pid::from_raw(i32::try_from(child.id())?);
    // Reaped later, together with what it used.
    let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    loop {
        if waitid(Id::Pid(pid), look)? != WaitStatus::StillAlive {
            let ended = child.wait4()?;
            meter::add_processor(ended.rusage.utime + ended.rusage.stime);
            return Ok(Some(ended.status.code()));
        }
        if start.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        carry_on(child);
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
    }
}

/// Lets a stopped `nsenter` go on. When a host goes down, systemd-shutdown stops and then kills
/// every process in it; nsenter stops itself together with its child, never reaps it, and so the
/// host's PID namespace never ends and the host never comes back.
fn carry_on(child: &Child) {
    let stat = fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap_or_default();
    let stopped = stat
        .rsplit_once(") ")
        .is_some_and(|(_, rest)| rest.starts_with('T'));
    if stopped && let Ok(pid) = i32::try_from(child.id()) {
        // An error means that it has ended meanwhile.
        kill(Pid::from_raw(pid), Signal::SIGCONT).unwrap_or_default();
    }
}

/// Waits for the end of a program that has this process's own input and output, however long it
/// takes; gives its exit code.
///
/// # Errors
/// When it cannot be started or waited for.
pub fn attend(command: &mut Command) -> Result<Option<i32>> {
    let shown = shown(command);
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start {shown}"))?;
    loop {
        if let Some(status) = child
            .try_wait()
            .with_context(|| format!("cannot wait for {shown}"))?
        {
            return Ok(status.code());
        }
        carry_on(&child);
        thread::sleep(Duration::from_millis(5));
    }
}

/// How long the last bytes of an ended program may take to be read; on a busy machine not at once.
const LAST_BYTES: Duration = Duration::from_secs(10);

struct Collected {
    bytes: Arc<Mutex<Vec<u8>>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Collected {
    fn text(&self) -> String {
        let bytes = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits a little for the end of the stream: a child that was left behind may keep it open.
    fn finish(mut self) -> String {
        if let Some(thread) = self.thread.take() {
            let start = Instant::now();
            while !thread.is_finished() && start.elapsed() < LAST_BYTES {
                thread::sleep(Duration::from_millis(1));
            }
        }
        self.text()
    }
}

fn collect(stream: Option<impl Read + Send + 'static>) -> Collected {
    let bytes = Arc::new(Mutex::new(Vec::new()));
    let thread = stream.map(|mut stream| {
        let bytes = Arc::clone(&bytes);
        thread::spawn(move || {
            let mut chunk = [0; 8192];
            while let Ok(length @ 1..) = stream.read(&mut chunk) {
                let mut bytes = bytes.lock().unwrap_or_else(PoisonError::into_inner);
                let room = KEPT.saturating_sub(bytes.len()).min(length);
                bytes.extend_from_slice(&chunk[..room]);
            }
        })
    });
    Collected { bytes, thread }
}
