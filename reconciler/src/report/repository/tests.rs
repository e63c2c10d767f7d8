use std::time::Duration;

use jiff::Timestamp;
use nixus_switcher::protocol::Commit;

use super::*;
use crate::config::Authorities;
use crate::decide::report::Reporter;
use crate::host::testing::run;

struct Place {
    directory: tempfile::TempDir,
    remote: Remote,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let server = directory.path().join("server.git");
        Repository::init_bare(&server).unwrap();
        let remote = Remote {
            url: format!("file://{}", server.display()),
            ssh_key: None,
            known_hosts: None,
            token_file: None,
            authorities: Authorities::System,
            timeout: Duration::from_secs(30),
        };
        Self { directory, remote }
    }

    fn repository(&self, name: &str) -> ReportsRepository {
        ReportsRepository::new(self.directory.path().join(name))
    }
}

fn report(host: &str, subject: &str) -> Report {
    let commit = Commit {
        id: "a".repeat(40),
        subject: subject.into(),
    };
    Reporter {
        host,
        now: Timestamp::UNIX_EPOCH,
    }
    .building(&commit)
}

fn subjects(reports: &[Report]) -> Vec<&str> {
    reports
        .iter()
        .map(|report| report.commit.subject.as_str())
        .collect()
}

#[test]
fn a_report_waits_until_it_is_sent_and_a_repeated_one_is_dropped() {
    let place = Place::new();
    let web1 = place.repository("web1.git");
    assert!(!web1.unsent("web1").unwrap());
    for subject in ["one", "one", "two"] {
        web1.keep(&report("web1", subject)).unwrap();
    }
    assert_eq!(subjects(&web1.history("web1", 9).unwrap()), ["two", "one"]);
    assert_eq!(subjects(&web1.history("web1", 1).unwrap()), ["two"]);
    assert!(web1.unsent("web1").unwrap());
    run(web1.send("web1", &place.remote)).unwrap();
    assert!(!web1.unsent("web1").unwrap());
}

#[test]
fn an_operator_sees_the_last_report_of_each_host() {
    let place = Place::new();
    for host in ["web1", "db1"] {
        let repository = place.repository(host);
        repository.keep(&report(host, "old")).unwrap();
        repository.keep(&report(host, host)).unwrap();
        run(repository.send(host, &place.remote)).unwrap();
    }
    let operator = place.repository("operator.git");
    run(operator.fetch_all(&place.remote)).unwrap();
    assert_eq!(subjects(&operator.latest().unwrap()), ["db1", "web1"]);
}

/// Puts a file as the report on a host's branch, as whoever has that host's key can.
fn plant(place: &Place, host: &str, content: &[u8]) {
    let server = place.remote.url.strip_prefix("file://").unwrap();
    let server = Repository::open_bare(server).unwrap();
    let blob = server.blob(content).unwrap();
    let mut tree = server.treebuilder(None).unwrap();
    tree.insert(FILE, blob, 0o100_644).unwrap();
    let tree = server.find_tree(tree.write().unwrap()).unwrap();
    let by = Signature::now("x", "x@example").unwrap();
    let parent = tip(&server, &local_ref(host)).unwrap();
    let parent = parent.map(|id| server.find_commit(id).unwrap());
    let parents: Vec<_> = parent.iter().collect();
    let name = local_ref(host);
    server
        .commit(Some(&name), &by, &by, "x", &tree, &parents)
        .unwrap();
}

#[test]
fn a_report_counts_only_on_its_own_hosts_branch() {
    let place = Place::new();
    for host in ["web1", "db1"] {
        let repository = place.repository(host);
        repository.keep(&report(host, host)).unwrap();
        run(repository.send(host, &place.remote)).unwrap();
    }
    let operator = place.repository("operator.git");
    let mut seen = std::collections::BTreeMap::new();
    run(operator.fetch_all(&place.remote)).unwrap();
    operator.news(&mut seen).unwrap();
    // web1 speaks for db1, for a host that is none, and of a commit that is none.
    let mut of_no_commit = report("web1", "x");
    of_no_commit.commit.id = "HEAD\u{1b}[2J".into();
    for lie in [
        report("db1", "lie"),
        report("-oProxyCommand=x", "lie"),
        of_no_commit,
    ] {
        plant(&place, "web1", &serde_json::to_vec(&lie).unwrap());
    }
    plant(&place, "-x", b"{}");
    run(operator.fetch_all(&place.remote)).unwrap();
    assert_eq!(subjects(&operator.latest().unwrap()), ["db1"]);
    assert!(operator.news(&mut seen).unwrap().is_empty());
    assert_eq!(subjects(&operator.history("db1", 9).unwrap()), ["db1"]);
    assert_eq!(subjects(&operator.history("web1", 9).unwrap()), ["web1"]);
}

