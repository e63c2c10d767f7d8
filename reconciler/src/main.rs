//! `nixus`: one pass of a host, its verification, and the operator's commands.
// These panic where nobody reads; see `say`.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use nixus::cli::Cli;
use nixus::cli::exit_code::Exit;
use nixus::eprintln;
use nixus::host::output;
use nixus::source::askpass;
use nixus::source::ssh;
use nixus_switcher::panic;
use nixus_switcher::printable::printable_lines;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::debug_fn;
use tracing_subscriber::prelude::*;

fn main() -> ExitCode {
    panic::ends_the_program();
    if let Some(error) = ssh::become_ssh_if_asked() {
        eprintln!("nixus: cannot start ssh: {error}");
        return ExitCode::from(255);
    }
    if let Some(answered) = askpass::answer_if_asked() {
        if let Err(error) = &answered {
            eprintln!("nixus: cannot read the token: {error}");
        }
        return ExitCode::from(u8::from(answered.is_err()));
    }
    let cli = Cli::parse();
    start_log();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let exit = match runtime {
        Ok(runtime) => runtime.block_on(cli.run()).unwrap_or_else(|error| {
            eprintln!("nixus: {error}");
            error.exit()
        }),
        Err(error) => {
            eprintln!("nixus: cannot start: {error}");
            Exit::Failed
        }
    };
    output::ended(exit.into())
}

fn start_log() {
    let journal = std::env::var_os("JOURNAL_STREAM")
        .and_then(|_| tracing_journald::layer().ok())
        // COMMIT=, DEPLOYMENT=, PHASE= and REASON=, without a prefix.
        .map(|layer| layer.with_field_prefix(None))
        .map(|layer| layer.with_syslog_identifier("nixus".to_owned()));
    let terminal = journal.is_none().then(|| {
        tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
            // People read the sentence; the fields are for machines.
            .fmt_fields(debug_fn(|writer, field, value| {
                if field.name() == "message" {
                    write!(writer, "{}", printable_lines(&format!("{value:?}")))
                } else {
                    Ok(())
                }
            }))
            .without_time()
            .with_target(false)
    });
    tracing_subscriber::registry()
        .with(LevelFilter::INFO)
        .with(journal)
        .with(terminal)
        .init();
}
