//! Each forge's documented rules, enforced by a server that this test starts, and what we send held
//! against them. Each rule has its source.

use std::time::Duration;

use serde_json::{Value, json};

use super::answer::judge;
use super::http::Client;
use super::read::{Reader, Seen};
use super::{Kind, Repository};
use crate::config::Authorities;
use crate::config::forge::{Reach, TokenSource};
use crate::decide::outbox::judgement::{Judged, Judgement};
use crate::decide::report::Report;
use crate::decide::status::{Seal, Status, Word};
use crate::host::testing::run;

pub mod rules;
pub mod server;

use rules::{Rules, SHA, TOKEN};
use server::{Fault, Server};

/// A forge of this kind, and a client that has a token for it.
pub struct Stage {
    pub server: Server<Rules>,
    pub repository: Repository,
    pub directory: tempfile::TempDir,
    pub kind: Kind,
}

impl Stage {
    pub fn new(kind: Kind) -> Self {
        let server = Server::start(Rules::new(kind));
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("token"), format!("{TOKEN}\n")).unwrap();
        Self {
            repository: Repository {
                kind,
                api: format!("http://{}/api", server.address),
                path: "fleet/deploy".to_owned(),
                page: "https://forge.example/fleet/deploy".to_owned(),
            },
            server,
            directory,
            kind,
        }
    }

    pub fn reach(&self) -> Reach {
        Reach {
            token: Some(TokenSource::File(self.directory.path().join("token"))),
            authorities: Authorities::System,
            proxy: None,
            timeout: Duration::from_secs(2),
        }
    }

    pub fn client(&self) -> Client {
        Client::new(self.kind.forge(), &self.reach()).unwrap()
    }

    pub fn post(&self, status: &Status) -> Judged {
        let forge = self.kind.forge();
        let request = forge.post(&self.repository, "main", status);
        let answer = run(self.client().ask(request)).unwrap();
        judge(forge, &answer, Some(status), jiff::Timestamp::now())
    }
}

fn report(host: &str, text: &str, word: Word) -> Report {
    serde_json::from_value(json!({
        "version": 1, "host": host, "commit": { "id": SHA, "subject": "open port 8080" },
        "state": word.state(), "text": text, "generation": null, "toplevel": null,
        "deployment": "7-aaaaaaa", "time": "2026-11-26T04:00:00Z", "sequence": 7,
    }))
    .unwrap()
}

const FORGES: [Kind; 4] = [Kind::GitHub, Kind::GitLab, Kind::Gitea, Kind::Bitbucket];

#[test]
fn every_status_of_ours_is_within_the_rules_of_every_forge() {
    let long = "Rolled back to generation 17: ärgerlich 😀 ".repeat(20);
    let link = format!(
        "https://logs.example/{}/{{host}}/{{commit}}",
        "x".repeat(300)
    );
    let seal = Seal {
        sequence: u64::MAX,
        signature: "A".repeat(86),
    };
    let host = format!("{}.example", "web".repeat(60));
    for kind in FORGES {
        let stage = Stage::new(kind);
        let mut last = "";
        for (host, word) in Word::ALL
            .iter()
            .flat_map(|word| [("web1", word), (&host, word)])
        {
            for (text, link, seal) in [
                ("short", None, None),
                (long.as_str(), Some(link.as_str()), None),
                (long.as_str(), None, Some(&seal)),
            ] {
                let status = Status::of(&report(host, text, *word), *word, link, seal);
                let judged = stage.post(&status).judgement;
                let state = kind.forge().state(*word);
                // GitLab refuses the state that it has; the outbox does not ask for it.
                let same = kind == Kind::GitLab && judged == Judgement::AlreadySo;
                assert!(
                    judged == Judgement::Taken || same,
                    "{kind:?} {word}: {judged:?}"
                );
                last = state;
            }
        }
        assert!(!last.is_empty());
    }
}

#[test]
fn what_was_posted_is_read_back_page_by_page() {
    for kind in FORGES {
        let stage = Stage::new(kind);
        let hosts = 230;
        for number in 0..hosts {
            let report = report(&format!("web{number}"), "done", Word::Success);
            let status = Status::of(&report, Word::Success, None, None);
            stage.server.with(|rules| {
                rules.clock += 1;
                rules.keep(&status, "success");
            });
        }
        let reader = Reader {
            client: stage.client(),
            repository: stage.repository.clone(),
        };
        let mut seen = Seen::default();
        let given = run(reader.news(SHA, &mut seen)).unwrap();
        let mut contexts: Vec<_> = given.iter().map(|one| one.context.clone()).collect();
        contexts.sort();
        contexts.dedup();
        assert_eq!(contexts.len(), hosts, "{kind:?}");
        assert!(given.iter().all(|one| one.description == "success done"));
        let commits = run(reader.commits("main", 5)).unwrap();
        assert_eq!(
            (commits[0].id.as_str(), commits[0].subject.as_str()),
            (SHA, "open port 8080")
        );
        // What was seen already is not read again: one page for each look.
        let before = stage.server.count();
        assert!(run(reader.news(SHA, &mut seen)).unwrap().is_empty());
        assert_eq!(stage.server.count() - before, 1, "{kind:?}");
    }
}

