//! Tables for people: the fleet, and a host's log.

use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, presets};

use nixus_switcher::printable::printable;
use nixus_switcher::protocol::{CheckOutcome, CheckResult};

use crate::decide::age::age;
use crate::decide::report::{Report, State};
use crate::decide::verdict::sightings::Sign;
use crate::manifest::Manifest;
use crate::report::fleet::{NoticedBy, Told};
use crate::secrets::operator;
use jiff::Timestamp;

/// The width of a table where the terminal's is not known.
const WIDTH: u16 = 160;
/// A terminal that says it has fewer columns has nobody before it: runners of CI make such.
const NARROWEST: u16 = 40;

/// The last report of each host.
pub fn fleet(told: &[Told], now: Timestamp) -> Table {
    let mut header = vec!["HOST", "COMMIT", "GENERATION", "STATE", "AGE", "REASON"];
    let signed = told.iter().any(|told| told.signed.is_some());
    if signed {
        header.insert(4, "SIGNED");
    }
    let marked = told.iter().any(Told::is_marked);
    if marked {
        header.push("MARKS");
    }
    let noticed = told.iter().any(|told| !told.noticed_by.is_empty());
    if noticed {
        header.push("NOTICED BY OTHERS");
    }
    let mut table = table(&header);
    for Told {
        report,
        signed: by,
        noticed_by,
        silent,
        behind,
    } in told
    {
        let mut row = vec![
            Cell::new(printable(&report.host)),
            Cell::new(printable(report.commit.short())),
            Cell::new(generation(report)),
            state(report.state),
            Cell::new(age(report.since(), now)),
            Cell::new(printable(&report.text)),
        ];
        if marked {
            let silent = silent.then(|| format!("silent for {}", age(report.time, now)));
            let behind = behind.then(|| "not on the head".to_owned());
            let marks: Vec<String> = silent.into_iter().chain(behind).collect();
            row.push(Cell::new(marks.join(", ")).fg(Color::Red));
        }
        if signed {
            let cell = match by {
                Some(true) => Cell::new("yes").fg(Color::Green),
                Some(false) => Cell::new("no").fg(Color::Red),
                None => Cell::new("-"),
            };
            row.insert(4, cell);
        }
        if noticed {
            row.push(Cell::new(others(noticed_by, now)).fg(Color::Red));
        }
        table.add_row(row);
    }
    table
}

/// What others say of a host, those who say the same together.
fn others(noticed: &[NoticedBy], now: Timestamp) -> String {
    let signs = [Sign::PassesStopped, Sign::Silent];
    let said = signs.into_iter().filter_map(|sign| {
        let of_it: Vec<&NoticedBy> = noticed.iter().filter(|one| one.what == sign).collect();
        let since = of_it.iter().map(|one| one.since).min()?;
        let by: Vec<String> = of_it.iter().map(|one| printable(&one.by)).collect();
        Some(format!(
            "{sign} for {} ({})",
            age(since, now),
            by.join(", ")
        ))
    });
    said.collect::<Vec<_>>().join("; ")
}

/// What CI built for each host.
pub fn manifest(manifest: &Manifest) -> Table {
    let mut table = table(&["HOST", "SYSTEM", "TOPLEVEL"]);
    for (host, built) in &manifest.hosts {
        table.add_row([
            Cell::new(printable(host)),
            Cell::new(printable(&built.system)),
            Cell::new(printable(&built.toplevel.to_string_lossy())),
        ]);
    }
    table
}

/// Who can open each secret, and what is wrong with that.
pub fn secrets(states: &[operator::State]) -> Table {
    let mut table = table(&["FILE", "OPENED BY", "STATE"]);
    for state in states {
        let colour = if state.is_well() {
            Color::Green
        } else {
            Color::Red
        };
        table.add_row([
            Cell::new(printable(&state.file)),
            Cell::new(printable(&state.who.join(", "))),
            Cell::new(printable(&state.words())).fg(colour),
        ]);
    }
    table
}

/// What each check found.
pub fn checks(checks: &[CheckResult]) -> Table {
    let mut table = table(&["CHECK", "BY", "RESULT", "WHY"]);
    for check in checks {
        let (word, colour) = match check.outcome {
            CheckOutcome::Pass => ("pass", Color::Green),
            CheckOutcome::Unknown => ("unknown", Color::Yellow),
            CheckOutcome::Fail => ("fail", Color::Red),
        };
        let why = match &check.disregarded {
            Some(reason) => format!("{} ({reason})", check.reason),
            None => check.reason.clone(),
        };
        table.add_row([
            Cell::new(printable(&check.check)),
            Cell::new(printable(check.by.as_deref().unwrap_or("-"))),
            Cell::new(word).fg(colour),
            Cell::new(printable(&why)),
        ]);
    }
    table
}

/// Settings and their values.
pub fn settings(settings: &[(String, String)]) -> Table {
    let mut table = table(&["SETTING", "VALUE"]);
    for (key, value) in settings {
        table.add_row([printable(key), printable(value)]);
    }
    table
}

/// An empty table under a header.
pub(super) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        // Whoever prints it takes colours away where they are not wanted.
        .enforce_styling()
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(
            header
                .iter()
                .map(|title| Cell::new(title).add_attribute(Attribute::Bold)),
        );
    if table.width().is_none_or(|width| width < NARROWEST) {
        table.set_width(WIDTH);
    }
    table
}

/// The generation of a report.
pub(super) fn generation(report: &Report) -> String {
    report
        .generation
        .map_or_else(|| "-".to_owned(), |number| number.to_string())
}

/// The state of a report, in its colour.
pub(super) fn state(state: State) -> Cell {
    let colour = match state {
        State::Waiting | State::Building | State::Activating => Color::Yellow,
        State::Success => Color::Green,
        State::Failure | State::Error => Color::Red,
    };
    Cell::new(state.word()).fg(colour)
}