#[test]
fn the_size_of_a_report_is_looked_at_before_it_is_read() {
    let place = Place::new();
    let web1 = place.repository("web1");
    web1.keep(&report("web1", "one")).unwrap();
    run(web1.send("web1", &place.remote)).unwrap();
    // A report that is one but for its length.
    let mut long = serde_json::to_vec(&report("db1", "long")).unwrap();
    long.resize(MAX_REPORT + 1, b' ');
    plant(&place, "db1", &long);
    long.truncate(MAX_REPORT);
    plant(
        &place,
        "db2",
        &serde_json::to_vec(&report("db2", "two")).unwrap(),
    );
    let operator = place.repository("operator.git");
    run(operator.fetch_all(&place.remote)).unwrap();
    assert_eq!(subjects(&operator.latest().unwrap()), ["two", "one"]);
    // A server that knows filters does not even send it.
    let server = place.remote.url.strip_prefix("file://").unwrap();
    let config = Repository::open_bare(server).unwrap().config();
    config
        .unwrap()
        .set_bool("uploadpack.allowFilter", true)
        .unwrap();
    let another = place.repository("another.git");
    run(another.fetch_all(&place.remote)).unwrap();
    assert_eq!(subjects(&another.latest().unwrap()), ["two", "one"]);
    let local = another.open().unwrap();
    let tree = tip(&local, &local_ref("db1")).unwrap().unwrap();
    let tree = local.find_commit(tree).unwrap().tree().unwrap();
    assert!(local.find_blob(tree.get_name(FILE).unwrap().id()).is_err());
}

#[test]
fn a_host_with_a_new_disk_continues_its_reports() {
    let place = Place::new();
    let before = place.repository("before.git");
    before.keep(&report("web1", "before")).unwrap();
    run(before.send("web1", &place.remote)).unwrap();

    let after = place.repository("after.git");
    run(after.take_over("web1", &place.remote)).unwrap();
    assert!(!after.unsent("web1").unwrap());
    after.keep(&report("web1", "after")).unwrap();
    run(after.send("web1", &place.remote)).unwrap();
    assert_eq!(
        subjects(&after.history("web1", 9).unwrap()),
        ["after", "before"]
    );

    let other = place.repository("other.git");
    run(other.take_over("db1", &place.remote)).unwrap();
    assert!(other.history("db1", 9).unwrap().is_empty());
}

#[test]
fn a_server_that_is_gone_keeps_the_report_waiting() {
    let place = Place::new();
    let web1 = place.repository("web1.git");
    web1.keep(&report("web1", "one")).unwrap();
    let gone = Remote {
        url: "file:///no/such/reports.git".into(),
        ..place.remote.clone()
    };
    let error = run(web1.send("web1", &gone)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot send reports to file:///no/such/reports.git"
    );
    assert!(web1.unsent("web1").unwrap());
}

#[test]
fn a_report_that_is_kept_while_another_is_sent_still_waits() {
    let place = Place::new();
    let web1 = place.repository("web1.git");
    web1.keep(&report("web1", "one")).unwrap();
    // The push has begun when the second report is kept: send is polled once, then left.
    run(async {
        let mut sending = Box::pin(web1.send("web1", &place.remote));
        let begun = tokio::time::timeout(Duration::ZERO, &mut sending).await;
        assert!(begun.is_err());
        web1.keep(&report("web1", "two")).unwrap();
        sending.await.unwrap();
    });
    assert!(web1.unsent("web1").unwrap());
}

