//! What each process of a tree used: its own processor time and peak memory, not its children's.
//!
//! `wait4` counts a process together with the children that it waited for. So the tree is traced:
//! the kernel stops a process when it starts another program and when it ends, and only then
//! (ptrace(2), PTRACE_O_TRACEEXEC and PTRACE_O_TRACEEXIT), and its figures are read from /proc.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use lab::Host;
use nix::errno::Errno;
use nix::sys::ptrace::{self, Options};
use nix::sys::signal::Signal;
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

/// How long a traced program may take.
const LIMIT: Duration = Duration::from_secs(120);
/// This very program, also when cargo has replaced its file meanwhile.
const OWN: &str = "/proc/self/exe";

/// One program that a process was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Image {
    /// Its arguments, the program first.
    pub command: Vec<String>,
    /// Time on a processor, in milliseconds.
    pub cpu: f64,
}

/// One process of the tree, with all its threads.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Process {
    /// What it was, first to last.
    pub images: Vec<Image>,
    /// The most memory that the last program had at once, in KiB, shared libraries included.
    pub peak: u64,
    /// How many threads it started, whatever it was.
    pub threads: usize,
    /// When it began and ended, in milliseconds since the tracing began.
    pub begun: f64,
    /// Likewise.
    pub ended: f64,
}

impl Process {
    /// Whether it was this program in the end.
    pub fn is(&self, program: &str) -> bool {
        self.images.last().is_some_and(|image| image.is(program))
    }
}

impl Image {
    /// Whether this is that program.
    pub fn is(&self, program: &str) -> bool {
        self.command
            .first()
            .and_then(|name| Path::new(name).file_name())
            .is_some_and(|name| name == program)
    }
}

/// Runs a command on a host and gives all its processes. It may end with one of `codes` only.
///
/// # Errors
/// When it cannot be run, or ends otherwise.
pub fn on<S: Borrow<str>>(host: &Host, arguments: &[S], codes: &[i32]) -> Result<Vec<Process>> {
    let traced = host.command(arguments.iter().map(Borrow::borrow))?;
    let file = env::temp_dir().join(format!("nixus-lab-trace-{}", std::process::id()));
    let mut command = Command::new(OWN);
    command
        .env_clear()
        .envs(
            traced
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .args(["trace", "--to"])
        .arg(&file)
        .arg("--")
        .arg(traced.get_program())
        .args(traced.get_args());
    let output = lab::command::run(&mut command, None, LIMIT);
    let text = fs::read_to_string(&file);
    let removed = fs::remove_file(&file);
    let output = output?;
    if !output.code.is_some_and(|code| codes.contains(&code)) {
        bail!(
            "{} ended with {:?}: {}{}",
            arguments.join(" "),
            output.code,
            output.stdout.trim(),
            output.stderr.trim()
        );
    }
    removed.with_context(|| format!("cannot remove {}", file.display()))?;
    let text = text.with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("cannot understand {}", file.display()))
}

/// Becomes a command that its parent traces.
pub fn become_traced(command: &[String]) -> Result<ExitCode> {
    let (program, arguments) = command.split_first().context("there is no program")?;
    ptrace::traceme().context("cannot be traced")?;
    let error = Command::new(program).args(arguments).exec();
    Err(error).with_context(|| format!("cannot start {program}"))
}

/// Runs a command, writes what its processes used, and ends as it did once none of them is left.
pub fn trace(to: &Path, command: &[String]) -> Result<ExitCode> {
    // Waited for with waitpid, as ptrace demands.
    let child = Command::new(OWN)
        .args(["traced", "--"])
        .args(command)
        .spawn()
        .context("cannot start the traced program")?;
    let first = Pid::from_raw(i32::try_from(child.id()).context("no process id")?);
    let mut tree = Tree {
        begun: Instant::now(),
        first,
        code: None,
        tasks: BTreeMap::new(),
        ended: Vec::new(),
    };
    tree.follow()?;
    let text = serde_json::to_string(&tree.ended).context("cannot describe the processes")?;
    fs::write(to, text).with_context(|| format!("cannot write {}", to.display()))?;
    Ok(ExitCode::from(tree.code.unwrap_or(1)))
}

/// A task that runs: a process, or a thread of one.
struct Task {
    leader: Pid,
    process: Process,
    /// Time on a processor that is counted in an image already, in milliseconds.
    counted: f64,
}

struct Tree {
    begun: Instant,
    first: Pid,
    code: Option<u8>,
    tasks: BTreeMap<Pid, Task>,
    ended: Vec<Process>,
}

