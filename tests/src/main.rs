//! `lab`: a fleet of real hosts on this machine.

mod bench;
mod crash;
mod demo;
mod storm;
mod up;
mod walk;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};
use lab::Kind;
use lab::recording::Recording;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A fleet of real hosts on this machine, for the tests and the demo of Nixus.
#[derive(Parser)]
#[command(
    name = "lab",
    after_help = "Example:\n  lab demo
  lab up --hosts 2\n  lab up --nixos --hosts 1\n  lab exec web1 -- nixus status\n  lab bench poll\n  lab crash --quick\n  lab fuzz --coverage --seconds 300\n  lab storm --minutes 3"
)]
struct Arguments {
    #[command(subcommand)]
    command: What,
}

#[derive(Subcommand)]
enum What {
    /// Tell the story of a fleet: a good commit, a cut network, a failed build, a fix
    Demo {
        #[command(flatten)]
        hosts: Hosts,
        /// Write what is printed into the document that shows it
        #[arg(long)]
        markdown: bool,
        /// Write a picture of some of its scenes on a terminal
        #[arg(long, value_name = "FILE")]
        svg: Option<PathBuf>,
    },
    /// Take a host through its states, with what its commands print in each
    Walk {
        /// Only these states: good, bad, held, rollback, unfit, stuck, outage, repository, rescue or damage
        part: Option<String>,
        /// Write what is printed into the document that shows it
        #[arg(long, conflicts_with = "part")]
        markdown: bool,
    },
    /// Show that no crash loses a host: a table of what was tried, and what broke
    Crash(crash::Options),
    /// Give the parsers of what comes from outside inputs that are to break them
    Fuzz(lab::fuzz::Options),
    /// Let random commits, faults and operators loose on three hosts, and judge them from outside
    Storm(storm::Options),
    /// Boot a git server and some hosts, and give a prompt; the fleet ends with it
    Up {
        /// How many hosts
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=40))]
        hosts: u8,
        #[command(flatten)]
        kind: Hosts,
    },
    /// Show what NixOS hosts of the lab are made from
    Nixos {
        /// What of them is not as nixpkgs would build it, and why
        #[arg(long, required = true)]
        differences: bool,
    },
    /// Run a command on a host of the running lab; without one, a shell
    Exec {
        /// The host, `git` for the git server
        host: String,
        /// The command
        #[arg(last = true)]
        command: Vec<String>,
    },
    /// Commit what was changed in the operator's clone of the deploy repository, and push it
    Push {
        /// The commit's message
        #[arg(short, long, default_value = "change the fleet")]
        message: String,
    },
    /// Cut a host's power: all processes and /run are gone, the disk stays
    PowerCut {
        /// The host
        host: String,
    },
    /// Switch a host on and wait until it has booted
    Start {
        /// The host
        host: String,
    },
    /// Pull a host's network plug
    Unplug {
        /// The host
        host: String,
    },
    /// Put a host's network plug in again
    Plug {
        /// The host
        host: String,
    },
    /// Print what a host wrote to its console
    Console {
        /// The host
        host: String,
    },
    /// End the running lab
    Down,
    /// Measure Nixus' speed on real hosts, and print medians beside their limits
    Bench {
        /// What to measure
        #[command(subcommand)]
        what: bench::Bench,
        /// As JSON
        #[arg(long, global = true)]
        json: bool,
        /// Write what is printed into the document that shows it
        #[arg(long, global = true, conflicts_with = "json")]
        markdown: bool,
    },
    #[command(flatten)]
    Part(bench::Part),
}

/// What the hosts are.
#[derive(clap::Args)]
struct Hosts {
    /// Boot NixOS instead of Debian in the shape of NixOS
    #[arg(long)]
    nixos: bool,
    /// nixpkgs, as a folder or an archive; default: $NIXPKGS, then ~/.cache/nixus-lab/nixpkgs, then the
    /// network, where this machine has Nix
    #[arg(long, requires = "nixos", value_name = "PATH")]
    nixpkgs: Option<PathBuf>,
}

impl Hosts {
    fn kind(self) -> Kind {
        if let Some(path) = self.nixpkgs {
            lab::nixos::take_nixpkgs_from(path);
        }
        if self.nixos {
            Kind::Nixos
        } else {
            Kind::StandIn
        }
    }
}

impl What {
    /// What this command writes into the documents, where it is asked to.
    fn recording(&self) -> Option<Recording<'_>> {
        let (name, markdown, picture) = match self {
            Self::Demo { markdown, svg, .. } => ("lab demo", *markdown, svg.as_deref()),
            Self::Walk { markdown, .. } => ("lab walk", *markdown, None::<&Path>),
            Self::Crash(options) => ("lab crash", options.markdown, None),
            Self::Fuzz(options) => ("lab fuzz", options.markdown, None),
            Self::Storm(options) => ("lab storm", options.markdown, None),
            Self::Bench { what, markdown, .. } => (what.name(), *markdown, None),
            _ => return None,
        };
        (markdown || picture.is_some()).then_some(Recording {
            name,
            markdown,
            picture,
            scenes: &demo::SCENES,
        })
    }
}

fn main() -> ExitCode {
    let command = Arguments::parse().command;
    let result = match command.recording() {
        Some(recording) => recording.make(),
        None => run(command),
    };
    result.unwrap_or_else(|error| {
        eprintln!("lab: {error:#}");
        ExitCode::from(2)
    })
}

fn run(command: What) -> Result<ExitCode> {
    match command {
        What::Demo { hosts, .. } => demo::demo(hosts.kind()),
        What::Walk { part, .. } => walk::walk(part.as_deref()),
        What::Crash(options) => crash::crash(&options),
        What::Fuzz(options) => lab::fuzz::fuzz(&options),
        What::Storm(options) => storm::storm(&options),
        What::Up { hosts, kind } => up::up(hosts, kind.kind()),
        What::Nixos { .. } => lab::nixos::differences::list().map(|list| {
            print!("{list}");
            ExitCode::SUCCESS
        }),
        What::Exec { host, command } => up::exec(&host, &command),
        What::Push { message } => up::push(&message),
        What::PowerCut { host } => up::act(&host, lab::Host::power_cut),
        What::Start { host } => up::act(&host, lab::Host::start),
        What::Unplug { host } => up::act(&host, lab::Host::unplug),
        What::Plug { host } => up::act(&host, lab::Host::plug),
        What::Console { host } => up::act(&host, |host| {
            print!("{}", host.console()?);
            Ok(())
        }),
        What::Down => up::down(),
        What::Bench { what, json, .. } => bench::bench(what, json),
        What::Part(part) => bench::part(&part),
    }
}
