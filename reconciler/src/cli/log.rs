//! `nixus log`: this host's reports, each with how its deployment went.
//!
//! The fields of [`Entry`] are those of `nixus log --json`, which prints a list of them; those of
//! [`crate::decide::report::Report`] are also those of `nixus fleet --json`. Fields may be added; `version`
//! counts up when one changes its meaning or goes away.

use std::fmt;

use nixus_switcher::printable::{printable, printable_lines};
use nixus_switcher::protocol::{CheckOutcome, Outcome};
use serde::Serialize;

use crate::decide::report::{Report, State};

/// One report, and with `--verbose` the switcher's record of the deployment that it tells of.
#[derive(Debug, Serialize)]
pub struct Entry {
    /// What was said.
    #[serde(flatten)]
    pub report: Report,
    /// How the deployment ended; only with the report that says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
}

/// Puts each outcome to the report that tells of it.
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
