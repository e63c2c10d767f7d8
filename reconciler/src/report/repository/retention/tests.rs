use std::time::Duration;

use nixus_switcher::protocol::Commit as Named;

use super::*;
use crate::config::Authorities;
use crate::decide::report::Reporter;
use crate::host::testing::run;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// A report in a state, made at a second.
fn report(state: State, second: i64) -> Report {
    let commit = Named {
        id: format!("{second:040}"),
        subject: second.to_string(),
    };
    let reporter = Reporter {
        host: "web1",
        now: at(second),
    };
    Report {
        state,
        ..reporter.building(&commit)
    }
}

#[test]
fn what_is_young_and_the_newest_of_each_outcome_is_kept() {
    use State::{Building, Error, Failure, Success};
    let table = [
        // (state and age of each report, newest first, and whether it is kept)
        vec![],
        vec![(Success, 1000, true)],
        vec![
            (Success, 1, true),
            (Building, 2, true),
            (Success, 3, true),
            (Building, 4, false),
        ],
        vec![
            (Building, 50, true),
            (Success, 60, true),
            (Building, 61, false),
            (Failure, 70, true),
            (Error, 80, true),
            (Error, 90, false),
            (Success, 91, false),
        ],
    ];
    let retention = Retention {
        age: SignedDuration::from_secs(10),
        most: 3,
    };
    for row in table {
        let reports: Vec<_> = row
            .iter()
            .map(|(state, age, _)| Some(report(*state, 1000 - age)))
            .collect();
        let expected: Vec<_> = row.iter().map(|(_, _, kept)| *kept).collect();
        assert_eq!(retention.keeps(&reports, at(1000)), expected, "{row:?}");
    }
}

#[test]
fn heartbeats_that_were_followed_and_do_not_count_are_removed_and_what_cannot_be_read_ages_with_its_neighbours()
 {
    let success = report(State::Success, 900);
    let beat = |second| {
        Reporter {
            host: "web1",
            now: at(second),
        }
        .heartbeat(&success)
    };
    let retention = Retention {
        age: SignedDuration::from_secs(500),
        most: 2,
    };
    let reports = [
        Some(beat(990)),
        Some(beat(980)),
        Some(success.clone()),
        None,
        Some(report(State::Building, 100)),
        None,
        Some(report(State::Building, 90)),
    ];
    assert_eq!(
        retention.keeps(&reports, at(1000)),
        [true, false, true, true, true, false, false]
    );
}

#[test]
fn a_host_goes_on_from_what_is_left_and_brings_nothing_back() {
    let folder = tempfile::tempdir().unwrap();
    let server = folder.path().join("server.git");
    Repository::init_bare(&server).unwrap();
    let remote = Remote {
        url: format!("file://{}", server.display()),
        ssh_key: None,
        known_hosts: None,
        token_file: None,
        authorities: Authorities::System,
        timeout: Duration::from_secs(30),
    };
    let web1 = ReportsRepository::new(folder.path().join("web1.git"));
    let now = Timestamp::now().as_second();
    let subjects = |repository: &ReportsRepository| -> Vec<String> {
        let history = repository.history("web1", 100).unwrap();
        history
            .into_iter()
            .map(|report| report.commit.subject)
            .collect()
    };
    let retention = Retention {
        age: SignedDuration::from_hours(1),
        most: 100,
    };
    let operator = ReportsRepository::new(folder.path().join("operator.git"));
    let mut seen = std::collections::BTreeMap::new();
    for ago in [9000, 8000, 7000, 200] {
        web1.keep(&report(State::Building, now - ago)).unwrap();
    }
    run(web1.send("web1", &remote)).unwrap();
    run(operator.fetch_all(&remote)).unwrap();
    operator.news(&mut seen).unwrap();
    let settled = web1.newest("web1").unwrap().unwrap().0;

    let would = run(prune(&remote, &retention, true)).unwrap();
    assert_eq!(
        would,
        Pruned {
            hosts: 1,
            reports: 4,
            removed: 3
        }
    );
    assert_eq!(run(prune(&remote, &retention, false)).unwrap(), would);
    let again = run(prune(&remote, &retention, false)).unwrap();
    assert_eq!(
        again,
        Pruned {
            hosts: 1,
            reports: 1,
            removed: 0
        }
    );

    // Two more, of which the host knows nothing of what became of the branch.
    for ago in [100, 50] {
        web1.keep(&report(State::Building, now - ago)).unwrap();
    }
    run(web1.send("web1", &remote)).unwrap();
    let left = [50, 100, 200].map(|ago| (now - ago).to_string());
    assert_eq!(subjects(&web1), left);
    assert!(!web1.unsent("web1").unwrap());
    run(operator.fetch_all(&remote)).unwrap();
    assert_eq!(subjects(&operator), left);
    // What was said long ago is not news, neither to who watches nor to the forge.
    assert_eq!(operator.news(&mut seen).unwrap().len(), 1);
    assert_eq!(web1.after("web1", Some(&settled), 100).unwrap().len(), 1);
    // And once more after that.
    web1.keep(&report(State::Building, now - 10)).unwrap();
    let short = Retention {
        most: 1,
        ..retention
    };
    let pruned = run(prune(&remote, &short, false)).unwrap();
    assert_eq!(pruned.removed, 2);
    run(web1.send("web1", &remote)).unwrap();
    let left = [10, 50].map(|ago| (now - ago).to_string());
    assert_eq!(subjects(&web1), left);
}

#[test]
fn a_host_that_reports_meanwhile_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = folder.path().join("server.git");
    Repository::init_bare(&server).unwrap();
    let remote = Remote {
        url: format!("file://{}", server.display()),
        ssh_key: None,
        known_hosts: None,
        token_file: None,
        authorities: Authorities::System,
        timeout: Duration::from_secs(30),
    };
    let hosts =
        ["db1", "web1"].map(|host| (host, ReportsRepository::new(folder.path().join(host))));
    let say = |place: usize, second: i64| {
        let (host, repository) = &hosts[place];
        let said = Report {
            host: (*host).to_owned(),
            ..report(State::Building, second)
        };
        repository.keep(&said).unwrap();
        run(repository.send(host, &remote)).unwrap();
    };
    for place in [0, 1] {
        for second in 1..4 {
            say(place, second);
        }
    }
    let copy = ReportsRepository::new(folder.path().join("copy.git"));
    let retention = Retention {
        age: SignedDuration::from_hours(1),
        most: 1,
    };
    let (pruned, moves) = run(look(&copy, &remote, &retention)).unwrap();
    assert_eq!((pruned.removed, moves.len()), (4, 2));
    say(1, 5);
    run(push(&copy, &remote, &moves)).unwrap();
    run(copy.fetch_all(&remote)).unwrap();
    assert_eq!(copy.history("db1", 9).unwrap().len(), 1);
    assert_eq!(copy.history("web1", 9).unwrap().len(), 4);
}

#[test]
fn no_push_is_larger_than_a_server_takes() {
    let table: [(&[usize], &[Range<usize>]); 4] = [
        (&[], &[]),
        (&[3, 3, 4, 1], &[0..3, 3..4]),
        (&[11, 2, 30, 5, 5], &[0..1, 1..2, 2..3, 3..5]),
        (&[10, 10], &[0..1, 1..2]),
    ];
    for (sizes, expected) in table {
        assert_eq!(batches(sizes, 10), expected, "{sizes:?}");
    }
}
