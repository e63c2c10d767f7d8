//! Which forge the commit statuses go to, and how it is reached.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Authorities;

pub mod detect;

/// A forge that takes commit statuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// GitHub, and GitHub Enterprise Server.
    GitHub,
    /// GitLab, hosted or self-managed.
    GitLab,
    /// Gitea.
    Gitea,
    /// Forgejo, such as Codeberg.
    Forgejo,
    /// Bitbucket Cloud.
    Bitbucket,
}

impl Kind {
    /// All of them, by their words.
    pub const ALL: [Self; 5] = [
        Self::GitHub,
        Self::GitLab,
        Self::Gitea,
        Self::Forgejo,
        Self::Bitbucket,
    ];

    /// The word for it in configurations.
    pub fn word(self) -> &'static str {
        match self {
            Self::GitHub => "github",
            Self::GitLab => "gitlab",
            Self::Gitea => "gitea",
            Self::Forgejo => "forgejo",
            Self::Bitbucket => "bitbucket",
        }
    }
}

/// A repository on a forge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Repository {
    /// The forge's kind.
    pub kind: Kind,
    /// The URL of its interface, without a slash at the end.
    pub api: String,
    /// Owner and name, with groups between them where the forge has such.
    pub path: String,
    /// The repository's own page.
    pub page: String,
}

/// How a forge is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// The token; nothing where only what is public is read.
    pub token: Option<TokenSource>,
    /// Who vouches for its server.
    pub authorities: Authorities,
    /// The proxy, where it is not the one of the environment.
    pub proxy: Option<String>,
    /// The longest that one request may take.
    pub timeout: Duration,
}

/// Where a token is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenSource {
    /// In a file.
    File(PathBuf),
    /// In a credential of the unit that sends.
    Credential(String),
}
