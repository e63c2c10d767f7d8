//! Several URLs of the repository: whether the first one is heard, and whose history is followed.

use jiff::Timestamp;

use super::{Ancestry, CommitId, Head, Pass, PassError, SourceError, StepError};
use crate::trust;

impl Pass<'_> {
    /// Notes durably since when the first URL says nothing that can be followed.
    pub(super) fn hear_the_first(&mut self, listed: Option<&Head>) -> Result<(), PassError> {
        if !self.source.has_mirrors() {
            return Ok(());
        }
        let is_first = listed.is_some() && self.source.is_of_the_first();
        let accepted = self.ledger.accepted.clone().map(Head::At);
        let is_news = match listed {
            // Whether other heads are followed is known once they are fetched.
            Some(head) if is_first && accepted.as_ref() == Some(head) => {
                self.ledger.said_by_first.take().is_some() | self.ledger.first_is_heard()
            }
            Some(_) if is_first => false,
            _ => self.ledger.first_is_silent(Timestamp::now()),
        };
        match is_news {
            true => self.save(),
            false => Ok(()),
        }
    }

    /// How a fetched head relates to the accepted commit, and to what the first URL said before mirrors counted.
    pub(super) fn ancestry_of(
        &mut self,
        head: &CommitId,
        accepted: &CommitId,
    ) -> Result<Ancestry, StepError> {
        let mut ancestry = trust::ancestry(&self.source, head, accepted)?;
        let is_first = self.source.is_of_the_first();
        if let (Ancestry::Rewritten, true, Some(said)) =
            (ancestry, is_first, self.ledger.said_by_first.clone())
        {
            if self.source.descends(accepted, head)? {
                let error = SourceError::Behind {
                    url: self.config.repository.url.clone(),
                    commit: head.clone(),
                    seen: accepted.clone(),
                };
                return Err(error.into());
            }
            ancestry = trust::ancestry(&self.source, head, &said)?;
            if ancestry == Ancestry::Descends {
                tracing::warn!(
                    "{} does not have {}, which mirrors had: it is followed from {} on",
                    self.config.repository.url,
                    accepted.short(),
                    said.short()
                );
                self.ledger.forget_mirrors();
            }
        }
        if is_first && ancestry == Ancestry::Descends {
            // Made durable as it is accepted.
            self.ledger.first_is_heard();
        }
        Ok(ancestry)
    }
}
