use std::time::Duration;

use git2::Signature;

use super::list::head_in;
use super::*;
use crate::config::Authorities;
use crate::host::testing::run;

mod manifests;

#[test]
fn only_the_branch_of_that_very_name_is_the_head() {
    let id = "a".repeat(40);
    let name = "refs/heads/main";
    let check = |output: &str, expected: Result<Head, String>| {
        assert_eq!(head_in(output.as_bytes(), name), expected);
    };
    let at = Head::At(CommitId::try_from(id.clone()).unwrap());
    check(&format!("{id}\trefs/heads/main\n"), Ok(at));
    check(
        &format!("{id}\trefs/heads/a/refs/heads/main\n"),
        Ok(Head::Missing),
    );
    check("", Ok(Head::Missing));
    check("hello", Err("\"hello\"".into()));
    check("x\trefs/heads/main", Err("\"x\" is not a commit id".into()));
}

pub(super) struct Place {
    directory: tempfile::TempDir,
    server: Repository,
}

impl Place {
    pub(super) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let server = Repository::init_bare(directory.path().join("server.git")).unwrap();
        Self { directory, server }
    }

    pub(super) fn commit(
        &self,
        branch: &str,
        subject: &str,
        parent: Option<&CommitId>,
    ) -> CommitId {
        let author = Signature::now("operator", "operator@example").unwrap();
        let tree = self.server.treebuilder(None).unwrap().write().unwrap();
        let tree = self.server.find_tree(tree).unwrap();
        let parent = parent.map(|id| {
            let id = Oid::from_str(id.as_str()).unwrap();
            self.server.find_commit(id).unwrap()
        });
        let parents: Vec<_> = parent.iter().collect();
        let id = self
            .server
            .commit(None, &author, &author, subject, &tree, &parents)
            .unwrap();
        let name = format!("refs/heads/{branch}");
        self.server.reference(&name, id, true, "test").unwrap();
        commit_id(id).unwrap()
    }

    /// Puts the branch elsewhere.
    pub(super) fn reset(&self, branch: &str, to: &CommitId) {
        let name = format!("refs/heads/{branch}");
        let id = Oid::from_str(to.as_str()).unwrap();
        self.server.reference(&name, id, true, "test").unwrap();
    }

    pub(super) fn source(&self, branch: &str) -> Source {
        let remote = Remote {
            url: format!("file://{}", self.server.path().display()),
            ssh_key: None,
            known_hosts: None,
            token_file: None,
            authorities: Authorities::System,
            timeout: Duration::from_secs(30),
        };
        let local = self.directory.path().join("local.git");
        Source::new(vec![remote], branch.into(), local)
    }
}

#[test]
fn the_head_is_listed_fetched_and_named() {
    let place = Place::new();
    let source = place.source("main");
    assert_eq!(run(source.list()).unwrap(), Head::Missing);
    let one = place.commit("main", "one\n\nbody", None);
    place.commit("other/main", "elsewhere", None);
    assert_eq!(run(source.list()).unwrap(), Head::At(one.clone()));
    assert_eq!(run(source.fetch()).unwrap(), one);
    assert_eq!(source.commit(&one).unwrap().subject, "one");
}

#[test]
fn what_was_listed_is_fetched_and_where_that_is_not_to_be_had_the_branch() {
    let place = Place::new();
    let source = place.source("main");
    let one = place.commit("main", "one", None);
    assert_eq!(run(source.list()).unwrap(), Head::At(one.clone()));
    let two = place.commit("main", "two", Some(&one));
    assert_eq!(run(source.fetch()).unwrap(), one);
    // What was listed long ago is not fetched again.
    assert_eq!(run(source.fetch()).unwrap(), two);

    let gone = place.commit("other", "gone", None);
    *source.listed.lock().unwrap() = Some((source.remotes[0].url.clone(), gone.clone()));
    let (folder, file) = gone.as_str().split_at(2);
    let object = place.server.path().join("objects").join(folder).join(file);
    std::fs::remove_file(object).unwrap();
    std::fs::remove_file(place.server.path().join("refs/heads/other")).unwrap();
    assert_eq!(run(source.fetch()).unwrap(), two);
    // Of another server nothing is known.
    *source.listed.lock().unwrap() = Some(("file:///another".to_owned(), one));
    assert_eq!(run(source.fetch()).unwrap(), two);
}

