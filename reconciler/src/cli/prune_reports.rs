//! `nixus prune-reports`: old reports go.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use jiff::SignedDuration;

use super::arguments::{parse_duration, repository_url};
use super::exit_code::{CommandError, Exit, HasExit};
use crate::config::{Authorities, Remote};
use crate::println;
use crate::report::repository::retention::{self, PruneError, Retention};

/// No server may take longer.
const TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// Remove old reports from a reports repository. Each host's newest report, and its newest of each outcome, stay.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  nixus prune-reports ssh://git@git.example/srv/git/reports.git
  nixus prune-reports file:///srv/git/reports.git --older-than 30d --most 200      on the git server, now and then
  nixus prune-reports file:///srv/git/reports.git --dry-run

Hosts may only add to their reports: run it as somebody who may rewrite branches. Hosts go on from what is left.
The server's git frees the space automatically, or after `git gc --prune=now`.")]
pub struct PruneReports {
    /// The reports repository.
    #[arg(value_name = "URL")]
    pub reports: String,
    /// Remove what is older.
    #[arg(long = "older-than", value_name = "TIME", value_parser = parse_duration, default_value = "90d")]
    pub older: SignedDuration,
    /// Keep at most so many reports of each host.
    #[arg(long, value_name = "NUMBER", default_value_t = 1000)]
    pub most: usize,
    /// Show what would be removed, and remove nothing.
    #[arg(long)]
    pub dry_run: bool,
    /// SSH private key [default: agent, then the usual files]
    #[arg(long, value_name = "FILE")]
    pub ssh_key: Option<PathBuf>,
    /// Accepted host keys [default: the user's known_hosts]
    #[arg(long, value_name = "FILE")]
    pub known_hosts: Option<PathBuf>,
    /// File with the token for HTTPS [default: git's own credentials]
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
}

impl PruneReports {
    /// Removes what is too old.
    ///
    /// # Errors
    /// The URL is not one of a repository, or the reports repository cannot be read or written.
    pub async fn run(&self) -> Result<Exit, CommandError> {
        repository_url(&self.reports)?;
        let remote = Remote {
            url: self.reports.clone(),
            ssh_key: self.ssh_key.clone(),
            known_hosts: self.known_hosts.clone(),
            token_file: self.token_file.clone(),
            authorities: Authorities::System,
            timeout: TIMEOUT,
        };
        let retention = Retention {
            age: self.older,
            most: self.most,
        };
        let pruned = retention::prune(&remote, &retention, self.dry_run).await?;
        let verb = match self.dry_run {
            true => "Would remove",
            false => "Removed",
        };
        println!(
            "{verb} {} of {} reports, of {} hosts.",
            pruned.removed, pruned.reports, pruned.hosts
        );
        Ok(Exit::Done)
    }
}

impl HasExit for PruneError {}
