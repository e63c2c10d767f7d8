//! The command line: what `nixus` can be asked, with its help. Manual and completions come from it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use jiff::{SignedDuration, Timestamp};

use crate::config;
use crate::config::forge::Kind;
use crate::decide::commit_id::CommitId;
use crate::decide::ledger::release::Retry;

pub mod adopt;
pub mod exit_code;
pub mod init;
pub mod log;
pub mod manifest;
pub mod next_step;
pub mod retry;
pub mod rollback;
mod secrets;
pub mod status;
pub mod tables;
pub mod watch;

pub use init::Init;
pub use manifest::ManifestCommand;
pub use secrets::{Keys, SecretsCommand};

/// Keeps this NixOS host on the commit that its git repository says, and never loses it.
#[derive(Debug, Parser)]
#[command(
    name = "nixus",
    version,
    after_help = exit_code::HELP,
    after_long_help = format!("Examples:
  nixus adopt                begin to follow the deploy repository, from its present head
  nixus status               what runs, what is open, what is waited for, what happens next
  nixus log                  what happened on this host
  nixus fleet --reports ssh://git@git.example/reports.git --known-hosts ~/.ssh/known_hosts

{}", exit_code::HELP)
)]
pub struct Cli {
    /// The configuration of this host.
    #[arg(long, global = true, value_name = "FILE", default_value = config::DEFAULT_PATH)]
    pub config: PathBuf,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What `nixus` can be asked.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make one pass: look for a new commit, build it, hand it to the switcher, report.
    #[command(after_help = "Examples:
  systemctl start nixus-reconcile.service    a pass now, in its own unit (recommended)
  nixus reconcile                            the same on this terminal")]
    Reconcile,
    /// Prove, as the generation on trial, that the next commit could be taken (run by systemd).
    #[command(hide = true)]
    Verify,
    /// Post what waits to be posted as commit statuses (run by systemd).
    #[command(hide = true)]
    Post,
    /// Begin to follow the deploy repository; activates nothing.
    #[command(after_help = "Examples:
  nixus adopt                      accept history from the branch's present head on
  nixus adopt --commit 3f2c1a0...  accept history from this commit on
  nixus adopt --again              after the history was rewritten, or the state was damaged")]
    Adopt {
        /// Accept history from this commit on, instead of the branch's head.
        #[arg(long, value_parser = parse_commit)]
        commit: Option<CommitId>,
        /// Begin anew on a host that was adopted before.
        #[arg(long)]
        again: bool,
    },
    /// Tell what runs, what is open, what is waited for, what went wrong, and what comes next.
    #[command(after_help = "Examples:
  nixus status
  nixus status --json | jq .last_pass.waits_for.reason

Exit code 1 only where an operator is needed, or passes have stopped: a host that waits for CI, for peers or for the
git server, and one whose newest commit failed, goes on by itself.")]
    Status(Output),
    /// Tell what happened on this host, newest first.
    #[command(after_help = "Examples:
  nixus log -n 5
  nixus log --verbose     with what each check of a deployment found")]
    Log {
        /// How many entries.
        #[arg(long, short = 'n', default_value_t = 20)]
        lines: usize,
        /// Show how each deployment went: its systems, its time, and what its checks found.
        #[arg(long, short)]
        verbose: bool,
        /// How to print it.
        #[command(flatten)]
        output: Output,
    },
    /// Tell what every host last reported.
    #[command(after_help = "Examples:
  nixus fleet                                   on a host, from its own configuration
  nixus fleet --reports ssh://git@git.example/reports.git
  nixus fleet --forge https://github.com/fleet/deploy --token-file ~/.forge-token --watch
  nixus fleet --json | jq -r '.[] | select(.silent or .behind) | .host'

Exit code 1 where a host is silent, which should have reported again by now, or behind the head of the branch: it
neither runs it nor is at work on it. On a forge there are no heartbeats, and no host is called silent.")]
    Fleet {
        /// Where reports are.
        #[command(flatten)]
        from: ReportsFrom,
        /// The head of the branch, with all its digits; unless given, as the repository has it, or else the newest that
        /// any host has seen.
        #[arg(long, value_name = "COMMIT", value_parser = parse_commit)]
        head: Option<CommitId>,
        /// Go on looking, and print the fleet again whenever something has changed.
        #[arg(long)]
        watch: bool,
        /// How to print it.
        #[command(flatten)]
        output: Output,
    },
    /// Follow a deployment on all hosts until each of them is done.
    #[command(after_help = "Examples:
  nixus watch                       in a clone of the deploy repository: what was just pushed
  nixus watch 3f2c1a0 --reports ssh://git@git.example/reports.git
  nixus watch $GITHUB_SHA --forge https://github.com/fleet/deploy --hosts web1,db1

Exit code 0 only where every host kept the commit.")]
    Watch {
        /// The commit; the one that the clone in this folder is at unless given.
        commit: Option<String>,
        /// Where reports are.
        #[command(flatten)]
        from: ReportsFrom,
        /// The hosts to wait for; unless given, those that have reported before.
        #[arg(long, value_delimiter = ',', value_name = "HOST,HOST")]
        hosts: Vec<String>,
        /// How long to wait at most, such as 30m or 2h.
        #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "1h")]
        timeout: SignedDuration,
        /// Ask busy hosts by SSH what they are doing, as root at their names, every 5 seconds.
        #[arg(long)]
        ssh: bool,
        /// Print one line of JSON for each report.
        #[arg(long)]
        json: bool,
    },
    /// Try once more what failed and is quarantined, and end the wait after failures.
    #[command(after_help = "Examples:
  nixus retry                                   whatever keeps this host from the head
  nixus retry 3f2c1a0                           this commit
  nixus retry /nix/store/...-nixos-system-web1  this system, whichever commit makes it

A commit can ask the same of every host, by a line at the end of its message:
  Nixus-Retry: /nix/store/...-nixos-system-web1")]
    Retry {
        /// A quarantined commit (7 or more digits) or toplevel; the head's unless given.
        #[arg(value_name = "COMMIT|TOPLEVEL")]
        what: Option<Retry>,
    },
    /// Hold this host still: it polls and reports, but builds and activates nothing.
    #[command(after_help = "Examples:
  nixus suspend --for 2h \"moving disks\"
  nixus suspend --until 2026-12-24T18:00
  nixus suspend                                until `nixus resume`")]
    Suspend {
        /// For how long, such as 30m, 2h or 3d.
        #[arg(long = "for", value_name = "TIME", value_parser = parse_duration, conflicts_with = "until")]
        duration: Option<SignedDuration>,
        /// Until when: a date and time, local unless it names its zone.
        #[arg(long, value_name = "WHEN", value_parser = parse_until)]
        until: Option<Timestamp>,
        /// Why, for those who look at `nixus status`.
        reason: Option<String>,
    },
    /// Go back to an earlier generation, under a watchdog as ever; what runs is quarantined.
    #[command(after_help = "Examples:
  nixus rollback                          to the generation before the one that runs
  nixus rollback --to 41 \"the shop is slow\"
  nixus retry                             to take up again what was rolled back

The generation has only to be no worse than what runs. The next commit that makes another system is
deployed as ever; `nixus suspend` comes first where that is not wanted.")]
    Rollback {
        /// The generation's number; the one before what runs unless given.
        #[arg(long, value_name = "GENERATION")]
        to: Option<u64>,
        /// Why, for those who look at `nixus status`.
        reason: Option<String>,
    },
    /// Let a suspended host go on.
    #[command(after_help = "Examples:
  nixus resume")]
    Resume,
    /// Write a deploy repository to begin with; nothing is overwritten.
    #[command(after_help = "Examples:
  nixus init deploy
  nixus init deploy --repository ssh://git@git.example/srv/git/deploy.git \\
    --server-key \"ssh-ed25519 AAAA...\" --operator-key ~/.ssh/id_ed25519.pub

On a terminal, what is not given is asked for.")]
    Init(Init),
    /// Check a configuration and print all that it says, defaults included.
    #[command(after_help = "Examples:
  nixus check-config
  nixus check-config ./config.toml --json")]
    CheckConfig {
        /// The file; the one that this host uses unless given.
        file: Option<PathBuf>,
        /// How to print it.
        #[command(flatten)]
        output: Output,
    },
    /// What CI does for hosts that fetch what it has built: a manifest of a commit's closures.
    #[command(after_help = "Examples, in a clone of the deploy repository:
  nixus manifest create --cache https://cache.example
  nixus manifest push --sign-key ci_key")]
    Manifest {
        /// What to do with it.
        #[command(subcommand)]
        command: ManifestCommand,
    },
    /// What operators do with secrets: files in the clone of the deploy repository, for the hosts that use them.
    #[command(after_help = "Examples, in a clone of the deploy repository:
  pwgen 32 1 | nixus secrets set secrets/db.age
  nixus secrets edit secrets/db.age
  nixus secrets rekey      after hosts or operators have changed
  nixus secrets check      who can open what")]
    Secrets {
        /// What to do with them.
        #[command(subcommand)]
        command: SecretsCommand,
    },
    /// Make all health checks now, as a generation on trial would.
    #[command(after_help = "Examples:
  nixus check                    exit code 1 where something that is required does not pass
  nixus check --json | jq -r .verdict")]
    Check(Output),
    /// Answer one peer, as the forced command of the account that peers log in to.
    #[command(
        after_help = "In authorized_keys of that account, for each of the peer's host keys:
  command=\"nixus probe db1\",restrict ssh-ed25519 AAAA...

The request is one line of JSON on standard input, and so is the answer:
  echo '{\"version\":1,\"ask\":{\"what\":\"hello\"}}' | nixus probe db1"
    )]
    Probe {
        /// The peer that has this key, by its name in this host's configuration.
        caller: String,
    },
    /// Take a request that `nixus probe` passes on (run by systemd).
    #[command(hide = true)]
    AnswerProbe,
    /// Remove old reports from a reports repository. Each host's newest report, and its newest of each outcome, stay.
    #[command(after_help = "Examples:
  nixus prune-reports ssh://git@git.example/srv/git/reports.git
  nixus prune-reports file:///srv/git/reports.git --older-than 30d --most 200      on the git server, now and then
  nixus prune-reports file:///srv/git/reports.git --dry-run