#[test]
fn a_descendant_is_told_from_a_rewritten_history() {
    let place = Place::new();
    let source = place.source("main");
    let one = place.commit("main", "one", None);
    let two = place.commit("main", "two", Some(&one));
    run(source.fetch()).unwrap();
    assert!(source.descends(&two, &one).unwrap());
    assert!(source.descends(&two, &two).unwrap());
    assert!(!source.descends(&one, &two).unwrap());

    let other = place.commit("main", "another two", Some(&one));
    assert_eq!(run(source.fetch()).unwrap(), other);
    assert!(!source.descends(&other, &two).unwrap());
    let never_seen = CommitId::try_from("e".repeat(40)).unwrap();
    assert!(!source.descends(&other, &never_seen).unwrap());
}

#[test]
fn a_repository_that_is_gone_is_named() {
    let place = Place::new();
    let mut source = place.source("main");
    source.remotes[0].url = "file:///no/such/deploy.git".into();
    let error = run(source.fetch()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot fetch main from file:///no/such/deploy.git"
    );
}

#[test]
fn a_subject_cannot_write_on_the_terminal() {
    let place = Place::new();
    let source = place.source("main");
    let one = place.commit("main", "red \u{1b}[31malert\u{7}", None);
    run(source.fetch()).unwrap();
    assert_eq!(source.commit(&one).unwrap().subject, "red [31malert");
}

#[test]
fn of_a_failure_only_what_matters_is_told() {
    let said = "ssh: connect to host 10.77.0.2 port 22: Network is unreachable\n\
                fatal: Could not read from remote repository.\n\n\
                Please make sure you have the correct access rights\n\
                and the repository exists.\n";
    assert_eq!(
        without_advice(said),
        "ssh: connect to host 10.77.0.2 port 22: Network is unreachable"
    );
    assert_eq!(without_advice(""), "");
}

#[test]
fn only_a_damaged_local_copy_is_set_aside_and_then_fetched_anew() {
    let place = Place::new();
    let source = place.source("main");
    let one = place.commit("main", "one", None);
    assert_eq!(run(source.set_aside_if_damaged()).unwrap(), None);
    run(source.fetch()).unwrap();
    assert_eq!(run(source.set_aside_if_damaged()).unwrap(), None);
    let aside = place.directory.path().join("local.git.damaged-1");
    for _ in 0..2 {
        let objects = source.local.join("objects");
        std::fs::remove_dir_all(&objects).unwrap();
        let set = run(source.set_aside_if_damaged()).unwrap();
        assert_eq!(set, Some(aside.clone()));
        assert_eq!(run(source.fetch()).unwrap(), one);
        assert_eq!(source.commit(&one).unwrap().subject, "one");
    }
}

#[test]
fn only_trailers_of_later_commits_ask_for_a_retry() {
    let place = Place::new();
    let source = place.source("main");
    let system = |letter: &str| format!("/nix/store/{}-nixos-system", letter.repeat(32));
    let message = |letter| format!("try again\n\nwhy\n\nNixus-Retry: {}\n", system(letter));
    let one = place.commit("main", &message("a"), None);
    let two = place.commit("main", &message("b"), Some(&one));
    let body = format!(
        "no\n\nNixus-Retry: {}\n\nthat was not a trailer",
        system("c")
    );
    let three = place.commit("main", &body, Some(&two));
    let four = place.commit("main", "x\n\nNixus-Retry: nonsense\n", Some(&three));
    run(source.fetch()).unwrap();
    let found = source.retries(&four, &one).unwrap();
    let found: Vec<_> = found.iter().map(ToString::to_string).collect();
    assert_eq!(found, [system("b")]);
}

#[test]
fn a_head_that_is_no_commit_is_told_and_changes_nothing() {
    let place = Place::new();
    let source = place.source("main");
    let one = place.commit("main", "one", None);
    run(source.fetch()).unwrap();
    let blob = place.server.blob(b"no commit").unwrap();
    let file = place.server.path().join("refs/heads/main");
    std::fs::write(file, format!("{blob}\n")).unwrap();
    let error = run(source.fetch()).unwrap_err();
    assert!(matches!(error, SourceError::Fetch { .. }), "{error:?}");
    assert!(source.descends(&one, &one).unwrap());
    assert_eq!(run(source.set_aside_if_damaged()).unwrap(), None);
}

