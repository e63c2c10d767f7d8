use super::*;
use crate::host::testing::run as block_on;

fn request(commands: &[&[&str]], seconds: u64) -> Request {
    let command = |words: &&[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    Request {
        commands: commands.iter().map(command).collect(),
        seconds,
        environment: BTreeMap::from([("NIXUS_HOOK".to_owned(), "before".to_owned())]),
        result: PathBuf::from("/nowhere"),
        deployment: None,
    }
}

#[test]
fn hooks_run_in_order_until_one_fails_and_its_last_words_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("said");
    let script = format!(
        "echo \"$1 $NIXUS_HOOK\" >> {}; echo out; echo err >&2; exit $2",
        place.display()
    );
    let hook = |name: &'static str, code: &'static str| {
        ["/bin/sh", "-c", script.as_str(), "hook", name, code].map(str::to_owned)
    };
    let commands = vec![
        hook("one", "0").to_vec(),
        hook("two", "7").to_vec(),
        hook("three", "0").to_vec(),
    ];
    let request = Request {
        commands,
        ..request(&[], 30)
    };
    let failure = block_on(run(&request)).unwrap_err().to_string();
    assert!(
        failure.starts_with("/bin/sh ended with exit code 7: "),
        "{failure}"
    );
    assert!(
        failure.contains("out") && failure.contains("err"),
        "{failure}"
    );
    assert_eq!(
        std::fs::read_to_string(&place).unwrap(),
        "one before\ntwo before\n"
    );
}

#[test]
fn a_hook_that_cannot_be_started_or_never_ends_is_a_failure() {
    let gone = block_on(run(&request(&[&["/no/such/hook"]], 30))).unwrap_err();
    assert!(matches!(gone, RunError::Start { .. }), "{gone}");
    let late = block_on(run(&request(
        &[&["/bin/sh", "-c", "echo waiting; sleep 1000"]],
        1,
    )))
    .unwrap_err();
    assert_eq!(late.to_string(), "/bin/sh did not end within 1 s: waiting");
    let killed = block_on(run(&request(&[&["/bin/sh", "-c", "kill -9 $$"]], 30))).unwrap_err();
    assert_eq!(killed.to_string(), "/bin/sh ended with signal 9");
}

#[test]
fn what_a_hook_leaves_behind_does_not_hold_it_up_and_output_without_end_is_bounded() {
    // Its child keeps the pipe open.
    block_on(run(&request(
        &[&["/bin/sh", "-c", "sleep 20 & exit 0"]],
        30,
    )))
    .unwrap();
    let loud = "i=0; while [ $i -lt 20000 ]; do echo 0123456789; i=$((i+1)); done; echo the end >&2; exit 1";
    let failure = block_on(run(&request(&[&["/bin/sh", "-c", loud]], 60)))
        .unwrap_err()
        .to_string();
    assert!(failure.len() < 1200, "{}", failure.len());
}

#[test]
fn hooks_are_told_of_the_deployment() {
    let toplevel = |name: &str| {
        let path = format!("/nix/store/{}-nixos-system-{name}", "a".repeat(32));
        Toplevel::try_from(PathBuf::from(path)).unwrap()
    };
    let (old, new) = (toplevel("old"), toplevel("new"));
    let commit = Commit {
        id: "1".repeat(40),
        subject: "greet\0 them".to_owned(),
    };
    let change = Change {
        host: "web1",
        commit: &commit,
        old: &old,
        new: &new,
    };
    let before = before_of(change);
    assert_eq!(before["NIXUS_HOOK"], "before");
    assert_eq!(before["NIXUS_HOST"], "web1");
    assert_eq!(before["NIXUS_COMMIT"], "1".repeat(40));
    assert_eq!(before["NIXUS_SUBJECT"], "greet them");
    assert_eq!(before["NIXUS_OLD_SYSTEM"], old.to_string());
    assert_eq!(before["NIXUS_NEW_SYSTEM"], new.to_string());
    assert!(!before.contains_key("NIXUS_OUTCOME"));
    let deployment: DeploymentId = "7-1111111".parse().unwrap();
    for (kept, word, state) in [
        (true, "confirmed", "success"),
        (false, "rolled-back", "failure"),
    ] {
        let outcome = Outcome {
            deployment: &deployment,
            kept,
            first_boot: !kept,
            generation: Some(4),
            text: "because",
        };
        let after = after_of(change, outcome);
        assert_eq!(
            (
                after["NIXUS_OUTCOME"].as_str(),
                after["NIXUS_STATE"].as_str()
            ),
            (word, state)
        );
        assert_eq!(after["NIXUS_FIRST_BOOT"], if kept { "0" } else { "1" });
        assert_eq!(after["NIXUS_GENERATION"], "4");
        assert_eq!(after["NIXUS_REASON"], "because");
        assert_eq!(after["NIXUS_DEPLOYMENT"], "7-1111111");
    }
}

#[test]
fn failures_after_a_deployment_are_taken_once() {
    let folder = tempfile::tempdir().unwrap();
    let paths = Paths {
        state: folder.path().to_owned(),
        ..Paths::default()
    };
    let deployment: DeploymentId = "7-1111111".parse().unwrap();
    let mut request = request(&[], 1);
    request.deployment = Some(deployment.clone());
    request.result = super::folder(&paths).join("one.json");
    note(&request, None).unwrap();
    assert_eq!(take_failures(&paths), []);
    note(&request, Some("it broke".to_owned())).unwrap();
    let failures = take_failures(&paths);
    assert_eq!(
        failures,
        [Ended {
            deployment: Some(deployment),
            failure: Some("it broke".to_owned())
        }]
    );
    assert_eq!(take_failures(&paths), []);
}
