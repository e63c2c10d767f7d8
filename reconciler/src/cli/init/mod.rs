//! What `nixus init` is told of a fleet.

use std::path::PathBuf;

use clap::Args;

pub mod files;

/// What is known of a fleet that is to be.
#[derive(Debug, Args)]
pub struct Init {
    /// The folder, which is made if need be.
    #[arg(default_value = ".")]
    pub folder: PathBuf,
    /// The deploy repository's URL, as hosts will reach it.
    #[arg(long, value_name = "URL")]
    pub repository: Option<String>,
    /// The git server's host key, as in its /etc/ssh/ssh_host_ed25519_key.pub.
    #[arg(long, value_name = "KEY")]
    pub server_key: Option<String>,
    /// The public key of an operator, or the file that has it.
    #[arg(long, value_name = "KEY|FILE")]
    pub operator_key: Option<String>,
    /// The flake of Nixus.
    #[arg(long, value_name = "FLAKE")]
    pub nixus: Option<String>,
}
