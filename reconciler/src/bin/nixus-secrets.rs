//! `nixus-secrets`: opens a generation's secrets when it is activated.

use std::process::ExitCode;

use clap::Parser as _;
use nixus::secrets::cli::{self, Arguments};

fn main() -> ExitCode {
    cli::run(&Arguments::parse())
}
