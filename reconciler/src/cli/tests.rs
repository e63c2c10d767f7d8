use clap::CommandFactory;
use nixus_switcher::printable::is_printable;
use nixus_switcher::protocol::CheckResult;

use super::arguments::{parse_duration, parse_until};
use super::log::Entry;
use super::manifest::ManifestCommand;
use super::*;
use crate::config::forge::Kind;
use crate::decide::report::Report;
use crate::decide::verdict::sightings::Sign;
use crate::report::fleet::{NoticedBy, Told};
use jiff::{SignedDuration, Timestamp};

#[test]
fn every_command_that_people_use_has_help_and_an_example() {
    let cli = Cli::command();
    cli.clone().debug_assert();
    for command in cli.get_subcommands().filter(|one| !one.is_hide_set()) {
        let name = command.get_name();
        assert!(command.get_about().is_some(), "{name}");
        let help = command.get_after_help().unwrap().to_string();
        assert!(help.contains(&format!("nixus {name}")), "{name}");
    }
}

/// The template's script with a `nix` that names two hosts, and says what it was to run.
#[test]
fn the_pipelines_of_the_template_follow_a_commit_with_words_that_are_understood() {
    use std::os::unix::fs::PermissionsExt as _;
    let template = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy-repo-template");
    let directory = tempfile::tempdir().unwrap();
    let nix = directory.path().join("nix");
    let script =
        "#!/bin/sh\ncase $1 in eval) printf db1,web1 ;; run) printf '%s\\n' \"$@\" ;; esac\n";
    std::fs::write(&nix, script).unwrap();
    std::fs::set_permissions(&nix, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:/usr/bin:/bin", directory.path().display());
    let commit = "a".repeat(40);
    for (file, kind) in [
        (".github/workflows/fleet.yml", "github"),
        (".gitlab-ci.yml", "gitlab"),
        (".forgejo/workflows/fleet.yml", "forgejo"),
    ] {
        let pipeline = std::fs::read_to_string(format!("{template}/{file}")).unwrap();
        assert!(pipeline.contains("ci/build"), "{file}");
        let call = pipeline.lines().find(|line| line.contains("ci/watch"));
        assert!(call.unwrap().ends_with(kind), "{file}");
        let said = std::process::Command::new("/bin/sh")
            .arg(format!("{template}/ci/watch"))
            .args([&commit, "https://forge.example/fleet/deploy", kind])
            .env("PATH", &path)
            .env("NIXUS_TOKEN", "s3cret")
            .output()
            .unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        assert!(!said.contains("s3cret"), "{said}");
        let words = said.lines().skip_while(|word| *word != "--").skip(1);
        let cli = Cli::try_parse_from(std::iter::once("nixus").chain(words)).unwrap();
        let Command::Watch(watch::Watch {
            commit: asked,
            from,
            hosts,
            ..
        }) = cli.command
        else {
            unreachable!("{said}");
        };
        assert_eq!(asked.as_ref(), Some(&commit));
        assert_eq!(hosts, ["db1", "web1"]);
        assert_eq!(from.forge_kind.map(Kind::word), Some(kind));
    }
}

#[test]
fn times_are_read_as_people_write_them() {
    let hours = |hours| Ok(SignedDuration::from_hours(hours));
    assert_eq!(parse_duration("2h"), hours(2));
    assert_eq!(parse_duration("3d"), hours(72));
    for wrong in ["", "2", "-2h", "0s", "d", "99999999999999999d"] {
        parse_duration(wrong).unwrap_err();
    }
    let utc = parse_until("2026-12-24T18:00Z").unwrap();
    assert_eq!(utc.to_string(), "2026-12-24T18:00:00Z");
    parse_until("2026-12-24T18:00").unwrap();
    parse_until("2026-12-24 18:00").unwrap();
    parse_until("soon").unwrap_err();
}

/// The template's script with a `nix` that says what it was to run, and for a manifest makes one.
#[test]
fn the_pipelines_of_the_template_push_closures_and_then_a_manifest() {
    use std::os::unix::fs::PermissionsExt as _;
    let template = concat!(env!("CARGO_MANIFEST_DIR"), "/../deploy-repo-template");
    let directory = tempfile::tempdir().unwrap();
    let nix = directory.path().join("nix");
    let toplevel = "/nix/store/aaa-nixos-system-web1";
    let script = format!(
        r#"#!/bin/sh
printf 'nix\n'
printf '%s\n' "$@"
while [ $# -gt 1 ]; do
  if [ "$1" = --output ]; then printf '{{\n  "toplevel": "{toplevel}",\n}}\n' > "$2"; fi
  shift
done
"#
    );
    std::fs::write(&nix, script).unwrap();
    std::fs::set_permissions(&nix, std::fs::Permissions::from_mode(0o755)).unwrap();
    for file in [
        ".github/workflows/fleet.yml",
        "publish/.gitlab-ci.yml",
        "publish/.forgejo/workflows/publish.yml",
    ] {
        let pipeline = std::fs::read_to_string(format!("{template}/{file}")).unwrap();
        assert!(pipeline.contains("ci/publish "), "{file}");
    }
    let said = std::process::Command::new("/bin/sh")
        .arg(format!("{template}/ci/publish"))
        .arg("origin")
        .env(
            "PATH",
            format!("{}:/usr/bin:/bin", directory.path().display()),
        )
        .env("NIXUS_CACHE", "https://cache.example")
        .env("NIXUS_CACHE_KEY", "s3cret-1")
        .env("NIXUS_MANIFEST_KEY", "s3cret-2")
        .output()
        .unwrap();
    assert!(said.status.success(), "{said:?}");
    let said = String::from_utf8(said.stdout).unwrap();
    assert!(!said.contains("s3cret"), "{said}");
    let calls: Vec<Vec<&str>> = said
        .split("nix\n")
        .skip(1)
        .map(|call| call.lines().collect())
        .collect();
    let [create, sign, copy, push] = calls.as_slice() else {
        unreachable!("{said}");
    };
    let read = |call: &[&str]| {
        let words = call.iter().skip_while(|word| **word != "--").skip(1);
        let command = Cli::try_parse_from(std::iter::once(&"nixus").chain(words));
        match command.unwrap().command {
            Command::Manifest(manifest) => manifest.command,
            other => unreachable!("{other:?}"),
        }
    };
    let ManifestCommand::Create { output, cache, .. } = read(create) else {
        unreachable!("{create:?}");
    };
    assert_eq!(cache.as_deref(), Some("https://cache.example"));
    assert!(
        sign.starts_with(&["store", "sign", "--recursive"]),
        "{sign:?}"
    );
    assert_eq!(*copy, ["copy", "--to", "https://cache.example", toplevel]);
    let ManifestCommand::Push { file, remote, .. } = read(push) else {
        unreachable!("{push:?}");
    };
    assert_eq!((file, remote.as_str()), (output, "origin"));
}

#[test]
fn no_table_shows_what_moves_the_cursor_or_turns_text_around() {
    const NASTY: &str = "\u{1b}]52;c;cm0=\u{7}\u{1b}[2J\u{202e}gnp.exe\u{2066}\u{9b}1A\r";
    let report: Report = serde_json::from_value(serde_json::json!({
        "version": 1, "host": NASTY, "commit": { "id": NASTY, "subject": NASTY },
        "state": "success", "text": NASTY, "generation": null, "toplevel": null,
        "time": "2026-11-26T04:00:00Z",
    }))
    .unwrap();
    let check: CheckResult = serde_json::from_value(serde_json::json!({
        "check": NASTY, "by": NASTY, "outcome": "fail", "reason": NASTY, "disregarded": NASTY,
    }))
    .unwrap();
    let entry = Entry {
        report: report.clone(),
        outcome: None,
    };
    let told = Told {
        noticed_by: vec![NoticedBy {
            by: NASTY.to_owned(),
            what: Sign::Silent,
            since: report.time,
        }],
        ..Told::from(report.clone())
    };
    for shown in [
        tables::fleet(&[told], Timestamp::UNIX_EPOCH).to_string(),
        log::shown(&[entry]).to_string(),
        tables::checks(&[check]).to_string(),
        tables::settings(&[(NASTY.to_owned(), NASTY.to_owned())]).to_string(),
        watch::live_lines::line(&report),
        Entry {
            report,
            outcome: None,
        }
        .to_string(),
    ] {
        // What is left are our own colours.
        let plain = anstream::adapter::strip_str(&shown).to_string();
        let harmless = |letter: char| letter == '\n' || is_printable(letter);
        assert!(plain.chars().all(harmless), "{shown:?}");
        assert!(plain.contains("gnp.exe"), "{shown:?}");
        assert!(
            !shown.contains("\u{1b}]") && !shown.contains("[2J\u{1b}"),
            "{shown:?}"
        );
    }
}

#[test]
fn each_kind_of_failure_has_its_exit_code() {
    use super::exit_code::{CommandError, Exit, Failed, WrongInput};
    use crate::activation::generation::GenerationError;
    use crate::cli::adopt::AdoptError;
    use crate::cli::retry::RetryError;
    use crate::cli::rollback::RollbackError;
    use crate::pass::lock::PassLockError;
    use crate::pass::suspension::SuspensionError;

    let check = |error: CommandError, exit| assert_eq!(error.exit(), exit, "{error}");
    let config = crate::config::Config::load(std::path::Path::new("/no/such/file"));
    check(config.unwrap_err().into(), Exit::WrongInput);
    let busy = || PassLockError::Busy { holders: vec![] };
    check(AdoptError::Lock(busy()).into(), Exit::Busy);
    check(RetryError::Lock(busy()).into(), Exit::Busy);
    check(RollbackError::Lock(busy()).into(), Exit::Busy);
    let what = "abc".to_owned();
    check(RetryError::NotQuarantined { what }.into(), Exit::WrongInput);
    let until = Timestamp::UNIX_EPOCH;
    check(SuspensionError::Past { until }.into(), Exit::WrongInput);
    check(WrongInput("no".to_owned()).into(), Exit::WrongInput);
    check(RollbackError::NotAdopted.into(), Exit::WrongInput);
    let none = GenerationError::Runs { number: 3 };
    check(RollbackError::Generation(none).into(), Exit::WrongInput);
    let deployment = "3-abc".parse().unwrap();
    check(RollbackError::Open { deployment }.into(), Exit::Busy);
    let disk = Failed::because("cannot write x", std::io::Error::other("disk"));
    assert_eq!(disk.to_string(), "cannot write x");
    let disk = CommandError::from(disk);
    assert_eq!(disk.to_string(), "cannot write x: disk");
    check(disk, Exit::Failed);
}

#[test]
fn a_repository_is_named_by_a_url_that_may_be_sent_to() {
    use super::arguments::repository_url;
    use super::exit_code::{Exit, HasExit as _};
    for good in [
        "ssh://git@git.example/srv/git/reports.git",
        "https://git.example/reports.git",
        "file:///srv/git/reports.git",
        "/srv/git/reports.git",
    ] {
        assert!(repository_url(good).is_ok(), "{good}");
    }
    for (bad, words) in [
        ("http://git.example/x", "expected a repository with ssh://"),
        ("ftp://git.example/x", "the URL has an unknown scheme"),
        ("https://me:hunter2@git.example/x", "has a password in it"),
    ] {
        let error = repository_url(bad).unwrap_err();
        assert_eq!(error.exit(), Exit::WrongInput);
        let said = error.to_string();
        assert!(said.contains(words) && !said.contains("hunter2"), "{said}");
    }
}
