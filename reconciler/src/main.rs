//! `nixus`: one pass of a host, its verification, and the operator's commands.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::{Args, Parser, Subcommand};
use nixus::activation::Switcher;
use nixus::adopt::{AdoptError, adopt};
use nixus::commit_id::CommitId;
use nixus::config::{self, Config, ConfigError, Remote};
use nixus::pass_lock::PassLockError;
use nixus::process::in_words;
use nixus::reconcile::{PassError, reconcile};
use nixus::report::name;
use nixus::reports_repository::ReportsRepository;
use nixus::state::Paths;
use nixus::status::status;
use nixus::{ssh, tables, verify};
use nixus_switcher::layout::Layout;
use nixus_switcher::protocol::CheckOutcome;
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::prelude::*;

/// Keeps this NixOS host on the commit that its git repository says, and never loses it.
#[derive(Parser)]
#[command(
    version,
    after_help = "Examples:
  nixus adopt                begin to follow the deploy repository, from its present head
  nixus status               what runs, what is open, what is waited for
  nixus log                  what happened on this host
  nixus fleet --reports ssh://git@git.example/reports.git --known-hosts ~/.ssh/known_hosts

Exit codes: 0 done, 1 failed, 2 wrong input or configuration."
)]
struct Cli {
    /// The configuration of this host.
    #[arg(long, global = true, default_value = config::DEFAULT_PATH)]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make one pass: look for a new commit, build it, hand it to the switcher, report.
    Reconcile,
    /// Prove, as the generation on trial, that the next commit could be taken (run by systemd).
    #[command(hide = true)]
    Verify,
    /// Begin to follow the deploy repository; activates nothing.
    Adopt {
        /// Accept history from this commit on, instead of the branch's head.
        #[arg(long, value_parser = parse_commit)]
        commit: Option<CommitId>,
        /// Begin anew on a host that was adopted before.
        #[arg(long)]
        again: bool,
    },
    /// Tell what runs, what is open, and what is waited for.
    Status(Output),
    /// Tell what happened on this host, newest first.
    Log {
        /// How many entries.
        #[arg(long, short = 'n', default_value_t = 20)]
        lines: usize,
        #[command(flatten)]
        output: Output,
    },
    /// Tell what every host last reported.
    Fleet {
        #[command(flatten)]
        from: ReportsFrom,
        #[command(flatten)]
        output: Output,
    },
}

#[derive(Args)]
struct Output {
    /// Print JSON for machines.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct ReportsFrom {
    /// The reports repository; the one of this host's configuration unless given.
    #[arg(long)]
    reports: Option<String>,
    /// The private key for SSH, where the agent's or the default one is not wanted.
    #[arg(long, requires = "reports")]
    ssh_key: Option<PathBuf>,
    /// The accepted host keys, where the user's own file is not wanted.
    #[arg(long, requires = "reports")]
    known_hosts: Option<PathBuf>,
}

fn parse_commit(text: &str) -> Result<CommitId, String> {
    CommitId::try_from(text.to_owned()).map_err(|problem| format!("{problem}: give all its digits"))
}

fn main() -> ExitCode {
    if let Some(error) = ssh::become_ssh_if_asked() {
        eprintln!("nixus: cannot start ssh: {error}");
        return ExitCode::from(255);
    }
    let cli = Cli::parse();
    start_log();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(run(&cli)),
        Err(error) => Err(anyhow!(error).context("cannot start")),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            eprintln!("nixus: {error:#}");
            exit_code(&error)
        }
    }
}

/// The one place that decides how an error ends.
fn exit_code(error: &anyhow::Error) -> ExitCode {
    let wrong_input = error.is::<ConfigError>()
        || error
            .downcast_ref::<AdoptError>()
            .is_some_and(AdoptError::is_wrong_input);
    ExitCode::from(if wrong_input { 2 } else { 1 })
}

fn start_log() {
    let journal = std::env::var_os("JOURNAL_STREAM")
        .and_then(|_| tracing_journald::layer().ok())
        .map(|layer| layer.with_syslog_identifier("nixus".to_owned()));
    let terminal = journal.is_none().then(|| {
        tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
            .without_time()
            .with_target(false)
    });
    tracing_subscriber::registry()
        .with(LevelFilter::INFO)
        .with(journal)
        .with(terminal)
        .init();
}

async fn run(cli: &Cli) -> anyhow::Result<ExitCode> {
    let paths = Paths::default();
    let switcher = Switcher::default();
    match &cli.command {
        Command::Reconcile => {
            let config = Config::load(&cli.config)?;
            match reconcile(&config, &paths, &switcher).await {
                Ok(_) => {}
                Err(PassError::Lock(PassLockError::Busy)) => {
                    tracing::info!("another pass is running");
                }
                Err(error) => return Err(error.into()),
            }
        }
        Command::Verify => {
            let config = Config::load(&cli.config);
            let config = config.as_ref().map_err(|error| in_words(error));
            let socket = Layout::default().socket();
            let verdict = verify::verify(config, &switcher, &paths, &socket).await?;
            return Ok(ExitCode::from(u8::from(verdict != CheckOutcome::Pass)));
        }
        Command::Adopt { commit, again } => {
            let config = Config::load(&cli.config)?;
            let adopted = adopt(&config, &paths, &switcher, commit.clone(), *again).await?;
            println!(
                "Adopted: history is accepted from {} on.",
                name(&adopted.anchor)
            );
            println!("Nothing was activated; {} runs.", adopted.running);
        }
        Command::Status(output) => {
            let config = Config::load(&cli.config)?;
            let status = status(&config, &paths, &switcher)?;
            if output.json {
                print_json(&status)?;
            } else {
                print!("{status}");
            }
        }
        Command::Log { lines, output } => {
            let config = Config::load(&cli.config)?;
            let reports = ReportsRepository::new(paths.reports()).history(&config.host, *lines)?;
            if output.json {
                print_json(&reports)?;
            } else {
                println!("{}", tables::log(&reports));
            }
        }
        Command::Fleet { from, output } => {
            let (remote, local) = reports_of(cli, from, &paths)?;
            let repository = ReportsRepository::new(local);
            repository.fetch_all(&remote).await?;
            let reports = repository.latest()?;
            if output.json {
                print_json(&reports)?;
            } else {
                println!("{}", tables::fleet(&reports));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The reports repository to read, and where its local copy is kept.
fn reports_of(cli: &Cli, from: &ReportsFrom, paths: &Paths) -> anyhow::Result<(Remote, PathBuf)> {
    let Some(url) = &from.reports else {
        let config = Config::load(&cli.config)?;
        let remote = config.reports.context(
            "this host's configuration has no [reports]: name the repository with --reports",
        )?;
        return Ok((remote, paths.state.join("fleet.git")));
    };
    let remote = Remote {
        url: url.clone(),
        ssh_key: from.ssh_key.clone(),
        known_hosts: from.known_hosts.clone(),
        timeout: Duration::from_secs(60),
    };
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))
        .context("neither XDG_CACHE_HOME nor HOME is set")?;
    let name: String = url
        .chars()
        .map(|letter| {
            if letter.is_ascii_alphanumeric() {
                letter
            } else {
                '-'
            }
        })
        .collect();
    Ok((remote, cache.join("nixus").join(format!("{name}.git"))))
}

fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}
