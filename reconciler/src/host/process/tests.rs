use super::*;
use crate::host::testing;

fn run(invocation: Invocation) -> Result<Vec<u8>, ProcessError> {
    testing::run(invocation.output())
}

fn sh(script: &str) -> Invocation {
    Invocation::new("sh", Duration::from_secs(20)).args(["-c", script])
}

#[test]
fn gives_standard_output_and_passes_arguments_unchanged() {
    let output = run(Invocation::new("printf", Duration::from_secs(20)).args(["%s", "a b;$c"]));
    assert_eq!(output.unwrap(), b"a b;$c");
}

#[test]
fn a_failure_keeps_the_end_of_standard_error() {
    let error = run(sh("seq 100000 >&2; echo the reason >&2; exit 3")).unwrap_err();
    let ProcessError::Failed { status, stderr, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(status.code(), Some(3));
    assert!(stderr.ends_with("the reason\n"));
    assert!(stderr.len() <= STDERR_KEPT);
}

#[test]
fn standard_error_is_heard_as_it_comes_and_the_runner_is_not_named() {
    let mut heard = Vec::new();
    let invocation = sh("echo one >&2; echo two >&2; exit 1").run_by("env", ["A=b"]);
    let hear = &mut |bytes: &[u8]| heard.extend_from_slice(bytes);
    let error = testing::run(invocation.output_heard(hear)).unwrap_err();
    assert_eq!(heard, b"one\ntwo\n");
    assert!(error.to_string().ends_with("(sh: exit code 1)"), "{error}");
}

#[test]
fn a_flood_is_ended() {
    let error = run(sh("yes")).unwrap_err();
    assert!(
        matches!(error, ProcessError::OutputTooLong { .. }),
        "{error}"
    );
}

#[test]
fn an_overdue_child_is_ended_with_all_that_it_started() {
    let file = std::env::temp_dir().join(format!("nixus-process-{}", std::process::id()));
    let script = format!("(sleep 30 & echo $! >{}; wait)", file.display());
    let overdue = Invocation::new("sh", Duration::from_millis(300)).args(["-c", &script]);
    let error = run(overdue).unwrap_err();
    assert!(matches!(error, ProcessError::TimedOut { .. }), "{error}");
    let grandchild: i32 = std::fs::read_to_string(&file)
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    std::fs::remove_file(&file).unwrap();
    let gone = (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        // A zombie whose parent has not collected it yet is gone as well.
        std::fs::read_to_string(format!("/proc/{grandchild}/stat"))
            .map_or(true, |stat| stat.contains(") Z "))
    });
    assert!(gone);
}

#[test]
fn a_missing_program_is_named() {
    let error = run(Invocation::new("no-such-program", Duration::from_secs(1))).unwrap_err();
    assert_eq!(error.to_string(), "cannot start \"no-such-program\"");
}

#[test]
fn a_child_that_has_answered_waits_for_what_it_is_told_at_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let told = directory.path().join("told");
    let script = "read -r asked; echo \"you asked: $asked\"; cat > \"$1\"";
    let child = sh(script).args([std::ffi::OsStr::new("sh"), told.as_os_str()]);
    testing::run(async {
        let (answer, session) = child
            .input(b"how much\n".to_vec())
            .converse(|answer| answer.ends_with(b"\n"))
            .await
            .unwrap();
        assert_eq!(answer, b"you asked: how much\n");
        session.unwrap().ends_with(b"enough".to_vec()).end().await;
    });
    assert_eq!(std::fs::read(told).unwrap(), b"enough");
}

#[test]
fn a_conversation_has_the_limits_of_any_child_and_leaves_none_behind() {
    let talk = |script: &str| {
        let child = sh(script).output_limit(1000);
        testing::run(child.converse(|answer| answer == b"yes\n"))
    };
    let (answer, session) = talk("echo no").unwrap();
    assert!(answer == b"no\n" && session.is_none());
    let failed = talk("echo the reason >&2; exit 3").unwrap_err();
    assert!(failed.to_string().contains("the reason"), "{failed}");
    let flood = talk("seq 100000").unwrap_err();
    assert!(
        matches!(flood, ProcessError::OutputTooLong { .. }),
        "{flood}"
    );
    let child = Invocation::new("sleep", Duration::from_millis(100)).arg("1000");
    let silent = testing::run(child.converse(|_| true)).unwrap_err();
    assert!(matches!(silent, ProcessError::TimedOut { .. }), "{silent}");

    // Dropped, it is ended: its output has an end, although it would not end by itself.
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("end");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let script = "exec 3> \"$1\"; echo yes; sleep 1000";
    let child = sh(script).args([std::ffi::OsStr::new("sh"), path.as_os_str()]);
    let reader = std::thread::spawn(move || std::fs::read(path));
    let (_, session) = testing::run(child.converse(|answer| answer == b"yes\n")).unwrap();
    drop(session.unwrap());
    assert_eq!(reader.join().unwrap().unwrap(), b"");
}

#[test]
fn what_a_server_says_has_no_power_over_a_terminal() {
    // A clipboard is written, the screen cleared, and what follows turned around.
    let script = r"printf '\033]52;c;cm0gLXJm\007 \033[2J\302\2332K refused \342\200\256gnp.exe\n' >&2; exit 1";
    let error = run(sh(script)).unwrap_err();
    let words = in_words(&error);
    assert!(words.contains("refused gnp.exe"), "{words:?}");
    let harmless = |letter: char| nixus_switcher::printable::is_printable(letter);
    assert!(words.chars().all(harmless), "{words:?}");
}
