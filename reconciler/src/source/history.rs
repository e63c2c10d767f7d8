//! The history of what was fetched, walked without trusting it: an object's size is looked at before it is
//! read. libgit2's own walks read each commit whole, however large somebody made it.

use std::collections::{BinaryHeap, HashMap, HashSet};

use git2::{Commit, ObjectType, Oid, Repository, Tree};

use super::{Source, SourceError};
use crate::decide::commit_id::CommitId;

/// The largest commit object that is read, in bytes, with its message, its parents and its signatures.
pub const MAX_COMMIT: usize = 1024 * 1024;
/// The largest tree object that is read, in bytes: a folder with more than 500,000 files.
pub const MAX_TREE: usize = 32 * 1024 * 1024;
/// No history has so many commits.
const MAX_WALK: usize = 10_000_000;

/// Why an object was not read.
#[derive(Debug)]
pub enum Unread {
    /// It is not there, or not what it should be.
    Git(git2::Error),
    /// It is larger than anybody makes it by writing it.
    TooLarge {
        /// Which.
        id: Oid,
        /// Its size in bytes.
        size: usize,
        /// The largest that is read.
        limit: usize,
    },
}

impl From<git2::Error> for Unread {
    fn from(error: git2::Error) -> Self {
        Self::Git(error)
    }
}

impl Source {
    /// An object of the local copy that could not be read.
    pub(super) fn unread(&self, what: &str, why: Unread) -> SourceError {
        match why {
            Unread::Git(source) => self.object(what, source),
            Unread::TooLarge { id, size, limit } => SourceError::TooLarge {
                what: id.to_string(),
                size,
                limit,
            },
        }
    }

    /// How `commit` relates to `ancestor`, in what has been fetched.
    pub(super) fn walk(&self, commit: &CommitId, ancestor: &CommitId) -> Result<Walk, SourceError> {
        let repository = self.open_or_make()?;
        let of = |id: &CommitId| {
            Oid::from_str(id.as_str()).map_err(|source| self.object(id.as_str(), source))
        };
        walk(&repository, of(commit)?, of(ancestor)?)
            .map_err(|why| self.unread(commit.as_str(), why))
    }
}

/// A commit of at most [`MAX_COMMIT`] bytes.
pub fn commit(repository: &Repository, id: Oid) -> Result<Commit<'_>, Unread> {
    small(repository, id, ObjectType::Commit, MAX_COMMIT)?;
    Ok(repository.find_commit(id)?)
}

/// A tree of at most [`MAX_TREE`] bytes.
pub fn tree(repository: &Repository, id: Oid) -> Result<Tree<'_>, Unread> {
    small(repository, id, ObjectType::Tree, MAX_TREE)?;
    Ok(repository.find_tree(id)?)
}

/// That an object is of a kind, and at most so large.
pub fn small(
    repository: &Repository,
    id: Oid,
    kind: ObjectType,
    limit: usize,
) -> Result<(), Unread> {
    let (size, found) = repository.odb()?.read_header(id)?;
    if found != kind {
        let problem = format!("{id} is not a {kind} but a {found}");
        return Err(git2::Error::from_str(&problem).into());
    }
    match size > limit {
        true => Err(Unread::TooLarge { id, size, limit }),
        false => Ok(()),
    }
}

/// What was found on the way from a commit to another.
#[derive(Debug)]
pub struct Walk {
    /// Whether the commit is the other one or descends from it.
    pub descends: bool,
    /// The commits that the first one has in its history and the other has not, newest first by their own word.
    pub since: Vec<Oid>,
}

/// Reached from the commit.
const OURS: u8 = 1;
/// Reached from the other one.
const THEIRS: u8 = 2;

/// Walks both histories, newest first, until only what both have is left, as `git rev-list` does. Clocks that
/// are wrong cost a longer way; they do not change whether it descends: no commit between the two is the other
/// one's ancestor.
pub fn walk(repository: &Repository, head: Oid, ancestor: Oid) -> Result<Walk, Unread> {
    if head == ancestor {
        return Ok(Walk {
            descends: true,
            since: Vec::new(),
        });
    }
    let mut walk = Walking::default();
    walk.reach(&commit(repository, head)?, OURS);
    match commit(repository, ancestor) {
        Ok(theirs) => walk.reach(&theirs, THEIRS),
        // An ancestor that was never fetched is not an ancestor: the history there is another one.
        Err(Unread::Git(error)) if error.code() == git2::ErrorCode::NotFound => {
            return Ok(Walk {
                descends: false,
                since: Vec::new(),
            });
        }
        Err(why) => return Err(why),
    }
    let mut order = Vec::new();
    for _ in 0..MAX_WALK {
        if walk.ours_alone == 0 {
            break;
        }
        let Some(id) = walk.next() else { break };
        order.push(id);
        let how = walk.reached[&id];
        for parent in commit(repository, id)?.parent_ids() {
            let parent = commit(repository, parent)?;
            walk.reach(&parent, how);
        }
    }
    let mut seen = HashSet::new();
    order.retain(|id| walk.reached[id] == OURS && seen.insert(*id));
    Ok(Walk {
        descends: walk.reached[&ancestor] & OURS != 0,
        since: order,
    })
}

