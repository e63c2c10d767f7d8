use super::*;

fn promise() -> Promise {
    Promise {
        head: "c2".to_owned(),
        duty: Duty::Keep("good".to_owned()),
        disturbed: false,
        refused: vec!["bad".to_owned()],
    }
}

/// A host on which all is well.
fn well() -> Observation {
    let system = || "/nix/store/a".to_owned();
    Observation {
        runs: system(),
        boots: system(),
        profile: system(),
        booted: "/nix/store/b".to_owned(),
        mark: "good".to_owned(),
        reported: Some("success".to_owned()),
        state: (500, 200),
        status: Status {
            running: system(),
            booted: "/nix/store/b".to_owned(),
            kept: system(),
            commit: "c2".to_owned(),
            waits: "up-to-date".to_owned(),
            about: "c2".to_owned(),
            ..Status::default()
        },
        ..Observation::default()
    }
}

/// The same where the head was refused and an earlier commit is kept.
fn refused() -> Observation {
    let mut seen = well();
    seen.reported = Some("failure".to_owned());
    seen.status.waits = "quarantined".to_owned();
    seen.status.commit = "c1".to_owned();
    seen.mark = "earlier".to_owned();
    seen
}

fn words(promise: &Promise, seen: &Observation) -> Vec<String> {
    let found = judge(promise, seen).into_iter();
    found.map(|violation| violation.what).collect()
}

#[test]
fn a_host_on_which_all_is_well_breaks_nothing() {
    assert!(words(&promise(), &well()).is_empty());
    let stands = Promise {
        duty: Duty::Stand("the commit is bad"),
        ..promise()
    };
    assert!(words(&stands, &refused()).is_empty());
}

/// A change that breaks one promise, and its name.
type Break = (&'static str, fn(&mut Observation));

const BREAKS: [Break; 26] = [
    ("reachable", |seen| seen.shut = Some("refused".into())),
    ("quiet", |seen| seen.unquiet = Some("backing-off".into())),
    ("bad", |seen| seen.mark = "bad".into()),
    ("good", |seen| seen.mark = "earlier".into()),
    ("boot", |seen| seen.boots = "/nix/store/c".into()),
    ("profile", |seen| seen.profile = "/nix/store/c".into()),
    ("failed", |seen| seen.failed.push("a.service".into())),
    ("gone", |seen| seen.gone.push("storm.service".into())),
    ("reports", |seen| seen.unreported.push("2-c".into())),
    ("units", |seen| {
        seen.units.push("nixus-expire-1.timer".into())
    }),
    ("mounts", |seen| seen.mounts.push("/var".into())),
    ("files", |seen| seen.files.push("/boot/a.new".into())),
    ("growth", |seen| seen.state.0 = MOST_STATE.0 + 1),
    ("growth", |seen| seen.state.1 = MOST_STATE.1 + 1),
    ("stuck", |seen| seen.status.open = Some("stuck".into())),
    ("status", |seen| {
        seen.status.silent = Some("exit code 1".into())
    }),
    ("status", |seen| seen.status.running = "/nix/store/c".into()),
    ("status", |seen| seen.status.booted = "/nix/store/c".into()),
    ("status", |seen| seen.status.kept = String::new()),
    ("status", |seen| seen.status.commit = "c1".into()),
    ("status", |seen| seen.status.about = "c1".into()),
    ("status", |seen| seen.status.open = Some("on-trial".into())),
    ("status", |seen| seen.status.unsent = true),
    ("status", |seen| {
        seen.status.complaints.push("damaged".into())
    }),
    ("status", |seen| seen.reported = None),
    ("status", |seen| seen.status.waits = "quarantined".into()),
];

#[test]
fn each_promise_that_is_broken_is_missed() {
    for (number, (what, change)) in BREAKS.into_iter().enumerate() {
        let mut seen = well();
        change(&mut seen);
        let found = words(&promise(), &seen);
        assert!(
            found.contains(&what.to_owned()),
            "{number}: {what}: {found:?}"
        );
        let others: Vec<_> = found.iter().filter(|one| *one != what).collect();
        // A bad commit is not a good one, and a deployment that is stuck is open.
        let implied = matches!(what, "bad" | "stuck");
        assert!(implied || others.is_empty(), "{number}: {what}: {found:?}");
    }
}

#[test]
fn a_good_commit_whose_trials_told_nothing_is_excused_where_something_disturbed_them() {
    let mut seen = refused();
    seen.status.waits = "inconclusive".to_owned();
    assert_eq!(words(&promise(), &seen), ["good"]);
    let disturbed = Promise {
        disturbed: true,
        ..promise()
    };
    assert!(words(&disturbed, &seen).is_empty());
    assert_eq!(words(&disturbed, &refused()), ["good"]);
}
