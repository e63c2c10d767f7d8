use std::path::PathBuf;

use anstream::adapter::strip_str;

use super::*;
use crate::decide::plan::Reason;
use crate::decide::verdict::sightings::Sign;
use nixus_switcher::protocol::Commit;

fn toplevel(letter: &str) -> Toplevel {
    let path = format!("/nix/store/{}-nixos-system", letter.repeat(32));
    Toplevel::try_from(PathBuf::from(path)).unwrap()
}

fn commit(letter: &str) -> CommitId {
    CommitId::try_from(letter.repeat(40)).unwrap()
}

fn full() -> Status {
    let time = Timestamp::from_second(1_790_000_000).unwrap();
    let kept = Kept {
        commit: Commit {
            id: commit("a").to_string(),
            subject: "open port 8080".into(),
        },
        toplevel: toplevel("a"),
        generation: Some(43),
        since: time,
    };
    Status {
        now: Timestamp::now(),
        version: 1,
        host: "web1".into(),
        running: toplevel("a"),
        generation: Some(43),
        boot: Boot {
            booted: Some(toplevel("b")),
            proven: false,
            on_trial: false,
            told_nothing: None,
            other_picked: false,
            unproven: Some(Unproven {
                commits: 2,
                generation: Some(41),
            }),
            would_undo: ["a", "b"]
                .map(|letter| CommitLine {
                    id: commit(letter).to_string(),
                    subject: "open port 8080".into(),
                })
                .into(),
        },
        kept: Some(kept),
        anchor: Some(commit("b")),
        accepted: Some(commit("a")),
        open: Some(OpenView {
            deployment: "5-ccccccc".into(),
            phase: "on trial".into(),
            commit: CommitLine {
                id: commit("c").to_string(),
                subject: "new kernel".into(),
            },
            candidate: toplevel("c"),
            until: Some(time),
            abandoned: true,
        }),
        last_pass: Some(LastPass {
            time: Timestamp::now(),
            waits_for: Reason::DeploymentOpen {
                deployment: "5-ccccccc".parse().unwrap(),
            },
        }),
        passes_stopped: Some(time),
        pass_overdue: Some(Reason::PassOverdue {
            since: time,
            why: "passes are kept out".into(),
        }),
        noticed: vec![Noticed {
            host: "db1".into(),
            what: Sign::PassesStopped,
            since: time,
        }],
        next: "something".into(),
        next_pass: Some(time),
        suspended: Some(Suspension {
            version: 1,
            since: time,
            until: None,
            why: Some("a freeze".into()),
        }),
        backoff: Some(Backoff {
            failures: 2,
            until: time,
            reason: "no route".into(),
            head: None,
        }),
        last_failure: Some(Failure {
            time: Timestamp::now(),
            commit: Some(commit("d").to_string()),
            text: "not built: error\nmore".into(),
        }),
        quarantine: vec![Quarantined {
            commit: commit("d"),
            toplevel: None,
            reason: "error\nmore".into(),
            since: time,
            needs_reboot: false,
            by_what_was: false,
        }],
        reports_unsent: Some(true),
        statuses: Some(statuses::StatusesView {
            on: "fleet/deploy on gitea".into(),
            waiting: 2,
            last: Some(statuses::Last {
                commit: commit("a").to_string(),
                description: "success done".into(),
                time: Timestamp::now(),
            }),
            held_back: Some(statuses::HeldBack {
                until: time,
                named_by_forge: true,
                why: "429 Too Many Requests".into(),
            }),
            refused: vec![statuses::Refused {
                commit: commit("d").to_string(),
                word: crate::decide::status::Word::Error,
                why: "404 Not Found".into(),
                again: Some(time),
            }],
        }),
        damage: Some(Damage {
            file: "/x/ledger.json.damaged-1".into(),
            problem: "was damaged and is set aside".into(),
            newer: false,
        }),
        journal_damage: Some("the journal /x/journal-a.json is damaged: torn".into()),
        history_damage: vec!["/x/history/0000000002-2-a.json: torn".into()],
        set_aside: vec!["/x/ledger.json.damaged-1".into()],
    }
}

