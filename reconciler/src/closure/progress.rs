//! Shows how far a build is: one live line on a terminal, a line now and then in the journal.

use std::fmt;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::closure::nix_log::Progress;

/// The least time between two lines in the journal.
const JOURNAL_PAUSE: Duration = Duration::from_secs(15);

/// Shows the progress of one build.
#[derive(Debug)]
pub struct Display {
    live: ProgressBar,
    pace: Pace,
}

impl Display {
    /// For standard error as it is.
    pub fn new() -> Self {
        Self {
            live: ProgressBar::new_spinner().with_style(spinner()),
            pace: Pace::new(JOURNAL_PAUSE, Instant::now()),
        }
    }

    /// Takes the newest state, and shows it if it is time.
    pub fn show(&mut self, progress: Progress) {
        let due = self.pace.news(progress, Instant::now());
        if !self.live.is_hidden() {
            self.live.set_message(format!("building: {progress}"));
        } else if let Some(due) = due {
            report(&due);
        }
    }

    /// The build has ended: the live line goes, and what was done is reported once.
    pub fn end(mut self) {
        let live = !self.live.is_hidden();
        self.live.finish_and_clear();
        if let Some(last) = self.pace.last(live) {
            report(&last);
        }
    }
}

impl Default for Display {
    fn default() -> Self {
        Self::new()
    }
}

fn spinner() -> ProgressStyle {
    ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn report(progress: &Progress) {
    tracing::info!(
        done = progress.done,
        running = progress.running,
        to_do = progress.to_do,
        bytes_fetched = progress.bytes_fetched,
        bytes_expected = progress.bytes_expected,
        "building: {progress}"
    );
}

/// When something is due to be shown. Pure.
#[derive(Debug)]
struct Pace {
    pause: Duration,
    since: Instant,
    newest: Progress,
    shown: Option<Progress>,
}

impl Pace {
    fn new(pause: Duration, now: Instant) -> Self {
        Self {
            pause,
            since: now,
            newest: Progress::default(),
            shown: None,
        }
    }

    fn news(&mut self, progress: Progress, now: Instant) -> Option<Progress> {
        self.newest = progress;
        let due = progress.is_any()
            && self.shown != Some(progress)
            && now.saturating_duration_since(self.since) >= self.pause;
        due.then(|| {
            self.since = now;
            self.shown = Some(progress);
            progress
        })
    }

    /// What is still to be reported at the end, though it was shown where that is gone.
    fn last(&mut self, gone: bool) -> Option<Progress> {
        let told = self.shown == Some(self.newest) && !gone;
        (self.newest.is_any() && !told).then_some(self.newest)
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} done, {} running, {} to do",
            self.done, self.running, self.to_do
        )?;
        if self.bytes_expected > 0 {
            let tenths = |bytes: u64| bytes.saturating_mul(10) / (1024 * 1024);
            let mebibytes = |bytes| format!("{}.{}", tenths(bytes) / 10, tenths(bytes) % 10);
            write!(
                f,
                "; {} of {} MiB fetched",
                mebibytes(self.bytes_fetched),
                mebibytes(self.bytes_expected)
            )?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(done: u64) -> Progress {
        Progress {
            done,
            ..Progress::default()
        }
    }

    #[test]
    fn the_journal_gets_a_line_now_and_then_and_one_at_the_end() {
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let mut pace = Pace::new(JOURNAL_PAUSE, begun);
        assert_eq!(pace.news(done(1), at(1)), None);
        assert_eq!(pace.news(done(2), at(15)), Some(done(2)));
        assert_eq!(pace.news(done(2), at(40)), None);
        assert_eq!(pace.last(false), None);
        assert_eq!(pace.news(done(3), at(41)), Some(done(3)));
        assert_eq!(pace.news(done(4), at(42)), None);
        assert_eq!(pace.last(false), Some(done(4)));
    }

    #[test]
    fn a_build_with_nothing_to_do_is_silent() {
        let begun = Instant::now();
        let mut pace = Pace::new(Duration::ZERO, begun);
        assert_eq!(pace.news(Progress::default(), begun), None);
        assert_eq!(pace.last(true), None);
    }

    #[test]
    fn progress_is_told_in_words() {
        let progress = Progress {
            done: 1,
            running: 2,
            to_do: 3,
            bytes_fetched: 1024 * 1024 * 3 / 2,
            bytes_expected: 4 * 1024 * 1024,
        };
        assert_eq!(
            progress.to_string(),
            "1 done, 2 running, 3 to do; 1.5 of 4.0 MiB fetched"
        );
        assert_eq!(done(7).to_string(), "7 done, 0 running, 0 to do");
    }
}
