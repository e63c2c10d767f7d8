//! Submodules of the deploy repository: fetched here, since Nix resolves their relative URLs against
//! the local copy, where they lead nowhere, and has no key for their server.
//!
//! Nix is given a commit beside the original, in whose tree the submodules are plain folders. It
//! depends on nothing but the original, so making it again gives the same commit.

use std::collections::{BTreeMap, BTreeSet};

use git2::build::TreeUpdateBuilder;
use git2::{FileMode, ObjectType, Oid, Repository};

use super::history::{self, Unread};
use super::{MAX_FETCH, Source, SourceError, commit_id, git, in_short};
use crate::address::{self, Address};
use crate::config::Remote;
use crate::decide::commit_id::CommitId;
use crate::host::disk_space;

/// Keep what was fetched; each is named after its commit.
const REFS: &str = "refs/nixus/submodules/";
/// Keeps the commit that Nix is given.
const FILLED: &str = "refs/nixus/with-submodules";
/// How many submodules a commit may have in all, those of submodules included.
const MOST: usize = 100;
/// How deep submodules of submodules may go.
const DEEPEST: usize = 5;
/// How many places of a commit submodules may be at.
const MOST_PLACES: usize = 1000;
/// How deep folders may go.
const DEEPEST_FOLDER: usize = 256;
/// The largest `.gitmodules` that is read, in bytes.
const MAX_GITMODULES: usize = 1024 * 1024;

/// A commit, and where its submodules' relative URLs begin.
struct Place {
    commit: Oid,
    url: String,
    depth: usize,
}

impl Source {
    /// The same commit with its submodules as plain folders; the commit itself where it has none.
    ///
    /// # Errors
    /// A submodule's URL cannot be used, no server has its commit, or the local copy cannot be written.
    pub async fn with_submodules(&self, commit: &CommitId) -> Result<CommitId, SourceError> {
        let Some(remote) = self.remotes.first() else {
            return Ok(commit.clone());
        };
        let oid = Oid::from_str(commit.as_str())
            .map_err(|source| self.object(commit.as_str(), source))?;
        let mut left = vec![Place {
            commit: oid,
            url: remote.url.clone(),
            depth: 0,
        }];
        let mut seen = BTreeSet::new();
        while let Some(place) = left.pop() {
            let links = self.links(place.commit)?;
            if links.is_empty() {
                continue;
            }
            let urls = self.urls(place.commit, remote).await?;
            for (path, submodule) in links {
                let wrong = |problem: String| SourceError::Submodule {
                    path: path.clone(),
                    problem,
                };
                let given = urls
                    .get(&path)
                    .ok_or_else(|| wrong("has no URL in .gitmodules".to_owned()))?;
                let url = resolve(&place.url, given).ok_or_else(|| {
                    let given = address::without_credentials(given);
                    wrong(format!("has the URL {given:?}, which leads nowhere"))
                })?;
                // The commit's author chose it: a token or a key goes to no server that depends on who reads it.
                if let Err(why) = Address::parse(&url) {
                    return Err(wrong(format!("has a URL that {why}")));
                }
                if seen.len() >= MOST || place.depth >= DEEPEST {
                    let problem = format!("is one too many: {MOST} are allowed, {DEEPEST} deep");
                    return Err(wrong(problem));
                }
                if seen.insert(submodule) {
                    self.fetch_submodule(&path, submodule, &remote.at(&url))
                        .await?;
                    left.push(Place {
                        commit: submodule,
                        url,
                        depth: place.depth + 1,
                    });
                }
            }
        }
        let filled = self
            .fill(oid, &seen)
            .map_err(|why| self.unread(commit.as_str(), why))?;
        commit_id(filled).map_err(|problem| SourceError::Answer {
            url: address::without_credentials(&remote.url),
            problem,
        })
    }

    fn links(&self, commit: Oid) -> Result<Vec<(String, Oid)>, SourceError> {
        let repository = self.open_or_make()?;
        links_in(&repository, commit)
            .map_err(|why| self.unread(&commit.to_string(), why))?
            .ok_or_else(|| SourceError::Submodule {
                path: format!("of {commit}"),
                problem: format!("is one too many: a commit may have {MOST_PLACES}"),
            })
    }

