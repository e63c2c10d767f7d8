//! The refs of the deploy repository under which CI leaves manifests.

use git2::{ObjectType, Oid, Repository, Sort};

use super::history::{self, Unread};
use super::list::{list_failed, list_ref};
use super::{CommitId, Head, Remote, Source, SourceError, fetch_failed, git_for, of_any_owner};
use crate::address;
use crate::host::process::in_words;
use crate::source::packing;

/// The longest manifest that is read, in bytes: some 200 for each of 10,000 hosts, twice.
pub const LONGEST: usize = 4 * 1024 * 1024;

/// The manifest's name in its commit.
pub const FILE: &str = "manifest.json";

/// Its signature's.
pub const SIGNATURE: &str = "manifest.json.sig";

/// Before the commit's id.
pub const REFS: &str = "refs/nixus/closures/";

/// Where the last one is in the local copy: the others need not be kept.
const FETCHED: &str = "refs/fetched/manifest";

/// How many commits are looked at for one that has a manifest.
const MAX_OLDER: usize = 50;

/// The most that one manifest may bring with it, in bytes as they are sent.
const MAX_FETCH: u64 = 64 * 1024 * 1024;

/// What the accepted history is kept by.
const KEPT: &str = "refs/nixus/kept/";

/// A manifest as it was found: bytes of somebody else.
#[derive(Debug, Clone)]
pub struct FoundManifest {
    /// Its text.
    pub text: Vec<u8>,
    /// The signature beside it.
    pub signature: Option<Vec<u8>>,
}

