//! `nixus log`: this host's reports, each with how its deployment went.
//!
//! The fields of [`Entry`] are those of `nixus log --json`, which prints a list of them; those of
//! [`crate::decide::report::Report`] are also those of `nixus fleet --json`. Fields may be added; `version`
//! counts up when one changes its meaning or goes away.

use std::fmt;

use nixus_switcher::printable::{printable, printable_lines};
use nixus_switcher::protocol::{CheckOutcome, Outcome};
use serde::Serialize;

use super::arguments::{Host, Output, print_json};
use super::exit_code::{CommandError, Exit, HasExit};
use super::tables::{generation, state, table};
use crate::activation::ActivationError;
use crate::decide::report::{Report, State};
use crate::report::repository::{ReportsError, ReportsRepository};
use crate::{print, println};
use clap::Args;
use comfy_table::{Cell, Table};

/// Show this host's history, newest first.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  nixus log -n 5
  nixus log --verbose     with what each check of a deployment found")]
pub struct Log {
    /// How many entries.
    #[arg(long, short = 'n', default_value_t = 20)]
    pub lines: usize,
    /// Show how each deployment went: its systems, its time, and what its checks found.
    #[arg(long, short)]
    pub verbose: bool,
    /// How to print it.
    #[command(flatten)]
    pub output: Output,
}

impl Log {
    /// Prints the history.
    ///
    /// # Errors
    /// The configuration is wrong, or the reports or the history of the switcher cannot be read.
    pub fn run(&self, host: &Host) -> Result<Exit, CommandError> {
        let name = host.config()?.host;
        let reports = ReportsRepository::new(host.paths.reports()).history(&name, self.lines)?;
        let outcomes = match self.verbose {
            true => host.switcher.ended_after(0)?,
            false => Vec::new(),
        };
        let entries = entries(reports, &outcomes);
        if self.output.json {
            print_json(&entries)?;
        } else if self.verbose {
            for entry in &entries {
                print!("{entry}");
            }
        } else {
            println!("{}", shown(&entries));
        }
        Ok(Exit::Done)
    }
}

impl HasExit for ReportsError {}
impl HasExit for ActivationError {}

/// One host's reports, newest first.
pub(super) fn shown(entries: &[Entry]) -> Table {
    let mut table = table(&["TIME", "COMMIT", "GENERATION", "STATE", "WHAT HAPPENED"]);
    for Entry { report, .. } in entries {
        table.add_row([
            Cell::new(format!("{:.0}", report.time)),
            Cell::new(printable(report.commit.short())),
            Cell::new(generation(report)),
            state(report.state),
            Cell::new(printable(&report.text)),
        ]);
    }
    table
}

/// One report, and with `--verbose` the switcher's record of the deployment that it is about.
#[derive(Debug, Serialize)]
pub struct Entry {
    /// What was said.
    #[serde(flatten)]
    pub report: Report,
    /// How the deployment ended; only with the report that says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
}

/// Puts each outcome to the report that is about it.
pub fn entries(reports: Vec<Report>, outcomes: &[Outcome]) -> Vec<Entry> {
    reports
        .into_iter()
        .map(|report| {
            let ended = !matches!(report.state, State::Activating);
            let told = |outcome: &&Outcome| {
                ended && report.deployment.as_ref() == Some(&outcome.deployment)
            };
            Entry {
                outcome: outcomes.iter().rev().find(told).cloned(),
                report,
            }
        })
        .collect()
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = &self.report;
        let short = printable(report.commit.short());
        let time = report.time;
        writeln!(
            f,
            "{time:.0} {short} {}: {}",
            report.state.word(),
            printable_lines(&report.text)
        )?;
        let Some(outcome) = &self.outcome else {
            return Ok(());
        };
        // A name that is longer keeps its distance.
        let mut line = |name: &str, value: String| {
            let (name, value) = (printable(name), printable_lines(&value));
            writeln!(f, "    {name:<13} {value}")
        };
        line("deployment", outcome.deployment.to_string())?;
        line("from", outcome.old.toplevel.to_string())?;
        line("to", outcome.new.toplevel.to_string())?;
        let seconds = outcome.ended.saturating_sub(outcome.started);
        line("took", format!("{seconds} s"))?;
        for check in outcome.evidence.iter().flat_map(|all| &all.checks) {
            let found = match check.outcome {
                CheckOutcome::Pass => "pass",
                CheckOutcome::Fail => "fail",
                CheckOutcome::Unknown => "unknown",
            };
            let mut reason = check.reason.clone();
            if let Some(why) = &check.disregarded {
                reason.push_str(&format!(" (does not count: {why})"));
            }
            let name = match &check.by {
                Some(peer) => format!("{} {peer}", check.check),
                None => check.check.clone(),
            };
            line(&name, format!("{found:<9}{reason}"))?;
        }
        Ok(())
    }
}