    /// The URL of each submodule by its path, as the commit's `.gitmodules` has them.
    async fn urls(
        &self,
        commit: Oid,
        remote: &Remote,
    ) -> Result<BTreeMap<String, String>, SourceError> {
        self.small_gitmodules(commit)?;
        let blob = format!("{commit}:.gitmodules");
        let output = git(remote.timeout)
            .arg("--git-dir")
            .arg(&self.local)
            .args(["config", "--blob", &blob, "--null", "--list"])
            .output()
            .await;
        output
            .map(|output| urls_in(&String::from_utf8_lossy(&output)))
            .map_err(|source| SourceError::Submodule {
                path: ".gitmodules".to_owned(),
                problem: format!("cannot be read: {source}"),
            })
    }

    fn small_gitmodules(&self, commit: Oid) -> Result<(), SourceError> {
        let repository = self.open_or_make()?;
        let look = || -> Result<(), Unread> {
            let tree = history::tree(&repository, history::commit(&repository, commit)?.tree_id())?;
            match tree.get_name(".gitmodules") {
                Some(entry) => {
                    history::small(&repository, entry.id(), ObjectType::Blob, MAX_GITMODULES)
                }
                None => Ok(()),
            }
        };
        look().map_err(|why| self.unread(".gitmodules", why))
    }

    async fn fetch_submodule(
        &self,
        path: &str,
        commit: Oid,
        remote: &Remote,
    ) -> Result<(), SourceError> {
        let name = format!("{REFS}{commit}");
        // What a reference names was fetched with all that belongs to it.
        if self.open_or_make()?.refname_to_id(&name).is_ok() {
            return Ok(());
        }
        let refspec = format!("{commit}:{name}");
        // Servers that speak version 2 of git's protocol give any commit by its id.
        let git = self.fetching(remote)?.args(["--", &remote.url, &refspec]);
        self.bounded(remote, git, MAX_FETCH)
            .await
            .map(drop)
            .map_err(|source| SourceError::FetchSubmodule {
                path: path.to_owned(),
                url: address::without_credentials(&remote.url),
                source: source.told_by(|said| disk_space::named(in_short(remote, said))),
            })
    }

    /// Makes the commit that holds its submodules, and drops those that it does not have any more.
    fn fill(&self, commit: Oid, submodules: &BTreeSet<Oid>) -> Result<Oid, Unread> {
        let repository = Repository::open_bare(&self.local)?;
        for reference in repository.references_glob(&format!("{REFS}*"))? {
            let mut reference = reference?;
            if !reference
                .target()
                .is_some_and(|oid| submodules.contains(&oid))
            {
                reference.delete()?;
            }
        }
        let original = history::commit(&repository, commit)?;
        let tree = filled_tree(&repository, commit, &mut BTreeMap::new())?;
        if tree == original.tree_id() {
            return Ok(commit);
        }
        let filled = repository.commit(
            None,
            &original.author(),
            &original.committer(),
            &format!("{commit} with its submodules\n"),
            &repository.find_tree(tree)?,
            &[&original],
        )?;
        repository.reference(FILLED, filled, true, "filled")?;
        Ok(filled)
    }
}

/// Where something is in a repository, and what.
type Links = Vec<(String, Oid)>;

/// The submodules of a commit: path and commit; nothing where there are too many.
fn links_in(repository: &Repository, commit: Oid) -> Result<Option<Links>, Unread> {
    let tree = history::commit(repository, commit)?.tree_id();
    links_below(repository, tree, 0, &mut BTreeMap::new())
}