impl Tree {
    fn follow(&mut self) -> Result<()> {
        let any = WaitPidFlag::WEXITED | WaitPidFlag::WSTOPPED | WaitPidFlag::__WALL;
        loop {
            // Looked at first, reaped after: a dead process still has its figures.
            let seen = match waitid(Id::All, any | WaitPidFlag::WNOWAIT) {
                Err(Errno::ECHILD) => return Ok(()),
                Err(Errno::EINTR) => continue,
                seen => seen.context("cannot wait for the traced processes")?,
            };
            let Some(pid) = seen.pid() else { continue };
            if matches!(seen, WaitStatus::Exited(..) | WaitStatus::Signaled(..)) {
                self.end(pid);
            }
            let status = waitpid(pid, Some(WaitPidFlag::__WALL))
                .with_context(|| format!("cannot wait for process {pid}"))?;
            match status {
                WaitStatus::Exited(_, code) if pid == self.first => {
                    self.code = u8::try_from(code).ok();
                }
                WaitStatus::PtraceEvent(_, _, event) => {
                    self.event(pid, event);
                    go_on(pid, None)?;
                }
                WaitStatus::Stopped(_, signal) => {
                    // A new task stops once before it does anything; so does the first program.
                    let new = !self.tasks.contains_key(&pid);
                    if new {
                        self.begin(pid)?;
                    }
                    go_on(pid, Some(signal).filter(|_| !new))?;
                }
                _ => {}
            }
        }
    }

    fn now(&self) -> f64 {
        self.begun.elapsed().as_secs_f64() * 1e3
    }

    fn begin(&mut self, pid: Pid) -> Result<()> {
        if pid == self.first {
            let options = Options::PTRACE_O_TRACEFORK
                | Options::PTRACE_O_TRACEVFORK
                | Options::PTRACE_O_TRACECLONE
                | Options::PTRACE_O_TRACEEXEC
                | Options::PTRACE_O_TRACEEXIT
                | Options::PTRACE_O_EXITKILL;
            ptrace::setoptions(pid, options).context("cannot trace")?;
        }
        let now = self.now();
        self.tasks.insert(
            pid,
            Task {
                leader: leader(pid).unwrap_or(pid),
                process: Process {
                    images: vec![Image {
                        command: command_of(pid),
                        cpu: 0.0,
                    }],
                    peak: 0,
                    threads: 0,
                    begun: now,
                    ended: now,
                },
                counted: 0.0,
            },
        );
        Ok(())
    }

    fn event(&mut self, pid: Pid, event: i32) {
        let Some(task) = self.tasks.get_mut(&pid) else {
            return;
        };
        if event == ptrace::Event::PTRACE_EVENT_EXEC as i32 {
            task.count(pid);
            task.process.images.push(Image {
                command: command_of(pid),
                cpu: 0.0,
            });
        } else if event == ptrace::Event::PTRACE_EVENT_EXIT as i32 {
            // The last moment at which it has memory.
            task.process.peak = peak_of(pid).unwrap_or(0);
        }
    }

    fn end(&mut self, pid: Pid) {
        let now = self.now();
        let Some(mut task) = self.tasks.remove(&pid) else {
            return;
        };
        task.count(pid);
        task.process.ended = now;
        if task.leader == pid {
            self.ended.push(task.process);
            return;
        }
        let cpu: f64 = task.process.images.iter().map(|image| image.cpu).sum();
        if let Some(leader) = self.tasks.get_mut(&task.leader) {
            leader.process.threads += 1;
            if let Some(image) = leader.process.images.last_mut() {
                image.cpu += cpu;
            }
        }
    }
}

impl Task {
    fn count(&mut self, pid: Pid) {
        let all = cpu_of(pid).unwrap_or(self.counted);
        if let Some(image) = self.process.images.last_mut() {
            image.cpu += all - self.counted;
        }
        self.counted = all;
    }
}

fn go_on(pid: Pid, signal: Option<Signal>) -> Result<()> {
    match ptrace::cont(pid, signal) {
        // Killed meanwhile; its end is seen next.
        Err(Errno::ESRCH) | Ok(()) => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot let process {pid} go on")),
    }
}

fn command_of(pid: Pid) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes)
        .split_terminator('\0')
        .map(str::to_owned)
        .collect()
}

fn leader(pid: Pid) -> Option<Pid> {
    let id = status_of(pid, "Tgid:")?;
    Some(Pid::from_raw(i32::try_from(id).ok()?))
}

fn peak_of(pid: Pid) -> Option<u64> {
    status_of(pid, "VmHWM:")
}

fn status_of(pid: Pid, name: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The first number of schedstat is the time on a processor in nanoseconds
/// (Documentation/scheduler/sched-stats.rst).
fn cpu_of(task: Pid) -> Option<f64> {
    let text = fs::read_to_string(format!("/proc/{task}/schedstat")).ok()?;
    let nanoseconds: u64 = text.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds).as_secs_f64() * 1e3)
}