/// A mirror that has the branch at `commit`, in a repository of its own.
pub(super) fn mirror(place: &Place, name: &str, commit: &CommitId) -> Remote {
    let path = place.directory.path().join(name);
    let copy = Repository::init_bare(&path).unwrap();
    let id = Oid::from_str(commit.as_str()).unwrap();
    let mut walk = place.server.revwalk().unwrap();
    walk.push(id).unwrap();
    let (from, to) = (place.server.odb().unwrap(), copy.odb().unwrap());
    for id in walk.map(Result::unwrap) {
        let tree = place.server.find_commit(id).unwrap().tree_id();
        for id in [id, tree] {
            let object = from.read(id).unwrap();
            to.write(object.kind(), object.data()).unwrap();
        }
    }
    copy.reference("refs/heads/main", id, true, "test").unwrap();
    Remote {
        url: format!("file://{}", path.display()),
        ..place.source("main").remotes[0].clone()
    }
}

#[test]
fn where_mirrors_count_the_newest_answer_does_and_none_takes_a_host_backwards() {
    let place = Place::new();
    let one = place.commit("main", "one", None);
    let two = place.commit("main", "two", Some(&one));
    let mut source = place.source("main").believing(true, None);
    let dead = Remote {
        url: "file:///no/such/deploy.git".into(),
        ..source.remotes[0].clone()
    };
    let primary = source.remotes[0].clone();
    let behind = mirror(&place, "behind.git", &one);
    source.remotes = vec![dead.clone(), behind.clone(), primary];
    // A host that has seen nothing yet takes either; then the newer one is followed.
    run(source.fetch()).unwrap();
    assert_eq!(run(source.list()).unwrap(), Head::At(two.clone()));
    assert_eq!(run(source.fetch()).unwrap(), two);
    assert_eq!(run(source.list()).unwrap(), Head::At(two.clone()));

    source.remotes = vec![dead.clone(), behind.clone()];
    let error = run(source.list()).unwrap_err();
    assert!(matches!(&error, SourceError::Behind { seen, .. } if *seen == two));
    let error = run(source.fetch()).unwrap_err();
    assert!(matches!(error, SourceError::NoMirror { .. }), "{error:?}");
    assert_eq!(source.commit(&two).unwrap().subject, "two");
    assert!(run(source.list()).is_err());

    source.remotes = vec![dead.clone(), dead];
    let error = run(source.list()).unwrap_err().to_string();
    assert!(error.starts_with("no mirror of the repository answers: cannot list file:///no"));
}

#[test]
fn no_error_tells_a_password_that_a_url_carries() {
    let place = Place::new();
    let mut source = place.source("main");
    // The configuration refuses such a URL; git repeats what it is given all the same.
    source.remotes[0].url = "https://me:s3cret@127.0.0.1:1/x.git".into();
    for error in [
        run(source.list()).map(|_| ()).unwrap_err(),
        run(source.fetch()).map(|_| ()).unwrap_err(),
    ] {
        let words = crate::host::process::in_words(&error);
        assert!(!words.contains("s3cret"), "{words}");
        assert!(words.contains("127.0.0.1"), "{words}");
    }
}

