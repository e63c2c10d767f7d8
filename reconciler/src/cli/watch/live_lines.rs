//! Lines of a deployment on a terminal: reports stay, and below them there is one line for each host
//! that is still busy.

use anstyle::AnsiColor;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;
use nixus_switcher::printable::printable;

use crate::cli::watch::progress::Progress;
use crate::decide::report::{Report, State};

/// So many busy hosts have a line of their own.
const MOST: usize = 10;

/// Shows a deployment on standard output.
#[derive(Debug)]
pub struct Live {
    all: MultiProgress,
    busy: Vec<ProgressBar>,
}

impl Live {
    /// For standard output as it is.
    pub fn new() -> Self {
        Self {
            all: MultiProgress::with_draw_target(ProgressDrawTarget::stdout()),
            busy: Vec::new(),
        }
    }

    /// Shows what is new, and who is busy.
    pub fn show(&mut self, news: &[Report], watch: &Progress, now: Timestamp) {
        if !news.is_empty() {
            let text: String = news.iter().map(line).collect();
            self.all.suspend(|| crate::print!("{text}"));
        }
        if self.all.is_hidden() {
            return;
        }
        let lines = busy(watch, now);
        for bar in self.busy.drain(lines.len().min(self.busy.len())..) {
            bar.finish_and_clear();
            self.all.remove(&bar);
        }
        for (index, line) in lines.into_iter().enumerate() {
            if index == self.busy.len() {
                let bar = ProgressBar::no_length().with_style(dimmed());
                self.busy.push(self.all.add(bar));
            }
            self.busy[index].set_message(line);
        }
    }

    /// Leaves nothing on the terminal but the reports.
    pub fn end(&mut self) {
        for bar in self.busy.drain(..) {
            bar.finish_and_clear();
        }
        let _ = self.all.clear();
    }
}

impl Default for Live {
    fn default() -> Self {
        Self::new()
    }
}

fn dimmed() -> ProgressStyle {
    let style = ProgressStyle::with_template("{msg:.dim}");
    style.unwrap_or_else(|_| ProgressStyle::default_bar())
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
