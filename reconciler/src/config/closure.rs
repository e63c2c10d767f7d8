//! `[closure]`: how a commit becomes this host's toplevel.

use std::fmt;
use std::time::Duration;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::Limits;
use crate::host::public_key::PublicKey;

/// What a flake begins with.
pub const FLAKE: &str = "flake.nix";

/// How the toplevel is made from a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closure {
    /// Where it comes from.
    pub source: ClosureSource,
    /// Whether the repository's submodules are a part of it.
    pub submodules: bool,
    /// What is done about files in Git LFS.
    pub lfs: Lfs,
    /// The longest that evaluation and build together, or a fetch, may take.
    pub build_timeout: Duration,
    /// What evaluation and build may take of the host.
    pub limits: Limits,
    /// How often it is asked during a build whether there is a newer commit.
    pub recheck: Duration,
    /// How often a commit is tried again whose builder failed.
    pub retries: u32,
}

/// What is done about a commit with files in Git LFS, of which Nix gets the pointers alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Lfs {
    /// It is refused.
    #[default]
    Refuse,
    /// The pointers are taken for the files.
    Ignore,
}

/// A boolean is understood, to say what is right.
struct LfsVisitor;

impl<'de> Deserialize<'de> for Lfs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(LfsVisitor)
    }
}

impl Visitor<'_> for LfsVisitor {
    type Value = Lfs;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"refuse\" or \"ignore\"")
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<Lfs, E> {
        match word {
            "refuse" => Ok(Lfs::Refuse),
            "ignore" => Ok(Lfs::Ignore),
            _ => Err(E::unknown_variant(word, &["refuse", "ignore"])),
        }
    }

    fn visit_bool<E: Error>(self, fetch: bool) -> Result<Lfs, E> {
        match fetch {
            false => Ok(Lfs::Refuse),
            true => Err(E::custom(
                "files in Git LFS are not fetched: \"refuse\", or \"ignore\" to take the pointers for the files",
            )),
        }
    }
}

/// Where the toplevel comes from, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum From {
    /// The flake.
    Flake,
    /// A Nix file.
    File,
    /// CI's manifest.
    Manifest,
}

/// What is done without a manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fallback {
    /// This host builds.
    Build,
}

/// Where the toplevel comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClosureSource {
    /// This host evaluates and builds it.
    Expression(Expression),
    /// CI has built it, and says in a manifest what this host is to fetch.
    Manifest(Following),
}

/// What is evaluated to get the toplevel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    /// An attribute of the repository's flake.
    Flake {
        /// The folder of the flake, relative to the root of the repository; default: the root.
        directory: Option<String>,
        /// The attribute path.
        attribute: String,
    },
    /// An attribute of a Nix file in the repository.
    File {
        /// The folder that the file's path begins at; default: the root of the repository.
        directory: Option<String>,
        /// The file, relative to that folder.
        file: String,
        /// The attribute path.
        attribute: String,
    },
}

/// How a host follows the manifests of CI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Following {
    /// One of these must have signed a manifest; where there is none, whoever may push is believed.
    pub keys: Vec<PublicKey>,
    /// What this host's systems are named after, as `system.name` of NixOS.
    pub system_name: String,
    /// How long an entry is waited for, before anything else is done instead.
    pub wait: Duration,
    /// What is done then.
    pub otherwise: Otherwise,
}

/// What a host does about a commit that CI has not built for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Otherwise {
    /// It goes on waiting.
    Wait,
    /// It evaluates and builds by itself.
    Build(Expression),
    /// It takes the newest commit before that has an entry.
    Older,
}

impl Expression {
    /// The folder that it is in, where that is not the root of the repository.
    pub fn directory(&self) -> Option<&str> {
        match self {
            Self::Flake { directory, .. } | Self::File { directory, .. } => directory.as_deref(),
        }
    }

    /// The file with which the evaluation begins, relative to the root of the repository.
    pub fn file(&self) -> String {
        let name = match self {
            Self::Flake { .. } => FLAKE,
            Self::File { file, .. } => file,
        };
        match self.directory() {
            Some(directory) => format!("{directory}/{name}"),
            None => name.to_owned(),
        }
    }
}

impl Closure {
    /// How manifests are followed, where they are.
    pub fn following(&self) -> Option<&Following> {
        match &self.source {
            ClosureSource::Manifest(following) => Some(following),
            ClosureSource::Expression(_) => None,
        }
    }

    /// Whether this host ever builds by itself.
    pub fn builds_here(&self) -> bool {
        self.expression().is_some()
    }

    /// What this host evaluates, if it ever does.
    pub fn expression(&self) -> Option<&Expression> {
        match &self.source {
            ClosureSource::Expression(expression)
            | ClosureSource::Manifest(Following {
                otherwise: Otherwise::Build(expression),
                ..
            }) => Some(expression),
            ClosureSource::Manifest(_) => None,
        }
    }
}
