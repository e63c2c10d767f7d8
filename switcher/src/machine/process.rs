//! Runs a program to its end, with a limit on its time and on what it prints.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::machine::system::SystemError;
use crate::waits::{self, Kind};

const OUTPUT_LIMIT: usize = 4 << 20;
/// How often a program is looked at that says nothing, or has closed its pipes and has not ended.
const LONGEST: Duration = Duration::from_millis(50);
const SHORTEST: Duration = Duration::from_micros(100);

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

/// Runs `program` with `args` for at most `limit`. Ending with another code than 0 is not an error here.
///
/// # Errors
/// The program cannot be started, or is killed because it has not ended within `limit`.
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
    let mut pipes = [
        Pipe::of(child.stdout.take().map(OwnedFd::from)),
        Pipe::of(child.stderr.take().map(OwnedFd::from)),
    ];
    let end = Instant::now() + limit;
    let mut pause = SHORTEST;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Ok(status),
            Ok(None) if Instant::now() < end => {}
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                break Err(failed(format!("no end after {} s", limit.as_secs())));
            }
            Err(error) => break Err(failed(error.to_string())),
        }
        // A program that ends closes its pipes, so its end is seen at once.
        if pipes.iter().any(|pipe| pipe.from.is_some()) {
            listen(&mut pipes, LONGEST);
        } else {
            thread::sleep(pause);
            pause = (pause * 2).min(LONGEST);
        }
    }?;
    // What it left running may hold the pipes open; what it said itself is in them by now.
    while listen(&mut pipes, Duration::ZERO) && Instant::now() < end {}
    let [stdout, stderr] = pipes.map(Pipe::text);
    Ok(Output {
        code: exit_code(status),
        stdout,
        stderr,
    })
}

/// Runs a program that has to end with 0, and gives what it printed.
///
/// # Errors
/// Those of [`run`], or the program ends with another code than 0.
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

/// One end of a pipe that a program prints into; closed once all was read.
struct Pipe {
    from: Option<File>,
    kept: Vec<u8>,
}

impl Pipe {
    fn of(fd: Option<OwnedFd>) -> Self {
        Self {
            from: fd.map(File::from),
            kept: Vec::new(),
        }
    }

    /// Takes what is there. A program that prints too much must not block on a full pipe.
    fn take(&mut self) {
        let mut chunk = [0; 8192];
        match self.from.as_mut().map(|from| from.read(&mut chunk)) {
            Some(Ok(length @ 1..)) => {
                let room = OUTPUT_LIMIT.saturating_sub(self.kept.len()).min(length);
                self.kept.extend_from_slice(&chunk[..room]);
            }
            Some(Err(error)) if error.kind() == ErrorKind::Interrupted => {}
            _ => self.from = None,
        }
    }

    fn text(self) -> String {
        String::from_utf8_lossy(&self.kept).into_owned()
    }
}

/// Waits until a program prints or closes a pipe, for `limit` at most, and takes what there is. Says
/// whether there was anything.
fn listen(pipes: &mut [Pipe], limit: Duration) -> bool {
    let mut asked: Vec<PollFd> = pipes
        .iter()
        .filter_map(|pipe| pipe.from.as_ref())
        .map(|from| PollFd::new(from.as_fd(), PollFlags::POLLIN))
        .collect();
    let timeout = PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX);
    if poll(&mut asked, timeout).is_err() {
        // A kernel without memory for this is asked again a little later.
        thread::sleep(limit);
        return false;
    }
    let ready: Vec<bool> = asked.iter().map(|fd| fd.any() == Some(true)).collect();
    let open = pipes.iter_mut().filter(|pipe| pipe.from.is_some());
    for (pipe, _) in open.zip(&ready).filter(|(_, ready)| **ready) {
        pipe.take();
    }
    ready.contains(&true)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str, limit: Duration) -> Result<Output, SystemError> {
        run(Path::new("/bin/sh"), &["-c", script], limit)
    }

    #[test]
    fn a_program_is_heard_to_its_end_on_both_pipes() {
        let check = |script: &str, code: i32, stdout: &str, stderr: &str| {
            let output = sh(script, Duration::from_secs(20)).unwrap();
            let said = (output.stdout.as_str(), output.stderr.as_str());
            assert_eq!((output.code, said), (code, (stdout, stderr)), "{script}");
        };
        check("exit 3", 3, "", "");
        check("echo one; echo two >&2", 0, "one\n", "two\n");
        check(
            "echo early; exec >&- 2>&-; sleep 0.2; exit 4",
            4,
            "early\n",
            "",
        );
        check("kill -KILL $$", 137, "", "");
        // One that is left behind keeps the pipes, and nobody waiting.
        check("sleep 3 & echo done", 0, "done\n", "");
    }

    #[test]
    fn too_much_is_cut_off_and_does_not_block() {
        let output = sh("head -c 6000000 /dev/zero", Duration::from_secs(20)).unwrap();
        assert_eq!((output.code, output.stdout.len()), (0, OUTPUT_LIMIT));
    }

    #[test]
    fn a_program_that_does_not_end_is_ended() {
        let limit = Duration::from_millis(200);
        assert!(sh("exec sleep 30", limit).is_err());
        assert!(sh("exec >&- 2>&-; exec sleep 30", limit).is_err());
        assert!(sh("exec yes", limit).is_err());
    }
}