/// git itself, in a folder.
fn git_in(folder: &std::path::Path, arguments: &[&str]) -> String {
    let output = std::process::Command::new("git")
        .arg("-C")
        .arg(folder)
        .args(["-c", "user.name=operator", "-c", "user.email=o@example"])
        .args(["-c", "protocol.file.allow=always"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Makes a repository `name.git` beside the others whose only commit has this file and these
/// submodules: path and URL.
fn make(place: &Place, name: &str, file: &str, submodules: &[(&str, &str)]) -> CommitId {
    let beside = place.directory.path();
    let work = beside.join(format!("{name}-work"));
    std::fs::create_dir(&work).unwrap();
    git_in(&work, &["init", "--quiet", "--initial-branch=main"]);
    let origin = beside.join(format!("{name}.git"));
    git_in(
        &work,
        &["remote", "add", "origin", origin.to_str().unwrap()],
    );
    std::fs::write(work.join(file), name).unwrap();
    for (path, url) in submodules {
        git_in(&work, &["submodule", "--quiet", "add", url, path]);
    }
    git_in(&work, &["add", "--all"]);
    git_in(&work, &["commit", "--quiet", "--message", name]);
    git_in(
        &work,
        &[
            "init",
            "--quiet",
            "--bare",
            "--initial-branch=main",
            origin.to_str().unwrap(),
        ],
    );
    git_in(&work, &["push", "--quiet", "origin", "main"]);
    git_in(&work, &["rev-parse", "HEAD"]).try_into().unwrap()
}

#[test]
fn submodules_and_theirs_become_plain_folders_of_the_same_commit() {
    let place = Place::new();
    make(&place, "inner", "c.nix", &[]);
    make(&place, "lib", "b.nix", &[("deep/inner", "../inner.git")]);
    let head = make(
        &place,
        "deploy",
        "a.nix",
        &[("libs/one", "../lib.git"), ("inner", "../inner.git")],
    );
    let url = format!("file://{}/deploy.git", place.directory.path().display());
    let source = Source::new(
        vec![place.source("main").remotes[0].at(&url)],
        "main".into(),
        place.directory.path().join("local.git"),
    );
    let filled = run(async {
        assert_eq!(source.fetch().await.unwrap(), head);
        source.with_submodules(&head).await.unwrap()
    });
    let files = git_in(
        source.local(),
        &["ls-tree", "-r", "--name-only", filled.as_str()],
    );
    assert_eq!(
        files.lines().collect::<Vec<_>>(),
        [
            ".gitmodules",
            "a.nix",
            "inner/c.nix",
            "libs/one/.gitmodules",
            "libs/one/b.nix",
            "libs/one/deep/inner/c.nix"
        ]
    );
    // It is made again without the servers of the submodules, and is the same.
    std::fs::remove_dir_all(place.directory.path().join("inner.git")).unwrap();
    let again = run(source.with_submodules(&head)).unwrap();
    assert_eq!(again, filled);
    assert!(source.descends(&filled, &head).unwrap());
}

#[test]
fn a_submodule_that_is_nowhere_is_told_from_one_that_is_not_reached() {
    let check = |modules: Option<&str>, expected: &str, of_the_commit: bool| {
        let place = Place::new();
        make(&place, "lib", "b.nix", &[]);
        make(&place, "deploy", "a.nix", &[("lib", "../lib.git")]);
        let work = place.directory.path().join("deploy-work");
        match modules {
            Some(text) => std::fs::write(work.join(".gitmodules"), text).unwrap(),
            None => std::fs::remove_file(work.join(".gitmodules")).unwrap(),
        }
        git_in(&work, &["commit", "--quiet", "--all", "--message", "wrong"]);
        git_in(&work, &["push", "--quiet", "origin", "main"]);
        let url = format!("file://{}/deploy.git", place.directory.path().display());
        let source = Source::new(
            vec![place.source("main").remotes[0].at(&url)],
            "main".into(),
            place.directory.path().join("local.git"),
        );
        let error = run(async {
            let head = source.fetch().await.unwrap();
            source.with_submodules(&head).await
        })
        .unwrap_err();
        let told = crate::host::process::in_words(&error);
        assert!(told.contains(expected), "{told}");
        assert_eq!(
            matches!(error, SourceError::Submodule { .. }),
            of_the_commit,
            "{told}"
        );
    };
    let module = |url: &str| format!("[submodule \"x\"]\n\tpath = lib\n\turl = {url}\n");
    check(None, ".gitmodules cannot be read", true);
    check(Some(""), "the submodule lib has no URL", true);
    check(Some("[[["), ".gitmodules cannot be read", true);
    check(
        Some(&module(&format!("{}x", "../".repeat(20)))),
        "leads nowhere",
        true,
    );
    check(
        Some(&module("../gone.git")),
        "cannot fetch the submodule lib from file://",
        false,
    );
    check(
        Some(&module("ext::sh")),
        "the submodule lib has a URL that is neither a URL nor user@host:path",
        true,
    );
    // The repository's token would go where the commit's author likes.
    check(
        Some(&module("https://evil.test?@git.test/x.git")),
        "has a URL that has no / after the name of its server",
        true,
    );
    check(
        Some(&module("https://me:s3cret@git.test/x.git")),
        "has a URL that has a password in it",
        true,
    );
}

/// Commits a raw tree and raw lines of a commit, with a sound commit on top, which the branch is at.
fn odd(place: &Place, tree: Option<&[u8]>, lines: &str) -> CommitId {
    let odb = place.server.odb().unwrap();
    let blob = odb.write(git2::ObjectType::Blob, b"x").unwrap();
    let entry = |mode: &str, name: &str, id: Oid| {
        let mut entry = format!("{mode} {name}\0").into_bytes();
        entry.extend_from_slice(id.as_bytes());
        entry
    };
    let sound = odb.write(git2::ObjectType::Tree, &entry("100644", "file", blob));
    let sound = sound.unwrap();
    let tree = tree.map(|mode_and_name| {
        let (mode, name) = std::str::from_utf8(mode_and_name)
            .unwrap()
            .split_once(' ')
            .unwrap();
        let of = if mode.ends_with("40000") { sound } else { blob };
        let tree = odb.write(git2::ObjectType::Tree, &entry(mode, name, of));
        tree.unwrap()
    });
    let text = format!("tree {}\n{lines}\nold\n", tree.unwrap_or(sound));
    let old = odb
        .write(git2::ObjectType::Commit, text.as_bytes())
        .unwrap();
    let text = format!(
        "tree {sound}\nparent {old}\nauthor a <a@b> 1 +0000\ncommitter a <a@b> 1 +0000\n\nnew\n"
    );
    let new = odb
        .write(git2::ObjectType::Commit, text.as_bytes())
        .unwrap();
    let name = "refs/heads/main";
    place.server.reference(name, new, true, "test").unwrap();
    commit_id(new).unwrap()
}

#[test]
fn an_old_history_with_flaws_that_harm_nobody_is_fetched() {
    const BY: &str = "author a <a@b> 1 +0000\ncommitter a <a@b> 1 +0000\n";
    let author = |author: &str| format!("author {author}\ncommitter a <a@b> 1 +0000\n");
    let check = |tree: Option<&[u8]>, lines: &str, flaw: &str, harmless: bool| {
        let place = Place::new();
        let head = odd(&place, tree, lines);
        let source = place.source("main");
        match run(source.fetch()) {
            Ok(fetched) => assert!(harmless && fetched == head, "{flaw}"),
            Err(error) => {
                let words = crate::host::process::in_words(&error);
                assert!(!harmless && words.contains(flaw), "{flaw}: {words}");
            }
        }
    };
    // What git only warns of, or old programs wrote.
    check(Some(b"040000 folder"), BY, "zeroPaddedFilemode", true);
    check(Some(b"100666 file"), BY, "badFilemode", true);
    check(None, &author("a <a@b> 1 +051800"), "badTimezone", true);
    check(
        None,
        &author("a <a@b>1 +0000"),
        "missingSpaceBeforeDate",
        true,
    );
    check(None, &author("a <a@b> 01 +0000"), "zeroPaddedDate", true);
    check(None, &author("a 1 +0000"), "missingEmail", true);
    check(
        None,
        &author("a<a@b> 1 +0000"),
        "missingSpaceBeforeEmail",
        true,
    );
    // What leads out of a folder stays an error.
    check(Some(b"40000 .git"), BY, "hasDotgit", false);
    check(Some(b"40000 .."), BY, "hasDotdot", false);
    check(None, "committer a <a@b> 1 +0000\n", "missingAuthor", false);
}

#[test]
fn a_repository_of_another_user_on_this_machine_is_read() {
    let place = Place::new();
    let one = place.commit("main", "one", None);
    let source = place.source("main");
    run(source.fetch()).unwrap();
    let remote = &source.remotes[0];
    // git's own tests have another owner like this (t/t0033-safe-directory.sh).
    let of_another = |git: Invocation| git.env("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1");
    let git = of_another(git_for(remote).unwrap()).args(["ls-remote", "--", &remote.url]);
    let words = run(git.output()).unwrap_err().to_string();
    assert!(words.contains("dubious ownership"), "{words}");
    let git = of_another(git_for(remote).unwrap())
        .arg("ls-remote")
        .args(of_any_owner(remote))
        .args(["--", &remote.url, "refs/heads/main"]);
    let listed = String::from_utf8(run(git.output()).unwrap()).unwrap();
    assert!(listed.starts_with(one.as_str()), "{listed}");
    let git = of_another(source.fetching(remote).unwrap());
    run(git
        .args(["--", &remote.url, "+refs/heads/main:refs/heads/x"])
        .output())
    .unwrap();
}
