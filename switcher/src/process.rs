//! Runs a program to its end, with a limit on its time and on what it prints.

use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::system::SystemError;
use crate::waits::{self, Kind};

const OUTPUT_LIMIT: u64 = 4 << 20;
const POLL: Duration = Duration::from_millis(5);

/// What a program printed, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Its exit code, or 128 plus the signal that ended it.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

/// Runs `program` with `args` for at most `limit`. Ending with another code than 0 is no error here.
pub fn run(program: &Path, args: &[&str], limit: Duration) -> Result<Output, SystemError> {
    let what = || {
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        format!("{name} {}", args.join(" "))
    };
    let failed = |how: String| SystemError::Command { what: what(), how };
    let _wait = waits::begin(Kind::Child, what);
    let mut child = Command::new(program)
        .args(args)
        .current_dir("/")
        .env_clear()
        .env("LC_ALL", "C")
        .env("SYSTEMD_PAGER", "")
        .env("SYSTEMD_COLORS", "0")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let stdout = child.stdout.take().map(drain);
    let stderr = child.stderr.take().map(drain);
    let end = Instant::now() + limit;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Ok(status),
            Ok(None) if Instant::now() < end => thread::sleep(POLL),
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                break Err(failed(format!("no end after {} s", limit.as_secs())));
            }
            Err(error) => break Err(failed(error.to_string())),
        }
    }?;
    Ok(Output {
        code: exit_code(status),
        stdout: collect(stdout),
        stderr: collect(stderr),
    })
}

/// Runs a program that has to end with 0, and gives what it printed.
pub fn run_well(program: &Path, args: &[&str], limit: Duration) -> Result<String, SystemError> {
    let output = run(program, args, limit)?;
    if output.code == 0 {
        return Ok(output.stdout);
    }
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    Err(SystemError::Command {
        what: format!("{name} {}", args.join(" ")),
        how: format!("exit code {}: {}", output.code, output.stderr.trim()),
    })
}

fn drain(from: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let mut from = from;
        let _ = from.by_ref().take(OUTPUT_LIMIT).read_to_end(&mut bytes);
        // A program that prints more must not block on a full pipe.
        let _ = io::copy(&mut from, &mut io::sink());
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn collect(thread: Option<thread::JoinHandle<String>>) -> String {
    thread
        .and_then(|thread| thread.join().ok())
        .unwrap_or_default()
}

fn exit_code(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt;
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// Finds a program of systemd: of the running system, else in the usual places. It is resolved to
/// its real path, so that an activation cannot take it away.
pub fn find(name: &str) -> Option<PathBuf> {
    [
        "/run/current-system/systemd/bin",
        "/run/current-system/sw/bin",
        "/usr/bin",
        "/bin",
    ]
    .iter()
    .map(|dir| Path::new(dir).join(name))
    .find_map(|path| path.canonicalize().ok().filter(|path| path.is_file()))
}