#[test]
fn after_damage_reports_go_on_after_those_that_the_remote_has() {
    let place = Place::new();
    let web1 = place.repository("web1.git");
    web1.sound("web1").unwrap();
    for subject in ["one", "two"] {
        web1.keep(&report("web1", subject)).unwrap();
    }
    web1.sound("web1").unwrap();
    run(web1.send("web1", &place.remote)).unwrap();
    let tip = std::fs::read_to_string(web1.path.join("refs/heads/hosts/web1")).unwrap();
    let (directory, file) = tip.trim().split_at(2);
    let object = web1.path.join("objects").join(directory).join(file);
    std::fs::remove_file(object).unwrap();
    web1.sound("web1").unwrap_err();
    let aside = web1.set_aside().unwrap();
    assert_eq!(aside, place.directory.path().join("web1.git.damaged-1"));
    web1.sound("web1").unwrap();
    // The remote is away at first, so that a report is kept before the others are known again.
    web1.keep(&report("web1", "three")).unwrap();
    run(web1.send("web1", &place.remote)).unwrap();
    let expected = ["three", "two", "one"];
    assert_eq!(subjects(&web1.history("web1", 9).unwrap()), expected);
    assert!(!web1.unsent("web1").unwrap());
}

/// A report on a commit of its own for each letter.
fn on(host: &str, letter: &str, why: &str) -> Report {
    let commit = Commit {
        id: letter.repeat(40),
        subject: letter.into(),
    };
    Reporter {
        host,
        now: Timestamp::UNIX_EPOCH,
    }
    .not_built(&commit, why)
}

fn texts(reports: &[Report]) -> Vec<String> {
    let text = |report: &Report| {
        let why = report.text.rsplit(": ").next().unwrap();
        format!("{}{}", report.commit.subject, why)
    };
    reports.iter().map(text).collect()
}

#[test]
fn after_a_place_the_last_report_of_each_commit_waits_in_order() {
    let place = Place::new();
    let web1 = place.repository("web1.git");
    for (letter, why) in [("a", "1"), ("a", "2"), ("b", "3"), ("a", "4"), ("c", "5")] {
        web1.keep(&on("web1", letter, why)).unwrap();
    }
    let waiting = |settled: Option<&str>| web1.after("web1", settled, 100).unwrap();
    let only = |found: &[(String, Report)]| -> Vec<String> {
        let reports: Vec<Report> = found.iter().map(|(_, report)| report.clone()).collect();
        texts(&reports)
    };
    // Who begins to post does not post the past.
    assert_eq!(only(&waiting(None)), ["c5"]);
    assert_eq!(only(&waiting(Some(&"f".repeat(40)))), ["c5"]);
    assert_eq!(only(&waiting(Some("nonsense"))), ["c5"]);
    let history = web1.history("web1", 9).unwrap();
    let numbers: Vec<u64> = history.iter().map(|report| report.sequence).collect();
    assert_eq!(numbers, [4, 3, 2, 1, 0]);
    let first = place.repository("web1.git");
    let repository = first.open().unwrap();
    let tip = repository
        .revparse_single("refs/heads/hosts/web1~4")
        .unwrap();
    let tip = tip.id().to_string();
    let found = waiting(Some(&tip));
    assert_eq!(only(&found), ["b3", "a4", "c5"]);
    assert_eq!(only(&waiting(Some(&found[1].0))), ["c5"]);
    assert_eq!(only(&waiting(Some(&found[2].0))), Vec::<String>::new());
}

#[test]
fn what_all_hosts_say_is_news_once() {
    let place = Place::new();
    let all = place.repository("all.git");
    for (host, letter, why) in [
        ("web1", "a", "1"),
        ("web1", "b", "2"),
        ("web1", "b", "3"),
        ("db1", "b", "4"),
    ] {
        all.keep(&on(host, letter, why)).unwrap();
    }
    let mut seen = std::collections::BTreeMap::new();
    let mut news = texts(&all.news(&mut seen).unwrap());
    news.sort();
    // Of each host, all about the commit that it last spoke of.
    assert_eq!(news, ["b2", "b3", "b4"]);
    assert!(all.news(&mut seen).unwrap().is_empty());
    all.keep(&on("db1", "c", "5")).unwrap();
    all.keep(&on("db1", "c", "6")).unwrap();
    assert_eq!(texts(&all.news(&mut seen).unwrap()), ["c5", "c6"]);
}