#[derive(Default)]
struct Walking {
    reached: HashMap<Oid, u8>,
    queue: BinaryHeap<(i64, Oid)>,
    queued: HashSet<Oid>,
    /// How many of those that wait were reached from the commit alone.
    ours_alone: usize,
}

impl Walking {
    fn reach(&mut self, commit: &Commit<'_>, how: u8) {
        let id = commit.id();
        let before = self.reached.get(&id).copied().unwrap_or(0);
        let now = before | how;
        if now == before {
            return;
        }
        self.reached.insert(id, now);
        let waited = !self.queued.insert(id);
        if waited && before == OURS {
            self.ours_alone -= 1;
        }
        if !waited {
            self.queue.push((commit.time().seconds(), id));
            if now == OURS {
                self.ours_alone += 1;
            }
        }
    }

    fn next(&mut self) -> Option<Oid> {
        let (_, id) = self.queue.pop()?;
        self.queued.remove(&id);
        if self.reached[&id] == OURS {
            self.ours_alone -= 1;
        }
        Some(id)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use git2::{Signature, Time};

    use super::*;

    fn make(repository: &Repository, parents: &[Oid], time: i64, message: &str) -> Oid {
        let who = Signature::new("a", "a@example.org", &Time::new(time, 0)).unwrap();
        let tree = repository.treebuilder(None).unwrap().write().unwrap();
        let tree = repository.find_tree(tree).unwrap();
        let parents: Vec<_> = parents
            .iter()
            .map(|id| repository.find_commit(*id).unwrap())
            .collect();
        let parents: Vec<_> = parents.iter().collect();
        repository
            .commit(None, &who, &who, message, &tree, &parents)
            .unwrap()
    }

    #[test]
    fn a_walk_finds_what_git_finds_whatever_the_clocks_say() {
        let folder = tempfile::tempdir().unwrap();
        let repository = Repository::init_bare(folder.path()).unwrap();
        let mut chance = fastrand::Rng::with_seed(7);
        for round in 0..60 {
            let skew = [1, 50, 100_000][round % 3];
            let mut all: Vec<Oid> = Vec::new();
            for number in 0..30_i64 {
                let count = chance.usize(0..3).min(all.len());
                let parents: BTreeSet<Oid> = (0..count)
                    .map(|_| all[chance.usize(0..all.len())])
                    .collect();
                let parents: Vec<_> = parents.into_iter().collect();
                let time = 1_000_000 + number * 10 + chance.i64(0..skew);
                all.push(make(
                    &repository,
                    &parents,
                    time,
                    &format!("{round} {number}"),
                ));
            }
            for _ in 0..40 {
                let (head, other) = (all[chance.usize(0..30)], all[chance.usize(0..30)]);
                let found = walk(&repository, head, other).unwrap();
                let descends =
                    head == other || repository.graph_descendant_of(head, other).unwrap();
                assert_eq!(found.descends, descends, "{head} {other}");
                let mut expected = repository.revwalk().unwrap();
                expected.push(head).unwrap();
                expected.hide(other).unwrap();
                let expected: BTreeSet<Oid> = expected.map(Result::unwrap).collect();
                let since: BTreeSet<Oid> = found.since.iter().copied().collect();
                assert_eq!(found.since.len(), since.len());
                // With wrong clocks git, too, may come to the end too early and tell of more.
                assert!(since.is_superset(&expected), "{head} {other}");
                if skew == 1 {
                    assert_eq!(since, expected, "{head} {other}");
                }
            }
        }
    }

    #[test]
    fn a_commit_that_is_too_large_is_not_read_wherever_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let repository = Repository::init_bare(folder.path()).unwrap();
        let long = "x".repeat(MAX_COMMIT);
        let first = make(&repository, &[], 1, "first");
        let large = make(&repository, &[first], 2, &long);
        let above = make(&repository, &[large], 3, "above");
        let beside = make(&repository, &[first], 2, "beside");
        let merge = make(&repository, &[beside, large], 3, "merge");
        for head in [large, above, merge] {
            match walk(&repository, head, first) {
                Err(Unread::TooLarge { id, size, .. }) => {
                    assert!(id == large && size > MAX_COMMIT);
                }
                other => panic!("{other:?}"),
            }
        }
        assert!(walk(&repository, beside, first).unwrap().descends);
        assert!(matches!(
            commit(&repository, large),
            Err(Unread::TooLarge { .. })
        ));
        // What is not a commit is not taken for one.
        let blob = repository.blob(b"x").unwrap();
        assert!(matches!(commit(&repository, blob), Err(Unread::Git(_))));
    }
}
