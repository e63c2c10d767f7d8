//! Two histories of one host's reports, made one: what the remote has stays, what it lacks follows.

use git2::{Commit, Oid, Repository, Sort};

use super::{local_ref, retention, sent_ref, tip};

/// How many unsent reports are carried over at most; the newest ones.
const MAX_CARRIED: usize = 1000;

/// Puts this host's own reports after those that the remote has, where they do not follow them
/// already. Gives whether anything was changed.
pub fn continues(repository: &Repository, host: &str) -> Result<bool, git2::Error> {
    let (Some(theirs), Some(ours)) = (
        tip(repository, &sent_ref(host))?,
        tip(repository, &local_ref(host))?,
    ) else {
        return Ok(false);
    };
    if ours == theirs || repository.graph_descendant_of(ours, theirs)? {
        return Ok(false);
    }
    // A branch that was shortened lacks what was removed, too, and is not to get it back.
    let shortened = retention::before(repository, theirs)?
        .filter(|before| repository.find_commit(*before).is_ok());
    let mut newest = theirs;
    for id in missing(repository, ours, shortened.unwrap_or(theirs))? {
        let commit = repository.find_commit(id)?;
        newest = again(repository, &commit, newest)?;
    }
    let name = local_ref(host);
    repository.reference(&name, newest, true, "continued")?;
    Ok(true)
}

/// What `theirs` lacks, oldest first.
fn missing(repository: &Repository, ours: Oid, theirs: Oid) -> Result<Vec<Oid>, git2::Error> {
    let mut walk = repository.revwalk()?;
    walk.set_sorting(Sort::TOPOLOGICAL)?;
    walk.push(ours)?;
    walk.hide(theirs)?;
    let mut missing = walk
        .take(MAX_CARRIED)
        .collect::<Result<Vec<_>, git2::Error>>()?;
    missing.reverse();
    Ok(missing)
}

fn again(repository: &Repository, commit: &Commit<'_>, parent: Oid) -> Result<Oid, git2::Error> {
    let parent = repository.find_commit(parent)?;
    repository.commit(
        None,
        &commit.author(),
        &commit.committer(),
        &String::from_utf8_lossy(commit.message_bytes()),
        &commit.tree()?,
        &[&parent],
    )
}
