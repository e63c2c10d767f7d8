//! Which commits this host follows. The only maker of a `VerifiedCommit`.
//!
//! A commit is followed if it descends from the last one that was: going back is a new commit that
//! undoes, never a rewritten branch.

use nixus_switcher::protocol::Commit;

use crate::decide::commit_id::CommitId;
use crate::decide::plan::Ancestry;
use crate::source::{Source, SourceError};

/// A commit that passed every check of trust. Only such a commit can be built.
#[derive(Debug, Clone)]
pub struct VerifiedCommit {
    id: CommitId,
    commit: Commit,
}

impl VerifiedCommit {
    /// Its id.
    pub fn id(&self) -> &CommitId {
        &self.id
    }

    /// Its id and subject, for reports.
    pub fn commit(&self) -> &Commit {
        &self.commit
    }
}

/// How a fetched head relates to the last accepted commit.
///
/// # Errors
/// The local copy cannot be read, or lacks one of them.
pub fn ancestry(
    source: &Source,
    head: &CommitId,
    accepted: &CommitId,
) -> Result<Ancestry, SourceError> {
    Ok(if source.descends(head, accepted)? {
        Ancestry::Descends
    } else {
        Ancestry::Rewritten
    })
}

/// Passes a fetched commit, or gives `None` where it is not a descendant of the accepted one.
///
/// # Errors
/// The local copy cannot be read, or lacks one of them.
pub fn verify(
    source: &Source,
    id: &CommitId,
    accepted: &CommitId,
) -> Result<Option<VerifiedCommit>, SourceError> {
    if !source.descends(id, accepted)? {
        return Ok(None);
    }
    Ok(Some(VerifiedCommit {
        id: id.clone(),
        commit: source.commit(id)?,
    }))
}

/// Passes a commit before a verified head, of those since the one that is kept: the head's history
/// vouches for it. `None` where it is not an ancestor of the head, or older than what is kept.
///
/// # Errors
/// The local copy cannot be read, or lacks one of them.
pub fn verify_older(
    source: &Source,
    id: &CommitId,
    head: &VerifiedCommit,
    kept: &CommitId,
) -> Result<Option<VerifiedCommit>, SourceError> {
    if !source.descends(head.id(), id)? {
        return Ok(None);
    }
    verify(source, id, kept)
}
