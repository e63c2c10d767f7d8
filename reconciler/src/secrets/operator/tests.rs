use std::fs;

use super::super::ciphertext::tests::{age_key, identities, ssh_key};
use super::super::fleet::tests::described;
use super::*;

#[test]
fn a_file_is_made_shown_and_encrypted_anew_when_a_hosts_key_changes() {
    let folder = tempfile::tempdir().unwrap();
    let [old, new] = [ssh_key(), ssh_key()];
    let alice = age_key();
    let file = "secrets/db.age";
    let at = |keys: &[&str]| {
        let fleet = described(&[("db1", keys, &[file])], &[&alice.0]);
        Repository::of(folder.path(), &fleet).unwrap()
    };
    let before = at(&[&old.0]);
    assert!(!before.state(file).there && !before.state(file).is_well());
    before.write(file, b"hunter2").unwrap();
    assert!(before.state(file).is_well(), "{:?}", before.state(file));
    assert_eq!(before.state(file).who, ["db1", "the operators"]);
    let opens = |repository: &Repository, key: &str| {
        repository
            .open(file, &identities(&[key]))
            .map(|plain| plain.to_vec())
            .ok()
    };
    let hunter2 = Some(b"hunter2".to_vec());
    for key in [&old.1, &alice.1] {
        assert_eq!(opens(&before, key), hunter2);
    }
    assert_eq!(opens(&before, &new.1), None);

    // Both keys during the change.
    let both = at(&[&old.0, &new.0]);
    assert_eq!(both.state(file).words(), "a key of db1 does not open it");
    let plaintext = both.open(file, &identities(&[&alice.1])).unwrap();
    both.write(file, &plaintext).unwrap();
    for key in [&old.1, &new.1, &alice.1] {
        assert_eq!(opens(&both, key), hunter2);
    }
    let after = at(&[&new.0]);
    assert_eq!(
        after.state(file).words(),
        "a key opens it that nobody has who needs it"
    );
    after.write(file, &plaintext).unwrap();
    assert_eq!(
        (opens(&after, &old.1), opens(&after, &new.1)),
        (None, hunter2)
    );
}

#[test]
fn files_are_named_as_the_flake_names_them() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("secrets")).unwrap();
    let repository = Repository::of(folder.path(), &described(&[], &[&age_key().0])).unwrap();
    let name = |path: &Path| repository.name(path).ok();
    let inside = folder.path().join("secrets/db.age");
    assert_eq!(name(&inside).as_deref(), Some("secrets/db.age"));
    let around = folder.path().join("secrets/../secrets/db.age");
    assert_eq!(name(&around).as_deref(), Some("secrets/db.age"));
    assert_eq!(name(Path::new("/etc/passwd")), None);
    let said = repository.write("secrets/db.age", b"x").unwrap_err();
    assert!(
        said.to_string().contains("no host uses secrets/db.age"),
        "{said}"
    );
    assert!(said.is_wrong_input());
}

#[test]
fn what_is_no_ciphertext_is_said_so() {
    let folder = tempfile::tempdir().unwrap();
    let key = ssh_key().0;
    let fleet = described(&[("db1", &[&key], &["a.age"])], &[&age_key().0]);
    let repository = Repository::of(folder.path(), &fleet).unwrap();
    fs::write(folder.path().join("a.age"), "hunter2\n").unwrap();
    let state = repository.state("a.age");
    assert_eq!(state.words(), "it is not a file that age encrypted");
    assert!(!state.is_well());
}

#[test]
fn a_damaged_file_is_told_to_who_can_open_it() {
    let folder = tempfile::tempdir().unwrap();
    let (host, alice) = (ssh_key(), age_key());
    let file = "secrets/db.age";
    let fleet = described(&[("db1", &[&host.0], &[file])], &[&alice.0]);
    let repository = Repository::of(folder.path(), &fleet).unwrap();
    repository.write(file, b"hunter2").unwrap();
    let words = || {
        let states = repository.states_opened(&identities(&[&alice.1]));
        states[0].words()
    };
    assert_eq!(words(), "ok");
    let mut sealed = fs::read(folder.path().join(file)).unwrap();
    *sealed.last_mut().unwrap() ^= 1;
    fs::write(folder.path().join(file), sealed).unwrap();
    assert!(repository.state(file).is_well());
    assert_eq!(words(), "cannot open secrets/db.age: it is damaged");
}