/// The server itself has teeth: what breaks a rule is refused, in the forge's own words.
#[test]
fn each_rule_is_enforced() {
    let good = |kind: Kind| -> Value {
        match kind {
            Kind::GitLab => json!({"state": "success", "name": "nixus/web1", "ref": "main"}),
            Kind::Bitbucket => {
                json!({"state": "SUCCESSFUL", "key": "k", "url": "https://x.example/"})
            }
            _ => json!({"state": "success", "context": "nixus/web1"}),
        }
    };
    let with = |kind: Kind, key: &str, value: Value| {
        let mut body = good(kind);
        body[key] = value;
        body
    };
    let long = |letters: usize| json!("x".repeat(letters));
    let table: Vec<(Kind, Value, u16)> = vec![
        (
            Kind::GitHub,
            with(Kind::GitHub, "state", json!("running")),
            422,
        ),
        (
            Kind::GitHub,
            with(Kind::GitHub, "description", long(141)),
            422,
        ),
        (
            Kind::GitHub,
            with(Kind::GitHub, "description", long(140)),
            201,
        ),
        (
            Kind::GitHub,
            with(Kind::GitHub, "target_url", json!("nonsense")),
            422,
        ),
        (
            Kind::GitLab,
            with(Kind::GitLab, "state", json!("failure")),
            400,
        ),
        (
            Kind::GitLab,
            with(
                Kind::GitLab,
                "target_url",
                json!(format!("https://{}", "x".repeat(250))),
            ),
            400,
        ),
        (
            Kind::Gitea,
            with(Kind::Gitea, "state", json!("running")),
            422,
        ),
        (Kind::Bitbucket, with(Kind::Bitbucket, "key", long(41)), 400),
        (
            Kind::Bitbucket,
            with(Kind::Bitbucket, "url", Value::Null),
            400,
        ),
        (
            Kind::Bitbucket,
            with(Kind::Bitbucket, "state", json!("success")),
            400,
        ),
    ];
    for (kind, body, status) in table {
        let stage = Stage::new(kind);
        let template = Status::of(
            &report("web1", "x", Word::Success),
            Word::Success,
            None,
            None,
        );
        let mut request = kind.forge().post(&stage.repository, "main", &template);
        request.body = Some(body.clone());
        let answer = run(stage.client().ask(request)).unwrap();
        assert_eq!(answer.status, status, "{kind:?} {body}");
    }
}

#[test]
fn a_thousand_statuses_of_one_context_are_the_end_at_github() {
    let stage = Stage::new(Kind::GitHub);
    let report = report("web1", "done", Word::Success);
    let status = Status::of(&report, Word::Success, None, None);
    stage.server.with(|rules| {
        for _ in 0..1000 {
            rules.keep(&status, "success");
        }
    });
    let judged = stage.post(&status).judgement;
    assert!(
        matches!(judged, Judgement::Refused { for_good: true, .. }),
        "{judged:?}"
    );
}

#[test]
fn a_state_that_gitlab_has_is_no_failure() {
    let stage = Stage::new(Kind::GitLab);
    let check = |word: Word, expected: fn(&Judgement) -> bool| {
        let status = Status::of(&report("web1", "x", word), word, None, None);
        let judged = stage.post(&status).judgement;
        assert!(expected(&judged), "{word}: {judged:?}");
    };
    check(Word::Building, |judged| *judged == Judgement::Taken);
    check(Word::Activating, |judged| *judged == Judgement::AlreadySo);
    check(Word::Waiting, |judged| {
        matches!(judged, Judgement::Refused { for_good: true, .. })
    });
    check(Word::Success, |judged| *judged == Judgement::Taken);
    // A job that has ended is followed by a new one.
    check(Word::Building, |judged| *judged == Judgement::Taken);
}

