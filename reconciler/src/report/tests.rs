use nixus_switcher::protocol::Commit;

use super::*;
use crate::cli::status::statuses::view;
use crate::config::forge::Kind;
use crate::decide::outbox::Outbox;
use crate::decide::report::Reporter;
use crate::host::testing::run;
use crate::report::forge::contract::Stage;
use crate::report::forge::contract::rules::SHA;
use crate::report::forge::contract::server::Fault;

/// A host whose forge is a stage.
struct Scene {
    stage: Stage,
    config: Config,
    paths: Paths,
    switcher: Switcher,
}

impl Scene {
    fn new(kind: Kind) -> Self {
        let stage = Stage::new(kind);
        let text = r#"
host = "web1"
[repository]
url = "https://github.com/fleet/deploy"
[statuses]
token_file = "/run/keys/forge"
"#;
        let mut config = Config::parse(std::path::Path::new("config.toml"), text).unwrap();
        if let Some(statuses) = &mut config.statuses {
            statuses.repository = stage.repository.clone();
            statuses.reach = stage.reach();
            statuses.reach.timeout = Duration::from_secs(1);
            statuses.policy.repeats = kind.forge().takes_same_state();
        }
        Self {
            paths: Paths {
                state: stage.directory.path().join("state"),
                run: stage.directory.path().join("run"),
                ..Paths::default()
            },
            config,
            stage,
            switcher: Switcher::default(),
        }
    }

