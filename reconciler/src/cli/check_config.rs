//! `nixus check-config`: what a configuration says, defaults included.

use std::path::PathBuf;

use clap::Args;

use super::arguments::{Host, Output, print_json};
use super::exit_code::{CommandError, Exit, HasExit};
use super::tables;
use crate::config::{Config, ConfigError};
use crate::{eprintln, println};

/// Check a configuration and print every setting, defaults included.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  nixus check-config
  nixus check-config ./config.toml --json")]
pub struct CheckConfig {
    /// The file [default: the one that this host uses]
    pub file: Option<PathBuf>,
    /// How to print it.
    #[command(flatten)]
    pub output: Output,
}

impl CheckConfig {
    /// Checks the configuration and prints it.
    ///
    /// # Errors
    /// The file cannot be read, or says something that cannot be.
    pub fn run(&self, host: &Host) -> Result<Exit, CommandError> {
        let path = self.file.as_ref().unwrap_or(&host.config);
        let config = Config::load(path)?;
        if self.output.json {
            print_json(&config.shown())?;
        } else {
            println!("OK: {}", path.display());
            println!("{}", tables::settings(&config.settings));
            for warning in &config.warnings {
                eprintln!("warning: {warning}");
            }
            for sentence in config.trusted() {
                println!("{sentence}");
            }
        }
        Ok(Exit::Done)
    }
}

impl HasExit for ConfigError {
    fn exit(&self) -> Exit {
        Exit::WrongInput
    }
}
