//! When a host may activate, or reboot: windows that open every week, and freezes, which beat them.
//!
//! A window opens at its start on each of its days, by the clock of its zone, and stays open for its length, which
//! is elapsed time. A start that a change of the clock skips is taken with the offset before the change (RFC 5545,
//! section 3.3.5: 02:30 becomes 03:30); one that comes twice is the first of the two.

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};

/// So far ahead the next opening is looked for: a window that every week has opens within it, unless it is frozen.
const HORIZON: SignedDuration = SignedDuration::from_hours(9 * 24);
/// The longest window.
pub const LONGEST: SignedDuration = SignedDuration::from_hours(7 * 24);
/// More freezes than this in a row are not looked past.
const MOST_STEPS: usize = 400;

/// What a window is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// To activate a commit.
    Activate,
    /// To reboot.
    Reboot,
}

/// A time of the week.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    /// What it is for.
    pub works: Vec<Work>,
    /// The days on which it begins; every day where none is named.
    pub days: Vec<Weekday>,
    /// When it begins on them.
    pub start: Time,
    /// How long it stays open; at most [`LONGEST`].
    pub length: SignedDuration,
    /// Whose clock counts.
    pub zone: TimeZone,
}

/// A time in which nothing is activated and nothing rebooted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freeze {
    /// When it begins.
    pub begin: Timestamp,
    /// When it ends.
    pub end: Timestamp,
    /// What it is for.
    pub reason: String,
}

/// All windows and freezes of a host.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Calendar {
    /// Windows. Where none is for some work, that may be done at any time.
    pub windows: Vec<Window>,
    /// Freezes.
    pub freezes: Vec<Freeze>,
}

/// Whether some work may be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Gate {
    /// It may.
    Open {
        /// Until then; nothing where no end is in sight.
        until: Option<Timestamp>,
    },
    /// It may not.
    Closed {
        /// When it may next; nothing where that is not in sight.
        opens: Option<Timestamp>,
        /// The freeze that forbids it now, where it is one.
        freeze: Option<String>,
    },
}

/// From an instant to another one, the second not included.
type Interval = (Timestamp, Timestamp);

impl Window {
    /// When it opens on a day, and closes again.
    fn on(&self, day: Date) -> Option<Interval> {
        let opens = self.zone.to_ambiguous_zoned(day.to_datetime(self.start));
        let opens = opens.compatible().ok()?.timestamp();
        Some((opens, opens.checked_add(self.length).ok()?))
    }

    /// Each time that it is open between two instants.
    fn between(&self, from: Timestamp, to: Timestamp) -> impl Iterator<Item = Interval> {
        // It may have begun before, and a day of a zone is not that of another.
        let first = from.saturating_sub(self.length).unwrap_or(from);
        let first = self.zone.to_datetime(first).date();
        let first = first.saturating_sub(1.day());
        let last = self.zone.to_datetime(to).date();
        let days = first.series(1.day()).take_while(move |day| *day <= last);
        let days = days.filter(|day| self.days.is_empty() || self.days.contains(&day.weekday()));
        days.filter_map(|day| self.on(day))
            .filter(move |(opens, closes)| *opens < to && *closes > from)
    }
}

impl Calendar {
    /// Whether some work may be done now.
    pub fn at(&self, work: Work, now: Timestamp) -> Gate {
        let open = self.next(work, now);
        if let Some((opens, closes)) = open
            && opens <= now
        {
            let until = Some(closes).filter(|closes| *closes < after(now, HORIZON));
            return Gate::Open { until };
        }
        let freeze = self.frozen(now).map(|freeze| freeze.reason.clone());
        Gate::Closed {
            opens: open.map(|(opens, _)| opens),
            freeze,
        }
    }

    /// How many times that were open for some work have passed as a whole between two instants.
    pub fn missed(&self, work: Work, since: Timestamp, now: Timestamp) -> usize {
        if !self.has_windows(work) {
            return 0;
        }
        let passed = self.open(work, since, now);
        let whole = passed
            .iter()
            .filter(|(opens, closes)| *opens > since && *closes < now);
        whole.count()
    }

    /// The time that is open now, or else the next one.
    fn next(&self, work: Work, now: Timestamp) -> Option<Interval> {
        let mut from = now;
        for _ in 0..MOST_STEPS {
            let to = after(from, HORIZON);
            if let Some((opens, closes)) = self.open(work, from, to).first() {
                return Some((*opens, *closes));
            }
            // Nothing within so long is open only where it is frozen.
            from = self
                .frozen(from)?
                .end
                .max(after(from, SignedDuration::from_secs(1)));
        }
        None
    }

    fn has_windows(&self, work: Work) -> bool {
        self.windows
            .iter()
            .any(|window| window.works.contains(&work))
    }

    /// The freeze at an instant that ends last.
    fn frozen(&self, now: Timestamp) -> Option<&Freeze> {
        let at = |freeze: &&Freeze| freeze.begin <= now && now < freeze.end;
        self.freezes
            .iter()
            .filter(at)
            .max_by_key(|freeze| freeze.end)
    }

    /// Each time between two instants that is open for some work: in order, and apart from each other.
    fn open(&self, work: Work, from: Timestamp, to: Timestamp) -> Vec<Interval> {
        let windows = self.windows.iter();
        let windows = windows.filter(|window| window.works.contains(&work));
        let mut open: Vec<Interval> = match self.has_windows(work) {
            false => vec![(from, to)],
            true => windows
                .flat_map(|window| window.between(from, to))
                .collect(),
        };
        open.sort_unstable();
        let mut apart: Vec<Interval> = Vec::new();
        for (opens, closes) in open {
            match apart.last_mut() {
                Some((_, last)) if opens <= *last => *last = closes.max(*last),
                _ => apart.push((opens, closes)),
            }
        }
        for freeze in &self.freezes {
            let without = |(opens, closes): Interval| {
                let before = (opens, closes.min(freeze.begin));
                let after = (opens.max(freeze.end), closes);
                [before, after]
                    .into_iter()
                    .filter(|(opens, closes)| opens < closes)
            };
            apart = match freeze.begin < freeze.end {
                true => apart.into_iter().flat_map(without).collect(),
                false => apart,
            };
        }
        apart.retain(|(opens, closes)| *opens < to && *closes > from);
        apart
    }
}

fn after(time: Timestamp, duration: SignedDuration) -> Timestamp {
    time.saturating_add(duration).unwrap_or(time)
}

#[cfg(test)]
mod tests;
