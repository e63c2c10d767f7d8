//! Paths, addresses and programs.

use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::names::kept;
use crate::address::{self, AddressError, Scheme, credentials_in};
use crate::config::ConfigError;
use crate::config::declare::Kind;
use crate::config::place::Place;
use crate::host::http;

/// How many hooks there may be of either kind.
const MOST_HOOKS: usize = 16;

/// A program by its absolute path, and its arguments.
pub type Command = Vec<String>;

/// A file on the host.
pub struct File;
/// A path below the root of the repository.
pub struct Inside;
/// A port at an address.
pub struct AddressAndPort;
/// A program and its arguments.
pub struct Program;
/// Some of them.
pub struct Commands;

kept!(
    /// Any text.
    Text,
    "a text",
    |_| true,
    "{:?} is not a text"
);

kept!(
    /// A host's address.
    Address,
    "an IP address or a host name",
    is_address,
    "{:?} is neither an IP address nor a host name"
);

kept!(
    /// Where somebody comes from, as in a key's own `from=` (sshd(8)).
    Origin,
    "an address, a network, or a pattern of them",
    |text| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.:/*?!-".contains(&byte);
        (1..=253).contains(&text.len()) && text.bytes().all(plain)
    },
    "{:?} is not an address, network or pattern of them"
);

fn is_address(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    text.parse::<std::net::IpAddr>().is_ok()
        || (1..=253).contains(&text.len())
            && !text.starts_with(['-', '.'])
            && text.bytes().all(plain)
}

/// Declares a kind of URL that is kept as it is written where a rule holds.
macro_rules! url {
    ($(#[$meta:meta])* $name:ident, $says:literal, $read:expr) => {
        $(#[$meta])*
        pub struct $name;

        impl Kind for $name {
            type Written = String;
            type Value = String;

            fn says() -> String {
                $says.to_owned()
            }

            fn read(place: &Place<'_>, given: &Spanned<String>) -> Result<String, ConfigError> {
                let read: fn(&Place<'_>, &Spanned<String>) -> Result<(), ConfigError> = $read;
                read(place, given).map(|()| given.get_ref().clone())
            }

            fn shown(value: &String) -> String {
                value.clone()
            }
        }
    };
}

url!(
    /// A git repository.
    RepositoryUrl,
    "a URL with `ssh://`, `https://` or `file://`",
    |place, given| place.address(given).map(drop)
);

url!(
    /// A forge's interface.
    Api,
    "a URL with `https://`",
    |place, given| match address::Address::parse(given.get_ref()) {
        Ok(at) if at.scheme() == Scheme::Https && !at.path().contains(['?', '#']) => Ok(()),
        other => {
            let expected = "is not an https:// URL: a token is sent to it";
            Err(place.not_an_address(given, other.err(), expected))
        }
    }
);

url!(
    /// A page.
    Web,
    "a URL with `http://` or `https://`",
    |place, given| match address::Address::parse(given.get_ref()) {
        Ok(at) if matches!(at.scheme(), Scheme::Http | Scheme::Https) => Ok(()),
        other => {
            let expected = "is not an http:// or https:// URL";
            Err(place.not_an_address(given, other.err(), expected))
        }
    }
);

url!(
    /// A page of a deployment.
    Link,
    "a URL with `http://` or `https://`; `{host}`, `{commit}` and `{deployment}` are put in",
    |place, given| {
        // What is put in the place of the names is a host's, a commit's or a deployment's: no part of a URL ends
        // by it.
        let example = given.get_ref().replace(['{', '}'], "x");
        match address::Address::parse(&example) {
            Ok(at)
                if matches!(at.scheme(), Scheme::Http | Scheme::Https)
                    && example.contains("://") =>
            {
                Ok(())
            }
            other => {
                let expected = "is not a http:// or https:// URL";
                Err(place.not_an_address(given, other.err(), expected))
            }
        }
    }
);

url!(
    /// A proxy.
    Proxy,
    "a proxy such as `\"http://proxy.example:3128\"`",
    |place, given| {
        let text = given.get_ref();
        if let Some(what) = credentials_in(text) {
            let why = AddressError::Credentials(what);
            return Err(place.wrong(given.span().start, why.to_string()));
        }
        if http::is_proxy(text) {
            return Ok(());
        }
        let problem = format!("{text:?} is not a proxy such as \"http://proxy.example:3128\"");
        Err(place.wrong(given.span().start, problem))
    }
);

url!(
    /// An attribute path.
    Attribute,
    "an attribute path",
    |place, given| {
        let text = given.get_ref();
        if text.is_empty() || text.starts_with('-') {
            return Err(place.wrong(given.span().start, "is not an attribute path"));
        }
        Ok(())
    }
);

impl Kind for File {
    type Written = PathBuf;
    type Value = PathBuf;

    fn says() -> String {
        "an absolute path of a file on the host".to_owned()
    }

    fn read(place: &Place<'_>, given: &Spanned<PathBuf>) -> Result<PathBuf, ConfigError> {
        if given.get_ref().is_absolute() {
            return Ok(given.get_ref().clone());
        }
        let problem = format!("{:?} is not an absolute path", given.get_ref());
        Err(place.wrong(given.span().start, problem))
    }

    fn shown(value: &PathBuf) -> String {
        value.display().to_string()
    }

    fn default(text: &str) -> Option<PathBuf> {
        Some(text.into())
    }
}

impl Kind for Inside {
    type Written = String;
    type Value = String;

    fn says() -> String {
        "a path below the root of the repository".to_owned()
    }

    /// Without what does not belong to it, such as a slash at its end.
    fn read(place: &Place<'_>, given: &Spanned<String>) -> Result<String, ConfigError> {
        let names: Option<Vec<_>> = Path::new(given.get_ref())
            .components()
            .map(|part| match part {
                Component::Normal(name) => name.to_str(),
                _ => None,
            })
            .collect();
        let control = given.get_ref().chars().any(char::is_control);
        names
            .filter(|names| !names.is_empty() && !control)
            .map(|names| names.join("/"))
            .ok_or_else(|| place.wrong(given.span().start, "is not a path inside the repository"))
    }

    fn shown(value: &String) -> String {
        value.clone()
    }

    fn default(text: &str) -> Option<String> {
        Some(text.to_owned())
    }
}

impl Kind for AddressAndPort {
    type Written = String;
    type Value = (String, u16);

    fn says() -> String {
        "an address with a port, such as `\"127.0.0.1:8080\"`".to_owned()
    }

    fn read(place: &Place<'_>, given: &Spanned<String>) -> Result<(String, u16), ConfigError> {
        let text = given.get_ref();
        text.rsplit_once(':')
            .and_then(|(host, port)| {
                let host = host
                    .strip_prefix('[')
                    .and_then(|host| host.strip_suffix(']'))
                    .map_or_else(|| (!host.contains(':')).then_some(host), Some)?;
                let port = port.parse().ok().filter(|port| *port > 0)?;
                is_address(host).then(|| (host.to_owned(), port))
            })
            .ok_or_else(|| {
                let problem =
                    format!("{text:?} is not an address with a port, such as \"127.0.0.1:8080\"");
                place.wrong(given.span().start, problem)
            })
    }

    /// An IPv6 address has brackets.
    fn shown((host, port): &(String, u16)) -> String {
        match host.contains(':') {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        }
    }
}

impl Kind for Program {
    type Written = Vec<String>;
    type Value = Command;

    fn says() -> String {
        "a list: the absolute path of a program, and its arguments".to_owned()
    }

    fn read(place: &Place<'_>, given: &Spanned<Vec<String>>) -> Result<Command, ConfigError> {
        let command = given.get_ref();
        if command.first().is_some_and(|one| one.starts_with('/')) {
            return Ok(command.clone());
        }
        let problem = "must begin with the absolute path of a program";
        Err(place.wrong(given.span().start, problem))
    }

    fn shown(value: &Command) -> String {
        value.join(" ")
    }
}

/// A program with its arguments, or several of them.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "a program with its arguments, or a list of them"
)]
pub enum WrittenCommands {
    One(Command),
    Several(Vec<Command>),
}

impl Kind for Commands {
    type Written = WrittenCommands;
    type Value = Vec<Command>;

    fn says() -> String {
        "a list: the absolute path of a program, and its arguments; or a list of such lists"
            .to_owned()
    }

    fn read(
        place: &Place<'_>,
        given: &Spanned<WrittenCommands>,
    ) -> Result<Vec<Command>, ConfigError> {
        let commands = match given.get_ref() {
            WrittenCommands::One(words) if words.is_empty() => Vec::new(),
            WrittenCommands::One(words) => vec![words.clone()],
            WrittenCommands::Several(commands) => commands.clone(),
        };
        let wrong = |problem: String| Err(place.wrong(given.span().start, problem));
        if commands.len() > MOST_HOOKS {
            return wrong(format!("names more than {MOST_HOOKS} programs"));
        }
        for command in &commands {
            let absolute = |program: &String| Path::new(program).is_absolute();
            if !command.first().is_some_and(absolute) {
                return wrong("must begin with the absolute path of a program".to_owned());
            }
            if command.iter().any(|word| word.contains('\0')) {
                return wrong("has a zero byte in it".to_owned());
            }
        }
        Ok(commands)
    }

    fn shown(value: &Vec<Command>) -> String {
        serde_json::to_string(value).unwrap_or_default()
    }

    fn default(text: &str) -> Option<Vec<Command>> {
        text.is_empty().then(Vec::new)
    }
}
