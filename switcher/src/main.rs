//! `nixus-switcher`: activates a toplevel, and goes back unless it is confirmed.
// These panic where nobody reads; see `say`.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::Parser;
use nix::sys::stat::{Mode, umask};
use nixus_switcher::Layout;
use nixus_switcher::by_hand::{self, Answer, Ended};
use nixus_switcher::cli::{Arguments, Command, Output};
use nixus_switcher::error_chain::chain;
use nixus_switcher::machine::exit_file::Exit;
use nixus_switcher::machine::nixos::NixOs;
use nixus_switcher::machine::system::SystemError;
use nixus_switcher::output::{print, say};
use nixus_switcher::panic;
use nixus_switcher::protocol::{Cause, Ending, Request, newest_version};
use nixus_switcher::run::boot_trial;
use nixus_switcher::run::takeover::{self, Taken, TakeoverError};
use nixus_switcher::run::{RunError, Switcher};
use nixus_switcher::state::boot_mark;
use nixus_switcher::state::bounded::read_bounded;
use nixus_switcher::state::disk::HostDisk;
use nixus_switcher::state::history;
use nixus_switcher::state::holder;
use nixus_switcher::state::status;

const REQUEST_LIMIT: u64 = 1 << 20;
const MOMENT: Duration = Duration::from_secs(5);
/// What is not said is not a success for whoever asked.
const LOST: &str = "cannot write to standard output";
/// A phase may take a day at most.
const LONGEST_SECONDS: u64 = 86_400;

