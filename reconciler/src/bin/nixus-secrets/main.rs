//! `nixus-secrets`: opens a generation's secrets when it is activated, and is what `nixus secrets` becomes, so
//! that only one program has a parser of ciphertext in it.
// These panic where nobody reads; see `say`.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

use std::io::IsTerminal as _;
use std::process::ExitCode;

use clap::Parser as _;
use nixus::cli::exit_code::Exit;
use nixus::cli::{Cli, Command};
use nixus::eprintln;
use nixus::host::output;
use nixus::secrets::cli::{self, AS_NIXUS, Arguments};
use nixus_switcher::panic;

mod operator;

fn main() -> ExitCode {
    panic::ends_the_program();
    let mut words = std::env::args_os();
    let _own = words.next();
    if words.next().is_some_and(|word| word == AS_NIXUS) {
        let words = std::iter::once("nixus".into()).chain(words);
        return as_nixus(&Cli::parse_from(words));
    }
    cli::run(&Arguments::parse())
}

fn as_nixus(cli: &Cli) -> ExitCode {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .without_time()
        .with_target(false)
        .init();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let exit = match (runtime, &cli.command) {
        (Ok(runtime), Command::Secrets(secrets)) => {
            let done = runtime.block_on(operator::run(&secrets.command));
            done.unwrap_or_else(|error| {
                eprintln!("nixus: {error}");
                error.exit()
            })
        }
        (Ok(_), _) => Exit::WrongInput,
        (Err(error), _) => {
            eprintln!("nixus: cannot start: {error}");
            Exit::Failed
        }
    };
    output::ended(exit.into())
}