/// The same of a folder. One that is at many places, in one that is at many places …, is looked at once.
fn links_below(
    repository: &Repository,
    tree: Oid,
    depth: usize,
    known: &mut BTreeMap<Oid, Option<Links>>,
) -> Result<Option<Links>, Unread> {
    if let Some(links) = known.get(&tree) {
        return Ok(links.clone());
    }
    if depth > DEEPEST_FOLDER {
        return Ok(None);
    }
    let mut links = Some(Vec::new());
    for entry in &history::tree(repository, tree)? {
        let name = String::from_utf8_lossy(entry.name_bytes()).into_owned();
        let more = match entry.kind() {
            Some(ObjectType::Commit) => Some(vec![(name, entry.id())]),
            Some(ObjectType::Tree) => {
                let below = links_below(repository, entry.id(), depth + 1, known)?;
                below.map(|below| {
                    let within = |(path, id)| (format!("{name}/{path}"), id);
                    below.into_iter().map(within).collect()
                })
            }
            _ => continue,
        };
        links = links
            .zip(more)
            .map(|(links, more)| [links, more].concat())
            .filter(|links: &Links| links.len() <= MOST_PLACES);
        if links.is_none() {
            break;
        }
    }
    known.insert(tree, links.clone());
    Ok(links)
}

/// The tree of a commit whose submodules were all fetched, with theirs in it; each commit is filled once.
fn filled_tree(
    repository: &Repository,
    commit: Oid,
    filled: &mut BTreeMap<Oid, Oid>,
) -> Result<Oid, Unread> {
    if let Some(tree) = filled.get(&commit) {
        return Ok(*tree);
    }
    let tree = history::tree(repository, history::commit(repository, commit)?.tree_id())?;
    // With too many of them the commit was refused before.
    let links = links_in(repository, commit)?.unwrap_or_default();
    let mut result = tree.id();
    if !links.is_empty() {
        // A folder cannot take the place of a submodule in one step.
        let mut without = TreeUpdateBuilder::new();
        let mut with = TreeUpdateBuilder::new();
        for (path, submodule) in &links {
            without.remove(path.as_str());
            with.upsert(
                path.as_str(),
                filled_tree(repository, *submodule, filled)?,
                FileMode::Tree,
            );
        }
        let bare = repository.find_tree(without.create_updated(repository, &tree)?)?;
        result = with.create_updated(repository, &bare)?;
    }
    filled.insert(commit, result);
    Ok(result)
}

/// `git config --null --list` of a `.gitmodules`, as URLs by path (gitmodules(5)).
pub(crate) fn urls_in(listed: &str) -> BTreeMap<String, String> {
    let mut paths = BTreeMap::new();
    let mut urls = BTreeMap::new();
    for (key, value) in listed
        .split('\0')
        .filter_map(|entry| entry.split_once('\n'))
    {
        let Some((name, what)) = key
            .strip_prefix("submodule.")
            .and_then(|rest| rest.rsplit_once('.'))
        else {
            continue;
        };
        match what {
            "path" => paths.insert(name.to_owned(), value.trim_end_matches('/').to_owned()),
            "url" => urls.insert(name.to_owned(), value.to_owned()),
            _ => None,
        };
    }
    paths
        .into_iter()
        .filter_map(|(name, path)| Some((path, urls.remove(&name)?)))
        .collect()
}

