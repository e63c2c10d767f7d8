//! `[closure]`: how a commit becomes this host's toplevel.

use std::time::Duration;

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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Lfs {
    /// It is refused.
    #[default]
    Refuse,
    /// The pointers are taken for the files.
    Ignore,
}

impl Lfs {
    /// As it is written.
    pub fn word(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Ignore => "ignore",
        }
    }
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
        /// The folder of the flake, relative to the root of the repository; the root unless given.
        directory: Option<String>,
        /// The attribute path.
        attribute: String,
    },
    /// An attribute of a Nix file in the repository.
    File {
        /// The folder that the file's path begins at; the root of the repository unless given.
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
