//! The slowest tests, and what the time of all of them was spent on.

use std::fmt::Write as _;
use std::time::Duration;

use super::Ended;
use super::uses::{self, USES};

/// How many tests are listed.
const LISTED: usize = 20;

/// What one test, or all together, took.
#[derive(Default)]
struct Row {
    wall: u64,
    processor: Duration,
    boots: u32,
    uses: [u64; USES.len()],
}

/// The table: the slowest tests first, and the sums of all.
pub(super) fn of(ended: &[Ended], took: Duration) -> String {
    let mut rows: Vec<(&str, Row)> = ended
        .iter()
        .map(|one| (one.test.shown(), row(one)))
        .collect();
    rows.sort_by_key(|(_, row)| std::cmp::Reverse(row.wall));
    let mut sum = Row::default();
    for (_, row) in &rows {
        sum.wall += row.wall;
        sum.processor += row.processor;
        sum.boots += row.boots;
        for (all, one) in sum.uses.iter_mut().zip(row.uses) {
            *all += one;
        }
    }
    let mut text = format!(
        "The slowest of {} tests, in seconds: in all, of the processor, and what was waited for\n{:>7} {:>7} {:>5}",
        rows.len(),
        "all",
        "proc.",
        "boots"
    );
    for name in USES {
        let _ = write!(text, " {name:>8}");
    }
    text.push('\n');
    for (name, row) in rows.iter().take(LISTED) {
        line(&mut text, row, name);
    }
    line(&mut text, &sum, "all of them");
    let _ = write!(
        text,
        "In {:.0} s: {:.1} tests at a time, {:.1} processors busy.",
        took.as_secs_f64(),
        seconds(sum.wall) / took.as_secs_f64(),
        sum.processor.as_secs_f64() / took.as_secs_f64()
    );
    text
}

fn row(ended: &Ended) -> Row {
    Row {
        wall: ended.cost.ended - ended.cost.begun,
        processor: ended.cost.processor,
        boots: ended.cost.boots,
        uses: uses::of(&ended.cost),
    }
}

fn line(text: &mut String, row: &Row, name: &str) {
    let processor = row.processor.as_secs_f64();
    let _ = write!(
        text,
        "{:>7.1} {processor:>7.1} {:>5}",
        seconds(row.wall),
        row.boots
    );
    for time in row.uses {
        let _ = write!(text, " {:>8.1}", seconds(time));
    }
    let _ = writeln!(text, "  {name}");
}

fn seconds(nanoseconds: u64) -> f64 {
    Duration::from_nanos(nanoseconds).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::super::Test;
    use super::*;
    use crate::meter::{Cost, Wait};

    #[test]
    fn the_slowest_come_first_and_the_sums_last() {
        let second = 1_000_000_000;
        let one = |name: &'static str, seconds: u64| Ended {
            test: Test::named(name),
            failure: None,
            cost: Cost {
                begun: second,
                ended: (1 + seconds) * second,
                processor: Duration::from_secs(seconds * 2),
                boots: 2,
                own: vec![(Wait::Boot, second, 2 * second)],
                hosts: Vec::new(),
            },
        };
        let text = of(
            &[one("main::a::quick", 1), one("main::a::slow", 4)],
            Duration::from_secs(4),
        );
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[2].ends_with("  a::slow") && lines[3].ends_with("  a::quick"),
            "{text}"
        );
        let sums: Vec<&str> = lines[4].split_whitespace().collect();
        assert_eq!(sums[..4], ["5.0", "10.0", "4", "2.0"], "{text}");
        assert!(
            lines[5].contains("1.2 tests at a time, 2.5 processors busy"),
            "{text}"
        );
    }
}
