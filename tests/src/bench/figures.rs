//! Measured values, their medians and spreads, beside the limits that they have to keep.

use std::fmt;

use serde::Serialize;

/// One thing that was measured several times.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    /// What was measured.
    pub what: String,
    /// In what: a word to be put behind a number, or nothing.
    pub unit: &'static str,
    /// The middle one of the values, or the mean of the two in the middle.
    pub median: f64,
    /// The least value.
    pub least: f64,
    /// The greatest value.
    pub most: f64,
    /// How many values there are.
    pub count: usize,
    /// What the median must not exceed.
    pub limit: Option<f64>,
}

impl Figure {
    /// The figure of some values; of none, it is not a number.
    pub fn of(what: impl Into<String>, unit: &'static str, values: &[f64]) -> Self {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |index: usize| sorted.get(index).copied().unwrap_or(f64::NAN);
        let last = sorted.len().saturating_sub(1);
        Self {
            what: what.into(),
            unit,
            median: f64::midpoint(at(last / 2), at(last.div_ceil(2))),
            least: at(0),
            most: at(last),
            count: sorted.len(),
            limit: None,
        }
    }

    /// The same figure with a limit. A time gets none, since it would judge the machine: its ratio
    /// to a yardstick does ([`super::yardstick`]).
    #[must_use]
    pub fn at_most(mut self, limit: f64) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Whether the median keeps the limit. What is not a number keeps none.
    pub fn is_kept(&self) -> bool {
        self.limit.is_none_or(|limit| self.median <= limit)
    }
}

/// Figures that belong together.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Table {
    /// What they are about.
    pub title: String,
    /// The figures.
    pub figures: Vec<Figure>,
    /// How they came about, a sentence each.
    pub notes: Vec<String>,
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        let mut rows = vec![["", "MEDIAN", "SPREAD", "LIMIT"].map(str::to_owned)];
        rows.extend(self.figures.iter().map(|figure| {
            let spread = match figure.count {
                0 | 1 => String::new(),
                _ => format!("{} to {}", number(figure.least), number(figure.most)),
            };
            let limit = figure.limit.map_or_else(String::new, |limit| {
                let verdict = if figure.is_kept() { "" } else { ": missed" };
                format!("{}{verdict}", with_unit(limit, figure.unit))
            });
            let median = with_unit(figure.median, figure.unit);
            [figure.what.clone(), median, spread, limit]
        }));
        let width = |column: usize| {
            let cells = rows.iter().map(|row| row[column].chars().count());
            cells.max().unwrap_or(0)
        };
        let widths = [width(0), width(1), width(2)];
        for [what, median, spread, limit] in &rows {
            let line = format!(
                "  {what:<0$}  {median:>1$}  {spread:>2$}  {limit}",
                widths[0], widths[1], widths[2]
            );
            writeln!(f, "{}", line.trim_end())?;
        }
        for note in &self.notes {
            writeln!(f, "  {note}")?;
        }
        Ok(())
    }
}

fn with_unit(value: f64, unit: &str) -> String {
    format!("{} {unit}", number(value)).trim_end().to_owned()
}

/// Two or three digits where there is something behind the point, thousands apart.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        small if small < 0.1 => 3,
        small if small < 10.0 => 2,
        small if small < 100.0 => 1,
        _ => 0,
    };
    let text = format!("{value:.digits$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    // A number of things has nothing behind the point.
    let rest = if rest.trim_matches(['.', '0']).is_empty() {
        ""
    } else {
        rest
    };
    let mut grouped = String::new();
    for (index, letter) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) && letter.is_ascii_digit() {
            grouped.push(',');
        }
        grouped.push(letter);
    }
    grouped + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_and_the_spread_is_all() {
        let check = |values: &[f64], expected: (f64, f64, f64)| {
            let figure = Figure::of("x", "ms", values);
            assert_eq!((figure.least, figure.median, figure.most), expected);
            assert_eq!(figure.count, values.len());
        };
        check(&[3.0], (3.0, 3.0, 3.0));
        check(&[9.0, 1.0, 2.0], (1.0, 2.0, 9.0));
        check(&[4.0, 1.0, 2.0, 100.0], (1.0, 3.0, 100.0));
    }

    #[test]
    fn a_limit_is_kept_up_to_itself_and_never_without_a_value() {
        let check = |values: &[f64], expected: bool| {
            assert_eq!(
                Figure::of("x", "ms", values).at_most(5.0).is_kept(),
                expected
            );
        };
        check(&[5.0], true);
        check(&[5.1], false);
        check(&[1.0, 5.0, 900.0], true);
        check(&[], false);
        assert!(Figure::of("x", "ms", &[5.1]).is_kept());
    }

    #[test]
    fn numbers_are_short_and_readable() {
        let table = [
            (0.0, "0"),
            (0.0004, "0"),
            (0.0312, "0.031"),
            (0.123, "0.12"),
            (9.994, "9.99"),
            (15.0, "15"),
            (15.04, "15"),
            (15.06, "15.1"),
            (324_424.4, "324,424"),
            (1000.0, "1,000"),
            (100.4, "100"),
        ];
        for (value, expected) in table {
            assert_eq!(number(value), expected);
        }
    }

    #[test]
    fn a_table_says_what_is_missed() {
        let table = Table {
            title: "A pass".to_owned(),
            figures: vec![
                Figure::of("memory", "MB", &[7.0, 7.5, 6.0]).at_most(15.0),
                Figure::of("processor", "times", &[6.25]).at_most(5.0),
                Figure::of("ratio", "", &[1.5, 1.5]),
            ],
            notes: vec!["A note.".to_owned()],
        };
        let expected = "\
A pass
              MEDIAN    SPREAD  LIMIT
  memory        7 MB  6 to 7.50  15 MB
  processor  6.25 times            5 times: missed
  ratio         1.50  1.50 to 1.50
  A note.
";
        let collapse = |text: &str| -> Vec<String> {
            let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
            text.lines().map(words).collect()
        };
        assert_eq!(collapse(&table.to_string()), collapse(expected));
    }
}
