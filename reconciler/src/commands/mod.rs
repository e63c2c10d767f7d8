//! Each command: from what was asked to what is printed.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use clap::CommandFactory;
use jiff::Timestamp;
use nix::sys::stat::{Mode, umask};
use nixus::activation::Switcher;
use nixus::activation::hooks;
use nixus::cli::adopt::adopt;
use nixus::cli::exit_code::Exit;
use nixus::cli::log;
use nixus::cli::retry;
use nixus::cli::rollback::{self, Rollback};
use nixus::cli::status::{first_line, status};
use nixus::cli::tables;
use nixus::cli::{Cli, Command};
use nixus::config::{Config, Remote};
use nixus::decide::ledger::release::Retry;
use nixus::decide::report::{Reporter, name};
use nixus::health::now;
use nixus::health::probe::{answer, relay};
use nixus::health::verify;
use nixus::host::files::Paths;
use nixus::host::process::in_words;
use nixus::host::systemd;
use nixus::host::systemd::PASS_UNIT;
use nixus::pass::lock::PassLockError;
use nixus::pass::summary::{self, Summary};
use nixus::pass::suspension;
use nixus::pass::{PassError, reconcile};
use nixus::print;
use nixus::println;
use nixus::report::Post;
use nixus::report::repository::ReportsRepository;
use nixus::report::repository::retention::{self, Retention};
use nixus_switcher::cli::Arguments;
use nixus_switcher::protocol::{CheckOutcome, Ending, Outcome};
use nixus_switcher::state::layout::Layout;

mod following;
mod init;
mod manifests;
mod manual;
mod secrets;

