//! `lab bench`: Nixus' speed on real hosts, as medians beside their limits.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Subcommand;
use lab::Lab;
use lab::story::{PATIENCE, Story};

use self::figures::Table;

mod closure;
mod deployment;
pub mod figures;
mod partition;
mod poll;
mod relay;
mod reports;
mod secrets;
mod switch;
mod trace;
mod verdict;
mod yardstick;

/// The waits of all programs on a host ([`nixus_switcher::waits`]).
const WAITS: &str = "/run/nixus-waits";

/// What can be measured.
#[derive(Debug, Clone, Copy, Subcommand)]
pub enum Bench {
    /// A pass with nothing to do, and the way from a commit to a confirmed system
    Poll,
    /// The switcher alone: a deployment that is confirmed, and one that is not
    Switch,
    /// What it costs to tell whether a host with a peer is healthy
    Verdict,
    /// A commit that CI has built, beside the same commit evaluated by the host
    Closure,
    /// 10,000 hosts' statuses against a forge's limits, in virtual time
    Reports,
    /// 100 secrets opened when a system is activated
    Secrets,
}

impl Bench {
    /// The command, as the documents name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Poll => "lab bench poll",
            Self::Switch => "lab bench switch",
            Self::Verdict => "lab bench verdict",
            Self::Closure => "lab bench closure",
            Self::Reports => "lab bench reports",
            Self::Secrets => "lab bench secrets",
        }
    }
}

/// What the bench starts of this program on hosts, and around what it measures.
#[derive(Debug, Subcommand)]
pub enum Part {
    #[command(hide = true)]
    /// Run a command and write down what each of its processes used
    Trace {
        #[arg(long)]
        to: PathBuf,
        #[arg(last = true)]
        command: Vec<String>,
    },
    #[command(hide = true)]
    /// Become a command that is traced
    Traced {
        #[arg(last = true)]
        command: Vec<String>,
    },
    #[command(hide = true)]
    /// Run a command and count what it sends
    Relay {
        #[arg(long)]
        to: PathBuf,
        #[arg(last = true)]
        command: Vec<String>,
    },
}

/// Measures and prints; fails where a median is beyond its limit.
pub fn bench(what: Bench, json: bool) -> Result<ExitCode> {
    let tables: Vec<Table> = match what {
        Bench::Poll => poll::poll()?,
        Bench::Switch => switch::switch()?,
        Bench::Verdict => verdict::verdict()?,
        Bench::Closure => closure::closure()?,
        Bench::Reports => reports::reports()?,
        Bench::Secrets => secrets::secrets()?,
    };
    if json {
        let text = serde_json::to_string_pretty(&tables).context("cannot describe the figures")?;
        println!("{text}");
    } else {
        for table in &tables {
            println!("{table}");
        }
    }
    let mut figures = tables.iter().flat_map(|table| &table.figures);
    let kept = figures.all(figures::Figure::is_kept);
    Ok(ExitCode::from(u8::from(!kept)))
}

/// A story on hosts that have Nixus as it is shipped: the figures are of that.
fn as_shipped(hosts: &[&str]) -> Result<Story> {
    Story::adopt(Lab::of(hosts).shipped().start()?, PATIENCE)
}

/// Does one part of a measurement.
pub fn part(part: &Part) -> Result<ExitCode> {
    match part {
        Part::Trace { to, command } => trace::trace(to, command),
        Part::Traced { command } => trace::become_traced(command),
        Part::Relay { to, command } => relay::relay(to, command),
    }
}
