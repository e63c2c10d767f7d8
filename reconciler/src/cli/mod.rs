//! The command line: what `nixus` can be asked, one file for each command, with its arguments, its work and its words.
//! Manual and completions come from it.

use std::path::PathBuf;

use clap::{CommandFactory as _, Parser, Subcommand};
use nix::sys::stat::{Mode, umask};

use self::arguments::Host;
use self::exit_code::{CommandError, Exit};
use crate::config;

pub mod adopt;
pub mod arguments;
pub mod check;
pub mod check_config;
pub mod exit_code;
pub mod fleet;
pub mod init;
pub mod log;
pub mod manifest;
pub mod manual;
pub mod next_step;
pub mod post;
pub mod probe;
pub mod prune_reports;
pub mod reconcile;
pub mod reports_from;
pub mod retry;
pub mod rollback;
pub mod run_hooks;
pub mod secrets;
pub mod start_pass;
pub mod status;
pub mod suspend;
pub mod tables;
pub mod verify;
pub mod watch;

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

/// What `nixus` can be asked; each command is a file.
#[derive(Debug, Subcommand)]
#[expect(missing_docs, reason = "each command has its own text")]
pub enum Command {
    Reconcile(reconcile::Reconcile),
    #[command(hide = true)]
    Verify(verify::Verify),
    #[command(hide = true)]
    Post(post::Post),
    Adopt(adopt::Adopt),
    Status(status::StatusArguments),
    Log(log::Log),
    Fleet(fleet::Fleet),
    Watch(watch::Watch),
    Retry(retry::Retry),
    Suspend(suspend::Suspend),
    Rollback(rollback::Rollback),
    Resume(suspend::Resume),
    Init(init::Init),
    CheckConfig(check_config::CheckConfig),
    Manifest(manifest::ManifestArguments),
    Secrets(secrets::SecretsArguments),
    Check(check::Check),
    Probe(probe::Probe),
    #[command(hide = true)]
    AnswerProbe(probe::AnswerProbe),
    PruneReports(prune_reports::PruneReports),
    #[command(hide = true)]
    RunHooks(run_hooks::RunHooks),
    Completions(manual::Completions),
    Man(manual::Man),
}

impl Cli {
    /// Does what was asked.
    ///
    /// # Errors
    /// What was asked could not be done; the error has its exit code.
    pub async fn run(self) -> Result<Exit, CommandError> {
        if self.command.keeps_state() {
            // What a host keeps is root's alone, whoever runs this and however.
            umask(Mode::from_bits_truncate(0o077));
        }
        let host = &Host {
            config: self.config,
            ..Host::default()
        };
        match &self.command {
            Command::Reconcile(reconcile) => reconcile.run(host).await,
            Command::Verify(verify) => verify.run(host).await,
            Command::Post(post) => post.run(host).await,
            Command::Adopt(adopt) => adopt.run(host).await,
            Command::Status(status) => status.run(host).await,
            Command::Log(log) => log.run(host),
            Command::Fleet(fleet) => fleet.run(host).await,
            Command::Watch(watch) => watch.run(host).await,
            Command::Retry(retry) => retry.run(host).await,
            Command::Suspend(suspend) => suspend.run(host),
            Command::Rollback(rollback) => rollback.run(host).await,
            Command::Resume(resume) => resume.run(host).await,
            Command::Init(init) => init.run(),
            Command::CheckConfig(check) => check.run(host),
            Command::Manifest(manifest) => manifest.run().await,
            Command::Secrets(secrets) => secrets.run(),
            Command::Check(check) => check.run(host).await,
            Command::Probe(probe) => probe.run().await,
            Command::AnswerProbe(answer) => answer.run(host).await,
            Command::PruneReports(prune) => prune.run().await,
            Command::RunHooks(hooks) => hooks.run().await,
            Command::Completions(completions) => completions.run(&Self::command()),
            Command::Man(man) => man.run(&Self::command()),
        }
    }
}

impl Command {
    /// Whether it may write what a host, or a user, keeps for Nixus alone; the others write files that their
    /// user asked for.
    fn keeps_state(&self) -> bool {
        !matches!(
            self,
            Self::Init(_)
                | Self::CheckConfig(_)
                | Self::Manifest(_)
                | Self::Secrets(_)
                | Self::Completions(_)
                | Self::Man(_)
        )
    }
}

#[cfg(test)]
mod tests;
