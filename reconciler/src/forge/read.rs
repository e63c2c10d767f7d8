//! Statuses and commits that are read from a forge, page by page.

use jiff::Timestamp;
use thiserror::Error;

use super::answer::{Answer, Judgement, judge};
use super::http::{Client, HttpError};
use super::{Given, Listed, Repository, Request};

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

/// Reads from one repository.
#[derive(Debug)]
pub struct Reader {
    /// The connection.
    pub client: Client,
    /// The repository.
    pub repository: Repository,
}

impl Reader {
    /// The statuses of a commit, the newest first, up to the first one that is `seen`.
    pub async fn statuses(
        &self,
        commit: &str,
        seen: &mut dyn FnMut(&Given) -> bool,
    ) -> Result<Vec<Given>, ReadError> {
        let forge = self.repository.kind.forge();
        let mut all = Vec::new();
        for page in 1..=MOST_PAGES {
            let request = forge.statuses(&self.repository, commit, page);
            let url = request.url.clone();
            let answer = self.ask(request).await?;
            let given = forge
                .read_statuses(&answer.body)
                .ok_or(ReadError::NotUnderstood { url })?;
            let last = given.len() < forge.page_size();
            for one in given {
                if seen(&one) {
                    return Ok(all);
                }
                all.push(one);
            }
            if last {
                break;
            }
        }
        Ok(all)
    }

    /// The newest commits from a branch or a commit on.
    pub async fn commits(&self, from: &str, count: u32) -> Result<Vec<Listed>, ReadError> {
        let forge = self.repository.kind.forge();
        let request = forge.commits(&self.repository, from, count);
        let url = request.url.clone();
        let answer = self.ask(request).await?;
        forge
            .read_commits(&answer.body)
            .ok_or(ReadError::NotUnderstood { url })
    }

    async fn ask(&self, request: Request) -> Result<Answer, ReadError> {
        let url = request.url.clone();
        let answer = self.client.ask(request).await?;
        let judged = judge(self.repository.kind.forge(), &answer, Timestamp::now());
        match judged.judgement {
            Judgement::Taken | Judgement::AlreadySo => Ok(answer),
            Judgement::Limited { until, why } => Err(ReadError::Limited { until, why }),
            Judgement::Trouble { why, .. } => Err(ReadError::Limited { until: None, why }),
            Judgement::Refused { why, .. } => Err(ReadError::Refused { url, why }),
        }
    }
}
