//! Hosts that evaluate nothing, and what CI leaves for them.

use super::*;

impl Place {
    /// A commit that has a file, which it gives as well.
    fn commit_file(&self, branch: &str, subject: &str, parent: &CommitId) -> (CommitId, Oid) {
        let blob = self.server.blob(b"a file").unwrap();
        let mut tree = self.server.treebuilder(None).unwrap();
        tree.insert("file", blob, 0o100_644).unwrap();
        let tree = self.server.find_tree(tree.write().unwrap()).unwrap();
        let author = Signature::now("operator", "operator@example").unwrap();
        let parent = Oid::from_str(parent.as_str()).unwrap();
        let parent = self.server.find_commit(parent).unwrap();
        let name = format!("refs/heads/{branch}");
        let id = self
            .server
            .commit(Some(&name), &author, &author, subject, &tree, &[&parent])
            .unwrap();
        (commit_id(id).unwrap(), blob)
    }

    /// Leaves a manifest of a commit, as CI does.
    fn manifest(&self, of: &CommitId, text: &str, signature: Option<&str>) {
        let mut tree = self.server.treebuilder(None).unwrap();
        let files = [
            ("manifest.json", Some(text)),
            ("manifest.json.sig", signature),
        ];
        for (name, text) in files {
            if let Some(text) = text {
                let blob = self.server.blob(text.as_bytes()).unwrap();
                tree.insert(name, blob, 0o100_644).unwrap();
            }
        }
        let tree = self.server.find_tree(tree.write().unwrap()).unwrap();
        let ci = Signature::now("ci", "ci@example").unwrap();
        let id = self.server.commit(None, &ci, &ci, "closures", &tree, &[]);
        let name = format!("{REFS}{of}");
        self.server
            .reference(&name, id.unwrap(), true, "ci")
            .unwrap();
    }

    /// The repository of a host that evaluates nothing, on a server that serves history alone.
    fn history_alone(&self) -> Source {
        let mut config = self.server.config().unwrap();
        config.set_bool("uploadpack.allowFilter", true).unwrap();
        let mut source = self.source("main");
        source.commits_only = true;
        source
    }
}

#[test]
fn a_host_that_evaluates_nothing_fetches_the_history_alone_and_reads_manifests() {
    let place = Place::new();
    let source = place.history_alone();
    let one = place.commit("main", "one", None);
    let (two, file) = place.commit_file("main", "two", &one);
    assert_eq!(run(source.fetch()).unwrap(), two);
    assert!(source.descends(&two, &one).unwrap());
    let local = Repository::open_bare(source.local()).unwrap();
    assert!(local.find_blob(file).is_err(), "files were fetched");

    assert!(run(source.manifest(&two)).unwrap().is_none());
    for (text, signature) in [("first", None), ("second", Some("signed"))] {
        place.manifest(&two, text, signature);
        let found = run(source.manifest(&two)).unwrap().unwrap();
        assert_eq!(found.text, text.as_bytes());
        assert_eq!(found.signature.as_deref(), signature.map(str::as_bytes));
    }
    // Beside the manifest, which is whole, the history is still without files.
    let three = place.commit("main", "three", Some(&two));
    assert_eq!(run(source.fetch()).unwrap(), three);
    assert!(run(source.manifest(&three)).unwrap().is_none());
    assert!(!run(is_damaged(source.local())));

    let older = |kept: Option<&CommitId>| run(source.older_with_manifest(&three, kept)).unwrap();
    assert_eq!(older(Some(&one)), std::slice::from_ref(&two));
    assert_eq!(older(None), std::slice::from_ref(&two));
    assert_eq!(older(Some(&two)), []);
    place.manifest(&one, "first", None);
    assert_eq!(older(None), [two, one]);
}

#[test]
fn many_fetches_of_commits_do_not_leave_many_packs() {
    let place = Place::new();
    let source = place.history_alone();
    let first = place.commit("main", "one", None);
    let mut last = first.clone();
    run(source.fetch()).unwrap();
    for number in 0..60 {
        last = place.commit("main", &number.to_string(), Some(&last));
        run(source.fetch()).unwrap();
        run(source.tidy(&[&last]));
    }
    let packs = std::fs::read_dir(source.local().join("objects/pack"))
        .unwrap()
        .filter(|entry| {
            let path = entry.as_ref().unwrap().path();
            path.extension().is_some_and(|end| end == "pack")
        })
        .count();
    assert!(packs < 20, "{packs}");
    assert!(source.descends(&last, &first).unwrap());
    assert!(!run(is_damaged(source.local())));
}