/// Every path in a JSON value; the shape that programs rely on.
fn shape(value: &serde_json::Value, path: &str, into: &mut Vec<String>) {
    match value {
        serde_json::Value::Object(fields) => {
            for (key, value) in fields {
                shape(value, &format!("{path}.{key}"), into);
            }
        }
        serde_json::Value::Array(items) => {
            for value in items {
                shape(value, &format!("{path}[]"), into);
            }
        }
        _ => into.push(path.to_owned()),
    }
}

#[test]
fn the_json_keeps_its_shape() {
    let mut found = Vec::new();
    shape(&serde_json::to_value(full()).unwrap(), "", &mut found);
    found.sort();
    let expected = "\
.accepted
.anchor
.backoff.failures
.backoff.reason
.backoff.until
.boot.booted
.boot.on_trial
.boot.other_picked
.boot.proven
.boot.told_nothing
.boot.unproven.commits
.boot.unproven.generation
.boot.would_undo[].id
.boot.would_undo[].id
.boot.would_undo[].subject
.boot.would_undo[].subject
.damage.file
.damage.newer
.damage.problem
.generation
.history_damage[]
.host
.journal_damage
.kept.commit.id
.kept.commit.subject
.kept.generation
.kept.since
.kept.toplevel
.last_failure.commit
.last_failure.text
.last_failure.time
.last_pass.time
.last_pass.waits_for.deployment
.last_pass.waits_for.reason
.next
.next_pass
.noticed[].host
.noticed[].since
.noticed[].what
.open.abandoned
.open.candidate
.open.commit.id
.open.commit.subject
.open.deployment
.open.phase
.open.until
.pass_overdue.reason
.pass_overdue.since
.pass_overdue.why
.passes_stopped
.quarantine[].commit
.quarantine[].needs_reboot
.quarantine[].reason
.quarantine[].since
.quarantine[].toplevel
.reports_unsent
.running
.set_aside[]
.statuses.held_back.named_by_forge
.statuses.held_back.until
.statuses.held_back.why
.statuses.last.commit
.statuses.last.description
.statuses.last.time
.statuses.on
.statuses.refused[].again
.statuses.refused[].commit
.statuses.refused[].why
.statuses.refused[].word
.statuses.waiting
.suspended.since
.suspended.until
.suspended.version
.suspended.why
.version";
    assert_eq!(found.join("\n"), expected);
}

#[test]
fn people_are_told_the_same_line_by_line() {
    let status = full();
    let text = status.to_string();
    assert!(text.contains("\u{1b}["));
    let system = |letter: &str| toplevel(letter).to_string();
    let expected = format!(
        "\
host          web1
running       {a} (generation 43)
commit        commit aaaaaaa \"open port 8080\", since 2026-09-21T14:13:20Z
boot          not boot-proven: what runs was activated in place; a first boot that fails goes back to generation 41 and undoes 2 commits
open          deployment 5-ccccccc of commit ccccccc \"new kernel\": on trial, until 2026-09-21T14:13:20Z, but nobody works on it
waiting       deployment 5-ccccccc is under way (pass ended 0 s ago)
passes        none since 2026-09-21T14:13:20Z ({stopped}), although they are due: see `systemctl status nixus-reconcile.timer nixus-reconcile.service`
passes        passes are kept out, since 2026-09-21T14:13:20Z
peers         db1 makes no passes, since 2026-09-21T14:13:20Z ({stopped})
next          something (next pass 2026-09-21T14:13:20Z)
suspended     suspended until `nixus resume`: a freeze
last failure  ddddddd: not built: error (0 s ago)
quarantined   ddddddd: error
reports       some wait to be sent
statuses      fleet/deploy on gitea, last aaaaaaa: success done (0 s ago)
statuses      2 wait to be posted until 2026-09-21T14:13:20Z: 429 Too Many Requests
statuses      error of ddddddd refused, tried again at 2026-09-21T14:13:20Z: 404 Not Found
damaged       /x/ledger.json.damaged-1 was damaged and is set aside
damaged       the journal /x/journal-a.json is damaged: torn
left out      of the history: /x/history/0000000002-2-a.json: torn
set aside     /x/ledger.json.damaged-1
",
        a = system("a"),
        stopped = crate::decide::age::age(Timestamp::from_second(1_790_000_000).unwrap(), status.now)
    );
    assert_eq!(strip_str(&text).to_string(), expected);
}

