//! The private world of a lab: its own mounts, network, processes and control groups.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{self, Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use crate::command;
use crate::host::NSENTER;
use crate::meter;
use crate::setup::PATH;

/// The tmpfs of the lab, seen from inside.
pub const RUN: &str = "/run/lab";
const QUICK: Duration = Duration::from_secs(20);

/// A way into a lab; valid as long as the lab lives, also for other processes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Access {
    /// The lab's PID 1, as seen by the machine.
    pub pid: u32,
    /// The name of the lab's control group.
    pub group: String,
}

impl Access {
    /// A program to be run inside the lab.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(NSENTER);
        command
            .args([
                "--target",
                &self.pid.to_string(),
                "--mount",
                "--net",
                "--pid",
                "--",
            ])
            .arg(program)
            .current_dir("/")
            .env_clear()
            .env("PATH", PATH)
            .env("LC_ALL", "C.UTF-8");
        command
    }

    /// Runs a program inside the lab that must succeed.
    ///
    /// # Errors
    /// Those of [`command::must`]; 20 s are the limit.
    pub fn must(&self, arguments: &[&str], input: Option<&str>) -> Result<String> {
        let Some((program, rest)) = arguments.split_first() else {
            bail!("there is no program to run");
        };
        let mut command = self.command(program);
        command::must(command.args(rest), input.map(str::as_bytes), QUICK)
    }

    /// A path inside the lab, as this process reaches it. Absolute symbolic links below it would
    /// lead out of the lab.
    pub fn path(&self, inside: impl AsRef<Path>) -> PathBuf {
        let inside = inside.as_ref();
        let root = PathBuf::from(format!("/proc/{}/root", self.pid));
        root.join(inside.strip_prefix("/").unwrap_or(inside))
    }

    /// The control group of a host, as this process reaches it.
    pub fn group(&self, host: &str) -> PathBuf {
        self.path("/sys/fs/cgroup").join(&self.group).join(host)
    }
}

/// The namespaces themselves. They end, with every process in them, when this is dropped or this
/// process ends: their PID 1 waits for the end of a pipe that this process holds.
#[derive(Debug)]
pub struct Namespace {
    access: Access,
    unshare: Child,
    pipe: Option<ChildStdin>,
    /// How much of the processor time was added to a test's already.
    counted: Duration,
}

impl Namespace {
    /// Makes a new one, with control groups version 2 and an empty tmpfs at [`RUN`].
    ///
    /// # Errors
    /// When the kernel or `unshare` refuses.
    pub fn create() -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let mut command = Command::new("unshare");
        command
            .args([
                "--mount",
                "--net",
                "--pid",
                "--fork",
                "--kill-child",
                "--mount-proc",
            ])
            .args(["--propagation", "private", "cat"])
            .env("PATH", PATH)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut unshare = command.spawn().context("cannot start unshare")?;
        let pipe = unshare.stdin.take();
        let group = format!(
            "nixus-lab-{}-{}",
            process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let mut namespace = Self {
            access: Access { pid: 0, group },
            unshare,
            pipe,
            counted: Duration::ZERO,
        };
        namespace.access.pid = namespace.first_process()?;
        namespace.mount()?;
        Ok(namespace)
    }

    /// The way into it.
    pub fn access(&self) -> &Access {
        &self.access
    }

    /// Adds the processor time since the last call to that of the test that runs.
    pub fn count(&mut self) {
        let used = used(&self.access.path("/sys/fs/cgroup").join(&self.access.group));
        meter::add_processor(used.saturating_sub(self.counted));
        self.counted = used;
    }

    fn first_process(&mut self) -> Result<u32> {
        let parent = self.unshare.id();
        let children = format!("/proc/{parent}/task/{parent}/children");
        let start = Instant::now();
        while start.elapsed() < QUICK {
            let child = fs::read_to_string(&children).unwrap_or_default();
            if let Some(pid) = child
                .split_whitespace()
                .next()
                .and_then(|pid| pid.parse().ok())
            {
                // The namespaces are ready once `cat` runs.
                let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
                if name.trim() == "cat" {
                    return Ok(pid);
                }
            }
            if let Some(status) = self.unshare.try_wait().context("cannot wait for unshare")? {
                bail!("unshare ended with {status}: this kernel gives no namespaces of our own");
            }
            thread::sleep(Duration::from_millis(1));
        }
        bail!("unshare did not start within {} s", QUICK.as_secs())
    }

    fn mount(&self) -> Result<()> {
        let access = &self.access;
        // Whatever is there, it may be version 1.
        access.must(&["umount", "--recursive", "/sys/fs/cgroup"], None)?;
        access.must(
            &["mount", "-t", "cgroup2", "cgroup2", "/sys/fs/cgroup"],
            None,
        )?;
        // systemd-nspawn keeps locks in /run/systemd that other labs must not see.
        access.must(
            &["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run"],
            None,
        )?;
        fs::create_dir_all(access.path(RUN)).context("cannot make the lab's folder")?;
        sweep(&access.path("/sys/fs/cgroup"));
        let group = access.path("/sys/fs/cgroup").join(&access.group);
        fs::create_dir(&group).with_context(|| format!("cannot make {}", group.display()))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let group = self.access.path("/sys/fs/cgroup").join(&self.access.group);
        // Opened before the lab's own view of it is gone.
        let kill = group.join("cgroup.kill");
        // Errors: what cannot be cleaned up here ends with this process at the latest.
        let killed = fs::write(kill, "1");
        self.count();
        let removed = remove_groups(&group);
        drop(self.pipe.take());
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(5) {
            if !matches!(self.unshare.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(2));
        }
        let ended = self
            .unshare
            .kill()
            .and_then(|()| self.unshare.wait().map(|_| ()));
        if let (Err(_), Err(_), Err(error)) = (killed, removed, ended) {
            eprintln!("lab: cannot end it: {error}");
        }
    }
}

/// The processor time that a control group and all below it have used (cgroup-v2.rst, cpu.stat).
fn used(group: &Path) -> Duration {
    let stat = fs::read_to_string(group.join("cpu.stat")).unwrap_or_default();
    let micros = stat
        .lines()
        .find_map(|line| line.strip_prefix("usage_usec ")?.parse().ok());
    Duration::from_micros(micros.unwrap_or(0))
}

/// Removes an empty tree of control groups; waits for the last processes to be gone.
///
/// # Errors
/// When a process is still in it after 5 s.
pub fn remove_groups(group: &Path) -> io::Result<()> {
    let start = Instant::now();
    loop {
        match remove_groups_once(group) {
            Err(error) if start.elapsed() > Duration::from_secs(5) => return Err(error),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(_) => thread::sleep(Duration::from_millis(2)),
            Ok(()) => return Ok(()),
        }
    }
}

fn remove_groups_once(group: &Path) -> io::Result<()> {
    for entry in fs::read_dir(group)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_groups_once(&entry.path())?;
        }
    }
    fs::remove_dir(group)
}

/// Removes control groups of labs whose process was killed. Their processes ended with it, by
/// themselves; the empty groups stay.
fn sweep(groups: &Path) {
    let Ok(found) = fs::read_dir(groups) else {
        return;
    };
    for group in found.flatten() {
        let name = group.file_name().to_string_lossy().into_owned();
        let pid = name
            .strip_prefix("nixus-lab-")
            .and_then(|rest| rest.split('-').next());
        let dead = pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists());
        if dead && let Err(error) = remove_groups_once(&group.path()) {
            eprintln!("lab: cannot remove {}: {error}", group.path().display());
        }
    }
}
