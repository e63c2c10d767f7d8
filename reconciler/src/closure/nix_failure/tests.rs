use super::*;

fn read(said: &str) -> NixLog {
    let mut log = NixLog::default();
    log.hear(said.as_bytes());
    log.finish();
    log
}

/// In the recordings, derivations that fetch are called `src`.
fn kind(path: &str) -> Derivation {
    if path.ends_with("-src.drv") {
        Derivation::Fetches
    } else {
        Derivation::Ordinary
    }
}

macro_rules! recorded {
    ($name:literal) => {
        ($name, include_str!(concat!("recorded/", $name, ".log")))
    };
}

#[test]
fn errors_of_evaluation_are_the_commits_fault() {
    let table = [
        recorded!("eval-throw"),
        recorded!("eval-abort"),
        recorded!("eval-assert"),
        recorded!("eval-attribute"),
        recorded!("eval-coerce"),
        recorded!("eval-infinite"),
        recorded!("eval-missing-file"),
        recorded!("eval-no-output"),
        recorded!("eval-overflow"),
        recorded!("eval-overflow-native"),
        recorded!("eval-syntax"),
        recorded!("lock-changes"),
        recorded!("classic-attribute"),
        recorded!("classic-file"),
    ];
    for (name, said) in table {
        let failure = explain(&read(said), kind);
        assert_eq!(failure.class, Class::Commit, "{name}: {}", failure.told);
    }
}

#[test]
fn a_flake_that_is_not_there_is_the_commits_fault_in_every_releases_words() {
    let table = [
        // Nix 2.26.3, and later ones.
        "path '/nix/store/66sfxpzgdcjbkp44mp563ivwdkw6qks3-source/flake.nix' does not exist",
        "path '/nix/store/66sfxpzgdcjbkp44mp563ivwdkw6qks3-source/nix/flake.nix' does not exist",
        "path '«git+file:///var/lib/nixus/repository.git?rev=1»/nix/flake.nix' does not exist",
        "source tree referenced by 'git+file:///x' does not contain a '/flake.nix' file",
        "source tree referenced by 'git+file:///x?dir=nix' does not contain a 'nix/flake.nix' file",
    ];
    for text in table {
        let text = serde_json::to_string(text).unwrap();
        let said =
            format!("@nix {{\"action\":\"msg\",\"level\":0,\"msg\":{text},\"raw_msg\":{text}}}\n");
        let failure = explain(&read(&said), kind);
        assert_eq!(failure.class, Class::Commit, "{}", failure.told);
    }
}

#[test]
fn a_builder_that_fails_by_itself_may_have_done_so_by_chance() {
    let table = [
        recorded!("builder-exit"),
        recorded!("builder-missing"),
        recorded!("builder-no-output"),
        // What is imported while something is evaluated is built as well.
        recorded!("eval-ifd"),
    ];
    for (name, said) in table {
        let failure = explain(&read(said), kind);
        assert_eq!(failure.class, Class::Builder, "{name}: {}", failure.told);
    }
    // What does not evaluate either is certain to fail again.
    let both = format!(
        "{}{}",
        include_str!("recorded/builder-exit.log"),
        include_str!("recorded/eval-throw.log")
    );
    assert_eq!(explain(&read(&both), kind).class, Class::Commit);
}

#[test]
fn everything_else_is_tried_again() {
    let table = [
        recorded!("builder-137"),
        recorded!("builder-killed"),
        recorded!("builder-platform"),
        recorded!("builder-silent"),
        recorded!("builder-timeout"),
        recorded!("disk-full-builder"),
        recorded!("disk-full-store"),
        recorded!("eval-fetchtarball"),
        recorded!("eval-fetchurl"),
        recorded!("eval-memory"),
        recorded!("fod-builtin"),
        recorded!("fod-exit"),
        recorded!("fod-mismatch"),
        recorded!("input-fetch"),
        recorded!("input-gone"),
        ("nothing", ""),
        ("nonsense", "@nix {}\nBus error\n"),
        (
            "no systemd",
            "System has not been booted with systemd as init system (PID 1). Can't operate.\n",
        ),
    ];
    for (name, said) in table {
        let failure = explain(&read(said), kind);
        assert_eq!(failure.class, Class::Transient, "{name}: {}", failure.told);
    }
}

