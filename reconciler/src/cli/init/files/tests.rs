use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;

use super::*;

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFucuLfGiPO6o/7MVYEssN4oJf97OdPxncH39NUnrhLE";

fn answers() -> Answers {
    Answers {
        repository: Some("ssh://git@git.fleet:2222/fleet/deploy.git".into()),
        server_key: Some(KEY.into()),
        operator_key: Some(format!("{KEY} alice")),
        nixus: Some("github:fleet/nixus".into()),
    }
}

fn files_below(folder: &Path, all: &mut BTreeSet<PathBuf>, root: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, all, root);
        } else {
            all.insert(path.strip_prefix(root).unwrap().to_owned());
        }
    }
}

#[test]
fn the_whole_template_is_compiled_in() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy-repo-template");
    let mut there = BTreeSet::new();
    files_below(&root, &mut there, &root);
    let known: BTreeSet<PathBuf> = TEMPLATE.iter().map(|file| file.path.into()).collect();
    assert_eq!(there, known);
    for file in &TEMPLATE {
        let mode = fs::metadata(root.join(file.path)).unwrap().permissions();
        assert_eq!(mode.mode() & 0o100 != 0, file.program, "{}", file.path);
    }
}

#[test]
fn every_answer_gets_its_place_and_no_placeholder_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("deploy");
    assert_eq!(init(&into, &answers()).unwrap(), []);
    let read = |name: &str| fs::read_to_string(into.join(name)).unwrap();
    let fleet = read("fleet.nix");
    for words in [
        "repository = \"ssh://git@git.fleet:2222/fleet/deploy.git\";".to_owned(),
        "reports = \"ssh://git@git.fleet:2222/fleet/reports.git\";".to_owned(),
        format!("[git.fleet]:2222 {KEY}\n"),
        format!("\"{KEY} alice\""),
    ] {
        assert!(fleet.contains(&words), "{words}: {fleet}");
    }
    assert!(read("flake.nix").contains("nixus.url = \"github:fleet/nixus\";"));
    let mode = fs::metadata(into.join("ci/build")).unwrap().permissions();
    assert_ne!(mode.mode() & 0o100, 0);
}

#[test]
fn what_is_not_known_stays_and_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let left = init(folder.path(), &Answers::default()).unwrap();
    let files: Vec<_> = left.iter().map(|(file, _)| *file).collect();
    assert_eq!(files, ["flake.nix", "fleet.nix", "fleet.nix", "fleet.nix"]);
}

#[test]
fn placeholders_have_the_shape_of_what_they_stand_for() {
    let (_, server) = SERVER_KEY.split_once(' ').unwrap();
    PublicKey::of_host(server).unwrap();
    OPERATOR_KEY.parse::<PublicKey>().unwrap();
}

#[test]
fn nothing_is_overwritten_and_then_nothing_is_written() {
    for there in ["users.nix", "hosts"] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(there), "mine").unwrap();
        let error = init(folder.path(), &answers()).unwrap_err();
        let mut files = BTreeSet::new();
        files_below(folder.path(), &mut files, folder.path());
        assert!(error.is_wrong_input(), "{error}");
        assert_eq!(files.len(), 1, "{files:?}");
        let kept = fs::read_to_string(folder.path().join(there)).unwrap();
        assert_eq!(kept, "mine");
    }
}

#[test]
fn wrong_answers_are_refused_in_one_sentence() {
    type Change = fn(&mut Answers);
    let table: [(Change, &str); 8] = [
        (
            |a| a.repository = Some("git@git.fleet:deploy.git".into()),
            "the deploy repository: \"git@git.fleet:deploy.git\" is not a URL with ssh://",
        ),
        (
            |a| a.repository = Some("https://user:secret@git.fleet/deploy.git".into()),
            "has a password in it",
        ),
        (
            |a| a.repository = Some("ssh://git.fleet".into()),
            "names no repository",
        ),
        (
            |a| a.repository = Some("ssh://git.fleet/${x}".into()),
            "has quotes or the like",
        ),
        (
            |a| a.operator_key = Some("ssh-ed25519".into()),
            "the operator's public key: \"ssh-ed25519\" is not a public key",
        ),
        (
            |a| a.server_key = Some("ssh-rsa AAAA".into()),
            "the git server's host key: ",
        ),
        (
            |a| a.operator_key = Some("-----BEGIN OPENSSH PRIVATE KEY-----\nsecret".into()),
            "the operator's public key: that is a private key: give the public one",
        ),
        (|a| a.nixus = Some("a\nb".into()), "the flake of Nixus: "),
    ];
    for (change, words) in table {
        let folder = tempfile::tempdir().unwrap();
        let mut wrong = answers();
        change(&mut wrong);
        let error = init(folder.path(), &wrong).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
        assert!(!error.to_string().contains("secret"), "{error}");
        assert!(error.is_wrong_input());
    }
}

#[test]
fn servers_are_named_as_in_known_hosts() {
    for (url, name) in [
        ("ssh://git@git.fleet/x.git", Some("git.fleet")),
        ("ssh://git.fleet:22/x.git", Some("git.fleet")),
        ("ssh://git@git.fleet:2222/x", Some("[git.fleet]:2222")),
        ("ssh://git@[fd77::2]/x", Some("fd77::2")),
        ("ssh://git@[fd77::2]:2222/x", Some("[fd77::2]:2222")),
        ("ssh:///x", None),
        ("x", None),
        ("ssh://evil.test?@git.fleet/x", None),
    ] {
        assert_eq!(known_as(url).as_deref(), name, "{url}");
    }
}
