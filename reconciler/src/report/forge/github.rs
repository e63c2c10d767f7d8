//! GitHub, and GitHub Enterprise Server.
//!
//! Sources: <https://docs.github.com/en/rest/commits/statuses>,
//! <https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api>.

use serde::Deserialize;
use serde_json::json;

use super::answer::Answer;
use super::{Forge, Given, Listed, Meaning, Repository, Request, owner_and_name, part, subject};
use crate::decide::status::{Status, Word};

/// GitHub's interface.
#[derive(Debug)]
pub struct GitHub;

/// A page has at most so many entries.
const PAGE: usize = 100;

impl Forge for GitHub {
    fn headers(&self, token: &str) -> Vec<(&'static str, String)> {
        vec![
            ("Authorization", format!("Bearer {token}")),
            ("Accept", "application/vnd.github+json".to_owned()),
            ("X-GitHub-Api-Version", "2022-11-28".to_owned()),
        ]
    }

    fn state(&self, word: Word) -> &'static str {
        state(word)
    }

    fn post(&self, repository: &Repository, _branch: &str, status: &Status) -> Request {
        post(repository, status)
    }

    fn meaning(&self, answer: &Answer) -> Meaning {
        let says = |words: &str| answer.body_says(words);
        match answer.status {
            // "This SHA and context has reached the maximum number of statuses": 1000 of them.
            422 if says("maximum number of statuses") => Meaning::Never,
            // A mirror may be ahead of the forge; this passes.
            422 if says("No commit found") => Meaning::AsNumbered,
            422 => Meaning::Never,
            // Secondary limits: 403 or 429, with or without a time.
            403 if says("rate limit") || says("abuse detection") => Meaning::Limited,
            _ => Meaning::AsNumbered,
        }
    }

    fn statuses(&self, repository: &Repository, commit: &str, page: u32) -> Request {
        Request {
            url: format!(
                "{}/repos/{}/commits/{}/statuses?per_page={PAGE}&page={page}",
                repository.api,
                owner_and_name(&repository.path),
                part(commit)
            ),
            body: None,
        }
    }

    fn read_statuses(&self, body: &[u8]) -> Option<Vec<Given>> {
        let all: Vec<Written> = serde_json::from_slice(body).ok()?;
        Some(all.into_iter().map(Given::from).collect())
    }

    fn page_size(&self) -> usize {
        PAGE
    }

    fn commits(&self, repository: &Repository, from: &str, count: u32) -> Request {
        Request {
            url: format!(
                "{}/repos/{}/commits?sha={}&per_page={count}",
                repository.api,
                owner_and_name(&repository.path),
                part(from)
            ),
            body: None,
        }
    }

    fn read_commits(&self, body: &[u8]) -> Option<Vec<Listed>> {
        commits(body)
    }
}

// Gitea's interface was made after this one; what follows is the same for both.

/// The word for a state.
pub fn state(word: Word) -> &'static str {
    match word {
        Word::Waiting | Word::Building | Word::Activating | Word::Verifying => "pending",
        Word::Success => "success",
        Word::Failure => "failure",
        Word::Error => "error",
    }
}

/// Posts a status.
pub fn post(repository: &Repository, status: &Status) -> Request {
    let mut body = json!({
        "state": state(status.word),
        "context": status.context,
        "description": status.description,
    });
    if let Some(link) = &status.link {
        body["target_url"] = json!(link);
    }
    Request {
        url: format!(
            "{}/repos/{}/statuses/{}",
            repository.api,
            owner_and_name(&repository.path),
            part(&status.commit)
        ),
        body: Some(body),
    }
}

/// A status in a list.
#[derive(Deserialize)]
pub struct Written {
    context: String,
    description: Option<String>,
    created_at: String,
}

impl From<Written> for Given {
    fn from(one: Written) -> Self {
        Self {
            context: one.context,
            description: one.description.unwrap_or_default(),
            time: one.created_at,
        }
    }
}

/// A list of commits.
pub fn commits(body: &[u8]) -> Option<Vec<Listed>> {
    #[derive(Deserialize)]
    struct One {
        sha: String,
        commit: Message,
    }
    #[derive(Deserialize)]
    struct Message {
        message: String,
    }
    let all: Vec<One> = serde_json::from_slice(body).ok()?;
    let listed = all.into_iter().map(|one| Listed {
        id: one.sha,
        subject: subject(&one.commit.message),
    });
    Some(listed.collect())
}