Hosts may only add to their reports: run it as somebody who may rewrite branches. Hosts go on from what is left.
The server's git gives the space back by itself, or after `git gc --prune=now`.")]
    PruneReports {
        /// The reports repository.
        #[arg(value_name = "URL")]
        reports: String,
        /// Remove what is older.
        #[arg(long = "older-than", value_name = "TIME", value_parser = parse_duration, default_value = "90d")]
        older: SignedDuration,
        /// Keep at most so many reports of each host.
        #[arg(long, value_name = "NUMBER", default_value_t = 1000)]
        most: usize,
        /// Say what would be removed, and remove nothing.
        #[arg(long)]
        dry_run: bool,
        /// The private key for SSH, where the agent's or the default one is not wanted.
        #[arg(long, value_name = "FILE")]
        ssh_key: Option<PathBuf>,
        /// The accepted host keys, where the user's own file is not wanted.
        #[arg(long, value_name = "FILE")]
        known_hosts: Option<PathBuf>,
        /// The file with the token for HTTPS, where git's own credentials are not wanted.
        #[arg(long, value_name = "FILE")]
        token_file: Option<PathBuf>,
    },
    /// Run the hooks of a deployment (run by systemd).
    #[command(hide = true)]
    RunHooks {
        /// What is to be run.
        request: PathBuf,
    },
    /// Print completions for a shell.
    #[command(after_help = "Examples:
  nixus completions bash > /etc/bash_completion.d/nixus
  nixus completions fish > ~/.config/fish/completions/nixus.fish
  nixus completions bash --switcher > /etc/bash_completion.d/nixus-switcher")]
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
        /// Those of `nixus-switcher`.
        #[arg(long)]
        switcher: bool,
    },
    /// Print the manual page, or write one page for each command into a directory, those of
    /// `nixus-switcher` and `nixus-secrets` too.
    #[command(after_help = "Examples:
  nixus man | man -l -
  nixus man /usr/local/share/man/man1")]
    Man {
        /// The directory.
        directory: Option<PathBuf>,
    },
}