    fn report(&self, make: impl FnOnce(Reporter<'_>, &Commit) -> Report) {
        let commit = Commit {
            id: SHA.to_owned(),
            subject: "open port 8080".into(),
        };
        let reporter = Reporter {
            host: "web1",
            now: Timestamp::now(),
        };
        ReportsRepository::new(self.paths.reports())
            .keep(&make(reporter, &commit))
            .unwrap();
    }

    fn post(&self) {
        let post = Post {
            config: &self.config,
            statuses: self.config.statuses.as_ref().unwrap(),
            paths: &self.paths,
            switcher: &self.switcher,
        };
        run(post.post(true)).unwrap();
    }

    fn outbox(&self) -> Outbox {
        outbox_file::load(&self.paths).unwrap()
    }

    /// All waits are over.
    fn time_passes(&self) {
        let mut outbox = self.outbox();
        outbox.wait = None;
        outbox.asked = None;
        let held = outbox.held.iter_mut();
        held.for_each(|held| held.until = Timestamp::UNIX_EPOCH);
        outbox_file::save(&self.paths, &outbox).unwrap();
    }

    fn on_page(&self) -> Vec<String> {
        self.stage.server.with(|rules| {
            rules
                .kept
                .iter()
                .map(|one| one.description.clone())
                .collect()
        })
    }
}

#[test]
fn the_newest_report_of_a_commit_is_posted_and_nothing_twice() {
    for kind in [Kind::GitHub, Kind::GitLab, Kind::Gitea, Kind::Bitbucket] {
        let scene = Scene::new(kind);
        scene.report(|reporter, commit| reporter.building(commit));
        scene.post();
        assert_eq!(scene.on_page(), ["building"]);
        scene.post();
        scene.report(|reporter, commit| reporter.not_built(commit, "no such header"));
        scene.time_passes();
        scene.post();
        scene.time_passes();
        scene.post();
        let page = scene.on_page();
        assert_eq!(page.last().unwrap(), "error not built: no such header");
        let before = scene.stage.server.count();
        scene.time_passes();
        scene.post();
        assert_eq!(scene.stage.server.count(), before, "{kind:?}");
    }
}

/// Whatever a forge does, nothing is lost, nothing waits for longer than one request may take, and
/// once it is well again the commit has the host's last word.
#[test]
fn a_forge_that_hangs_resets_or_fails_loses_nothing() {
    let answer = |status, body: &str| Fault::Answer(status, Vec::new(), body.to_owned());
    for fault in [
        Fault::Hang,
        Fault::Reset,
        Fault::HalfAnAnswer,
        Fault::Garbage,
        answer(500, "oops"),
        answer(502, ""),
        answer(429, "slow down"),
        answer(401, r#"{"message":"Bad credentials"}"#),
        answer(403, r#"{"message":"Resource not accessible"}"#),
        answer(404, r#"{"message":"Not Found"}"#),
        answer(422, r#"{"message":"No commit found for SHA"}"#),
    ] {
        let scene = Scene::new(Kind::GitHub);
        scene.report(|reporter, commit| reporter.building(commit));
        scene.stage.server.fault(Some(fault.clone()));
        let begun = Instant::now();
        scene.post();
        assert!(begun.elapsed() < Duration::from_secs(5), "{fault:?}");
        // Asked again at once, the forge is left in peace.
        let before = scene.stage.server.count();
        scene.post();
        assert_eq!(scene.stage.server.count(), before, "{fault:?}");
        let shown = view(&scene.config, &scene.paths, &scene.switcher).unwrap();
        assert!(
            shown.held_back.is_some() || !shown.refused.is_empty(),
            "{fault:?}: {shown:?}"
        );
        scene.report(|reporter, commit| reporter.not_built(commit, "no such header"));
        scene.stage.server.fault(None);
        for _ in 0..3 {
            scene.time_passes();
            scene.post();
        }
        let page = scene.on_page();
        assert_eq!(
            page.last().unwrap(),
            "error not built: no such header",
            "{fault:?}"
        );
        let shown = view(&scene.config, &scene.paths, &scene.switcher).unwrap();
        assert_eq!(shown.waiting, 0, "{fault:?}: {shown:?}");
        assert!(
            shown.held_back.is_none() && shown.refused.is_empty(),
            "{shown:?}"
        );
    }
}

#[test]
fn how_a_deployment_ended_goes_out_at_once_after_trouble() {
    let scene = Scene::new(Kind::GitHub);
    scene.report(|reporter, commit| reporter.building(commit));
    scene.stage.server.fault(Some(Fault::Reset));
    scene.post();
    scene.stage.server.fault(None);
    scene.report(|reporter, commit| reporter.gave_up(commit, "repository unreachable"));
    std::thread::sleep(Duration::from_millis(1100));
    scene.post();
    assert_eq!(
        scene.on_page(),
        ["failure not tried again: repository unreachable"]
    );
}

#[test]
fn what_a_forge_will_never_take_is_told_and_left() {
    let scene = Scene::new(Kind::GitHub);
    scene.report(|reporter, commit| reporter.building(commit));
    let full = r#"{"message":"Validation Failed","errors":[{"message":"This SHA and context has reached the maximum number of statuses."}]}"#;
    scene
        .stage
        .server
        .fault(Some(Fault::Answer(422, Vec::new(), full.to_owned())));
    scene.post();
    scene.time_passes();
    scene.post();
    assert_eq!(scene.stage.server.count(), 1);
    let shown = view(&scene.config, &scene.paths, &scene.switcher).unwrap();
    assert_eq!(shown.refused.len(), 1);
    assert_eq!(shown.refused[0].again, None);
}

#[test]
fn without_a_token_reports_wait_and_the_status_says_why() {
    let scene = Scene::new(Kind::GitHub);
    let token = scene.stage.directory.path().join("token");
    let content = std::fs::read(&token).unwrap();
    std::fs::remove_file(&token).unwrap();
    scene.report(|reporter, commit| reporter.building(commit));
    scene.post();
    assert_eq!(scene.stage.server.count(), 0);
    let shown = view(&scene.config, &scene.paths, &scene.switcher).unwrap();
    let why = &shown.held_back.as_ref().unwrap().why;
    assert!(why.contains("cannot read the token"), "{why}");
    std::fs::write(&token, content).unwrap();
    scene.time_passes();
    scene.post();
    assert_eq!(scene.on_page(), ["building"]);
}

#[test]
fn a_power_cut_between_answer_and_note_posts_again_and_loses_nothing() {
    let scene = Scene::new(Kind::GitHub);
    scene.report(|reporter, commit| reporter.building(commit));
    scene.post();
    std::fs::remove_file(scene.paths.outbox()).unwrap();
    scene.post();
    assert_eq!(scene.on_page(), ["building", "building"]);
    // A lost outbox begins with the last report, and not with the whole history.
    scene.report(|reporter, commit| reporter.not_built(commit, "x"));
    std::fs::remove_file(scene.paths.outbox()).unwrap();
    scene.post();
    assert_eq!(scene.on_page().len(), 3);
}

#[test]
fn a_token_is_in_no_file_of_the_state_and_in_no_status() {
    let scene = Scene::new(Kind::GitHub);
    scene.report(|reporter, commit| reporter.building(commit));
    scene
        .stage
        .server
        .fault(Some(Fault::Answer(401, Vec::new(), "{}".to_owned())));
    scene.post();
    let token = crate::report::forge::contract::rules::TOKEN;
    let state = std::fs::read_to_string(scene.paths.outbox()).unwrap();
    assert!(!state.contains(token));
    let shown = view(&scene.config, &scene.paths, &scene.switcher).unwrap();
    assert!(!format!("{shown:?}{:?}", scene.config).contains(token));
}

#[test]
fn statuses_are_signed_where_that_is_wanted() {
    let mut scene = Scene::new(Kind::GitHub);
    let key = scene.stage.directory.path().join("host_key");
    std::fs::write(&key, include_str!("signature/test_ed25519")).unwrap();
    scene.config.health.ssh.host_key = key.clone();
    if let Some(statuses) = &mut scene.config.statuses {
        statuses.sign = true;
    }
    scene.report(|reporter, commit| reporter.not_built(commit, "no such header"));
    scene.post();
    let page = scene.on_page();
    let read = crate::decide::status::read(&page[0]).unwrap();
    let seal = read.seal.unwrap();
    let public = own_key(&key).unwrap().public_key().clone();
    let statement = Statement {
        host: "web1",
        commit: SHA,
        outcome: Word::Error,
        sequence: seal.sequence,
        words: &read.text,
    };
    let signed = statement.signed(&seal.signature, &[public.into()]);
    assert_eq!(
        signed,
        crate::report::signature::Signed::Whole,
        "{}",
        page[0]
    );
    // The number rises with each report.
    scene.report(|reporter, commit| reporter.building(commit));
    scene.time_passes();
    scene.post();
    let page = scene.on_page();
    let later = crate::decide::status::read(&page[1]).unwrap().seal.unwrap();
    assert!(later.sequence > seal.sequence);
}