#[test]
fn the_word_of_each_reason_is_the_one_in_its_json() {
    let why = || "why".to_owned();
    let until = Timestamp::UNIX_EPOCH;
    let deployment = || "1-a".parse().unwrap();
    let reasons = [
        Reason::UpToDate {
            commit: commit("a"),
        },
        Reason::NotAdopted,
        Reason::DeploymentOpen {
            deployment: deployment(),
        },
        Reason::DeploymentEnded {
            deployment: deployment(),
        },
        Reason::Stuck {
            deployment: deployment(),
        },
        Reason::Quarantined {
            commit: commit("a"),
            why: why(),
        },
        Reason::Inconclusive {
            commit: commit("a"),
            why: why(),
        },
        Reason::RebootNeeded {
            commit: commit("a"),
            toplevel: toplevel("a"),
            why: why(),
        },
        Reason::Baseline {
            commit: commit("a"),
            why: why(),
        },
        Reason::HistoryRewritten {
            commit: commit("a"),
            accepted: commit("b"),
        },
        Reason::BackingOff { until, why: why() },
        Reason::NoBranch,
        Reason::NoManifest {
            commit: commit("a"),
            gap: crate::decide::plan::Gap::NoManifest,
        },
        Reason::PeersOnTrial {
            commit: commit("a"),
            since: until,
        },
        Reason::BootedOther,
        Reason::Drifted {
            commit: commit("a"),
            next_boot: toplevel("b"),
        },
        Reason::BootPinned {
            commit: commit("a"),
            how: why(),
        },
        Reason::StateDamaged {
            file: why(),
            why: why(),
        },
        Reason::JournalDamaged { why: why() },
        Reason::PassOverdue {
            since: until,
            why: why(),
        },
        Reason::Suspended {
            until: None,
            why: None,
        },
    ];
    for reason in reasons {
        let json = serde_json::to_value(&reason).unwrap();
        assert_eq!(json["reason"], reason.word());
        assert!(!next_step::next(&reason).is_empty());
        // Whoever reads only the exit code is called for these, and for no other.
        let called = [
            "not-adopted",
            "stuck",
            "reboot-needed",
            "history-rewritten",
            "booted-other",
            "drifted",
            "boot-pinned",
            "state-damaged",
            "journal-damaged",
            "pass-overdue",
        ];
        assert_eq!(reason.needs_operator(), called.contains(&reason.word()));
        let read: Reason = serde_json::from_value(json).unwrap();
        assert_eq!(read, reason);
    }
}

#[test]
fn what_a_pass_waited_for_is_not_told_after_its_end() {
    let deployment = |text: &str| {
        text.parse::<nixus_switcher::protocol::DeploymentId>()
            .unwrap()
    };
    let word = |open: Option<&str>, waits_for: Reason| {
        let last = LastPass {
            time: Timestamp::UNIX_EPOCH,
            waits_for,
        };
        last.beside(open.map(deployment).as_ref()).waits_for.word()
    };
    let open = || Reason::DeploymentOpen {
        deployment: deployment("5-a"),
    };
    assert_eq!(word(Some("5-a"), open()), "deployment-open");
    assert_eq!(word(None, open()), "deployment-ended");
    assert_eq!(word(Some("6-b"), open()), "deployment-ended");
    assert_eq!(word(None, Reason::NotAdopted), "not-adopted");
}

#[test]
fn an_operator_is_called_where_the_host_waits_for_one_or_makes_no_passes() {
    let well = || {
        let mut status = full();
        status.damage = None;
        status.journal_damage = None;
        status.passes_stopped = None;
        status.last_pass = None;
        status
    };
    assert!(!well().needs_operator());
    let waits = |waits_for| Status {
        last_pass: Some(LastPass {
            time: Timestamp::UNIX_EPOCH,
            waits_for,
        }),
        ..well()
    };
    let why = String::new;
    let until = Timestamp::UNIX_EPOCH;
    assert!(!waits(Reason::BackingOff { until, why: why() }).needs_operator());
    assert!(waits(Reason::NotAdopted).needs_operator());
    let stopped = Status {
        passes_stopped: Some(until),
        ..well()
    };
    assert!(stopped.needs_operator());
    let damaged = Status {
        damage: Some(Damage {
            file: why(),
            problem: why(),
            newer: false,
        }),
        ..well()
    };
    assert!(damaged.needs_operator());
    let journal = Status {
        journal_damage: Some(why()),
        ..well()
    };
    assert!(journal.needs_operator());
}
