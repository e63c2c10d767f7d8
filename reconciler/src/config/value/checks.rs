//! The words of checks.

use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::config::ConfigError;
use crate::config::declare::Kind;
use crate::config::place::Place;

/// What is checked, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "each is documented at the kind of its name")]
pub enum CheckKind {
    Repository,
    Ssh,
    Peer,
    Tcp,
    Http,
    Command,
    Units,
}

/// Whether a generation is kept only if a check passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Need {
    /// It is.
    Required,
    /// It is only reported.
    Wanted,
}

impl CheckKind {
    pub(in crate::config) fn word(self) -> &'static str {
        match self {
            Self::Repository => "repository",
            Self::Ssh => "ssh",
            Self::Peer => "peer",
            Self::Tcp => "tcp",
            Self::Http => "http",
            Self::Command => "command",
            Self::Units => "units",
        }
    }
}

/// How many of the peers that count must find all well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quorum {
    /// One of them.
    Any,
    /// Each of them.
    All,
    /// So many, or all where there are fewer.
    Number(u32),
}

impl Quorum {
    /// How many of so many peers.
    pub fn of(self, peers: usize) -> usize {
        match self {
            Self::Any => peers.min(1),
            Self::All => peers,
            Self::Number(number) => peers.min(usize::try_from(number).unwrap_or(usize::MAX)),
        }
    }
}

/// A number or a word.
#[derive(Deserialize)]
#[serde(untagged)]
pub enum WrittenQuorum {
    Number(i64),
    Word(String),
}

impl Kind for Quorum {
    type Written = WrittenQuorum;
    type Value = Self;

    fn says() -> String {
        "`\"any\"`, `\"all\"`, or a number of peers".to_owned()
    }

    fn read(place: &Place<'_>, given: &Spanned<WrittenQuorum>) -> Result<Self, ConfigError> {
        let quorum = match given.get_ref() {
            WrittenQuorum::Word(word) => Self::default(word),
            WrittenQuorum::Number(number) => u32::try_from(*number)
                .ok()
                .filter(|number| (1..=1000).contains(number))
                .map(Self::Number),
        };
        quorum.ok_or_else(|| {
            let problem = "is neither \"any\", \"all\" nor a number of peers";
            place.wrong(given.span().start, problem)
        })
    }

    fn shown(value: &Self) -> String {
        match value {
            Self::Any => "any".to_owned(),
            Self::All => "all".to_owned(),
            Self::Number(number) => number.to_string(),
        }
    }

    fn default(text: &str) -> Option<Self> {
        match text {
            "any" => Some(Self::Any),
            "all" => Some(Self::All),
            _ => None,
        }
    }
}
