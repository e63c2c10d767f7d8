//! `nixus fleet`: what every host last reported.

use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use super::arguments::{Host, Output, parse_commit, print_json};
use super::exit_code::{CommandError, Exit};
use super::reports_from::{ReportsFrom, head_of, reports_of};
use super::tables;
use crate::decide::commit_id::CommitId;
use crate::host::output;
use crate::host::process::in_words;
use crate::report::fleet::{Told, marked};
use crate::report::follow::Reports;
use crate::{eprintln, println};

/// The pause between two looks at a whole fleet on a forge: some pages each.
const FLEET_ON_A_FORGE: Duration = Duration::from_secs(30);

/// Show the latest report of every host.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  nixus fleet                                   on a host, from its own configuration
  nixus fleet --reports ssh://git@git.example/reports.git
  nixus fleet --forge https://github.com/fleet/deploy --token-file ~/.forge-token --watch
  nixus fleet --json | jq -r '.[] | select(.silent or .behind) | .host'

Exit code 1 where a host is silent, which should have reported again by now, or behind the head of the branch: it
neither runs it nor is at work on it. On a forge there are no heartbeats, and no host is called silent.")]
pub struct Fleet {
    /// Where reports are.
    #[command(flatten)]
    pub from: ReportsFrom,
    /// Head of the branch, with all its digits [default: that of the repository, or the newest that any host has seen]
    #[arg(long, value_name = "COMMIT", value_parser = parse_commit)]
    pub head: Option<CommitId>,
    /// Keep watching, and print the fleet again whenever something has changed.
    #[arg(long)]
    pub watch: bool,
    /// How to print it.
    #[command(flatten)]
    pub output: Output,
}

impl Fleet {
    /// Prints the fleet.
    ///
    /// # Errors
    /// What was named is not what it was named as, or the reports cannot be read.
    pub async fn run(&self, host: &Host) -> Result<Exit, CommandError> {
        let reports = reports_of(host, &self.from)?;
        let head = head_of(host, &self.from, &reports, self.head.as_ref()).await;
        match show(&reports, head.as_deref(), self.watch, self.output.json).await? {
            true => Ok(Exit::Done),
            false => Ok(Exit::Failed),
        }
    }
}

/// Prints the fleet, once or whenever it has changed; gives whether every host is heard of and on the head.
async fn show(
    reports: &Reports,
    head: Option<&str>,
    watch: bool,
    json: bool,
) -> Result<bool, CommandError> {
    let mut before = None;
    loop {
        let told = reports.fleet().await;
        let told = told.map(|told| marked(told, head, Timestamp::now()));
        let well = told
            .as_ref()
            .is_ok_and(|told| !told.iter().any(Told::is_marked));
        match told {
            Ok(told) if before.as_ref() != Some(&told) => {
                match (json, watch) {
                    (true, false) => print_json(&told)?,
                    // One line for each state of the fleet.
                    (true, true) => println!("{}", serde_json::to_string(&told)?),
                    (false, _) => println!("{}", tables::fleet(&told, Timestamp::now())),
                }
                if watch && !json {
                    println!();
                }
                before = Some(told);
            }
            Ok(_) => {}
            // Whoever watches has seen that it worked, and waits for it to work again.
            Err(error) if watch && before.is_some() => eprintln!("nixus: {}", in_words(&error)),
            Err(error) => return Err(error.into()),
        }
        if !watch || !output::is_heard() {
            return Ok(watch || well);
        }
        let pause = match reports {
            Reports::Forge { .. } => FLEET_ON_A_FORGE,
            Reports::Repository { .. } => reports.pause(),
        };
        tokio::time::sleep(pause).await;
    }
}
