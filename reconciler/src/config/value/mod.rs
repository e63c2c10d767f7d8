//! The kinds of values that the configuration file has.

mod checks;
mod keys;
mod names;
mod numbers;
mod texts;
mod times;

pub use checks::{CheckKind, Need, Quorum};
pub use keys::{HostKey, ManifestKey, OperatorKey};
pub use names::{Account, Branch, Credential, HostName, OwnerAndName, SystemName};
pub(in crate::config) use numbers::MOST;
pub use numbers::{Flag, Memory, Number, Port, Ports, Status};
pub use texts::{
    Address, AddressAndPort, Api, Attribute, Command, Commands, File, Inside, Link, Origin,
    Program, Proxy, RepositoryUrl, Text, Web,
};
pub use times::{Pause, Span, Time};

use serde::{Deserialize, Serialize};
use toml::Spanned;

use super::ConfigError;
use super::declare::Kind;
use super::place::Place;

/// One of a few words.
pub struct Word<T>(T);

impl<T: for<'a> Deserialize<'a> + Serialize + Copy> Kind for Word<T> {
    type Written = T;
    type Value = T;

    fn says() -> String {
        // serde names the words in its own complaint.
        let complaint = word::<T>("").err().map(|error| error.to_string());
        let words = complaint.unwrap_or_default();
        let words = words.split('`').skip(3).step_by(2);
        words
            .map(|word| format!("`\"{word}\"`"))
            .collect::<Vec<_>>()
            .join(", ")
    }

    fn read(_: &Place<'_>, given: &Spanned<T>) -> Result<T, ConfigError> {
        Ok(*given.get_ref())
    }

    fn shown(value: &T) -> String {
        let text = serde_json::to_string(value).unwrap_or_default();
        text.trim_matches('"').to_owned()
    }

    fn default(text: &str) -> Option<T> {
        word(text).ok()
    }
}

fn word<T: for<'a> Deserialize<'a>>(text: &str) -> Result<T, serde::de::value::Error> {
    T::deserialize(serde::de::value::StrDeserializer::new(text))
}

/// Any number of values of one kind.
pub struct List<K>(K);

impl<K: Kind> Kind for List<K> {
    type Written = Vec<Spanned<K::Written>>;
    type Value = Vec<K::Value>;

    fn says() -> String {
        format!("a list: {}", K::says())
    }

    fn read(place: &Place<'_>, given: &Spanned<Self::Written>) -> Result<Self::Value, ConfigError> {
        let all = given.get_ref().iter();
        all.map(|one| K::read(place, one)).collect()
    }

    fn shown(value: &Self::Value) -> String {
        let all: Vec<_> = value.iter().map(K::shown).collect();
        all.join(", ")
    }

    fn default(text: &str) -> Option<Self::Value> {
        text.is_empty().then(Vec::new)
    }
}
