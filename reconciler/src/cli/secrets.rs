//! What operators do with secrets.

use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use clap::{Args, Subcommand};

use super::arguments::Output;
use super::exit_code::{CommandError, Exit, Failed, HasExit};
use crate::secrets::cli::AS_NIXUS;
use crate::secrets::operator::OperatorError;
use crate::secrets::scratch::ScratchError;

/// What operators do with secrets: files in the clone of the deploy repository, for the hosts that use them.
#[derive(Debug, Args)]
#[command(after_help = "Examples, in a clone of the deploy repository:
  pwgen 32 1 | nixus secrets set secrets/db.age
  nixus secrets edit secrets/db.age
  nixus secrets rekey      after hosts or operators have changed
  nixus secrets check      who can open what")]
pub struct SecretsArguments {
    /// What to do with them.
    #[command(subcommand)]
    pub command: SecretsCommand,
}

impl SecretsArguments {
    /// Becomes `nixus-secrets`, with the words that this program was given: this program has no parser of
    /// ciphertext, and a pass does not load one.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn run(&self) -> Result<Exit, CommandError> {
        let own = std::env::current_exe();
        let own =
            own.map_err(|error| Failed::because("cannot locate the running executable", error))?;
        let program = own.with_file_name("nixus-secrets");
        let error = Command::new(&program)
            .arg(AS_NIXUS)
            .args(std::env::args_os().skip(1))
            .exec();
        let what = format!("cannot start {}", program.display());
        Err(Failed::because(what, error).into())
    }
}

impl HasExit for OperatorError {
    fn exit(&self) -> Exit {
        match self.is_wrong_input() {
            true => Exit::WrongInput,
            false => Exit::Failed,
        }
    }
}

impl HasExit for ScratchError {
    fn exit(&self) -> Exit {
        match self {
            Self::NoMemory { .. } => Exit::WrongInput,
            _ => Exit::Failed,
        }
    }
}

/// What is done with secrets.
#[derive(Debug, Subcommand)]
pub enum SecretsCommand {
    /// Change a secret in your editor (VISUAL or EDITOR); nothing of it is written to a disk.
    #[command(after_help = "Examples:
  nixus secrets edit secrets/db.age
  EDITOR='code --wait' nixus secrets edit secrets/db.age --identity ~/.config/age/key")]
    Edit {
        /// The file, which a host names in `services.nixus.secrets.files`.
        file: PathBuf,
        /// With which keys.
        #[command(flatten)]
        keys: Keys,
    },
    /// Make a secret of what comes on standard input, byte by byte.
    #[command(after_help = "Examples:
  pwgen 32 1 | nixus secrets set secrets/db.age
  nixus secrets set secrets/tls.age < /run/user/1000/tls.pem")]
    Set {
        /// The file, which a host names in `services.nixus.secrets.files`.
        file: PathBuf,
    },
    /// Print a secret on standard output, byte by byte.
    #[command(after_help = "Examples:
  nixus secrets show secrets/db.age")]
    Show {
        /// The file.
        file: PathBuf,
        /// With which keys.
        #[command(flatten)]
        keys: Keys,
    },
    /// Encrypt files anew, to those who need them now.
    #[command(after_help = "Examples:
  nixus secrets rekey                    what is not encrypted to those who need it
  nixus secrets rekey secrets/db.age
  nixus secrets rekey --all

Anyone who could decrypt a secret may have a copy: rotate it if they must no longer know it.")]
    Rekey {
        /// The files [default: all]
        files: Vec<PathBuf>,
        /// Re-encrypt even files that do not need it.
        #[arg(long)]
        all: bool,
        /// With which keys.
        #[command(flatten)]
        keys: Keys,
    },
    /// Show who can open what, without any private key; exit code 1 if that is not as it should be.
    #[command(after_help = "Examples:
  nixus secrets check
  nixus secrets check --json | jq '.[] | select(.problems != [])'
  nixus secrets check --identity ~/.ssh/id_ed25519     opens each file too: whether it is whole")]
    Check {
        /// How to print.
        #[command(flatten)]
        output: Output,
        /// The private keys with which each file is opened as well.
        #[arg(long, short, value_name = "FILE")]
        identity: Vec<PathBuf>,
    },
}

/// An operator's private keys.
#[derive(Debug, Args)]
pub struct Keys {
    /// A private SSH key, or a file of age-keygen [default: ~/.ssh/id_ed25519 and ~/.ssh/id_rsa]
    #[arg(long, short, value_name = "FILE")]
    pub identity: Vec<PathBuf>,
}
