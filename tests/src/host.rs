//! A host of a lab: a container with its own systemd, disk and addresses.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use crate::command::{self, Output};
use crate::fleet;
use crate::namespace::{Access, RUN};

/// How long a command on a host may take.
const LIMIT: Duration = Duration::from_secs(120);
/// The pauses between two looks at a host that is waited for.
const LEAST_PAUSE: Duration = Duration::from_millis(30);
const LONGEST_PAUSE: Duration = Duration::from_millis(300);
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
        Ok(self
            .must(["cat", "/proc/sys/kernel/random/boot_id"])?
            .trim()
            .to_owned())
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

    /// A command inside the host, as root with its usual `PATH`, not started yet.
    ///
    /// # Errors
    /// When the host is not running.
    pub fn command<S: AsRef<str>>(
        &self,
        arguments: impl IntoIterator<Item = S>,
    ) -> Result<Command> {
        let leader = self.leader()?;
        let mut command = Command::new("nsenter");
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
            .args(["/usr/bin/env", "--ignore-environment"])
            .args([
                &format!("PATH={PATH}"),
                "HOME=/root",
                "LC_ALL=C.UTF-8",
                "USER=root",
            ])
            .args(arguments.into_iter().map(|a| a.as_ref().to_owned()));
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
        self.must(["cat", "--", path])
    }

    /// The text of a file that lies where its path says, without a process on the host; nothing where it
    /// is not there, or the host is not running. Absolute symbolic links would lead out of the host.
    pub fn peek(&self, path: &str) -> Option<String> {
        let root = format!("/proc/{}/root", self.leader().ok()?);
        let path = Path::new(&root).join(path.trim_start_matches('/'));
        fs::read_to_string(path).ok()
    }

    /// Writes a file, making its folder.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &str, text: &str) -> Result<()> {
        if let Some((folder, _)) = path
            .rsplit_once('/')
            .filter(|(folder, _)| !folder.is_empty())
        {
            self.must(["mkdir", "-p", "--", folder])?;
        }
        let mut command = self.command(["tee", "--", path])?;
        command::must(&mut command, Some(text.as_bytes()), LIMIT)?;
        Ok(())
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
        Ok(self.must(["readlink", "-f", link])?.trim().to_owned())
    }

    /// The toplevel that runs.
    ///
    /// # Errors
    /// When the host is not running.
    pub fn current_system(&self) -> Result<String> {
        self.system("/run/current-system")
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
        let start = Instant::now();
        loop {
            let looked = Instant::now();
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
            // To look takes a processor from what is waited for.
            thread::sleep((4 * looked.elapsed()).clamp(LEAST_PAUSE, LONGEST_PAUSE));
        }
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