#[test]
fn a_failed_builder_of_an_unreadable_derivation_is_tried_again() {
    let said = include_str!("recorded/builder-exit.log");
    let failure = explain(&read(said), |_| Derivation::Unknown);
    assert_eq!(failure.class, Class::Transient);
}

#[test]
fn a_builder_that_ran_out_of_disk_is_tried_again() {
    let said = include_str!("recorded/builder-exit.log")
        .replace("no such header", "No space left on device");
    assert_eq!(explain(&read(&said), kind).class, Class::Transient);
}

#[test]
fn the_sentences_of_newer_releases_are_understood() {
    let message = |text: &str| {
        let text = serde_json::to_string(text).unwrap();
        format!("@nix {{\"action\":\"msg\",\"level\":0,\"msg\":{text},\"raw_msg\":{text}}}\n")
    };
    let check = |texts: &[&str], class| {
        let said: String = texts.iter().map(|text| message(text)).collect();
        assert_eq!(explain(&read(&said), kind).class, class, "{texts:?}");
    };
    let ends = |how: &str, name: &str| {
        format!(
            "Cannot build '/nix/store/x-{name}.drv'.\nReason: {how}.\nOutput paths:\n  /nix/store/y"
        )
    };
    let follows = ends("1 dependency failed", "system");
    let exit = "builder failed with exit code 2";
    let killed = "builder failed due to signal 9 (Killed)";
    check(&[&ends(exit, "shop"), &follows], Class::Builder);
    check(&[&ends(exit, "src"), &follows], Class::Transient);
    check(&[&ends(killed, "shop"), &follows], Class::Transient);
    // 128 and a signal's number, or a code of a program's own, as sshd's.
    for (code, class) in [
        (128, Class::Builder),
        (137, Class::Transient),
        (192, Class::Transient),
        (193, Class::Builder),
        (255, Class::Builder),
    ] {
        let exit = format!("builder failed with exit code {code}");
        check(&[&ends(&exit, "shop"), &follows], class);
    }
    check(&[&follows], Class::Transient);
}

#[test]
fn the_lines_that_matter_are_told() {
    let check = |said: &str, told: &str| assert_eq!(explain(&read(said), kind).told, told);
    check(
        include_str!("recorded/builder-exit.log"),
        "error: builder for '/nix/store/g2m4whzd33cbaxlclv63clh30mvx16zr-shop.drv' failed with exit code 1\n\
         last 2 log lines:\n\
         > compiling\n\
         > shop.c:1: error: no such header",
    );
    check(
        include_str!("recorded/eval-throw.log"),
        "error: no such host in the fleet\n\
         at /nix/store/66sfxpzgdcjbkp44mp563ivwdkw6qks3-source/flake.nix:1:22",
    );
    check(
        include_str!("recorded/eval-attribute.log"),
        "error: attribute 'b' missing\n\
         at /nix/store/ryr2wj9mwp27g0akjdf79p2jqkn7j9yy-source/flake.nix:1:22",
    );
    check("out of memory\n", "out of memory");
    check("", "");
}

#[test]
fn what_a_derivation_is_stands_in_its_first_output() {
    let table = [
        (
            r#"Derive([("out","/nix/store/x-shop","","")],[],[],"x86_64-linux","/bin/sh",[],[])"#,
            Derivation::Ordinary,
        ),
        (
            r#"Derive([("out","","r:sha256","")],[],[],"x86_64-linux","/bin/sh",[],[])"#,
            Derivation::Ordinary,
        ),
        (
            r#"Derive([("out","/nix/store/x-src","r:sha256","00ab")],[],[],"builtin","builtin:fetchurl",[],[])"#,
            Derivation::Fetches,
        ),
        ("Derive([(", Derivation::Unknown),
        ("", Derivation::Unknown),
        ("\u{fffd}", Derivation::Unknown),
    ];
    for (text, expected) in table {
        assert_eq!(kind_of(text.as_bytes()), expected, "{text}");
    }
    assert_eq!(read_kind("/no/such.drv"), Derivation::Unknown);
}