#[test]
fn a_token_that_is_not_good_and_a_commit_that_is_not_there_are_told_apart() {
    for (kind, unauthorised, gone) in [
        (Kind::GitHub, 401, 422),
        (Kind::GitLab, 401, 404),
        // Gitea has no better answer (routers/api/v1/repo/status.go: APIErrorInternal).
        (Kind::Gitea, 401, 500),
        (Kind::Bitbucket, 401, 404),
    ] {
        let stage = Stage::new(kind);
        let mut status = Status::of(
            &report("web1", "x", Word::Success),
            Word::Success,
            None,
            None,
        );
        let ask = |status: &Status| {
            let request = kind.forge().post(&stage.repository, "main", status);
            run(stage.client().ask(request)).unwrap()
        };
        assert!(matches!(ask(&status).status, 200 | 201), "{kind:?}");
        status.commit = "d".repeat(40);
        assert_eq!(ask(&status).status, gone, "{kind:?}");
        let judged = stage.post(&status).judgement;
        let for_good = matches!(judged, Judgement::Refused { for_good: true, .. });
        assert!(!for_good, "a mirror may be ahead: {judged:?}");
        std::fs::write(stage.directory.path().join("token"), "stale").unwrap();
        let answer = ask(&status);
        assert_eq!(answer.status, unauthorised, "{kind:?}");
        assert!(!answer.words().contains("stale"));
    }
}

#[test]
fn limits_are_named_by_each_forge_in_its_own_way() {
    for kind in FORGES {
        let stage = Stage::new(kind);
        stage.server.with(|rules| rules.requests_left = 1);
        let status = Status::of(
            &report("web1", "x", Word::Success),
            Word::Success,
            None,
            None,
        );
        let first = stage.post(&status);
        assert_eq!(first.judgement, Judgement::Taken, "{kind:?}");
        let judged = stage.post(&status).judgement;
        let Judgement::Limited { until, .. } = judged else {
            unreachable!("{kind:?}: {judged:?}");
        };
        // Bitbucket and Gitea name no time.
        let names = matches!(kind, Kind::GitHub | Kind::GitLab);
        assert_eq!(until.is_some(), names, "{kind:?}");
    }
}

#[test]
fn hangs_resets_and_redirects_end_and_show_the_token_to_nobody() {
    let stage = Stage::new(Kind::GitHub);
    let elsewhere = Server::start(Rules::new(Kind::GitHub));
    let status = Status::of(
        &report("web1", "x", Word::Success),
        Word::Success,
        None,
        None,
    );
    let request = Kind::GitHub
        .forge()
        .post(&stage.repository, "main", &status);
    let begun = std::time::Instant::now();
    for fault in [
        Fault::Hang,
        Fault::Reset,
        Fault::HalfAnAnswer,
        Fault::Garbage,
    ] {
        stage.server.fault(Some(fault));
        let error = run(stage.client().ask(request.clone())).unwrap_err();
        let said = format!("{error:?}");
        assert!(!said.contains(TOKEN), "{said}");
    }
    assert!(begun.elapsed() < Duration::from_secs(15));
    let to = format!(
        "http://{}/api/repos/fleet/deploy/statuses/{SHA}",
        elsewhere.address
    );
    stage.server.fault(Some(Fault::Answer(
        307,
        vec![("Location".into(), to)],
        String::new(),
    )));
    let judged = stage.post(&status).judgement;
    assert!(
        matches!(
            judged,
            Judgement::Refused {
                for_good: false,
                ..
            }
        ),
        "{judged:?}"
    );
    assert_eq!(elsewhere.count(), 0, "the token went to another server");
}

#[test]
fn requests_go_through_a_proxy_where_there_is_one() {
    // A proxy is asked for the whole URL, or to connect; the forge itself does not exist.
    let proxy = Server::start(Rules::new(Kind::GitHub));
    let stage = Stage::new(Kind::GitHub);
    let reach = Reach {
        proxy: Some(format!("http://{}", proxy.address)),
        ..stage.reach()
    };
    let client = Client::new(Kind::GitHub.forge(), &reach).unwrap();
    let status = Status::of(
        &report("web1", "x", Word::Success),
        Word::Success,
        None,
        None,
    );
    let mut request = Kind::GitHub
        .forge()
        .post(&stage.repository, "main", &status);
    request.url = "https://forge.invalid/api/x".to_owned();
    run(client.ask(request)).unwrap_err();
    let heads = proxy.heads();
    assert!(
        heads[0].starts_with("CONNECT forge.invalid:443"),
        "{heads:?}"
    );
    assert!(!heads[0].contains(TOKEN), "the proxy was shown the token");
}

#[test]
fn without_a_token_what_is_public_can_be_read() {
    let stage = Stage::new(Kind::GitHub);
    let reach = Reach {
        token: None,
        ..stage.reach()
    };
    let client = Client::new(Kind::GitHub.forge(), &reach).unwrap();
    let request = Kind::GitHub.forge().statuses(&stage.repository, SHA, 1);
    assert_eq!(run(client.ask(request)).unwrap().status, 200);
    let heads = stage.server.heads().join("\n").to_ascii_lowercase();
    assert!(!heads.contains("authorization"), "{heads}");
}
