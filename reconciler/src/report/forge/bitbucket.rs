//! Bitbucket Cloud.
//!
//! Sources: <https://developer.atlassian.com/cloud/bitbucket/rest/api-group-commit-statuses/>,
//! <https://support.atlassian.com/bitbucket-cloud/docs/api-request-limits/>.

use base64ct::{Base64, Encoding};
use serde::Deserialize;
use serde_json::json;

use super::answer::Answer;
use super::{Forge, Given, Listed, Meaning, Repository, Request, owner_and_name, part, subject};
use crate::decide::status::{Status, Word};

/// Bitbucket's interface.
#[derive(Debug)]
pub struct Bitbucket;

const PAGE: usize = 100;
/// The longest key of a status. A second status with the same key replaces the first.
const LONGEST_KEY: usize = 40;

impl Forge for Bitbucket {
    fn headers(&self, token: &str) -> Vec<(&'static str, String)> {
        // A token of a person stands beside their address; one of a repository stands alone.
        let authorization = if token.contains(':') {
            format!("Basic {}", Base64::encode_string(token.as_bytes()))
        } else {
            format!("Bearer {token}")
        };
        vec![
            ("Authorization", authorization),
            ("Accept", "application/json".to_owned()),
        ]
    }

    fn state(&self, word: Word) -> &'static str {
        match word {
            Word::Waiting | Word::Building | Word::Activating | Word::Verifying => "INPROGRESS",
            Word::Success => "SUCCESSFUL",
            Word::Failure | Word::Error => "FAILED",
        }
    }

    fn post(&self, repository: &Repository, _branch: &str, status: &Status) -> Request {
        // A status without a link is refused.
        let link = status
            .link
            .clone()
            .unwrap_or_else(|| format!("{}/commits/{}", repository.page, status.commit));
        Request {
            url: format!(
                "{}/repositories/{}/commit/{}/statuses/build",
                repository.api,
                owner_and_name(&repository.path),
                part(&status.commit)
            ),
            body: Some(json!({
                "key": key(&status.context),
                "name": status.context,
                "state": self.state(status.word),
                "description": status.description,
                "url": link,
            })),
        }
    }

    fn meaning(&self, answer: &Answer) -> Meaning {
        match answer.status {
            400 | 422 => Meaning::Never,
            _ => Meaning::AsNumbered,
        }
    }

    fn is_taken(&self, answer: &Answer, status: &Status) -> bool {
        // 200 where a status of that key is replaced.
        matches!(answer.status, 200 | 201) && answer.names("/key", &key(&status.context))
    }

    fn statuses(&self, repository: &Repository, commit: &str, page: u32) -> Request {
        Request {
            url: format!(
                "{}/repositories/{}/commit/{}/statuses?sort=-updated_on&pagelen={PAGE}&page={page}",
                repository.api,
                owner_and_name(&repository.path),
                part(commit)
            ),
            body: None,
        }
    }

    fn read_statuses(&self, body: &[u8]) -> Option<Vec<Given>> {
        #[derive(Deserialize)]
        struct One {
            key: String,
            name: Option<String>,
            description: Option<String>,
            updated_on: String,
        }
        let all: Page<One> = serde_json::from_slice(body).ok()?;
        let given = all.values.into_iter().map(|one| Given {
            context: one.name.unwrap_or(one.key),
            description: one.description.unwrap_or_default(),
            time: one.updated_on,
        });
        Some(given.collect())
    }

    fn page_size(&self) -> usize {
        PAGE
    }

    fn commits(&self, repository: &Repository, from: &str, count: u32) -> Request {
        Request {
            url: format!(
                "{}/repositories/{}/commits/{}?pagelen={count}",
                repository.api,
                owner_and_name(&repository.path),
                part(from)
            ),
            body: None,
        }
    }

    fn read_commits(&self, body: &[u8]) -> Option<Vec<Listed>> {
        #[derive(Deserialize)]
        struct One {
            hash: String,
            message: String,
        }
        let all: Page<One> = serde_json::from_slice(body).ok()?;
        let listed = all.values.into_iter().map(|one| Listed {
            id: one.hash,
            subject: subject(&one.message),
        });
        Some(listed.collect())
    }
}

#[derive(Deserialize)]
struct Page<T> {
    values: Vec<T>,
}

/// A context as a key: itself where it is short enough, else what git would call it.
fn key(context: &str) -> String {
    if context.chars().count() <= LONGEST_KEY {
        return context.to_owned();
    }
    // SHA-1 has 40 digits; nobody gains by two hosts of his own that share a key.
    git2::Oid::hash_object(git2::ObjectType::Blob, context.as_bytes()).map_or_else(
        |_| context.chars().take(LONGEST_KEY).collect(),
        |id| id.to_string(),
    )
}
