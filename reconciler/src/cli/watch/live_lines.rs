//! Lines of a deployment on a terminal: what was said stays, and below it one line for each host that
//! is still busy.

use std::fmt::Write as _;
use std::io::IsTerminal as _;

use anstyle::{AnsiColor, Style};
use jiff::Timestamp;
use nixus_switcher::printable::printable;

use crate::cli::watch::progress::Progress;
use crate::decide::report::{Report, State};

/// So many busy hosts have a line of their own.
const MOST: usize = 10;

const DIM: Style = Style::new().dimmed();

/// Shows a deployment on standard output.
#[derive(Debug)]
pub struct Live {
    terminal: bool,
    lines: usize,
}

impl Live {
    /// For standard output as it is.
    pub fn new() -> Self {
        Self {
            terminal: std::io::stdout().is_terminal(),
            lines: 0,
        }
    }

    /// Says what is news, and who is busy.
    pub fn show(&mut self, news: &[Report], watch: &Progress, now: Timestamp) {
        let mut text = String::new();
        self.take_back(&mut text);
        for report in news {
            text.push_str(&line(report));
        }
        if self.terminal {
            let busy = busy(watch, now);
            self.lines = busy.len();
            for one in busy {
                let _ = writeln!(text, "{DIM}{one}{DIM:#}");
            }
        }
        crate::print!("{text}");
    }

    /// Leaves nothing on the terminal but what was said.
    pub fn end(&mut self) {
        let mut text = String::new();
        self.take_back(&mut text);
        crate::print!("{text}");
    }

    fn take_back(&mut self, text: &mut String) {
        if self.terminal && self.lines > 0 {
            // ECMA-48: cursor up, erase in page.
            let _ = write!(text, "\u{1b}[{}A\u{1b}[J", self.lines);
        }
        self.lines = 0;
    }
}

impl Default for Live {
    fn default() -> Self {
        Self::new()
    }
}

/// One report, in the colour of its state. What a host or a forge says has no power over the
/// terminal.
pub fn line(report: &Report) -> String {
    let colour = match report.state {
        State::Waiting | State::Building | State::Activating => AnsiColor::Yellow,
        State::Success => AnsiColor::Green,
        State::Failure | State::Error => AnsiColor::Red,
    };
    let style = colour.on_default();
    let said = printable(&report.line());
    format!("{style}{said}{style:#}\n")
}

/// A line for each host that is not done.
pub fn busy(watch: &Progress, now: Timestamp) -> Vec<String> {
    let mut lines: Vec<String> = watch
        .busy()
        .map(|(host, last)| match last {
            None => format!("  {host}: nothing said yet"),
            Some(report) => {
                let since = now.duration_since(report.time).as_secs().max(0);
                let text: String = printable(&report.text).chars().take(60).collect();
                format!("  {}: {text} ({since} s)", printable(host))
            }
        })
        .collect();
    if lines.len() > MOST {
        let more = lines.len() - MOST;
        lines.truncate(MOST);
        lines.push(format!("  and {more} more"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(host: &str, state: State, text: &str) -> Report {
        serde_json::from_value(serde_json::json!({
            "version": 1, "host": host, "commit": { "id": "a".repeat(40), "subject": "s" },
            "state": state, "text": text, "generation": null, "toplevel": null,
            "time": "2026-11-26T04:00:00Z",
        }))
        .unwrap()
    }

    #[test]
    fn each_busy_host_has_a_line_and_the_rest_is_counted() {
        let hosts: Vec<String> = (10..25).map(|number| format!("web{number}")).collect();
        let mut watch = Progress::new(&"a".repeat(40), &hosts);
        watch.take(vec![
            report(
                "web10",
                State::Building,
                "building: 3 done, 1 running, 5 to do",
            ),
            report("web11", State::Success, "done"),
        ]);
        let now = "2026-11-26T04:00:30Z".parse().unwrap();
        let lines = busy(&watch, now);
        assert_eq!(lines.len(), 11);
        assert_eq!(
            lines[0],
            "  web10: building: 3 done, 1 running, 5 to do (30 s)"
        );
        assert_eq!(lines[1], "  web12: nothing said yet");
        assert_eq!(lines[10], "  and 4 more");
    }

    #[test]
    fn what_is_said_does_not_move_the_cursor() {
        let said = line(&report("web1", State::Failure, "\u{1b}[2Jgone\r"));
        let plain = anstream::adapter::strip_str(&said).to_string();
        assert_eq!(plain, "[web1]  [2Jgone \n");
        assert_eq!(said.matches('\u{1b}').count(), 2, "{said:?}");
    }
}
