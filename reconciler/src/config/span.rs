//! Time spans as systemd's units have them (systemd.time(7)): what starts the passes is written there too.

use std::time::Duration;

/// Units with their length in microseconds. A month and a year are what systemd takes them for.
const UNITS: &[(&[&str], f64)] = &[
    (&["usec", "us", "μs", "µs"], 1.0),
    (&["msec", "ms"], 1e3),
    (&["", "seconds", "second", "sec", "s"], 1e6),
    (&["minutes", "minute", "min", "m"], 60e6),
    (&["hours", "hour", "hr", "h"], 3600e6),
    (&["days", "day", "d"], 86_400e6),
    (&["weeks", "week", "w"], 604_800e6),
    (&["months", "month", "M"], 2_629_800e6),
    (&["years", "year", "y"], 31_557_600e6),
];

/// The length of a span such as `1min`, `1h 30m` or `90`, which is in seconds.
pub fn parse(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut micros = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.');
        let (number, after) = rest.split_at(digits.unwrap_or(rest.len()));
        let after = after.trim_start();
        let letters = after.find(|c: char| !c.is_alphabetic());
        let (unit, after) = after.split_at(letters.unwrap_or(after.len()));
        let (_, length) = UNITS.iter().find(|(names, _)| names.contains(&unit))?;
        micros += number.parse::<f64>().ok()? * length;
        rest = after.trim_start();
    }
    Duration::try_from_secs_f64(micros / 1e6).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_as_systemd_reads_them() {
        let table = [
            ("1min", Some(60_000)),
            ("5s", Some(5_000)),
            ("90", Some(90_000)),
            ("1h 30m", Some(5_400_000)),
            ("2h30min", Some(9_000_000)),
            ("1.5 hours", Some(5_400_000)),
            ("300ms", Some(300)),
            ("3650d", Some(315_360_000_000)),
            ("", None),
            ("soon", None),
            ("1 fortnight", None),
            ("-1s", None),
            ("m", None),
        ];
        for (text, expected) in table {
            let expected = expected.map(Duration::from_millis);
            assert_eq!(parse(text), expected, "{text:?}");
        }
    }
}