/// Does what was asked.
pub async fn run(cli: &Cli) -> anyhow::Result<Exit> {
    let paths = Paths::default();
    if cli.command.keeps_state() {
        // What a host keeps is root's alone, whoever runs this and however.
        umask(Mode::from_bits_truncate(0o077));
    }
    let switcher = Switcher::default();
    let config = || Config::load(&cli.config);
    match &cli.command {
        Command::Reconcile => match reconcile(&config()?, &paths, &switcher).await {
            Ok(_) => {}
            // The pass that runs does what this one would have done.
            Err(PassError::Lock(error @ PassLockError::Busy { .. })) => {
                tracing::info!("{error}");
            }
            Err(error) => return Err(error.into()),
        },
        Command::Verify => {
            let config = config();
            let config = config.as_ref().map_err(|error| in_words(error));
            let socket = Layout::default().socket();
            let verdict = verify::verify(config, &switcher, &paths, &socket).await?;
            if verdict != CheckOutcome::Pass {
                return Ok(Exit::Failed);
            }
        }
        Command::Post => {
            let config = config()?;
            let statuses = config.statuses.as_ref();
            let statuses = statuses.context("this host's configuration has no [statuses]")?;
            let post = Post {
                config: &config,
                statuses,
                paths: &paths,
                switcher: &switcher,
            };
            post.post(false).await?;
        }
        Command::Adopt { commit, again } => {
            let adopted = adopt(&config()?, &paths, &switcher, commit.clone(), *again).await?;
            let anchor = name(&adopted.anchor);
            println!("Adopted: history is accepted from {anchor} on.");
            println!("Nothing was activated; {} runs.", adopted.running);
        }
        Command::Status(output) if summary::is_all(&paths) => {
            let summary = Summary::read(&paths.summary)
                .context("no pass of this boot has left a summary; the status needs root")?;
            if output.json {
                print_json(&summary)?;
            } else {
                print!("{}", summary.text(Timestamp::now()));
            }
        }
        Command::Status(output) => {
            let status = status(&config()?, &paths, &switcher).await?;
            if output.json {
                print_json(&status)?;
            } else {
                print!("{status}");
            }
            if status.needs_operator() {
                return Ok(Exit::Failed);
            }
        }
        Command::Log {
            lines,
            verbose,
            output,
        } => {
            let host = config()?.host;
            let reports = ReportsRepository::new(paths.reports()).history(&host, *lines)?;
            let outcomes = if *verbose {
                switcher.ended_after(0)?
            } else {
                Vec::new()
            };
            let entries = log::entries(reports, &outcomes);
            if output.json {
                print_json(&entries)?;
            } else if *verbose {
                for entry in &entries {
                    print!("{entry}");
                }
            } else {
                println!("{}", tables::log(&entries));
            }
        }
        Command::Fleet {
            from,
            head,
            watch,
            output,
        } => {
            let reports = following::reports_of(cli, from, &paths)?;
            let head = following::head_of(cli, from, &reports, &paths, head.as_ref()).await;
            if !following::fleet(&reports, head.as_deref(), *watch, output.json).await? {
                return Ok(Exit::Failed);
            }
        }
        Command::Watch {
            commit,
            from,
            hosts,
            timeout,
            ssh,
            json,
        } => {
            let reports = following::reports_of(cli, from, &paths)?;
            let wanted = following::Wanted {
                commit: commit.as_deref(),
                hosts,
                timeout: Duration::try_from(*timeout)?,
                ssh: *ssh,
                json: *json,
            };
            if !following::watch(&reports, &wanted).await? {
                return Ok(Exit::Failed);
            }
        }
        Command::Retry { what } => {
            let what = what.clone().unwrap_or(Retry::Head);
            say_released(&retry::retry(&paths, &switcher, &what)?);
            start_pass().await;
        }
        Command::Suspend {
            duration,
            until,
            reason,
        } => {
            let now = Timestamp::now();
            let until = match duration {
                Some(duration) => Some(now.checked_add(*duration)?),
                None => *until,
            };
            suspension::suspend(&paths, now, until, reason.clone())?;
            let until = until.map_or("`nixus resume`".to_owned(), |until| format!("{until:.0}"));
            println!("Suspended until {until}: nothing is built or activated.");
            println!("A deployment that is open already is still confirmed or reverted.");
        }
        Command::Rollback { to, reason } => {
            let why = reason.as_deref();
            let begun = rollback::begin(&config()?, &paths, &switcher, *to, why).await?;
            let Rollback {
                generation,
                deployment,
                ..
            } = &begun;
            let number = generation.number();
            println!("Going back to generation {number}, as deployment {deployment}.");
            let outcome = rollback::end(&begun, &switcher).await?;
            println!("{}", ended(&outcome));
            if outcome.ending != Ending::Confirmed {
                return Ok(Exit::Failed);
            }
        }
        Command::Resume => {
            if suspension::resume(&paths)? {
                println!("Resumed.");
                start_pass().await;
            } else {
                println!("This host was not suspended.");
            }
        }
        Command::CheckConfig { file, output } => {
            let path = file.as_ref().unwrap_or(&cli.config);
            let config = Config::load(path)?;
            if output.json {
                print_json(&config.shown())?;
            } else {
                println!("OK: {}", path.display());
                println!("{}", tables::settings(&config.settings()));
                for sentence in config.trusted() {
                    println!("{sentence}");
                }
            }
        }
        Command::Init(asked) => init::run(asked)?,
        Command::Manifest { command } => manifests::run(command).await?,
        Command::Secrets { .. } => match secrets::run()? {},
        Command::Check(output) => {
            let now = now::now(&config()?, &paths).await;
            if output.json {
                print_json(&now)?;
            } else {
                println!("{}", tables::checks(&now.checks));
            }
            if now.verdict != CheckOutcome::Pass {
                return Ok(Exit::Failed);
            }
        }
        Command::Probe { caller } => {
            let answer = relay::relay(caller, Path::new(relay::SOCKET)).await?;
            write_answer(&answer)?;
        }
        Command::PruneReports {
            reports,
            older,
            most,
            dry_run,
            ssh_key,
            known_hosts,
            token_file,
        } => {
            let remote = Remote {
                url: reports.clone(),
                ssh_key: ssh_key.clone(),
                known_hosts: known_hosts.clone(),
                token_file: token_file.clone(),
                ca_file: None,
                timeout: Duration::from_secs(10 * 60),
            };
            let retention = Retention {
                age: *older,
                most: *most,
            };
            let pruned = retention::prune(&remote, &retention, *dry_run).await?;
            let verb = if *dry_run { "Would remove" } else { "Removed" };
            println!(
                "{verb} {} of {} reports, of {} hosts.",
                pruned.removed, pruned.reports, pruned.hosts
            );
        }
        Command::RunHooks { request } => {
            let request = hooks::take_request(request)?;
            let failure = hooks::run(&request).await.err();
            hooks::note(&request, failure.map(|error| in_words(&error)))?;
        }
        Command::AnswerProbe => match answer::answer(config(), &paths, &switcher).await {
            Ok(line) => write_answer(&line)?,
            // A refusal is an answer, and no failure of this unit.
            Err(error) => {
                tracing::warn!("refused: {}", in_words(&error));
                write_answer(in_words(&error).as_bytes())?;
            }
        },
        Command::Completions { shell, switcher } => {
            let (mut command, name) = match switcher {
                true => (Arguments::command(), "nixus-switcher"),
                false => (Cli::command(), "nixus"),
            };
            clap_complete::generate(*shell, &mut command, name, &mut std::io::stdout());
        }
        Command::Man { directory } => manual::manual(directory.as_deref())?,
    }
    Ok(Exit::Done)
}

/// The one who asked may be gone.
fn write_answer(line: &[u8]) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    out.write_all(line)
        .and_then(|()| out.flush())
        .context("cannot write the answer")
}

/// The sentence that the report will have.
fn ended(outcome: &Outcome) -> String {
    let now = Timestamp::now();
    Reporter { host: "", now }.ended(outcome).text
}

fn say_released(released: &nixus::decide::ledger::release::Released) {
    for entry in &released.quarantined {
        let what = entry
            .toplevel
            .as_ref()
            .map_or_else(|| entry.commit.to_string(), ToString::to_string);
        println!("Released {what}: {}", first_line(&entry.reason));
    }
    if let Some(backoff) = &released.backoff {
        println!("Waiting no longer after: {}", first_line(&backoff.reason));
    }
    if released.quarantined.is_empty() && released.backoff.is_none() {
        println!("Nothing was in the way of the head.");
    }
}

/// Without systemd, or without the unit, the timer's next pass does the same a little later.
async fn start_pass() {
    match systemd::start(PASS_UNIT).await {
        Ok(()) => println!("A pass was started: `journalctl -fu {PASS_UNIT}` shows it."),
        Err(error) => println!("The next pass goes on ({}).", in_words(&error)),
    }
}

fn print_json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}
