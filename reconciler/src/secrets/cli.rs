//! The command line of `nixus-secrets`, the program that opens a host's secrets.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use super::activation::{Activated, Activation, ActivationError, LISTS, SWITCH_LISTS};
use super::description::DescriptionError;
use super::generation::Place;
use super::units;
use crate::eprintln;
use crate::host::process::in_words;

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
    },
    /// Restart and reload the units whose secrets an activation has changed. nixus-secrets-units.service does it.
    RestartUnits,
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
    match &arguments.command {
        Command::Activate {
            description,
            system,
        } => carry_out(description, system.as_deref(), |activation| {
            // Another unit does it, once systemd has the new ones.
            Ok((activation.activate()?, Some("to ")))
        }),
        Command::RestartUnits => restart_units(),
        Command::Check { description } => carry_out(description, None, |activation| {
            Ok((activation.check()?, None))
        }),
        Command::DryRun {
            description,
            system,
        } => carry_out(description, system.as_deref(), |activation| {
            Ok((activation.dry_run()?, Some("would ")))
        }),
    }
}

/// `how` also says with which word units are named, if they are.
fn carry_out(
    description: &Path,
    system: Option<&Path>,
    how: impl FnOnce(&Activation) -> Result<(Activated, Option<&'static str>), ActivationError>,
) -> ExitCode {
    // A description is known by its own path, whichever link led to it.
    let path = std::fs::canonicalize(description).unwrap_or_else(|_| description.to_owned());
    let place = Place::default();
    let activation = Activation {
        description: &path,
        place: &place,
        lists: LISTS.as_ref(),
        system,
    };
    let code = match how(&activation) {
        Ok((done, units)) => {
            say(&done, units);
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

fn say(done: &Activated, units: Option<&str>) {
    for warning in &done.warnings {
        eprintln!("nixus-secrets: warning: {warning}");
    }
    for failure in &done.failures {
        eprintln!("nixus-secrets: {}", in_words(failure));
    }
    let Some(word) = units else { return };
    for (verb, units) in [
        ("restart", &done.units.restart),
        ("reload", &done.units.reload),
    ] {
        if !units.is_empty() {
            let names: Vec<&str> = units.iter().map(String::as_str).collect();
            eprintln!("secrets changed: {word}{verb} {}", names.join(", "));
        }
    }
}

fn restart_units() -> ExitCode {
    match units::tell(LISTS.as_ref(), SWITCH_LISTS.as_ref()) {
        Ok(_) => ExitCode::from(DONE),
        Err(error) => {
            eprintln!("nixus-secrets: {}", in_words(&error));
            ExitCode::from(HOST)
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
