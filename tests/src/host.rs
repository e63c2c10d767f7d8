//! A host of a lab: a container with its own systemd, disk and addresses.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use crate::command::{self, Output};
use crate::fleet;
use crate::inside::Inside;
use crate::meter::{self, Wait};
use crate::namespace::{Access, RUN};

/// How long a command on a host may take.
const LIMIT: Duration = Duration::from_secs(120);
/// The pauses between two looks at a host that is waited for.
const LEAST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(300);
/// Where Nixus' programs note what they do.
const NOTES: [&str; 3] = ["run/nixus", "var/lib/nixus", "var/lib/nixus/switcher"];
/// Without a search along a path that was cleared.
pub(crate) const NSENTER: &str = "/usr/bin/nsenter";
const PATH: &str =
    "/run/current-system/sw/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A way to one host; valid as long as its lab lives.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Host {
    /// The name.
    pub name: String,
    /// The IPv4 address.
    pub address: String,
    pub(crate) access: Access,
}

impl Host {
    pub(crate) fn folder(&self) -> String {
        format!("{RUN}/{}", self.name)
    }

    /// The host's disk, as this process reaches it. Absolute symbolic links lead out of it.
    pub fn disk(&self) -> PathBuf {
        self.access.path(self.folder()).join("root")
    }

    /// Makes the disk: the given layers below, nothing of its own yet.
    pub(crate) fn make_disk(&self, layers: &[&Path]) -> Result<()> {
        let folder = self.folder();
        for name in ["upper", "work", "root"] {
            let path = self.access.path(&folder).join(name);
            fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        }
        let lower: Vec<String> = layers.iter().map(|l| l.display().to_string()).collect();
        let options = format!(
            "lowerdir={},upperdir={folder}/upper,workdir={folder}/work",
            lower.join(":")
        );
        let root = format!("{folder}/root");
        self.access.must(
            &["mount", "-t", "overlay", "overlay", "-o", &options, &root],
            None,
        )?;
        Ok(())
    }

    /// The id of this boot.
    ///
    /// # Errors
    /// When the host is not running.
    pub fn boot_id(&self) -> Result<String> {
        let id = self.read("/proc/sys/kernel/random/boot_id")?;
        Ok(id.trim().to_owned())
    }

    /// The host's PID 1 once it is systemd, as the machine sees it.
    pub(crate) fn leader(&self) -> Result<u32> {
        let path = self
            .access
            .group(&self.name)
            .join("payload/init.scope/cgroup.procs");
        let text = fs::read_to_string(path).unwrap_or_default();
        text.lines()
            .next()
            .and_then(|pid| pid.parse().ok())
            .with_context(|| format!("{} is not running", self.name))
    }

    /// The root of the host as its processes see it, as this process reaches it.
    pub(crate) fn root(&self) -> Result<PathBuf> {
        Ok(PathBuf::from(format!("/proc/{}/root", self.leader()?)))
    }

    /// A command inside the host, as root with its usual `PATH`, not started yet.
    ///
    /// # Errors
    /// When the host is not running.
    pub fn command<S: AsRef<str>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<Command> {
        let leader = self.leader()?;
        let mut command = Command::new(NSENTER);
        command
            .args([
                "--target",
                &leader.to_string(),
                "--mount",
                "--uts",
                "--ipc",
                "--net",
                "--pid",
            ])
            .args(["--cgroup", "--root", "--wd", "--"])
            .args(arguments.into_iter().map(|a| a.as_ref().to_owned()))
            .env_clear()
            .envs([
                ("PATH", PATH),
                ("HOME", "/root"),
                ("LC_ALL", "C.UTF-8"),
                ("USER", "root"),
            ]);
        Ok(command)
    }

    /// Runs a command on the host, whatever its exit code; takes a few milliseconds.
    ///
    /// # Errors
    /// When the host is not running, or the command takes more than 2 minutes.
    pub fn exec<S: AsRef<str>>(&self, arguments: impl IntoIterator<Item = S>) -> Result<Output> {
        command::run(&mut self.command(arguments)?, None, LIMIT)
    }

    /// Runs a command that must succeed; gives its standard output.
    ///
    /// # Errors
    /// Those of [`Host::exec`], and an exit code other than 0.
    pub fn must<S: AsRef<str>>(&self, arguments: impl IntoIterator<Item = S>) -> Result<String> {
        command::must(&mut self.command(arguments)?, None, LIMIT)
    }

    /// The text of a file.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self, path: &str) -> Result<String> {
        let bytes = self
            .inside()?
            .read(path)
            .with_context(|| format!("{}: cannot read {path}", self.name))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The files as the host's processes see them.
    ///
    /// # Errors
    /// When the host is not running.
    pub fn inside(&self) -> Result<Inside> {
        Inside::of(self.leader()?).with_context(|| format!("{} is not running", self.name))
    }

    /// The text of a file; nothing where it is not there, or the host is not running.
    pub fn peek(&self, path: &str) -> Option<String> {
        self.read(path).ok()
    }

