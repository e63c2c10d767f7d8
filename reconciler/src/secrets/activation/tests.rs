use std::fs;

use super::super::ciphertext::seal;
use super::super::ciphertext::tests::{recipients, ssh_key};
use super::super::description::tests::describe;
use super::*;

/// A host of a test: its key, its secrets, and where it puts them.
struct Host {
    folder: tempfile::TempDir,
    public: String,
    key: PathBuf,
    place: Place,
}

impl Host {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (public, secret) = ssh_key();
        let key = folder.path().join("key");
        fs::write(&key, secret).unwrap();
        let place = Place::of_test(folder.path());
        Self {
            folder,
            public,
            key,
            place,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A description of these secrets: name and plaintext, sealed to this host; or, as another's.
    fn describe(&self, name: &str, secrets: &[(&str, &str)], paths: &Path) -> PathBuf {
        let files: Vec<PathBuf> = secrets
            .iter()
            .map(|(secret, plaintext)| {
                let file = self.path(&format!("{name}-{secret}.age"));
                let key = match plaintext.strip_prefix("another's ") {
                    Some(_) => ssh_key().0,
                    None => self.public.clone(),
                };
                fs::write(
                    &file,
                    seal(plaintext.as_bytes(), &recipients(&[&key])).unwrap(),
                )
                .unwrap();
                file
            })
            .collect();
        let named: Vec<(&str, &Path)> = secrets
            .iter()
            .zip(&files)
            .map(|((secret, _), file)| (*secret, file.as_path()))
            .collect();
        let text = describe(&named, std::slice::from_ref(&self.key), paths);
        let path = self.path(&format!("{name}.json"));
        fs::write(&path, serde_json::to_vec(&text).unwrap()).unwrap();
        path
    }

    fn activation<'a>(&'a self, description: &'a Path, lists: &'a Path) -> Activation<'a> {
        Activation {
            description,
            place: &self.place,
            lists,
            system: None,
        }
    }

    /// Activates; gives what failed, and what is asked to be restarted.
    fn activate(&self, description: &Path) -> (Vec<String>, String) {
        let lists = self.path("lists");
        let _ = fs::remove_dir_all(&lists);
        let done = self
            .activation(description, &lists)
            .activate_where(&everything)
            .unwrap();
        let failed = done.failures.iter().map(|one| one.secret.clone()).collect();
        let restart = fs::read_to_string(lists.join("secrets-restart-list"));
        (failed, restart.unwrap_or_default())
    }

    fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.place.link().join(name)).ok()
    }
}

/// That all units run.
fn everything(units: &Units) -> BTreeSet<String> {
    units.restart.union(&units.reload).cloned().collect()
}

#[test]
fn what_changed_is_told_once_and_the_generation_before_is_kept() {
    let host = Host::new();
    let paths = host.place.link().to_owned();
    let one = host.describe("one", &[("a", "1"), ("b", "1")], &paths);
    let two = host.describe("two", &[("a", "1"), ("b", "2"), ("c", "1")], &paths);
    let three = host.describe("three", &[("c", "1")], &paths);

    // At boot nothing runs that would have to know.
    assert_eq!(host.activate(&one), (vec![], String::new()));
    assert_eq!(host.read("a").as_deref(), Some("1"));
    assert_eq!(host.place.all(), [1]);
    // Nothing changes.
    assert_eq!(host.activate(&one), (vec![], String::new()));
    assert_eq!(host.place.all(), [1]);
    // Sealed anew, and the content of one is another.
    assert_eq!(
        host.activate(&two),
        (vec![], "b.service\nc.service\n".to_owned())
    );
    assert_eq!(host.place.all(), [1, 2]);
    // Back, byte by byte, without any key.
    fs::remove_file(&host.key).unwrap();
    assert_eq!(host.activate(&one), (vec![], "b.service\n".to_owned()));
    assert_eq!(host.read("b").as_deref(), Some("1"));
    assert_eq!(host.read("c"), None);
    assert_eq!(host.place.current(), Some(1));
    assert_eq!(host.place.all(), [1, 2]);
    // And forward again.
    assert_eq!(host.activate(&two).1, "b.service\nc.service\n");
    // What nobody kept needs the key.
    let lists = host.path("lists");
    let said = host.activation(&three, &lists).activate().unwrap_err();
    assert!(matches!(said, ActivationError::Identities(_)), "{said}");
    assert_eq!(
        host.read("b").as_deref(),
        Some("2"),
        "nothing was taken away"
    );
}

