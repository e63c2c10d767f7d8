//! What CI has built: looked up for the head, or for the newest commit before it that has any.

use jiff::Timestamp;

use super::{Head, Pass, StepError, StopError};
use crate::config::{Config, Following, Otherwise};
use crate::decide::commit_id::CommitId;
use crate::decide::plan::{Entry, Gap, Then, WithoutEntry};
use crate::host::process::in_words;
use crate::manifest::{self, ManifestError};
use crate::trust::{self, VerifiedCommit};

/// What a pass begins with.
pub(super) fn at_first(config: &Config) -> Entry {
    match config.closure.following() {
        Some(_) => Entry::Unknown,
        None => Entry::NotNeeded,
    }
}

/// What the configuration says of commits that CI has not built.
pub(super) fn without(config: &Config) -> WithoutEntry {
    let following = config.closure.following();
    WithoutEntry {
        wait: following.map_or_else(Default::default, |following| following.wait),
        then: match following.map(|following| &following.otherwise) {
            Some(Otherwise::Build(_)) => Then::Build,
            Some(Otherwise::Older) => Then::Older,
            Some(Otherwise::Wait) | None => Then::Wait,
        },
    }
}

impl Pass<'_> {
    /// The branch is there now; what CI has built is known of one head only.
    pub(super) fn head_is(&mut self, head: Head) {
        if self.head != head {
            self.entry = at_first(self.config);
            self.own_entry = None;
            self.head = head;
        }
    }

    /// Looks up what CI has built of the head.
    pub(super) async fn look_up(&mut self, head: &CommitId) -> Result<(), StopError> {
        let Some(following) = self.config.closure.following() else {
            return Ok(());
        };
        let verified = self.verified(head)?;
        match self.take_entry_of(following, &verified).await {
            Ok(None) => self.entry = Entry::Found,
            Ok(Some(gap)) => {
                self.entry = Entry::Missing(gap);
                if self.ledger.lacks_entry(Timestamp::now()) {
                    self.save()?;
                }
            }
            Err(ManifestError::Source(error)) => return Err(error.into()),
            Err(error) => {
                self.not_built_yet(verified.commit(), head, &in_words(&error))?;
                return Err(error.into());
            }
        }
        Ok(())
    }

    /// Takes what CI has built of a commit; gives why there is nothing to take.
    async fn take_entry_of(
        &mut self,
        following: &Following,
        commit: &VerifiedCommit,
    ) -> Result<Option<Gap>, ManifestError> {
        let found = manifest::look_up(self.config, following, &self.source, commit).await?;
        let entry = match found {
            Ok(entry) => entry.same_as(self.ledger.known_toplevel(commit.id()))?,
            Err(gap) => return Ok(Some(gap)),
        };
        self.own_entry = Some(entry);
        Ok(None)
    }

    /// Looks for the newest commit since the one that is kept that CI has built for this host. One whose
    /// manifest is not to be followed is passed over: it has been told of, or will be, as a head.
    pub(super) async fn look_for_older(&mut self, head: &CommitId) -> Result<(), StopError> {
        let Entry::Missing(gap) = self.entry else {
            return Ok(());
        };
        self.entry = match self.older(head).await? {
            Some(older) => Entry::Older(older, gap),
            None => Entry::NoneOlder(gap),
        };
        Ok(())
    }

    async fn older(&mut self, head: &CommitId) -> Result<Option<CommitId>, StepError> {
        let kept = self.ledger.kept.as_ref().map(|kept| kept.commit.id.clone());
        let kept = kept.and_then(|id| CommitId::try_from(id).ok());
        let (Some(following), Some(kept)) = (
            self.config.closure.following(),
            kept.or_else(|| self.ledger.anchor.clone()),
        ) else {
            return Ok(None);
        };
        let verified = self.verified(head)?;
        for id in self.source.older_with_manifest(head, Some(&kept)).await? {
            let Some(older) = trust::verify_older(&self.source, &id, &verified, &kept)? else {
                continue;
            };
            match self.take_entry_of(following, &older).await {
                Ok(None) => {
                    self.verified = Some(older);
                    return Ok(Some(id));
                }
                Ok(Some(_)) => {}
                Err(ManifestError::Source(error)) => return Err(error.into()),
                Err(error) => tracing::warn!("{}", in_words(&error)),
            }
        }
        Ok(None)
    }
}
