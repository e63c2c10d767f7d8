//! Several URLs of one repository: all are asked at once, and the newest answer counts.
//!
//! One that is down or hangs costs the others nothing but a short grace; one that is behind takes
//! no host backwards.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::{CommitId, FETCHED_BRANCH, Head, Oid, Remote, Source, SourceError, list_one};
use crate::process::in_words;

/// How long the others may take after the first has answered with nothing new.
const GRACE: Duration = Duration::from_secs(2);

impl Source {
    pub(super) async fn list_all(&self) -> Result<Head, SourceError> {
        let mut asked = JoinSet::new();
        for (index, remote) in self.remotes.iter().cloned().enumerate() {
            let branch = self.branch.clone();
            asked.spawn(async move { (index, list_one(&remote, &branch).await) });
        }
        let mut answers: Vec<(usize, Head)> = Vec::new();
        let mut failures = Vec::new();
        let mut end: Option<Instant> = None;
        loop {
            let answered = match end {
                None => asked.join_next().await,
                Some(end) => timeout_at(end, asked.join_next()).await.unwrap_or(None),
            };
            match answered {
                None => break,
                Some(Ok((index, Ok(head)))) => {
                    let is_news = matches!(&head, Head::At(id) if !self.has(id));
                    answers.push((index, head));
                    if is_news {
                        break;
                    }
                    end.get_or_insert_with(|| Instant::now() + GRACE);
                }
                Some(Ok((_, Err(error)))) => {
                    tracing::warn!("a mirror does not answer: {}", in_words(&error));
                    failures.push(in_words(&error));
                }
                Some(Err(error)) => failures.push(error.to_string()),
            }
        }
        let Some((index, head)) = self.newest(answers.clone()) else {
            return Err(SourceError::NoMirror { failures });
        };
        if answers.len() < self.remotes.len()
            && let Head::At(id) = &head
            && let Some(seen) = self.is_behind(id)
        {
            return Err(SourceError::Behind {
                url: self.remotes[index].url.clone(),
                commit: id.clone(),
                seen,
            });
        }
        self.preferred.store(index, Ordering::Relaxed);
        self.note(&self.remotes[index], &head);
        Ok(head)
    }

    pub(super) async fn fetch_any(&self) -> Result<CommitId, SourceError> {
        let before = self.fetched();
        let mut failures = Vec::new();
        for remote in self.in_order() {
            match self.fetch_from(remote).await {
                Err(error) => failures.push(error),
                Ok(head) if failures.is_empty() => return Ok(head),
                Ok(head) => match self.step_back(&head, before.as_ref())? {
                    None => return Ok(head),
                    Some(seen) => failures.push(SourceError::Behind {
                        url: remote.url.clone(),
                        commit: head,
                        seen,
                    }),
                },
            }
        }
        if failures.len() == 1 {
            return Err(failures.remove(0));
        }
        let failures = failures.iter().map(|error| in_words(error)).collect();
        Err(SourceError::NoMirror { failures })
    }

    /// First the URL whose answer counted last.
    pub(super) fn in_order(&self) -> impl Iterator<Item = &Remote> {
        let preferred = self.preferred.load(Ordering::Relaxed);
        let (first, others) = self.remotes.split_at(preferred.min(self.remotes.len()));
        others.iter().chain(first)
    }

    /// News before what is known, a later commit before an earlier one, any commit before none;
    /// else the order of the configuration.
    fn newest(&self, mut answers: Vec<(usize, Head)>) -> Option<(usize, Head)> {
        answers.sort_by_key(|(index, _)| *index);
        answers.into_iter().reduce(|best, other| {
            let better = match (&best.1, &other.1) {
                (Head::At(best), Head::At(other)) => {
                    self.has(best)
                        && (!self.has(other)
                            || (best != other && self.descends(other, best).unwrap_or(false)))
                }
                (_, Head::At(_)) => !matches!(best.1, Head::At(_)),
                _ => false,
            };
            if better { other } else { best }
        })
    }

    fn has(&self, id: &CommitId) -> bool {
        let found = || {
            let repository = git2::Repository::open_bare(&self.local).ok()?;
            let id = Oid::from_str(id.as_str()).ok()?;
            // Its size is not known yet.
            repository.odb().ok()?.read_header(id).ok()
        };
        found().is_some()
    }

    fn fetched(&self) -> Option<CommitId> {
        let repository = git2::Repository::open_bare(&self.local).ok()?;
        let id = repository.refname_to_id(&format!("refs/heads/{FETCHED_BRANCH}"));
        super::commit_id(id.ok()?).ok()
    }

    /// The commit that was fetched last, where `id` is one before it.
    fn is_behind(&self, id: &CommitId) -> Option<CommitId> {
        let seen = self.fetched()?;
        (seen != *id && self.has(id) && self.descends(&seen, id).ok()?).then_some(seen)
    }

    /// Undoes a fetch that brought an older commit than there was before.
    fn step_back(
        &self,
        head: &CommitId,
        before: Option<&CommitId>,
    ) -> Result<Option<CommitId>, SourceError> {
        let Some(before) = before else {
            return Ok(None);
        };
        if before == head || !self.descends(before, head)? {
            return Ok(None);
        }
        let restore = || -> Result<(), git2::Error> {
            let repository = git2::Repository::open_bare(&self.local)?;
            let name = format!("refs/heads/{FETCHED_BRANCH}");
            repository.reference(&name, Oid::from_str(before.as_str())?, true, "newer")?;
            Ok(())
        };
        restore().map_err(|source| self.object(before.as_str(), source))?;
        Ok(Some(before.clone()))
    }
}
