//! The command line: what `nixus-switcher` can be asked, with its help. `nixus man` and
//! `nixus completions` make its manual and completions from it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::by_hand::EXIT_CODES;
use crate::decide::phase::PhaseName;
use crate::protocol::DeploymentId;

/// Activates a NixOS system and keeps it only when it is confirmed.
#[derive(Debug, Parser)]
#[command(
    name = "nixus-switcher",
    version,
    about = "Activates a NixOS system and keeps it only when it is confirmed; else the old system comes back",
    after_help = format!("Examples:
  nixus-switcher status             what is going on
  nixus-switcher revert             go back to the old system, now
  nixus-switcher confirm            keep the system that is on trial
  nixus-switcher recover            settle what a crash left open

{EXIT_CODES}")
)]
pub struct Arguments {
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What the switcher can be asked.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Activate a system, and keep it or go back
    #[command(after_help = "Example:\n  nixus-switcher run --request /run/nixus/request.json")]
    Run {
        /// A JSON file that says what to activate
        #[arg(long, value_name = "FILE")]
        request: PathBuf,
        /// How to print it
        #[command(flatten)]
        output: Output,
    },
    /// End a phase that is over its time (started by the watchdog)
    #[command(
        after_help = "Example:\n  nixus-switcher expire --deployment 3f2c1a0-1 --phase on-trial"
    )]
    Expire {
        /// The deployment
        #[arg(long, value_name = "ID")]
        deployment: DeploymentId,
        /// The phase that the watchdog was armed for
        #[arg(long)]
        phase: Watched,
    },
    /// Settle what a crash left open (run at boot)
    #[command(after_help = "Examples:
  nixus-switcher recover
  nixus-switcher recover --set-aside-journal    where the journal is damaged, or of a newer release

Setting the journal aside keeps its files as `journal-a.json.damaged-1` and so on. Where a deployment
was open, the host goes back to the system from before it; else what runs is left as it is.")]
    Recover {
        /// Begin a new journal where the present one cannot be used, going back first where needed
        #[arg(long)]
        set_aside_journal: bool,
        /// How to print it
        #[command(flatten)]
        output: Output,
    },
    /// Show what is going on
    #[command(after_help = "Examples:
  nixus-switcher status
  nixus-switcher status --json | jq .open.phase")]
    Status(Output),
    /// Go back to the old system
    #[command(after_help = "Examples:
  nixus-switcher revert           also where the journal is damaged, or the host is stuck
  nixus-switcher revert --json")]
    Revert(Output),
    /// Keep the system that is on trial, on an operator's own word
    #[command(after_help = "Examples:
  nixus-switcher confirm
  nixus-switcher confirm --json

Who confirmed is in the history, in `nixus log --verbose` and in the report.")]
    Confirm(Output),
    /// Judge a boot on trial, once the units are up (run by systemd)
    #[command(hide = true)]
    BootTrial,
    /// Note that the machine goes down in order (run by systemd)
    #[command(hide = true)]
    GoesDown,
    /// Write down how a unit ended (run by systemd)
    #[command(hide = true)]
    RecordExit {
        /// Where to
        file: PathBuf,
    },
}

/// How to print.
#[derive(Debug, Args)]
pub struct Output {
    /// Print JSON for machines
    #[arg(long)]
    pub json: bool,
}

/// A phase that a watchdog is armed for.
#[derive(Debug, Clone, Copy, ValueEnum)]
#[expect(missing_docs, reason = "each is documented at the phase of its name")]
pub enum Watched {
    Staged,
    Activating,
    OnTrial,
    Committing,
    Booted,
    BootTrial,
    Reverting,
    CameBack,
}

impl From<Watched> for PhaseName {
    fn from(watched: Watched) -> Self {
        match watched {
            Watched::Staged => Self::Staged,
            Watched::Activating => Self::Activating,
            Watched::OnTrial => Self::OnTrial,
            Watched::Committing => Self::Committing,
            Watched::Booted => Self::Booted,
            Watched::BootTrial => Self::BootTrial,
            Watched::Reverting => Self::Reverting,
            Watched::CameBack => Self::CameBack,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn every_command_that_people_use_has_help_and_an_example() {
        let cli = Arguments::command();
        cli.clone().debug_assert();
        let help = cli.get_after_help().unwrap().to_string();
        assert!(help.contains("Exit codes"), "{help}");
        for command in cli.get_subcommands().filter(|one| !one.is_hide_set()) {
            let name = command.get_name();
            assert!(command.get_about().is_some(), "{name}");
            let help = command.get_after_help().unwrap().to_string();
            assert!(help.contains(&format!("nixus-switcher {name}")), "{name}");
        }
    }
}