impl Source {
    /// The manifest of a commit, over a new connection; none where no server that answers has one.
    ///
    /// # Errors
    /// No server answers that may have it, or the local copy cannot be used.
    pub async fn manifest(&self, commit: &CommitId) -> Result<Option<FoundManifest>, SourceError> {
        let name = format!("{REFS}{commit}");
        let mut failure = None;
        let mut answered = false;
        for remote in self.believed_in_order() {
            match self.manifest_at(remote, &name).await {
                Ok(Some(found)) => return Ok(Some(found)),
                // A mirror may not have them all.
                Ok(None) => answered = true,
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            Some(error) if !answered => Err(error),
            Some(error) => {
                tracing::warn!("{}", in_words(&error));
                Ok(None)
            }
            None => Ok(None),
        }
    }

    async fn manifest_at(
        &self,
        remote: &Remote,
        name: &str,
    ) -> Result<Option<FoundManifest>, SourceError> {
        if list_ref(remote, name).await? != Head::Missing {
            return self.fetch_manifest(remote, name).await.map(Some);
        }
        Ok(None)
    }

    async fn fetch_manifest(
        &self,
        remote: &Remote,
        name: &str,
    ) -> Result<FoundManifest, SourceError> {
        self.open_or_make()?;
        let git = self.fetching(remote)?.arg("--no-filter").args([
            "--",
            &remote.url,
            &format!("+{name}:{FETCHED}"),
        ]);
        self.bounded(remote, git, MAX_FETCH)
            .await
            .map_err(|source| fetch_failed(remote, name, source))?;
        let repository = self.open_or_make()?;
        let read = found_at(&repository, FETCHED);
        let found = read.map_err(|why| self.unread(name, why))?;
        found.ok_or_else(|| SourceError::Answer {
            url: address::without_credentials(&remote.url),
            problem: format!("{name} has no {} of at most 4 MiB", FILE),
        })
    }

    /// The commits before `head` and after `kept` that have manifests, newest first.
    ///
    /// # Errors
    /// No server answers that may have them, or the local copy cannot be used.
    pub async fn older_with_manifest(
        &self,
        head: &CommitId,
        kept: Option<&CommitId>,
    ) -> Result<Vec<CommitId>, SourceError> {
        let before = self.before(head, kept)?;
        if before.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<String> = before.iter().map(|id| format!("{REFS}{id}")).collect();
        let mut failure = None;
        for remote in self.believed_in_order() {
            let listed = git_for(remote)
                .map_err(SourceError::Executable)?
                .args(["ls-remote", "--refs"])
                .args(of_any_owner(remote))
                .args(["--", &remote.url])
                .args(&names)
                .output()
                .await;
            match listed {
                Ok(output) => {
                    let text = String::from_utf8_lossy(&output);
                    let has = |name: &String| {
                        text.lines()
                            .any(|line| line.split('\t').nth(1) == Some(name))
                    };
                    let found = before.iter().zip(&names).filter(|(_, name)| has(name));
                    return Ok(found.map(|(id, _)| id.clone()).collect());
                }
                Err(source) => failure = Some(list_failed(remote, source)),
            }
        }
        failure.map_or_else(|| Ok(Vec::new()), Err)
    }

    fn before(
        &self,
        head: &CommitId,
        kept: Option<&CommitId>,
    ) -> Result<Vec<CommitId>, SourceError> {
        let repository = self.open_or_make()?;
        let find = || -> Result<Vec<Oid>, git2::Error> {
            let mut walk = repository.revwalk()?;
            walk.set_sorting(Sort::TOPOLOGICAL | Sort::TIME)?;
            walk.simplify_first_parent()?;
            walk.push(Oid::from_str(head.as_str())?)?;
            if let Some(kept) = kept {
                walk.hide(Oid::from_str(kept.as_str())?)?;
            }
            walk.skip(1).take(MAX_OLDER).collect()
        };
        let found = find().map_err(|source| self.object(head.as_str(), source))?;
        let ids = found.into_iter().map(super::commit_id);
        ids.collect::<Result<_, _>>()
            .map_err(|problem| SourceError::Answer {
                url: self.local.display().to_string(),
                problem,
            })
    }

    /// Makes many small files one, and throws away what is neither in the branch nor among `keep`. Only for the
    /// holder of the pass's lock. A failure costs nothing but space.
    pub async fn tidy(&self, keep: &[&CommitId]) {
        match self.pin(keep) {
            Ok(()) => packing::collect(&self.local).await,
            Err(error) => {
                tracing::warn!("nothing is thrown away: {error}");
                packing::pack(&self.local).await;
            }
        }
    }

    /// The accepted history may be in no branch any more; its refs keep it.
    fn pin(&self, keep: &[&CommitId]) -> Result<(), git2::Error> {
        let repository = Repository::open_bare(&self.local)?;
        let wanted: Vec<String> = keep.iter().map(|id| format!("{KEPT}{id}")).collect();
        for (id, name) in keep.iter().zip(&wanted) {
            let id = Oid::from_str(id.as_str())?;
            if repository.odb()?.exists(id) {
                repository.reference(name, id, true, "kept")?;
            }
        }
        for reference in repository.references_glob(&format!("{KEPT}*"))? {
            let mut reference = reference?;
            if !reference
                .name()
                .is_ok_and(|name| wanted.iter().any(|one| one == name))
            {
                reference.delete()?;
            }
        }
        Ok(())
    }
}

/// What a ref of a manifest has in it; nothing where that is none.
fn found_at(repository: &Repository, name: &str) -> Result<Option<FoundManifest>, Unread> {
    let id = repository.refname_to_id(name)?;
    let database = repository.odb()?;
    if database.read_header(id)?.1 != ObjectType::Commit {
        return Ok(None);
    }
    let tree = history::tree(repository, history::commit(repository, id)?.tree_id())?;
    let read = |file: &str| -> Result<Option<Vec<u8>>, Unread> {
        let Some(entry) = tree.get_name(file) else {
            return Ok(None);
        };
        let (size, kind) = database.read_header(entry.id())?;
        if kind != ObjectType::Blob || size > LONGEST {
            return Ok(None);
        }
        Ok(Some(repository.find_blob(entry.id())?.content().to_vec()))
    };
    let Some(text) = read(FILE)? else {
        return Ok(None);
    };
    let signature = read(SIGNATURE)?;
    Ok(Some(FoundManifest { text, signature }))
}
