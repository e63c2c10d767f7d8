//! The operator: a clone of the deploy repository, an SSH key, and what the hosts have reported.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use nixus::decide::report::Report;
use serde::{Deserialize, Serialize};

use crate::command::{self, Output};
use crate::fleet::{self, Files};
use crate::host::Host;
use crate::keys::Key;
use crate::namespace::{Access, RUN};
use crate::seed::write_files;

const LIMIT: Duration = Duration::from_secs(60);

/// The operator of a lab.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Operator {
    pub(crate) access: Access,
    pub(crate) key: PathBuf,
    pub(crate) server: Host,
    /// The hosts that follow the deploy repository.
    pub(crate) fleet: Vec<Host>,
    pub(crate) nixus: PathBuf,
    #[serde(skip)]
    pub(crate) read: Arc<Mutex<Read>>,
}

/// For each host, where its branch of reports was and what they said then.
type Read = BTreeMap<String, (String, Vec<Report>)>;

/// Single quotes for the shell that ssh or git starts.
pub fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

impl Operator {
    fn folder(&self) -> String {
        format!("{RUN}/operator")
    }

    /// The operator's own folder, as this process reaches it.
    pub(crate) fn place(&self) -> PathBuf {
        self.access.path(self.folder())
    }

    /// Reads reports anew, after their repository was brought back to an earlier state.
    pub(crate) fn forget_reports(&self) {
        self.read
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    /// The clone of the deploy repository, as this process reaches it.
    pub fn clone_path(&self) -> PathBuf {
        self.access.path(self.folder()).join("deploy")
    }

    /// The root of the operator's file system, as this process reaches it.
    pub fn access_root(&self) -> PathBuf {
        self.access.path("/")
    }

    /// Makes the clone with the first commit, and puts it on the server's disk.
    pub(crate) fn begin(&self, known_hosts: &str, files: &Files) -> Result<String> {
        let folder = self.access.path(self.folder());
        fs::create_dir_all(folder.join("deploy")).context("cannot make the operator's clone")?;
        fs::write(folder.join("known_hosts"), known_hosts).context("cannot write known_hosts")?;
        fs::write(
            folder.join("gitconfig"),
            "[user]\n\tname = Operator\n\temail = operator@lab\n[safe]\n\tdirectory = *\n[init]\n\tdefaultBranch = main\n[gc]\n\tauto = 0\n[maintenance]\n\tauto = false\n[commit]\n\tgpgSign = false\n",
        )
        .context("cannot write gitconfig")?;
        self.git_must(&["init", "--quiet"])?;
        self.git_must(&["remote", "add", "origin", &fleet::url(fleet::DEPLOY)])?;
        let commit = self.commit(files, "The fleet's first commit")?;
        self.push_to_disk()?;
        Ok(commit)
    }

    /// The options of ssh that use this key and the lab's own known hosts.
    pub fn ssh_options(&self, key: &Path) -> Vec<String> {
        let known = format!("UserKnownHostsFile={}/known_hosts", self.folder());
        let mut options = vec!["-F".to_owned(), "none".to_owned()];
        options.extend(["-i".to_owned(), key.display().to_string()]);
        for option in [
            &known,
            "GlobalKnownHostsFile=/dev/null",
            "StrictHostKeyChecking=yes",
            "IdentitiesOnly=yes",
            "IdentityAgent=none",
            "BatchMode=yes",
            "ConnectTimeout=10",
            "LogLevel=ERROR",
        ] {
            options.extend(["-o".to_owned(), option.to_owned()]);
        }
        options
    }

    /// A git command with a key, in a folder inside the lab.
    pub fn git_in(&self, folder: &str, key: &Path, arguments: &[&str]) -> Command {
        let ssh: Vec<String> = std::iter::once("ssh".to_owned())
            .chain(self.ssh_options(key))
            .map(|word| quote(&word))
            .collect();
        let mut command = self.access.command("git");
        command
            .args(["-C", folder])
            .args(arguments)
            .env("HOME", self.folder())
            .env("GIT_CONFIG_GLOBAL", format!("{}/gitconfig", self.folder()))
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_SSH_COMMAND", ssh.join(" "));
        command
    }

    /// Runs git in the clone, whatever its exit code.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn git(&self, arguments: &[&str]) -> Result<Output> {
        let folder = format!("{}/deploy", self.folder());
        command::run(&mut self.git_in(&folder, &self.key, arguments), None, LIMIT)
    }

    fn git_must(&self, arguments: &[&str]) -> Result<String> {
        let folder = format!("{}/deploy", self.folder());
        let mut command = self.git_in(&folder, &self.key, arguments);
        Ok(command::must(&mut command, None, LIMIT)?.trim().to_owned())
    }

    /// Writes files into the clone and commits everything; gives the commit's id. A commit without
    /// a change is made too.
    ///
    /// # Errors
    /// When git refuses.
    pub fn commit(&self, files: &Files, message: &str) -> Result<String> {
        write_files(&self.clone_path(), files)?;
        self.git_must(&["add", "--all"])?;
        self.git_must(&["commit", "--quiet", "--allow-empty", "--message", message])?;
        self.git_must(&["rev-parse", "HEAD"])
    }

