//! The command line of `nixus-secrets`, the program that opens a host's secrets.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use super::activation::{Activated, Activation, ActivationError, LISTS};
use super::description::DescriptionError;
use super::generation::Place;
use super::units::Teller;
use crate::eprintln;
use crate::process::in_words;

/// The first word where this program does what `nixus` was asked with the words that follow.
pub const AS_NIXUS: &str = "as-nixus";

/// All secrets are there.
pub const DONE: u8 = 0;
/// A secret could not be opened.
pub const NOT_ALL: u8 = 1;
/// The description is wrong.
pub const WRONG: u8 = 2;
/// It is this host that is not as it should be: it has no private key, for example.
pub const HOST: u8 = 3;

/// Opens the secrets of a NixOS generation. Its activation runs it; it uses no network.
#[derive(Debug, Parser)]
#[command(
    name = "nixus-secrets",
    version,
    after_help = "Exit codes:
  0  every secret can be opened
  1  a secret cannot; the others are in their place
  2  the description is wrong
  3  this host cannot open any: it has no private key, or no place for secrets"
)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What `nixus-secrets` can be asked.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Open all secrets and put them in their place.
    Activate {
        /// The generation's description, in the store.
        description: PathBuf,
        /// The generation, to know its units.
        #[arg(long, value_name = "TOPLEVEL")]
        system: Option<PathBuf>,
        /// Have systemd restart and reload units, instead of asking switch-to-configuration for it.
        #[arg(long)]
        by_systemd: bool,
    },
    /// Open all secrets to nowhere: whether an activation could.
    #[command(after_help = "Examples:
  nixus-secrets check /run/current-system/etc/nixus/secrets.json")]
    Check {
        /// The generation's description.
        description: PathBuf,
    },
    /// Say which units an activation would restart and reload.
    DryRun {
        /// The generation's description.
        description: PathBuf,
        /// The generation, to know its units.
        #[arg(long, value_name = "TOPLEVEL")]
        system: Option<PathBuf>,
    },
}

/// Does what was asked, and says what came of it.
pub fn run(arguments: &Arguments) -> ExitCode {
    super::memory::shield();
    let (description, system, teller) = match &arguments.command {
        Command::Activate {
            description,
            system,
            by_systemd,
        } => {
            let teller = if *by_systemd {
                Teller::Itself
            } else {
                Teller::Switch
            };
            (description, system.as_deref(), teller)
        }
        Command::Check { description } => (description, None, Teller::DryRun),
        Command::DryRun {
            description,
            system,
        } => (description, system.as_deref(), Teller::DryRun),
    };
    // A description is known by its own path, whichever link led to it.
    let path = std::fs::canonicalize(description).unwrap_or_else(|_| description.clone());
    let place = Place::default();
    let activation = Activation {
        description: &path,
        place: &place,
        lists: LISTS.as_ref(),
        system,
        teller,
    };
    let done = match &arguments.command {
        Command::Activate { .. } => activation.activate(),
        Command::Check { .. } => activation.check(),
        Command::DryRun { .. } => activation.dry_run(),
    };
    let code = match done {
        Ok(done) => {
            say(&arguments.command, &done);
            if done.failures.is_empty() {
                DONE
            } else {
                NOT_ALL
            }
        }
        Err(error) => {
            eprintln!("nixus-secrets: {}", in_words(&error));
            code_of(&error)
        }
    };
    ExitCode::from(code)
}

fn say(command: &Command, done: &Activated) {
    for warning in &done.warnings {
        eprintln!("nixus-secrets: warning: {warning}");
    }
    for failure in &done.failures {
        eprintln!("nixus-secrets: {}", in_words(failure));
    }
    let would = match command {
        Command::Activate { .. } => "",
        Command::Check { .. } => return,
        Command::DryRun { .. } => "would ",
    };
    for (verb, units) in [
        ("restart", &done.units.restart),
        ("reload", &done.units.reload),
    ] {
        if !units.is_empty() {
            let names: Vec<&str> = units.iter().map(String::as_str).collect();
            eprintln!("secrets changed: {would}{verb} {}", names.join(", "));
        }
    }
}

fn code_of(error: &ActivationError) -> u8 {
    match error {
        // The store's file system, and not what is in it.
        ActivationError::Description(DescriptionError::Read { .. }) => HOST,
        ActivationError::Description(_) => WRONG,
        ActivationError::Identities(_)
        | ActivationError::Generation(_)
        | ActivationError::Lists(_) => HOST,
    }
}
