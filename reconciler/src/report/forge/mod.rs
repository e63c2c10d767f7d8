//! Forges, and how each of them takes and gives commit statuses: one file for each.
//!
//! Nothing here does anything but [`http`]: the others say what is to be sent, and what an answer
//! means.

use self::answer::Answer;
use crate::config::forge::{Kind, Repository};
use crate::decide::status::{Status, Word};

pub mod answer;
mod bitbucket;
mod gitea;
mod github;
mod gitlab;
pub mod http;
pub mod read;
pub mod token;

#[cfg(test)]
pub(crate) mod contract;

impl Kind {
    /// How it is spoken to.
    pub fn forge(self) -> &'static dyn Forge {
        match self {
            Self::GitHub => &github::GitHub,
            Self::GitLab => &gitlab::GitLab,
            // Forgejo kept Gitea's interface (forgejo.org/docs/latest/user/api-usage).
            Self::Gitea | Self::Forgejo => &gitea::Gitea,
            Self::Bitbucket => &bitbucket::Bitbucket,
        }
    }
}

/// What is asked of a forge; the token is not part of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The URL.
    pub url: String,
    /// What is sent as JSON; nothing where something is only read.
    pub body: Option<serde_json::Value>,
}

/// A status as a forge gives it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Given {
    /// The context: one for each host.
    pub context: String,
    /// The description.
    pub description: String,
    /// When it was posted, as the forge wrote it.
    pub time: String,
}

/// A commit as a forge gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its id.
    pub id: String,
    /// The first line of its message.
    pub subject: String,
}

/// What one kind of forge has of its own.
pub trait Forge: std::fmt::Debug + Send + Sync {
    /// The headers that show who asks, and which version of the interface is meant.
    fn headers(&self, token: &str) -> Vec<(&'static str, String)>;
    /// The word of this forge for a state.
    fn state(&self, word: Word) -> &'static str;
    /// Posts a status on a branch's commit.
    fn post(&self, repository: &Repository, branch: &str, status: &Status) -> Request;
    /// What an answer means that is not told by its number alone.
    fn meaning(&self, answer: &Answer) -> Meaning;
    /// Whether an answer says that this status was taken: the documented number, and a body that names it. A
    /// page to sign in on is answered with 200 too.
    fn is_taken(&self, answer: &Answer, status: &Status) -> bool {
        answer.status == 201 && answer.names("/context", &status.context)
    }
    /// Whether a status of the same state as the last one is taken.
    fn takes_same_state(&self) -> bool {
        true
    }
    /// One page, from 1, of all statuses of a commit, newest first where the forge has an order.
    fn statuses(&self, repository: &Repository, commit: &str, page: u32) -> Request;
    /// The statuses in such a page.
    fn read_statuses(&self, body: &[u8]) -> Option<Vec<Given>>;
    /// So many statuses are in a page that is not the last.
    fn page_size(&self) -> usize;
    /// The newest commits of a branch, or what a commit descends from.
    fn commits(&self, repository: &Repository, from: &str, count: u32) -> Request;
    /// The commits in such a list.
    fn read_commits(&self, body: &[u8]) -> Option<Vec<Listed>>;
}

/// What a forge means by an answer, where the number of it does not show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// Its number shows it.
    AsNumbered,
    /// The commit has this status already.
    AlreadySo,
    /// The number of requests is limited, and the limit is reached.
    Limited,
    /// It will never be taken.
    Never,
}

/// A part of a path of a URL; what is not plain is encoded, slashes too.
fn part(text: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    // RFC 3986, section 2.3: unreserved.
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~');
    utf8_percent_encode(text, KEPT).to_string()
}

/// Owner and name, each encoded.
fn owner_and_name(path: &str) -> String {
    path.split('/').map(part).collect::<Vec<_>>().join("/")
}

/// The first line of a commit's message.
fn subject(message: &str) -> String {
    message.lines().next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_groups_is_one_part_for_gitlab() {
        assert_eq!(part("g/sub/r"), "g%2Fsub%2Fr");
        assert_eq!(owner_and_name("o.x/r-1"), "o.x/r-1");
    }
}