#[test]
fn what_cannot_be_opened_takes_no_other_away() {
    let host = Host::new();
    let paths = host.place.link().to_owned();
    let secrets = [
        ("a", "1"),
        ("b", "1"),
        ("c", "1"),
        ("d", "another's 1"),
        ("e", "1"),
    ];
    let five = host.describe("five", &secrets, &paths);
    let damaged = host.path("five-b.age");
    let mut bytes = fs::read(&damaged).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&damaged, bytes).unwrap();
    fs::remove_file(host.path("five-c.age")).unwrap();
    assert_eq!(host.activate(&five).0, ["b", "c", "d"]);
    let there = ["a", "b", "c", "d", "e"].map(|name| host.read(name).is_some());
    assert_eq!(there, [true, false, false, false, true]);

    let lists = host.path("lists");
    let checked = host.activation(&five, &lists).check().unwrap();
    let said: Vec<String> = checked
        .failures
        .iter()
        .map(|failure| crate::host::process::in_words(failure))
        .collect();
    assert_eq!(said[0], "cannot open secret b: it is damaged");
    assert!(
        said[1].starts_with("cannot open secret c: cannot read "),
        "{}",
        said[1]
    );
    assert_eq!(
        said[2],
        "cannot open secret d: none of the private keys here opens it: it is encrypted to others"
    );
    // A generation that is not whole is made again, and leaves what was kept.
    assert_eq!(host.activate(&five).0, ["b", "c", "d"]);
    assert_eq!(host.place.all(), [1, 2]);
}

#[test]
fn an_interrupted_activation_leaves_nothing_behind() {
    let host = Host::new();
    let paths = host.place.link().to_owned();
    let one = host.describe("one", &[("a", "1")], &paths);
    let two = host.describe("two", &[("a", "2")], &paths);
    host.activate(&one);
    // Killed before its record was written, and before the link was swapped.
    let begun = host.place.begin().unwrap();
    host.place.put(begun, "a", b"half").unwrap();
    fs::write(host.path("secrets.new"), "").unwrap();
    assert_eq!(host.read("a").as_deref(), Some("1"));
    assert_eq!(host.activate(&two), (vec![], "a.service\n".to_owned()));
    assert_eq!(host.read("a").as_deref(), Some("2"));
    assert_eq!(host.place.all(), [1, 3]);
}

#[test]
fn links_lead_to_secrets_and_go_with_them() {
    let host = Host::new();
    let etc = host.path("etc/shop");
    let one = host.describe("one", &[("a", "1"), ("b", "1")], &etc);
    let two = host.describe("two", &[("b", "2")], &etc);
    assert_eq!(host.activate(&one).0, [""; 0]);
    assert_eq!(fs::read_to_string(etc.join("a")).unwrap(), "1");
    host.activate(&two);
    assert!(!etc.join("a").is_symlink());
    assert_eq!(fs::read_to_string(etc.join("b")).unwrap(), "2");
    // Somebody's file is not overwritten, and known before anything is changed.
    fs::write(etc.join("a"), "mine").unwrap();
    let lists = host.path("lists");
    let checked = host.activation(&one, &lists).check().unwrap();
    assert_eq!(checked.failures[0].secret, "a");
    assert_eq!(host.activate(&one).0, ["a"]);
    assert_eq!(fs::read_to_string(etc.join("a")).unwrap(), "mine");
    assert_eq!(fs::read_to_string(etc.join("b")).unwrap(), "1");
}

#[test]
fn a_dry_run_says_who_would_be_told_and_changes_nothing() {
    let host = Host::new();
    let paths = host.place.link().to_owned();
    let one = host.describe("one", &[("a", "1"), ("b", "1")], &paths);
    let two = host.describe("two", &[("a", "1"), ("b", "2")], &paths);
    host.activate(&one);
    let lists = host.path("dry");
    let dry = host.activation(&two, &lists);
    let done = dry.dry_run_where(&everything).unwrap();
    assert_eq!(done.there, 2);
    assert_eq!(done.units.restart, ["b.service".to_owned()].into());
    assert!(!lists.exists());
    // What does not run is not started.
    let idle = dry.dry_run_where(&|_| BTreeSet::new()).unwrap();
    assert!(idle.units.is_empty(), "{:?}", idle.units);
    assert_eq!(host.read("b").as_deref(), Some("1"));
    assert_eq!(host.place.all(), [1]);
}

#[test]
fn a_user_who_is_missing_fails_one_secret_and_no_check() {
    let host = Host::new();
    let paths = host.place.link().to_owned();
    let one = host.describe("one", &[("a", "1"), ("b", "1")], &paths);
    let text = fs::read_to_string(&one).unwrap();
    let number = format!("\"user\":\"{}\"", nix::unistd::geteuid());
    fs::write(&one, text.replacen(&number, "\"user\":\"no-such-user\"", 1)).unwrap();
    let lists = host.path("lists");
    assert!(
        host.activation(&one, &lists)
            .check()
            .unwrap()
            .failures
            .is_empty()
    );
    assert_eq!(host.activate(&one).0, ["a"]);
    assert_eq!(host.read("a"), None);
    assert_eq!(host.read("b").as_deref(), Some("1"));
}
