//! Times.

use std::time::Duration;

use toml::Spanned;

use crate::config::declare::Kind;
use crate::config::place::Place;
use crate::config::{ConfigError, span};

/// The longest time that may be written anywhere.
const LONGEST_DAYS: u64 = 7;
const LONGEST: Duration = Duration::from_secs(LONGEST_DAYS * 24 * 60 * 60);
/// The shortest pause between two looks.
const LEAST_PAUSE: Duration = Duration::from_millis(100);

/// A time of at least a second.
pub struct Time;
/// A time of at least a tenth of a second.
pub struct Pause;
/// A time as systemd's units have it (systemd.time(7)).
pub struct Span;

impl Kind for Time {
    type Written = String;
    type Value = Duration;

    fn says() -> String {
        format!("a time such as `\"90s\"` or `\"15m\"`, at most {LONGEST_DAYS} days")
    }

    fn read(place: &Place<'_>, given: &Spanned<String>) -> Result<Duration, ConfigError> {
        at_least(Duration::from_secs(1), place, given)
    }

    fn shown(value: &Duration) -> String {
        format!("{}s", value.as_secs())
    }

    fn default(text: &str) -> Option<Duration> {
        parsed(text)
    }
}

impl Kind for Pause {
    type Written = String;
    type Value = Duration;

    fn says() -> String {
        "a time such as `\"500ms\"` or `\"1s\"`".to_owned()
    }

    fn read(place: &Place<'_>, given: &Spanned<String>) -> Result<Duration, ConfigError> {
        at_least(LEAST_PAUSE, place, given)
    }

    fn shown(value: &Duration) -> String {
        millis(*value)
    }

    fn default(text: &str) -> Option<Duration> {
        parsed(text)
    }
}

impl Kind for Span {
    type Written = String;
    type Value = Duration;

    fn says() -> String {
        format!("a time such as `\"1min\"` (systemd.time(7)), at most {LONGEST_DAYS} days")
    }

    fn read(place: &Place<'_>, given: &Spanned<String>) -> Result<Duration, ConfigError> {
        let text = given.get_ref();
        // A host that looks for a commit less often than that has as good as no passes.
        span::parse(text)
            .filter(|span| (Duration::from_millis(1)..=LONGEST).contains(span))
            .ok_or_else(|| {
                let problem = format!(
                    "{text:?} is not a time of at most {LONGEST_DAYS} days, such as \"1min\" (systemd.time(7))"
                );
                place.wrong(given.span().start, problem)
            })
    }

    fn shown(value: &Duration) -> String {
        millis(*value)
    }

    fn default(text: &str) -> Option<Duration> {
        span::parse(text)
    }
}

fn parsed(text: &str) -> Option<Duration> {
    let duration: jiff::SignedDuration = text.parse().ok()?;
    Duration::try_from(duration).ok()
}

fn at_least(
    least: Duration,
    place: &Place<'_>,
    given: &Spanned<String>,
) -> Result<Duration, ConfigError> {
    let text = given.get_ref();
    parsed(text)
        .filter(|duration| (least..=LONGEST).contains(duration))
        .ok_or_else(|| {
            let problem = format!(
                "{text:?} is not a time between {least:?} and {LONGEST_DAYS} days, such as \"90s\" or \"15m\""
            );
            place.wrong(given.span().start, problem)
        })
}

/// For times that may be shorter than a second.
fn millis(duration: Duration) -> String {
    format!("{}ms", duration.as_millis())
}