/// The URL of a submodule: one that begins with `./` or `../` is relative to the URL of the
/// repository that it is in (gitmodules(5)). Nothing where it leaves the server, or is an option.
pub(crate) fn resolve(base: &str, url: &str) -> Option<String> {
    if url.is_empty() || url.starts_with('-') {
        return None;
    }
    if !url.starts_with("./") && !url.starts_with("../") {
        return Some(url.to_owned());
    }
    let mut base = base.trim_end_matches('/');
    let mut rest = url;
    let mut joint = '/';
    loop {
        if let Some(inside) = rest.strip_prefix("./") {
            rest = inside;
        } else if let Some(above) = rest.strip_prefix("../") {
            rest = above;
            // The root of the server has no parent.
            let root = base.find("://").map_or(0, |scheme| scheme + 3);
            let path = base[root..].find(['/', ':']).map(|path| root + path)?;
            let cut = base.rfind(['/', ':']).filter(|cut| *cut >= path)?;
            // `git@host:x` has no slash after its host (git, remote.c, relative_url).
            joint = if base[cut..].starts_with(':') {
                ':'
            } else {
                '/'
            };
            base = &base[..cut];
        } else {
            return Some(format!("{base}{joint}{rest}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relative_url_begins_at_the_repository_that_it_is_in() {
        let check = |base: &str, url: &str, expected: Option<&str>| {
            assert_eq!(resolve(base, url).as_deref(), expected, "{base} {url}");
        };
        let deploy = "ssh://git@git.example/srv/git/deploy.git";
        check(
            deploy,
            "../lib.git",
            Some("ssh://git@git.example/srv/git/lib.git"),
        );
        check(
            deploy,
            "../../other/lib",
            Some("ssh://git@git.example/srv/other/lib"),
        );
        check(
            "https://forge.example/org/deploy/",
            "../../lib",
            Some("https://forge.example/lib"),
        );
        check(
            deploy,
            "./lib",
            Some("ssh://git@git.example/srv/git/deploy.git/lib"),
        );
        check(
            deploy,
            "https://other.example/lib",
            Some("https://other.example/lib"),
        );
        check(deploy, "../../../../lib", None);
        check("https://forge.example/deploy", "../../lib", None);
        check(deploy, "--upload-pack=touch", None);
        check(deploy, "", None);
        let short = "git@git.example:fleet/deploy.git";
        check(short, "../lib", Some("git@git.example:fleet/lib"));
        check(short, "../../lib", Some("git@git.example:lib"));
        check(short, "../../../lib", None);
    }

    fn commit_of(repository: &Repository, tree: Oid) -> Oid {
        let who = git2::Signature::new("a", "a@example.org", &git2::Time::new(1, 0)).unwrap();
        let tree = repository.find_tree(tree).unwrap();
        repository
            .commit(None, &who, &who, "a", &tree, &[])
            .unwrap()
    }

    fn folder(
        repository: &Repository,
        entries: impl IntoIterator<Item = (String, Oid, i32)>,
    ) -> Oid {
        let mut tree = repository.treebuilder(None).unwrap();
        for (name, id, mode) in entries {
            tree.insert(name, id, mode).unwrap();
        }
        tree.write().unwrap()
    }

    #[test]
    fn submodules_of_submodules_are_looked_at_once_each() {
        let place = tempfile::tempdir().unwrap();
        let repository = Repository::init_bare(place.path()).unwrap();
        let file = repository.blob(b"x").unwrap();
        let leaf = folder(&repository, [("file".to_owned(), file, 0o100_644)]);
        let mut commit = commit_of(&repository, leaf);
        // Link by link this would be 100^5 of them.
        for _ in 0..DEEPEST {
            let links = (0..100).map(|number| (format!("m{number}"), commit, 0o160_000));
            let tree = folder(&repository, links);
            commit = commit_of(&repository, tree);
        }
        let mut filled = BTreeMap::new();
        let tree = filled_tree(&repository, commit, &mut filled).unwrap();
        assert_eq!(filled.len(), DEEPEST + 1);
        let tree = repository.find_tree(tree).unwrap();
        let deep = tree.get_path(std::path::Path::new("m99/m0/m7/m42/m1/file"));
        assert_eq!(deep.unwrap().id(), file);
    }

    #[test]
    fn folders_in_folders_are_looked_at_once_each() {
        let place = tempfile::tempdir().unwrap();
        let repository = Repository::init_bare(place.path()).unwrap();
        let file = repository.blob(b"x").unwrap();
        let bomb = |leaf: Oid| {
            (0..10).fold(leaf, |tree, _| {
                let entries = (0..10).map(|number| (format!("d{number}"), tree, 0o040_000));
                folder(&repository, entries)
            })
        };
        let harmless = folder(&repository, [("file".to_owned(), file, 0o100_644)]);
        let harmless = commit_of(&repository, bomb(harmless));
        assert_eq!(
            links_in(&repository, harmless)
                .unwrap()
                .map(|found| found.len()),
            Some(0)
        );
        let link = folder(&repository, [("m".to_owned(), harmless, 0o160_000)]);
        let full = commit_of(&repository, bomb(link));
        assert!(links_in(&repository, full).unwrap().is_none());
    }

    #[test]
    fn urls_are_found_by_path_whatever_a_submodule_is_called() {
        let listed = "submodule.a.b.path\nlibs/one/\0submodule.a.b.url\n../one\0\
                      submodule.two.url\n../two\0submodule.three.path\nthree\0other.key\n1\0";
        let expected = BTreeMap::from([("libs/one".to_owned(), "../one".to_owned())]);
        assert_eq!(urls_in(listed), expected);
    }
}
