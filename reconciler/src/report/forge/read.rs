//! Statuses and commits that are read from a forge, page by page.

use std::collections::HashSet;

use jiff::Timestamp;
use thiserror::Error;

use super::answer::{Answer, judge};
use super::http::{Client, HttpError};
use super::{Given, Listed, Repository, Request};
use crate::decide::commit_id::CommitId;
use crate::decide::outbox::judgement::Judgement;

/// So many pages are read at most: 10,000 hosts, and some of them twice.
const MOST_PAGES: u32 = 200;

/// Why nothing could be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// There was no answer.
    #[error("cannot ask the forge")]
    Http(#[from] HttpError),
    /// Too much was asked.
    #[error("the forge answers no more for now: {why}")]
    Limited {
        /// When it does again, where it named a time.
        until: Option<Timestamp>,
        /// Its words.
        why: String,
    },
    /// The forge does not give it.
    #[error("the forge refuses {url}: {why}")]
    Refused {
        /// What was asked.
        url: String,
        /// Its words.
        why: String,
    },
    /// The answer is not what the documentation says.
    #[error("the answer from {url} is not understood")]
    NotUnderstood {
        /// What was asked.
        url: String,
    },
}

impl ReadError {
    /// Whether another try may help, and when at the earliest.
    pub fn passes(&self) -> Option<Option<Timestamp>> {
        match self {
            Self::Http(HttpError::NoAnswer { .. } | HttpError::Cut { .. }) => Some(None),
            Self::Limited { until, .. } => Some(*until),
            _ => None,
        }
    }
}

/// What has been read of a commit's statuses.
#[derive(Debug, Default)]
pub struct Seen {
    all: HashSet<Given>,
    /// The time of the newest of them.
    newest: Option<String>,
}

impl Seen {
    /// Whether nothing that follows this one is news. Statuses of one time have no order: Gitea sorts
    /// by whole seconds alone (models/git/commit_status.go), so that one which is posted in the second
    /// of the newest may be listed behind it.
    fn is_behind(&self, given: &Given) -> bool {
        self.newest.as_ref() != Some(&given.time) && self.all.contains(given)
    }
}

/// Reads from one repository.
#[derive(Debug)]
pub struct Reader {
    /// The connection.
    pub client: Client,
    /// The repository.
    pub repository: Repository,
}

impl Reader {
    /// The statuses of a commit, the newest first.
    ///
    /// # Errors
    /// The forge cannot be asked, refuses, or answers something else than a list of statuses.
    pub async fn statuses(&self, commit: &str) -> Result<Vec<Given>, ReadError> {
        self.news(commit, &mut Seen::default()).await
    }

    /// The statuses of a commit that were not seen before, the newest first; they are from then on.
    ///
    /// # Errors
    /// Those of [`Reader::statuses`].
    pub async fn news(&self, commit: &str, seen: &mut Seen) -> Result<Vec<Given>, ReadError> {
        let forge = self.repository.kind.forge();
        let mut news = Vec::new();
        let mut newest = None;
        for page in 1..=MOST_PAGES {
            let request = forge.statuses(&self.repository, commit, page);
            let url = request.url.clone();
            let answer = self.ask(request).await?;
            let mut given = forge
                .read_statuses(&answer.body)
                .ok_or(ReadError::NotUnderstood { url })?;
            // What was not asked for is not read, and a page that is full is not the last.
            given.truncate(forge.page_size());
            newest = newest.or_else(|| given.first().map(|one| one.time.clone()));
            let last =
                given.len() < forge.page_size() || given.iter().any(|one| seen.is_behind(one));
            news.extend(given.into_iter().filter(|one| !seen.all.contains(one)));
            if last {
                break;
            }
        }
        seen.all.extend(news.iter().cloned());
        seen.newest = newest;
        Ok(news)
    }

    /// The newest commits from a branch or a commit on.
    ///
    /// # Errors
    /// The forge cannot be asked, refuses, or answers something else than a list of commits.
    pub async fn commits(&self, from: &str, count: u32) -> Result<Vec<Listed>, ReadError> {
        let forge = self.repository.kind.forge();
        let request = forge.commits(&self.repository, from, count);
        let url = request.url.clone();
        let answer = self.ask(request).await?;
        let mut listed = forge
            .read_commits(&answer.body)
            .ok_or(ReadError::NotUnderstood { url: url.clone() })?;
        listed.truncate(usize::try_from(count).unwrap_or(usize::MAX));
        match listed
            .iter()
            .all(|one| CommitId::try_from(one.id.clone()).is_ok())
        {
            true => Ok(listed),
            false => Err(ReadError::NotUnderstood { url }),
        }
    }

    async fn ask(&self, request: Request) -> Result<Answer, ReadError> {
        let url = request.url.clone();
        let answer = self.client.ask(request).await?;
        let judged = judge(
            self.repository.kind.forge(),
            &answer,
            None,
            Timestamp::now(),
        );
        match judged.judgement {
            Judgement::Taken | Judgement::AlreadySo => Ok(answer),
            Judgement::Limited { until, why } => Err(ReadError::Limited { until, why }),
            Judgement::Trouble { why, .. } => Err(ReadError::Limited { until: None, why }),
            Judgement::Refused { why, .. } => Err(ReadError::Refused { url, why }),
        }
    }
}
