//! `nixus-switcher`: activates a toplevel, and goes back unless it is confirmed.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, anyhow};
use clap::{Parser, Subcommand, ValueEnum};
use nixus_switcher::disk::{HostDisk, read_bounded};
use nixus_switcher::exit_file::Exit;
use nixus_switcher::nixos::NixOs;
use nixus_switcher::phase::PhaseName;
use nixus_switcher::protocol::{Cause, DeploymentId, Ending, Request, VERSION};
use nixus_switcher::run::Switcher;
use nixus_switcher::takeover::{self, Taken};
use nixus_switcher::trial::{self, Message, Wish};
use nixus_switcher::{Layout, history, holder, state};

/// The answer to input that cannot be used: nothing was changed.
const WRONG_INPUT: u8 = 2;
const REQUEST_LIMIT: u64 = 1 << 20;
const MOMENT: Duration = Duration::from_secs(5);
/// A phase may take a day at most.
const LONGEST_SECONDS: u64 = 86_400;

#[derive(Parser)]
#[command(
    name = "nixus-switcher",
    version,
    about = "Activates a NixOS system and keeps it only when it is confirmed; else the old system comes back",
    after_help = "Examples:\n  nixus-switcher status             what is going on\n  nixus-switcher revert             go back to the old system, now\n  nixus-switcher confirm            keep the system that is on trial\n  nixus-switcher recover            settle what a crash left open\n\nExit codes: 0 done (run: confirmed); 1 failed, or went back; 2 wrong input, nothing was changed"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Activate a system, and keep it or go back
    #[command(after_help = "Example:\n  nixus-switcher run --request /run/nixus/request.json")]
    Run {
        /// A JSON file that says what to activate
        #[arg(long, value_name = "FILE")]
        request: PathBuf,
    },
    /// End a phase that is over its time (started by the watchdog)
    #[command(
        after_help = "Example:\n  nixus-switcher expire --deployment 3f2c1a0-1 --phase on-trial"
    )]
    Expire {
        /// The deployment
        #[arg(long, value_name = "ID")]
        deployment: DeploymentId,
        /// The phase that the watchdog was armed for
        #[arg(long)]
        phase: Watched,
    },
    /// Settle what a crash left open (run at boot)
    Recover,
    /// Show what is going on
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Go back to the old system
    Revert,
    /// Keep the system that is on trial
    Confirm,
    /// Write down how a unit ended (run by systemd)
    #[command(hide = true)]
    RecordExit {
        /// Where to
        file: PathBuf,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum Watched {
    Staged,
    Activating,
    OnTrial,
    Committing,
    Reverting,
}

impl From<Watched> for PhaseName {
    fn from(watched: Watched) -> Self {
        match watched {
            Watched::Staged => Self::Staged,
            Watched::Activating => Self::Activating,
            Watched::OnTrial => Self::OnTrial,
            Watched::Committing => Self::Committing,
            Watched::Reverting => Self::Reverting,
        }
    }
}

fn main() -> ExitCode {
    match carry_out(Arguments::parse().command) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("nixus-switcher: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn carry_out(command: Command) -> anyhow::Result<u8> {
    let layout = Layout::host();
    match command {
        Command::Run { request } => match read_request(&request) {
            Ok(request) => run(&layout, request),
            Err(error) => {
                eprintln!("nixus-switcher: {error:#}; nothing was changed");
                Ok(WRONG_INPUT)
            }
        },
        Command::Expire { deployment, phase } => {
            let taken = takeover::expire(&layout, &mut host(&layout)?, &deployment, phase.into())?;
            if taken == Taken::Nothing {
                eprintln!("that phase of deployment {deployment} is over, nothing to do");
            }
            Ok(0)
        }
        Command::Recover => {
            match takeover::recover(&layout, &mut host(&layout)?)? {
                Taken::Busy => eprintln!("a switcher is at work, nothing to recover"),
                Taken::Nothing => eprintln!("no deployment is open, nothing to recover"),
                Taken::Settled(_) => {}
            }
            Ok(0)
        }
        Command::Status { json } => {
            let status = state::status(&layout)?;
            if json {
                println!("{}", serde_json::to_string_pretty(&status)?);
            } else {
                print!("{status}");
            }
            Ok(0)
        }
        Command::Revert => revert(&layout),
        Command::Confirm => {
            let message = Message::Operator {
                operator: Wish::Confirm,
            };
            trial::tell(&layout.socket(), &message)
                .context("no system is on trial, nothing to confirm")?;
            eprintln!("confirmed; nixus-switcher status shows when it is permanent");
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

fn host(layout: &Layout) -> anyhow::Result<NixOs> {
    let exe = std::env::current_exe()
        .and_then(|path| path.canonicalize())
        .context("cannot find the path of this program")?;
    Ok(NixOs::new(layout, exe)?)
}

fn read_request(path: &Path) -> anyhow::Result<Request> {
    let bytes = read_bounded(path, REQUEST_LIMIT)
        .with_context(|| format!("cannot read the request {}", path.display()))?;
    let value: serde_json::Value = serde_json::from_slice(&bytes)
        .with_context(|| format!("the request {} is not JSON", path.display()))?;
    let version = value.get("version").and_then(serde_json::Value::as_u64);
    if version != Some(u64::from(VERSION)) {
        return Err(anyhow!(
            "the request {} has version {}, this release reads {VERSION}",
            path.display(),
            version.map_or("none".to_owned(), |version| version.to_string())
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

fn run(layout: &Layout, request: Request) -> anyhow::Result<u8> {
    let mut system = host(layout)?;
    // A crash may have left a deployment open; its own lock tells whether somebody is at work.
    takeover::recover(layout, &mut system)?;
    let Some(_held) = holder::take(layout, MOMENT).context("cannot use the switcher's lock")?
    else {
        return Err(anyhow!("another deployment is open, nothing was changed"));
    };
    let mut switcher = Switcher::open(&HostDisk, layout, &mut system)?;
    let before = switcher.record().outcomes;
    switcher.request(request)?;
    let outcome = history::read_after(layout, before)?.pop();
    Ok(
        match outcome.map(|outcome| (outcome.ending, outcome.cause)) {
            Some((Ending::Confirmed, _)) => 0,
            Some((_, Some(Cause::NotAToplevel { missing }))) => {
                eprintln!(
                    "nixus-switcher: the candidate is not a NixOS system: {}; nothing was changed",
                    missing.join(", ")
                );
                WRONG_INPUT
            }
            Some((_, Some(Cause::NoVerification))) => WRONG_INPUT,
            _ => 1,
        },
    )
}

fn revert(layout: &Layout) -> anyhow::Result<u8> {
    let message = Message::Operator {
        operator: Wish::Revert,
    };
    if trial::tell(&layout.socket(), &message).is_ok() {
        eprintln!("going back; nixus-switcher status shows when it is done");
        return Ok(0);
    }
    match takeover::revert(layout, &mut host(layout)?)? {
        Taken::Nothing | Taken::Busy => Err(anyhow!("no deployment is open, nothing to revert")),
        Taken::Settled(PhaseName::Idle) => Ok(0),
        Taken::Settled(phase) => Err(anyhow!("the deployment is {phase}")),
    }
}
