//! What a fetched commit has in it: looked at before Nix is, whose words change with its releases.

use std::fmt;

use git2::{FileMode, Oid, Repository, Tree};

use super::{Source, SourceError};
use crate::config::{Expression, FLAKE};
use crate::decide::commit_id::CommitId;

/// A file that is to be evaluated and is not in the commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The file, relative to the root of the repository.
    pub file: String,
    /// What stands in the way, or where such a file is instead.
    pub instead: Option<Instead>,
}

/// What there is in the place of a file that is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Instead {
    /// The flake is at the root.
    AtRoot,
    /// The flake is in this folder.
    In(String),
    /// A submodule that was not fetched.
    Submodule(String),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is not in it", self.file)?;
        match &self.instead {
            None => Ok(()),
            Some(Instead::AtRoot) => write!(
                f,
                ", {FLAKE} is at its root: leave closure.directory out to follow that"
            ),
            Some(Instead::In(folder)) => write!(
                f,
                ", {folder}/{FLAKE} is: set closure.directory = {folder:?} to follow that"
            ),
            Some(Instead::Submodule(path)) => write!(
                f,
                ", {path} is a submodule: set closure.submodules = true to fetch it"
            ),
        }
    }
}

impl Source {
    /// What an evaluation of a fetched commit would begin with, where that is not in it.
    ///
    /// # Errors
    /// The commit cannot be read.
    pub fn missing(
        &self,
        commit: &CommitId,
        expression: &Expression,
    ) -> Result<Option<Missing>, SourceError> {
        let find = || -> Result<Option<Missing>, git2::Error> {
            let repository = self.open_bare()?;
            let tree = tree(&repository, commit)?;
            missing_in(&repository, &tree, expression)
        };
        find().map_err(|source| self.object(commit.as_str(), source))
    }

    fn open_bare(&self) -> Result<Repository, git2::Error> {
        Repository::open_bare(&self.local)
    }
}

fn tree<'a>(repository: &'a Repository, commit: &CommitId) -> Result<Tree<'a>, git2::Error> {
    let oid = Oid::from_str(commit.as_str())?;
    repository.find_commit(oid)?.tree()
}

/// What a path leads to.
enum Found {
    /// Something, or a link, which Nix follows.
    There,
    /// Nothing.
    Nothing,
    /// Into this submodule.
    Submodule(String),
}

fn missing_in(
    repository: &Repository,
    root: &Tree<'_>,
    expression: &Expression,
) -> Result<Option<Missing>, git2::Error> {
    let file = expression.file();
    let instead = match look(repository, root, &file)? {
        Found::There => return Ok(None),
        Found::Submodule(path) => Some(Instead::Submodule(path)),
        Found::Nothing => match expression {
            Expression::Flake { .. } => flake_elsewhere(repository, root)?,
            Expression::File { .. } => None,
        },
    };
    Ok(Some(Missing { file, instead }))
}

fn look(repository: &Repository, root: &Tree<'_>, path: &str) -> Result<Found, git2::Error> {
    let mut tree = root.clone();
    let mut passed = 0;
    for name in path.split('/') {
        passed += name.len() + 1;
        // What is below a file is not there.
        let Some(entry) = tree.get_name(name).map(|entry| entry.to_owned()) else {
            return Ok(Found::Nothing);
        };
        let here = path.get(..passed - 1).unwrap_or(path);
        let mode = entry.filemode();
        if here.len() == path.len() || mode == i32::from(FileMode::Link) {
            return Ok(match mode == i32::from(FileMode::Commit) {
                true => Found::Submodule(here.to_owned()),
                false => Found::There,
            });
        }
        if mode == i32::from(FileMode::Commit) {
            return Ok(Found::Submodule(here.to_owned()));
        }
        if mode != i32::from(FileMode::Tree) {
            return Ok(Found::Nothing);
        }
        tree = repository.find_tree(entry.id())?;
    }
    Ok(Found::There)
}