fn main() -> ExitCode {
    panic::ends_the_program();
    // What it keeps is root's alone, whoever runs it. `switch-to-configuration` is started by systemd.
    umask(Mode::from_bits_truncate(0o077));
    #[cfg(feature = "fault-points")]
    nixus_switcher::machine::fault::listen();
    match carry_out(Arguments::parse().command) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            say(format_args!("nixus-switcher: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn carry_out(command: Command) -> anyhow::Result<u8> {
    let layout = Layout::host();
    let host = || host(&layout);
    match command {
        Command::Run { request, output } => match read_request(&request) {
            Ok(request) => tell(&run(&layout, request)?, &output),
            Err(error) => {
                let message = format!("{error:#}; nothing was changed");
                tell(&Answer::new(Ended::WrongInput, message), &output)
            }
        },
        Command::Expire { deployment, phase } => {
            let mut host = host()?;
            match takeover::expire(&layout, &mut host, &deployment, phase.into()) {
                Err(TakeoverError::Journal(error)) => {
                    say(format_args!("nixus-switcher: {}", chain(&error)));
                    by_hand::expire_without_journal(&layout, &mut host)?;
                }
                Ok(Taken::Nothing) => {
                    say(format_args!(
                        "that phase of deployment {deployment} is over, nothing to do"
                    ));
                }
                taken => drop(taken?),
            }
            Ok(0)
        }
        Command::Recover {
            set_aside_journal,
            output,
        } => {
            let noted = host().map(|host| host.note_boot());
            if let Err(error) | Ok(Err(error)) = noted {
                say(format_args!("nixus-switcher: {}", chain(&error)));
            }
            let answer = by_hand::recover(&layout, &host, set_aside_journal);
            tell(&answer, &output)
        }
        Command::BootTrial => {
            if boot_trial::units_up(&layout, &mut host()?)? == Taken::Nothing {
                say("no boot is on trial, nothing to do");
            }
            Ok(0)
        }
        Command::Status(_) if is_closed(&layout) => Err(anyhow!(
            "what is going on needs root: `sudo nixus-switcher status`; `nixus status` has a summary for all"
        )),
        Command::Status(output) => {
            let status = status::status(&layout);
            if output.json {
                print(format_args!("{}\n", serde_json::to_string_pretty(&status)?))
                    .context(LOST)?;
            } else {
                print(status).context(LOST)?;
            }
            Ok(0)
        }
        Command::Revert(output) => tell(&by_hand::revert(&layout, &host), &output),
        Command::Confirm(output) => tell(&by_hand::confirm(&layout), &output),
        Command::GoesDown => {
            boot_mark::goes_down(&HostDisk, &layout).context("cannot note the orderly end")?;
            Ok(0)
        }
        Command::RecordExit { file } => {
            Exit::from_environment()
                .write(&file)
                .with_context(|| format!("cannot write {}", file.display()))?;
            Ok(0)
        }
    }
}

/// What is kept is root's alone.
fn is_closed(layout: &Layout) -> bool {
    std::fs::read_dir(layout.state())
        .is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied)
}

/// People get a sentence, machines an object; both the same exit code.
fn tell(answer: &Answer, output: &Output) -> anyhow::Result<u8> {
    if output.json {
        print(format_args!("{}\n", serde_json::to_string_pretty(answer)?)).context(LOST)?;
    } else if answer.result == Ended::Done {
        say(answer);
    } else {
        say(format_args!("nixus-switcher: {answer}"));
    }
    Ok(answer.result.code())
}

fn host(layout: &Layout) -> Result<NixOs, SystemError> {
    let own = Path::new("/proc/self/exe");
    let exe = own.canonicalize().map_err(|source| SystemError::File {
        path: own.to_owned(),
        source,
    })?;
    NixOs::new(layout, exe)
}

fn read_request(path: &Path) -> anyhow::Result<Request> {
    let bytes = read_bounded(path, REQUEST_LIMIT)
        .with_context(|| format!("cannot read the request {}", path.display()))?;
    let value: serde_json::Value = serde_json::from_slice(&bytes)
        .with_context(|| format!("the request {} is not JSON", path.display()))?;
    let version = value.get("version").and_then(serde_json::Value::as_u64);
    if version != Some(u64::from(newest_version())) {
        return Err(anyhow!(
            "the request {} has version {}, this release reads {}",
            path.display(),
            version.map_or("none".to_owned(), |version| version.to_string()),
            newest_version()
        ));
    }
    let request: Request = serde_json::from_value(value)
        .with_context(|| format!("the request {} cannot be used", path.display()))?;
    let policy = &request.policy;
    for (name, seconds) in [
        ("activation_seconds", policy.activation_seconds),
        ("trial_seconds", policy.trial_seconds),
        ("commit_seconds", policy.commit_seconds),
    ] {
        if !(1..=LONGEST_SECONDS).contains(&seconds) {
            return Err(anyhow!(
                "the request {} has {name} {seconds}, expected 1 to {LONGEST_SECONDS}",
                path.display()
            ));
        }
    }
    Ok(request)
}

fn run(layout: &Layout, request: Request) -> anyhow::Result<Answer> {
    let mut system = host(layout)?;
    let id = request.deployment.clone();
    // A crash may have left a deployment open; its own lock shows whether somebody is at work.
    takeover::settle_only(layout, &mut system)?;
    let Some(_held) = holder::take(layout, MOMENT).context("cannot use the switcher's lock")?
    else {
        let message = "another deployment is open, nothing was changed";
        return Ok(Answer::new(Ended::Busy, message));
    };
    let mut switcher = Switcher::open(&HostDisk, layout, &mut system)?;
    if let Err(error) = switcher.request(request) {
        return match error {
            RunError::Open { .. } => Ok(Answer::new(Ended::Busy, chain(&error))),
            error => Err(error.into()),
        };
    }
    let outcomes = history::read_after(layout, 0)?;
    let outcome = outcomes
        .into_iter()
        .rfind(|outcome| outcome.deployment == id);
    let phase = Some(switcher.record().phase.name());
    let answer = match outcome.map(|outcome| (outcome.ending, outcome.cause)) {
        Some((Ending::Confirmed, _)) => Answer::new(Ended::Done, "the system is kept"),
        Some((_, Some(cause @ (Cause::NotAToplevel { .. } | Cause::NoVerification)))) => {
            let message = format!("{cause}; nothing was changed");
            Answer::new(Ended::WrongInput, message)
        }
        Some((_, Some(Cause::Busy))) => Answer::new(Ended::Busy, Cause::Busy.to_string()),
        Some((_, Some(cause))) => Answer::new(Ended::Failed, cause.to_string()),
        _ => Answer::new(Ended::Failed, "the deployment has not ended"),
    };
    Ok(Answer {
        deployment: Some(id),
        phase,
        ..answer
    })
}