    /// Pushes the clone's branch over SSH.
    ///
    /// # Errors
    /// When the server refuses, or the history was rewritten.
    pub fn push(&self) -> Result<()> {
        self.git_must(&["push", "--quiet", "origin", "main"])
            .map(drop)
    }

    /// Pushes the clone's branch to the lab's own git server, by way of its disk: an SSH connection takes
    /// ten processes, and this is done hundreds of times.
    fn push_to_disk(&self) -> Result<()> {
        let bare = format!("{}/root{}", self.server.folder(), fleet::DEPLOY);
        self.git_must(&["push", "--quiet", &bare, "main"])?;
        crate::git_server::give_to_git(
            &self
                .server
                .disk()
                .join(fleet::DEPLOY.trim_start_matches('/')),
        )
    }

    fn follows_the_labs_server(&self) -> Result<bool> {
        let config = self.clone_path().join(".git/config");
        Ok(fleet::read(&config)?.contains(&format!("url = {}\n", fleet::url(fleet::DEPLOY))))
    }

    /// Pushes a rewritten history.
    ///
    /// # Errors
    /// When the server refuses.
    pub fn force_push(&self) -> Result<()> {
        self.git_must(&["push", "--quiet", "--force", "origin", "main"])
            .map(drop)
    }

    /// Commits files and pushes; gives the commit's id.
    ///
    /// # Errors
    /// Those of [`Operator::commit`] and [`Operator::push`].
    pub fn deploy(&self, files: &Files, message: &str) -> Result<String> {
        let commit = self.commit(files, message)?;
        if self.follows_the_labs_server()? {
            ensure!(self.server.powered(), "the git server is off");
            self.push_to_disk()?;
        } else {
            self.push()?;
        }
        for host in &self.fleet {
            // One that is off looks when it comes up.
            let _ = host.write(fleet::PUSH, &commit);
        }
        Ok(commit)
    }

    /// Everything that a host has reported, oldest first, with the sentence of each report's
    /// commit. Empty if it has reported nothing.
    ///
    /// # Errors
    /// When a report is not what it should be.
    pub fn reports(&self, host: &str) -> Result<Vec<Report>> {
        let reference = format!("refs/heads/hosts/{host}");
        let bare = self.server.disk();
        let bare = bare.join(fleet::REPORTS.trim_start_matches('/'));
        // Whoever waits for a report asks again and again, and git would take a processor from it.
        let at = fs::read_to_string(bare.join(&reference)).unwrap_or_default();
        let read = || self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((then, reports)) = read().get(host)
            && *then == at
            && !at.is_empty()
        {
            return Ok(reports.clone());
        }
        let reports = self.read_reports(&reference)?;
        read().insert(host.to_owned(), (at, reports.clone()));
        Ok(reports)
    }

    fn read_reports(&self, reference: &str) -> Result<Vec<Report>> {
        let bare = format!("{}/root{}", self.server.folder(), fleet::REPORTS);
        let git = |arguments: &[&str], input: &str| {
            let mut git = self.git_in(&bare, &self.key, arguments);
            command::run(&mut git, Some(input.as_bytes()), LIMIT)
        };
        let log = git(&["rev-list", "--reverse", reference], "")?;
        if !log.ok() {
            return Ok(Vec::new());
        }
        let asked: String = log
            .stdout
            .lines()
            .map(|commit| format!("{commit}:report.json\n"))
            .collect();
        let said = git(&["cat-file", "--batch=%(objecttype)", "--buffer"], &asked)?;
        said.stdout
            .split("blob\n")
            .filter(|text| !text.trim().is_empty())
            .map(|text| {
                serde_json::from_str(text)
                    .with_context(|| format!("a report at {reference}: {text}"))
            })
            .collect()
    }

    /// Runs a command on a host by SSH, as `user@address` says, with a key; the exit code is that
    /// of the command, or 255.
    ///
    /// # Errors
    /// When ssh cannot be started.
    pub fn ssh(&self, key: &Path, to: &str, arguments: &[&str]) -> Result<Output> {
        let words: Vec<String> = arguments.iter().map(|word| quote(word)).collect();
        self.ssh_raw(key, to, &words.join(" "))
    }

    /// As [`Operator::ssh`], with the command line exactly as the server gets it.
    ///
    /// # Errors
    /// When ssh cannot be started.
    pub fn ssh_raw(&self, key: &Path, to: &str, line: &str) -> Result<Output> {
        let mut command = self.access.command("ssh");
        command.args(self.ssh_options(key)).arg(to);
        if !line.is_empty() {
            command.arg("--").arg(line);
        }
        command::run(&mut command, None, LIMIT)
    }

    /// A program to be run at the operator's place in the network.
    pub fn command(&self, program: &str) -> Command {
        self.access.command(program)
    }

    /// `nixus`, run by the operator, not started yet.
    pub fn nixus(&self) -> Command {
        let mut command = self.access.command(&self.nixus.display().to_string());
        command.env("HOME", self.folder());
        command
    }

    /// The host keys that the operator knows, as seen from the lab.
    pub fn known_hosts(&self) -> String {
        format!("{}/known_hosts", self.folder())
    }

    /// The operator's key, which opens root on every host and all of the git server.
    pub fn key(&self) -> &Path {
        &self.key
    }
}

/// The line of known_hosts for an address.
pub(crate) fn known_host(address: &str, key: &Key) -> String {
    format!("{address} {}\n", key.public)
}
