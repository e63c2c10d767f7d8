//! GitLab, hosted or self-managed.
//!
//! Sources: <https://docs.gitlab.com/api/commits/#set-commit-pipeline-status>,
//! <https://docs.gitlab.com/api/rest/#rate-limits>.

use serde::Deserialize;
use serde_json::json;

use super::answer::Answer;
use super::{Forge, Given, Listed, Meaning, Repository, Request, part};
use crate::decide::status::{Status, Word};

/// GitLab's interface.
#[derive(Debug)]
pub struct GitLab;

const PAGE: usize = 100;
/// The longest link (app/models/generic_commit_status.rb: `validates :target_url, length: 255`).
const LONGEST_LINK: usize = 255;

impl Forge for GitLab {
    fn headers(&self, token: &str) -> Vec<(&'static str, String)> {
        vec![
            ("PRIVATE-TOKEN", token.to_owned()),
            ("Accept", "application/json".to_owned()),
        ]
    }

    fn state(&self, word: Word) -> &'static str {
        match word {
            Word::Waiting => "pending",
            Word::Building | Word::Activating | Word::Verifying => "running",
            Word::Success => "success",
            Word::Failure | Word::Error => "failed",
        }
    }

    fn post(&self, repository: &Repository, branch: &str, status: &Status) -> Request {
        let mut body = json!({
            "state": self.state(status.word),
            "name": status.context,
            "description": status.description,
            "ref": branch,
        });
        let link = status.link.as_ref();
        if let Some(link) = link.filter(|link| link.chars().count() <= LONGEST_LINK) {
            body["target_url"] = json!(link);
        }
        Request {
            url: format!(
                "{}/projects/{}/statuses/{}",
                repository.api,
                part(&repository.path),
                part(&status.commit)
            ),
            body: Some(body),
        }
    }

    fn meaning(&self, answer: &Answer) -> Meaning {
        match answer.status {
            // "Cannot transition status via :run from :running (Reason(s): Status cannot transition
            // via \"run\")": what it is already (gitlab.com/gitlab-org/gitlab, issue 25807).
            400 if SAME.iter().any(|words| answer.body_says(words)) => Meaning::AlreadySo,
            400 | 422 => Meaning::Never,
            _ => Meaning::AsNumbered,
        }
    }

    fn is_taken(&self, answer: &Answer, status: &Status) -> bool {
        answer.status == 201 && answer.names("/name", &status.context)
    }

    fn takes_same_state(&self) -> bool {
        false
    }

    fn statuses(&self, repository: &Repository, commit: &str, page: u32) -> Request {
        Request {
            // `all`: also those that a later one of the same name has replaced.
            url: format!(
                "{}/projects/{}/repository/commits/{}/statuses?all=true&order_by=id&sort=desc&per_page={PAGE}&page={page}",
                repository.api,
                part(&repository.path),
                part(commit)
            ),
            body: None,
        }
    }

    fn read_statuses(&self, body: &[u8]) -> Option<Vec<Given>> {
        #[derive(Deserialize)]
        struct One {
            name: String,
            description: Option<String>,
            created_at: String,
        }
        let all: Vec<One> = serde_json::from_slice(body).ok()?;
        let given = all.into_iter().map(|one| Given {
            context: one.name,
            description: one.description.unwrap_or_default(),
            time: one.created_at,
        });
        Some(given.collect())
    }

    fn page_size(&self) -> usize {
        PAGE
    }

    fn commits(&self, repository: &Repository, from: &str, count: u32) -> Request {
        Request {
            url: format!(
                "{}/projects/{}/repository/commits?ref_name={}&per_page={count}",
                repository.api,
                part(&repository.path),
                part(from)
            ),
            body: None,
        }
    }

    fn read_commits(&self, body: &[u8]) -> Option<Vec<Listed>> {
        #[derive(Deserialize)]
        struct One {
            id: String,
            title: String,
        }
        let all: Vec<One> = serde_json::from_slice(body).ok()?;
        let listed = all.into_iter().map(|one| Listed {
            id: one.id,
            subject: one.title,
        });
        Some(listed.collect())
    }
}

/// Each event from the state that it leads to (app/models/commit_status.rb).
const SAME: [&str; 5] = [
    ":enqueue from :pending",
    ":run from :running",
    ":success from :success",
    ":drop from :failed",
    ":cancel from :canceled",
];
