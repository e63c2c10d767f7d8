//! Names.

use toml::Spanned;

use crate::config::declare::Kind;
use crate::config::forge::detect::is_name;
use crate::config::place::Place;
use crate::config::{ConfigError, is_host_name};

/// Declares a kind of text that is kept as it is written where a rule holds.
macro_rules! kept {
    ($(#[$meta:meta])* $name:ident, $says:literal, $holds:expr, $problem:literal) => {
        $(#[$meta])*
        pub struct $name;

        impl Kind for $name {
            type Written = String;
            type Value = String;

            fn says() -> String {
                $says.to_owned()
            }

            fn read(place: &Place<'_>, given: &Spanned<String>) -> Result<String, ConfigError> {
                let text = given.get_ref();
                let holds: fn(&str) -> bool = $holds;
                if holds(text) {
                    return Ok(text.clone());
                }
                Err(place.wrong(given.span().start, format!($problem, text)))
            }

            fn shown(value: &String) -> String {
                value.clone()
            }

            fn default(text: &str) -> Option<String> {
                Some(text.to_owned())
            }
        }
    };
}

pub(super) use kept;

fn letters(text: &str, more: &[u8]) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || more.contains(&byte);
    text.bytes().all(letter)
}

kept!(
    /// A host's name.
    HostName,
    "a host name",
    is_host_name,
    "{:?} is not a host name"
);

kept!(
    /// A branch of git.
    Branch,
    "a branch",
    |name| git2::Reference::is_valid_name(&format!("refs/heads/{name}")) && !name.starts_with('-'),
    "{:?} is not a branch name"
);

kept!(
    /// An account of a host.
    Account,
    "the name of an account",
    |name| (1..=32).contains(&name.len()) && !name.starts_with('-') && letters(name, b"_.-"),
    "{:?} is not the name of an account"
);

kept!(
    /// What may stand in a store path's name (libstore's path.cc).
    SystemName,
    "the name of a system",
    |name| !name.is_empty() && letters(name, b"+-._?="),
    "{:?} is not a name of a system"
);

kept!(
    /// A credential of systemd.
    Credential,
    "the name of a credential",
    |name| is_name(name) && letters(name, b"-_."),
    "{:?} is not the name of a credential"
);

kept!(
    /// Where a repository is on its forge.
    OwnerAndName,
    "owner and name, such as `\"fleet/deploy\"`",
    |path| path.contains('/') && path.split('/').all(is_name),
    "{:?} is not owner and name, such as \"fleet/deploy\""
);