/// Where a flake is that was moved: at the root, or in one of its folders.
fn flake_elsewhere(
    repository: &Repository,
    root: &Tree<'_>,
) -> Result<Option<Instead>, git2::Error> {
    if root.get_name(FLAKE).is_some() {
        return Ok(Some(Instead::AtRoot));
    }
    for entry in root {
        if entry.filemode() == i32::from(FileMode::Tree)
            && let Ok(name) = entry.name()
            && repository.find_tree(entry.id())?.get_name(FLAKE).is_some()
        {
            return Ok(Some(Instead::In(name.to_owned())));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree of paths, each with what it is.
    fn tree_of(repository: &Repository, entries: &[(&str, FileMode)]) -> Oid {
        let empty = repository.treebuilder(None).unwrap().write().unwrap();
        let empty = repository.find_tree(empty).unwrap();
        let mut update = git2::build::TreeUpdateBuilder::new();
        for (path, mode) in entries {
            let id = match mode {
                FileMode::Commit => Oid::from_str(&"1".repeat(40)).unwrap(),
                _ => repository.blob(b"{ }").unwrap(),
            };
            update.upsert(*path, id, *mode);
        }
        update.create_updated(repository, &empty).unwrap()
    }

    #[test]
    fn what_is_to_be_evaluated_is_looked_for_and_where_it_is_instead_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let repository = Repository::init_bare(folder.path()).unwrap();
        let file = FileMode::Blob;
        let check = |entries: &[(&str, FileMode)],
                     directory: Option<&str>,
                     name: Option<&str>,
                     expected: Option<&str>| {
            let directory = directory.map(str::to_owned);
            let attribute = "web1".to_owned();
            let expression = match name {
                None => Expression::Flake {
                    directory,
                    attribute,
                },
                Some(name) => Expression::File {
                    directory,
                    file: name.to_owned(),
                    attribute,
                },
            };
            let root = tree_of(&repository, entries);
            let root = repository.find_tree(root).unwrap();
            let missing = missing_in(&repository, &root, &expression).unwrap();
            assert_eq!(
                missing.map(|missing| missing.to_string()).as_deref(),
                expected,
                "{expression:?}"
            );
        };
        let at_root = [("flake.nix", file), ("README", file)];
        let moved = [("a/README", file), ("nix/flake.nix", file)];
        check(&at_root, None, None, None);
        check(&moved, Some("nix"), None, None);
        check(&[("a/b/flake.nix", file)], Some("a/b"), None, None);
        check(
            &moved,
            None,
            None,
            Some(
                "flake.nix is not in it, nix/flake.nix is: set closure.directory = \"nix\" to follow that",
            ),
        );
        check(
            &at_root,
            Some("nix"),
            None,
            Some(
                "nix/flake.nix is not in it, flake.nix is at its root: leave closure.directory out to follow that",
            ),
        );
        check(&[], None, None, Some("flake.nix is not in it"));
        // A file where a folder was.
        check(
            &[("nix", file)],
            Some("nix"),
            None,
            Some("nix/flake.nix is not in it"),
        );
        // Where a link leads is for Nix to say.
        check(&[("nix", FileMode::Link)], Some("nix"), None, None);
        check(&[("flake.nix", FileMode::Link)], None, None, None);
        let submodule = "nix/flake.nix is not in it, nix is a submodule: set closure.submodules = true to fetch it";
        check(
            &[("nix", FileMode::Commit)],
            Some("nix"),
            None,
            Some(submodule),
        );
        check(&[("hosts.nix", file)], None, Some("hosts.nix"), None);
        check(
            &[("nix/hosts.nix", file)],
            Some("nix"),
            Some("hosts.nix"),
            None,
        );
        // A folder is imported by its default.nix.
        check(&[("hosts/default.nix", file)], None, Some("hosts"), None);
        check(
            &[("nix/hosts.nix", file)],
            None,
            Some("hosts.nix"),
            Some("hosts.nix is not in it"),
        );
    }
}
