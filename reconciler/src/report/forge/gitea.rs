//! Gitea, and Forgejo, which has the same interface.
//!
//! Sources: <https://docs.gitea.com/api/> (repoCreateStatus, repoListStatuses),
//! go-gitea/gitea `routers/api/v1/repo/status.go`, `modules/commitstatus/commit_status.go`.

use super::answer::Answer;
use super::github;
use super::{Forge, Given, Listed, Meaning, Repository, Request, owner_and_name, part};
use crate::decide::status::{Status, Word};

/// Gitea's interface.
#[derive(Debug)]
pub struct Gitea;

/// `MAX_RESPONSE_ITEMS` (custom/conf/app.example.ini): a larger page is cut to this.
const PAGE: usize = 50;

impl Forge for Gitea {
    fn headers(&self, token: &str) -> Vec<(&'static str, String)> {
        vec![
            ("Authorization", format!("token {token}")),
            ("Accept", "application/json".to_owned()),
        ]
    }

    fn state(&self, word: Word) -> &'static str {
        github::state(word)
    }

    fn post(&self, repository: &Repository, _branch: &str, status: &Status) -> Request {
        github::post(repository, status)
    }

    fn meaning(&self, answer: &Answer) -> Meaning {
        match answer.status {
            // The body was not understood, which another try does not change.
            422 => Meaning::Never,
            _ => Meaning::AsNumbered,
        }
    }

    fn statuses(&self, repository: &Repository, commit: &str, page: u32) -> Request {
        Request {
            url: format!(
                "{}/repos/{}/statuses/{}?sort=recentupdate&limit={PAGE}&page={page}",
                repository.api,
                owner_and_name(&repository.path),
                part(commit)
            ),
            body: None,
        }
    }

    fn read_statuses(&self, body: &[u8]) -> Option<Vec<Given>> {
        // An empty list is `null`.
        let all: Option<Vec<github::Written>> = serde_json::from_slice(body).ok()?;
        let all = all.unwrap_or_default();
        Some(all.into_iter().map(Given::from).collect())
    }

    fn page_size(&self) -> usize {
        PAGE
    }

    fn commits(&self, repository: &Repository, from: &str, count: u32) -> Request {
        Request {
            url: format!(
                "{}/repos/{}/commits?sha={}&limit={count}&stat=false&verification=false&files=false",
                repository.api,
                owner_and_name(&repository.path),
                part(from)
            ),
            body: None,
        }
    }

    fn read_commits(&self, body: &[u8]) -> Option<Vec<Listed>> {
        github::commits(body)
    }
}