impl Command {
    /// Whether it may write what a host, or a user, keeps for Nixus alone; the others write files that their
    /// user asked for.
    pub fn keeps_state(&self) -> bool {
        !matches!(
            self,
            Self::Init(_)
                | Self::CheckConfig { .. }
                | Self::Manifest { .. }
                | Self::Secrets { .. }
                | Self::Completions { .. }
                | Self::Man { .. }
        )
    }
}

/// How to print.
#[derive(Debug, Args)]
pub struct Output {
    /// Print JSON for machines.
    #[arg(long)]
    pub json: bool,
}

/// Where reports are read.
#[derive(Debug, Args)]
pub struct ReportsFrom {
    /// The reports repository; the one of this host's configuration unless given.
    #[arg(long, value_name = "URL", conflicts_with = "forge")]
    pub reports: Option<String>,
    /// The deploy repository on its forge, whose commit statuses are read.
    #[arg(long, value_name = "URL")]
    pub forge: Option<String>,
    /// What the forge is, where its name does not tell: github, gitlab, gitea, forgejo or bitbucket.
    #[arg(long, requires = "forge", value_name = "KIND", value_parser = parse_kind)]
    pub forge_kind: Option<Kind>,
    /// The branch that hosts follow.
    #[arg(
        long,
        requires = "forge",
        value_name = "BRANCH",
        default_value = "main"
    )]
    pub branch: String,
    /// Certificate authorities that the forge may have beside the system's.
    #[arg(long, requires = "forge", value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// The hosts' public keys, as in known_hosts: whether they have signed their statuses.
    #[arg(long, requires = "forge", value_name = "FILE")]
    pub host_keys: Option<PathBuf>,
    /// The private key for SSH, where the agent's or the default one is not wanted.
    #[arg(long, requires = "reports", value_name = "FILE")]
    pub ssh_key: Option<PathBuf>,
    /// The accepted host keys, where the user's own file is not wanted.
    #[arg(long, requires = "reports", value_name = "FILE")]
    pub known_hosts: Option<PathBuf>,
    /// The file with the token for HTTPS, where git's own credentials are not wanted; for a forge, the
    /// token that may read statuses.
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