    /// Writes a file, making its folder.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &str, text: &str) -> Result<()> {
        self.inside()?
            .write(path, text.as_bytes())
            .with_context(|| format!("{}: cannot write {path}", self.name))
    }

    /// Builds this host's toplevel from a commit of the deploy repository, on the host, fetching it
    /// with the host's own key; gives its store path.
    ///
    /// # Errors
    /// When it does not build, with what Nix said.
    pub fn build(&self, commit: &str) -> Result<String> {
        let built = self.must(self.build_words(commit))?;
        Ok(built.trim().to_owned())
    }

    /// The command of [`Host::build`], for those who run it in a place of their own.
    pub fn build_words(&self, commit: &str) -> Vec<String> {
        let ssh = "GIT_SSH_COMMAND=ssh -F none -i /etc/nixus/deploy_key -o BatchMode=yes \
                   -o UserKnownHostsFile=/etc/nixus/known_hosts";
        let installable = format!(
            "git+{}?ref=main&rev={commit}#nixosConfigurations.{}.config.system.build.toplevel",
            fleet::url(fleet::DEPLOY),
            self.name
        );
        let build = ["nix", "build", "--no-link", "--print-out-paths", "--quiet"];
        let words = ["env", "HOME=/root", ssh].into_iter().chain(build);
        words
            .chain([installable.as_str()])
            .map(str::to_owned)
            .collect()
    }

    fn system(&self, link: &str) -> Result<String> {
        self.inside()?
            .resolve(link)
            .with_context(|| format!("{}: {link} leads nowhere", self.name))
    }

    /// The toplevel that runs.
    ///
    /// # Errors
    /// When the host is not running.
    pub fn current_system(&self) -> Result<String> {
        self.system("/run/current-system")
    }

    /// The toplevel that is the newest generation of the profile.
    ///
    /// # Errors
    /// When the host is not running.
    pub fn profile(&self) -> Result<String> {
        self.system("/nix/var/nix/profiles/system")
    }

    /// The toplevel that was booted.
    ///
    /// # Errors
    /// When the host is not running.
    pub fn booted_system(&self) -> Result<String> {
        self.system("/run/booted-system")
    }

    /// The toplevel that the next boot starts; also of a host that is off.
    ///
    /// # Errors
    /// When the boot loader's files do not name one.
    pub fn boot_default(&self) -> Result<String> {
        let loader = self.disk().join("boot/loader");
        let config = fs::read_to_string(loader.join("loader.conf")).context("no loader.conf")?;
        let entry = config
            .lines()
            .find_map(|line| line.strip_prefix("default "))
            .context("loader.conf names no default")?;
        let text = fs::read_to_string(loader.join("entries").join(entry.trim()))
            .with_context(|| format!("no boot entry {entry}"))?;
        text.split_whitespace()
            .find_map(|word| word.strip_prefix("init=")?.strip_suffix("/init"))
            .map(str::to_owned)
            .with_context(|| format!("the boot entry {entry} has no init="))
    }

    /// The journal of this boot, the newest 1000 lines.
    ///
    /// # Errors
    /// When the host is not running.
    pub fn journal(&self) -> Result<String> {
        // What was just said may not be written yet (journalctl(1), --sync).
        self.must(["journalctl", "--sync"])?;
        self.must([
            "journalctl",
            "--boot",
            "--no-pager",
            "--lines=1000",
            "--output=short-monotonic",
        ])
    }

    /// What the host wrote to its console, over all boots.
    ///
    /// # Errors
    /// When it was never switched on.
    pub fn console(&self) -> Result<String> {
        let path = self.access.path(self.folder()).join("console");
        let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Waits until something is true of this host.
    ///
    /// # Errors
    /// After `limit`, with what the host says about itself; and when the predicate fails.
    pub fn wait_until(
        &self,
        description: &str,
        limit: Duration,
        mut predicate: impl FnMut(&Self) -> Result<bool>,
    ) -> Result<()> {
        let _waiting = meter::wait(Wait::Host);
        let start = Instant::now();
        loop {
            let (noted, started) = (self.noted(), command::started());
            if predicate(self).with_context(|| format!("{}: {description}", self.name))? {
                return Ok(());
            }
            if start.elapsed() > limit {
                bail!(
                    "{}: not so within {} s: {description}\n{}",
                    self.name,
                    limit.as_secs(),
                    self.portrait()
                );
            }
            // To start a program takes a processor from what is waited for: not again before something
            // was noted.
            let pause = match command::started() == started {
                true => LEAST_PAUSE,
                false => LONGEST_PAUSE,
            };
            let looked = Instant::now();
            thread::sleep(LEAST_PAUSE);
            while looked.elapsed() < pause && self.noted() == noted {
                thread::sleep(LEAST_PAUSE);
            }
        }
    }

    /// When Nixus last wrote to each of its folders; each write replaces a file.
    fn noted(&self) -> [Option<SystemTime>; 3] {
        let root = self.root();
        NOTES.map(|folder| {
            let folder = root.as_ref().ok()?.join(folder);
            fs::metadata(folder).ok()?.modified().ok()
        })
    }

    /// What one wants to know of a host that does not do what it should.
    pub fn portrait(&self) -> String {
        let mut text = String::new();
        let status: &[&str] = &["nixus", "status"];
        let switcher: &[&str] = &["nixus-switcher", "status"];
        let failed: &[&str] = &[
            "systemctl",
            "--failed",
            "--no-pager",
            "--plain",
            "--no-legend",
        ];
        let journal: &[&str] = &[
            "journalctl",
            "--boot",
            "--no-pager",
            "--lines=60",
            "--output=short-monotonic",
        ];
        for arguments in [status, switcher, failed, journal] {
            let said = match self.exec(arguments) {
                Ok(output) => format!("{}{}", output.stdout, output.stderr),
                Err(error) => format!("{error:#}\n"),
            };
            text.push_str(&format!(
                "--- {}: {}\n{said}",
                self.name,
                arguments.join(" ")
            ));
        }
        let console = self.console().unwrap_or_default();
        let lines: Vec<&str> = console.lines().collect();
        let tail = lines
            .get(lines.len().saturating_sub(15)..)
            .unwrap_or_default();
        text.push_str(&format!(
            "--- {}: console\n{}\n",
            self.name,
            tail.join("\n")
        ));
        text
    }
}
