//! What operators do with secrets.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Output;

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

What somebody could open once they may have kept: change a secret that they must not know.")]
    Rekey {
        /// The files; all unless given.
        files: Vec<PathBuf>,
        /// Also those that need it not.
        #[arg(long)]
        all: bool,
        /// With which keys.
        #[command(flatten)]
        keys: Keys,
    },
    /// Tell who can open what, without any private key; exit code 1 where that is not as it should be.
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
    /// A private SSH key, or a file of age-keygen; ~/.ssh/id_ed25519 and ~/.ssh/id_rsa unless given.
    #[arg(long, short, value_name = "FILE")]
    pub identity: Vec<PathBuf>,
}