fn parse_commit(text: &str) -> Result<CommitId, String> {
    CommitId::try_from(text.to_owned()).map_err(|problem| format!("{problem}: give all its digits"))
}

fn parse_kind(text: &str) -> Result<Kind, String> {
    let known = Kind::ALL.into_iter().find(|kind| kind.word() == text);
    known.ok_or_else(|| "expected github, gitlab, gitea, forgejo or bitbucket".to_owned())
}

fn parse_duration(text: &str) -> Result<SignedDuration, String> {
    // A day is a length of time here, not a date in a zone.
    let days = text.strip_suffix('d').and_then(|days| days.parse().ok());
    days.and_then(|days: i64| days.checked_mul(24))
        .and_then(SignedDuration::try_from_hours)
        .or_else(|| text.parse().ok())
        .filter(SignedDuration::is_positive)
        .ok_or_else(|| "expected a time such as 30m, 2h or 3d".to_owned())
}

fn parse_until(text: &str) -> Result<Timestamp, String> {
    let local = |text: &str| {
        let time: jiff::civil::DateTime = text.parse().ok()?;
        Some(time.in_tz(&zone_name()?).ok()?.timestamp())
    };
    text.parse::<Timestamp>()
        .ok()
        .or_else(|| local(text))
        .ok_or_else(|| "expected a date and time such as 2026-12-24T18:00".to_owned())
}

fn zone_name() -> Option<String> {
    let zone = jiff::tz::TimeZone::system();
    Some(zone.iana_name().unwrap_or("UTC").to_owned())
}

#[cfg(test)]
mod tests;
