//! Numbers, yes and no.

use toml::Spanned;

use crate::config::ConfigError;
use crate::config::declare::Kind;
use crate::config::limits::MemoryLimit;
use crate::config::place::Place;

/// The most entries of a list that travels to a peer.
pub(in crate::config) const MOST: usize = 64;

/// A number from `LEAST` to `MOST`, both included.
pub struct Number<const LEAST: u32, const MOST: u32>;
/// Yes or no.
pub struct Flag;
/// A limit on memory.
pub struct Memory;
/// A TCP port.
pub struct Port;
/// Some of them.
pub struct Ports;
/// A status of HTTP.
pub struct Status;

impl<const LEAST: u32, const MOST: u32> Kind for Number<LEAST, MOST> {
    type Written = i64;
    type Value = u32;

    fn says() -> String {
        format!("a number from {LEAST} to {MOST}")
    }

    fn read(place: &Place<'_>, given: &Spanned<i64>) -> Result<u32, ConfigError> {
        let number = u32::try_from(*given.get_ref()).ok();
        let number = number.filter(|number| (LEAST..=MOST).contains(number));
        number.ok_or_else(|| {
            let problem = format!("{} is not between {LEAST} and {MOST}", given.get_ref());
            place.wrong(given.span().start, problem)
        })
    }

    fn shown(value: &u32) -> String {
        value.to_string()
    }

    fn default(text: &str) -> Option<u32> {
        text.parse().ok()
    }
}

impl Kind for Flag {
    type Written = bool;
    type Value = bool;

    fn says() -> String {
        "`true` or `false`".to_owned()
    }

    fn read(_: &Place<'_>, given: &Spanned<bool>) -> Result<bool, ConfigError> {
        Ok(*given.get_ref())
    }

    fn shown(value: &bool) -> String {
        value.to_string()
    }

    fn default(text: &str) -> Option<bool> {
        text.parse().ok()
    }
}

impl Kind for Memory {
    type Written = String;
    type Value = MemoryLimit;

    fn says() -> String {
        "a size such as `\"2GiB\"` (at least `\"64MiB\"`), or a share such as `\"50%\"`".to_owned()
    }

    fn read(place: &Place<'_>, given: &Spanned<String>) -> Result<MemoryLimit, ConfigError> {
        let text = given.get_ref();
        text.parse().map_err(|()| {
            let problem =
                format!("{text:?} is not a limit such as \"2GiB\" (at least 64MiB) or \"50%\"");
            place.wrong(given.span().start, problem)
        })
    }

    fn shown(value: &MemoryLimit) -> String {
        value.written()
    }

    fn default(text: &str) -> Option<MemoryLimit> {
        text.parse().ok()
    }
}

fn port(number: i64) -> Option<u16> {
    u16::try_from(number).ok().filter(|port| *port > 0)
}

impl Kind for Port {
    type Written = i64;
    type Value = u16;

    fn says() -> String {
        "a port".to_owned()
    }

    fn read(place: &Place<'_>, given: &Spanned<i64>) -> Result<u16, ConfigError> {
        port(*given.get_ref()).ok_or_else(|| {
            let problem = format!("{} is not a port", given.get_ref());
            place.wrong(given.span().start, problem)
        })
    }

    fn shown(value: &u16) -> String {
        value.to_string()
    }

    fn default(text: &str) -> Option<u16> {
        text.parse().ok()
    }
}

impl Kind for Ports {
    type Written = Vec<i64>;
    type Value = Vec<u16>;

    fn says() -> String {
        format!("a list of at most {MOST} ports")
    }

    fn read(place: &Place<'_>, given: &Spanned<Vec<i64>>) -> Result<Vec<u16>, ConfigError> {
        let ports: Option<Vec<u16>> = given.get_ref().iter().copied().map(port).collect();
        ports.filter(|ports| ports.len() <= MOST).ok_or_else(|| {
            let problem = format!("is not a list of at most {MOST} ports");
            place.wrong(given.span().start, problem)
        })
    }

    fn shown(value: &Vec<u16>) -> String {
        let ports: Vec<_> = value.iter().map(u16::to_string).collect();
        ports.join(", ")
    }

    fn default(text: &str) -> Option<Vec<u16>> {
        text.is_empty().then(Vec::new)
    }
}

impl Kind for Status {
    type Written = i64;
    type Value = u16;

    fn says() -> String {
        "a status of HTTP".to_owned()
    }

    fn read(place: &Place<'_>, given: &Spanned<i64>) -> Result<u16, ConfigError> {
        let status = u16::try_from(*given.get_ref()).ok();
        let status = status.filter(|status| (100..=599).contains(status));
        status.ok_or_else(|| {
            let problem = format!("{} is not an HTTP status", given.get_ref());
            place.wrong(given.span().start, problem)
        })
    }

    fn shown(value: &u16) -> String {
        value.to_string()
    }

    fn default(text: &str) -> Option<u16> {
        text.parse().ok()
    }
}
