//! The rules of each forge, each with its source.

use serde_json::{Value, json};

use super::super::Kind;
use super::server::{Answered, Answers, Asked};
use crate::decide::status::Status;

pub const TOKEN: &str = "s3cret-0123456789";
/// The one commit that there is.
pub const SHA: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

pub struct Rules {
    kind: Kind,
    /// Newest at the end.
    pub kept: Vec<Kept>,
    /// What the forge's clock says, in seconds: what is kept next is of this time.
    pub clock: i64,
    /// So many requests are allowed.
    pub requests_left: u32,
    /// It gives three times what was asked for.
    pub unbounded: bool,
}

/// A status that was taken.
pub struct Kept {
    /// The context, or the key.
    context: String,
    state: String,
    pub description: String,
    second: i64,
}

fn answer(status: u16, body: Value) -> Answered {
    Answered {
        status,
        headers: vec![("Content-Type".into(), "application/json".into())],
        body: body.to_string(),
    }
}

impl Rules {
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            kept: Vec::new(),
            clock: 0,
            requests_left: u32::MAX,
            unbounded: false,
        }
    }

    pub fn keep(&mut self, status: &Status, state: &str) {
        self.push(&status.context, state, &status.description);
    }

    fn push(&mut self, context: &str, state: &str, description: &str) {
        self.kept.push(Kept {
            context: context.to_owned(),
            state: state.to_owned(),
            description: description.to_owned(),
            second: self.clock,
        });
    }

    /// The statuses as the forge lists them.
    fn listed(&self) -> Vec<&Kept> {
        let mut listed: Vec<_> = self.kept.iter().rev().collect();
        if matches!(self.kind, Kind::Gitea | Kind::Forgejo) {
            // models/git/commit_status.go: "updated_unix DESC", whole seconds and nothing else; those
            // of one second come as the database has them, from SQLite the oldest first.
            listed.reverse();
            listed.sort_by_key(|one| std::cmp::Reverse(one.second));
        }
        listed
    }

    fn limited(&self) -> Answered {
        let hour = (jiff::Timestamp::now().as_second() + 60).to_string();
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        match self.kind {
            // docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api:
            // "you will receive a 403 or 429 response, and the x-ratelimit-remaining header will be 0"
            Kind::GitHub => Answered {
                headers: vec![
                    header("x-ratelimit-remaining", "0"),
                    header("x-ratelimit-reset", &hour),
                ],
                ..answer(
                    403,
                    json!({"message": "API rate limit exceeded for user ID 1."}),
                )
            },
            // docs.gitlab.com/security/rate_limits/#response-headers
            Kind::GitLab => Answered {
                status: 429,
                headers: vec![
                    header("Retry-After", "60"),
                    header("RateLimit-Reset", &hour),
                    header("RateLimit-Remaining", "0"),
                ],
                body: "Retry later\n".to_owned(),
            },
            // support.atlassian.com/bitbucket-cloud/docs/api-request-limits: 429, no time is named.
            // Gitea has no limit of its own; a proxy before it does the same.
            _ => Answered {
                status: 429,
                headers: Vec::new(),
                body: "Rate limit for this resource has been exceeded".to_owned(),
            },
        }
    }

    fn is_authorised(&self, asked: &Asked) -> bool {
        let bearer = format!("Bearer {TOKEN}");
        match self.kind {
            Kind::GitHub | Kind::Bitbucket => asked.header("authorization") == bearer,
            // docs.gitlab.com/api/rest/authentication
            Kind::GitLab => asked.header("private-token") == TOKEN,
            // docs.gitea.com/development/api-usage#authentication
            Kind::Gitea | Kind::Forgejo => {
                asked.header("authorization") == format!("token {TOKEN}")
            }
        }
    }

    fn post(&mut self, asked: &Asked) -> Answered {
        let Ok(body) = serde_json::from_slice::<Value>(&asked.body) else {
            return answer(400, json!({"message": "Problems parsing JSON"}));
        };
        let prefix = match self.kind {
            // docs.github.com/en/rest/commits/statuses#create-a-commit-status
            Kind::GitHub | Kind::Gitea | Kind::Forgejo => "/api/repos/fleet/deploy/statuses/",
            // docs.gitlab.com/api/commits/#set-commit-pipeline-status
            Kind::GitLab => "/api/projects/fleet%2Fdeploy/statuses/",
            // developer.atlassian.com/cloud/bitbucket/rest/api-group-commit-statuses
            Kind::Bitbucket => "/api/repositories/fleet/deploy/commit/",
        };
        let not_found = || match self.kind {
            Kind::GitLab => answer(404, json!({"message": "404 Project Not Found"})),
            Kind::Bitbucket => answer(
                404,
                json!({"type": "error", "error": {"message": "Repository not found"}}),
            ),
            _ => answer(404, json!({"message": "Not Found"})),
        };
        let Some(rest) = asked.path.strip_prefix(prefix) else {
            return not_found();
        };
        let sha = rest.split('/').next().unwrap_or_default();
        if self.kind == Kind::Bitbucket && !rest.ends_with("/statuses/build") {
            return not_found();
        }
        if sha != SHA {
            return match self.kind {
                Kind::GitHub => answer(
                    422,
                    json!({"message": format!("No commit found for SHA: {sha}")}),
                ),
                Kind::GitLab => answer(404, json!({"message": "404 Commit Not Found"})),
                // go-gitea/gitea, routers/api/v1/repo/status.go: APIErrorInternal
                Kind::Gitea | Kind::Forgejo => answer(500, json!({"message": ""})),
                Kind::Bitbucket => answer(
                    404,
                    json!({"type": "error", "error": {"message": "Commit not found"}}),
                ),
            };
        }
        match self.kind {
            Kind::GitHub => self.github(&body),
            Kind::GitLab => self.gitlab(&body),
            Kind::Gitea | Kind::Forgejo => self.gitea(&body),
            Kind::Bitbucket => self.bitbucket(&body),
        }
    }

    fn github(&mut self, body: &Value) -> Answered {
        let invalid = |message: &str| {
            answer(
                422,
                json!({"message": "Validation Failed", "errors": [{"resource": "Status", "code": "custom", "message": message}]}),
            )
        };
        let text = |key: &str| body[key].as_str().unwrap_or_default();
        // "state: Can be one of: error, failure, pending, success"
        if !["error", "failure", "pending", "success"].contains(&text("state")) {
            return invalid("state is not included in the list");
        }
        // The answer to longer ones: github.com/zalando/zappr, issue 378.
        if text("description").chars().count() > 140 {
            return invalid("description is too long (maximum is 140 characters)");
        }
        let url = text("target_url");
        if !url.is_empty() && !url.starts_with("http") {
            return invalid("target_url must use http(s) scheme");
        }
        let context = text("context").to_owned();
        // "there is a limit of 1000 statuses per sha and context within a repository"
        if self
            .kept
            .iter()
            .filter(|one| one.context == context)
            .count()
            >= 1000
        {
            return invalid("This SHA and context has reached the maximum number of statuses.");
        }
        self.push(&context, text("state"), text("description"));
        answer(201, body.clone())
    }

    fn gitlab(&mut self, body: &Value) -> Answered {
        let text = |key: &str| body[key].as_str().unwrap_or_default();
        let state = text("state");
        // "state: one of pending, running, success, failed, canceled, skipped"
        if ![
            "pending", "running", "success", "failed", "canceled", "skipped",
        ]
        .contains(&state)
        {
            return answer(400, json!({"error": "state does not have a valid value"}));
        }
        // app/models/generic_commit_status.rb: validates :target_url, length: { maximum: 255 }
        if text("target_url").chars().count() > 255 {
            return answer(
                400,
                json!({"message": {"target_url": ["is too long (maximum is 255 characters)"]}}),
            );
        }
        // app/models/commit_status.rb, db: description is varchar(255) of old; ours are shorter.
        if text("description").chars().count() > 255 {
            return answer(400, json!({"message": {"description": ["is too long"]}}));
        }
        let name = text("name").to_owned();
        // gitlab.com/gitlab-org/gitlab-foss, issue 25807: a state is not entered twice, and there is
        // no rollback from running; a job that has ended is followed by a new one.
        let before = self.kept.iter().rev().find(|one| one.context == name);
        let before = before.map_or("", |one| one.state.as_str());
        let event = match state {
            "pending" => "enqueue",
            "running" => "run",
            "success" => "success",
            "failed" => "drop",
            _ => "cancel",
        };
        let running = ["pending", "running"].contains(&before);
        if running && (before == state || (before, state) == ("running", "pending")) {
            return answer(
                400,
                json!({"message": format!("Cannot transition status via :{event} from :{before} (Reason(s): Status cannot transition via \"{event}\")")}),
            );
        }
        self.push(&name, state, text("description"));
        answer(201, body.clone())
    }

    fn gitea(&mut self, body: &Value) -> Answered {
        let text = |key: &str| body[key].as_str().unwrap_or_default();
        // modules/commitstatus/commit_status.go; VARCHAR(7) in models/git/commit_status.go
        if ![
            "pending", "success", "error", "failure", "warning", "skipped",
        ]
        .contains(&text("state"))
        {
            return answer(422, json!({"message": "unknown state"}));
        }
        self.push(text("context"), text("state"), text("description"));
        answer(201, body.clone())
    }

    fn bitbucket(&mut self, body: &Value) -> Answered {
        let text = |key: &str| body[key].as_str().unwrap_or_default();
        let invalid = |field: &str, message: &str| {
            answer(
                400,
                json!({"type": "error", "error": {"message": "Bad request", "fields": {field: [message]}}}),
            )
        };
        // "state: FAILED, INPROGRESS, STOPPED, SUCCESSFUL"
        if !["FAILED", "INPROGRESS", "STOPPED", "SUCCESSFUL"].contains(&text("state")) {
            return invalid("state", "is not a valid choice");
        }
        let key = text("key");
        // fluxcd/notification-controller, internal/notifier/bitbucket.go: 40 characters at most
        if key.is_empty() || key.chars().count() > 40 {
            return invalid("key", "Ensure this value has at most 40 characters");
        }
        if !text("url").starts_with("http") {
            return invalid("url", "This field is required");
        }
        let name = match text("name") {
            "" => key,
            name => name,
        };
        // "If the specified key already exists, the existing status object will be overwritten."
        self.kept.retain(|one| one.context != name);
        self.push(name, text("state"), text("description"));
        answer(201, body.clone())
    }

    fn get(&self, asked: &Asked) -> Answered {
        let (path, query) = asked.path.split_once('?').unwrap_or((&asked.path, ""));
        let number = |name: &str| {
            let pair = query
                .split('&')
                .find_map(|pair| pair.strip_prefix(&format!("{name}=")));
            pair.and_then(|value| value.parse::<usize>().ok())
        };
        if path.contains("commits") && !path.contains("statuses") {
            let one = match self.kind {
                Kind::GitLab => json!({"id": SHA, "title": "open port 8080"}),
                Kind::Bitbucket => json!({"hash": SHA, "message": "open port 8080\n\nmore"}),
                _ => json!({"sha": SHA, "commit": {"message": "open port 8080\n\nmore"}}),
            };
            let all = vec![one; if self.unbounded { 24 } else { 1 }];
            return match self.kind {
                Kind::Bitbucket => answer(200, json!({"values": all})),
                _ => answer(200, json!(all)),
            };
        }
        let expected = match self.kind {
            Kind::GitHub => format!("/api/repos/fleet/deploy/commits/{SHA}/statuses"),
            Kind::GitLab => {
                format!("/api/projects/fleet%2Fdeploy/repository/commits/{SHA}/statuses")
            }
            Kind::Gitea | Kind::Forgejo => format!("/api/repos/fleet/deploy/statuses/{SHA}"),
            Kind::Bitbucket => format!("/api/repositories/fleet/deploy/commit/{SHA}/statuses"),
        };
        if path != expected {
            return answer(404, json!({"message": "Not Found"}));
        }
        // The longest page of each; a longer one is cut (docs.gitea.com: MAX_RESPONSE_ITEMS).
        let (name, most) = match self.kind {
            Kind::GitHub | Kind::GitLab => ("per_page", 100),
            Kind::Gitea | Kind::Forgejo => ("limit", 50),
            Kind::Bitbucket => ("pagelen", 100),
        };
        let most = if self.unbounded { usize::MAX } else { most };
        let size = number(name).unwrap_or(30).min(most);
        let size = if self.unbounded { size * 3 } else { size };
        let page = number("page").unwrap_or(1);
        let listed = self.listed().into_iter();
        let page = listed.skip(size * (page - 1)).take(size);
        let given: Vec<Value> = page
            .map(|one| {
                let (context, description) = (&one.context, &one.description);
                let time = jiff::Timestamp::from_second(1_795_665_600 + one.second).unwrap();
                match self.kind {
                    Kind::GitLab => json!({"name": context, "description": description, "created_at": time}),
                    Kind::Bitbucket => json!({"key": "x", "name": context, "description": description, "updated_on": time}),
                    _ => json!({"context": context, "description": description, "created_at": time}),
                }
            })
            .collect();
        match self.kind {
            Kind::Bitbucket => answer(200, json!({"values": given})),
            _ => answer(200, json!(given)),
        }
    }
}

impl Answers for Rules {
    fn answer(&mut self, asked: &Asked) -> Answered {
        // docs.github.com/en/rest/using-the-rest-api/getting-started-with-the-rest-api#user-agent
        if asked.header("user-agent").is_empty() {
            return answer(
                403,
                json!({"message": "Request forbidden by administrative rules."}),
            );
        }
        if asked.method == "GET" {
            return self.get(asked);
        }
        if !self.is_authorised(asked) {
            return answer(401, json!({"message": "Bad credentials"}));
        }
        if self.requests_left == 0 {
            return self.limited();
        }
        self.requests_left -= 1;
        self.post(asked)
    }
}
