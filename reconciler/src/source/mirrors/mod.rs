//! Several URLs of one repository. The first says where the branch is; the others give it where the first
//! does not answer.
//!
//! Whoever says where the branch is decides what runs. So a mirror is believed only in what the first URL has
//! said too, until the first has not answered for long enough (`repository.mirror_after`); then the newest head
//! counts that was not refused.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

use super::{CommitId, FETCHED_BRANCH, Head, Oid, Remote, Source, SourceError, address, list_one};
use crate::host::process::in_words;

/// How long the mirrors may take after the first URL has failed.
const GRACE: Duration = Duration::from_secs(2);

/// How long the first URL may take where another has answered, whatever its own limit is: what it hangs for is what
/// tells that it is silent.
const FIRST_HANGS: Duration = Duration::from_secs(60);

/// How long the first URL may take where mirrors count and one has answered: it may be well again, and slow.
const FIRST_AGAIN: Duration = Duration::from_secs(5);

/// The same where all that have answered are behind: there is nothing to be had of them.
const FIRST_ALONE: Duration = Duration::from_secs(20);

/// What is believed, and what this pass has learned.
#[derive(Debug, Default)]
pub(super) struct Belief {
    /// Whether mirrors count although the first URL has not said the same.
    mirrors_count: bool,
    /// Whether any URL will do that has what was fetched last: the first one is not waited for.
    any_will_do: bool,
    /// A head that was refused in an earlier pass.
    refused: Option<CommitId>,
    /// Which of the URLs is fetched from first.
    preferred: AtomicUsize,
    /// Whether the head that counts is the first URL's own.
    by_first: AtomicBool,
    /// The head that counted last.
    listed: Mutex<Option<CommitId>>,
    /// Mirrors whose head was refused in this pass.
    passed_over: Mutex<BTreeSet<usize>>,
}

impl Source {
    /// Lets mirrors count without the first URL. `refused` is a head that was refused before.
    #[must_use]
    pub fn believing(mut self, mirrors_count: bool, refused: Option<CommitId>) -> Self {
        self.belief = Belief {
            mirrors_count,
            refused,
            ..Belief::default()
        };
        self
    }

    /// Takes the answer of any URL that has what was fetched last: what is proved is that a commit could be had, and
    /// that one is accepted. A mirror that has something else proves nothing.
    #[must_use]
    pub fn any_will_do(mut self) -> Self {
        self.belief.mirrors_count = true;
        self.belief.any_will_do = true;
        self
    }

    /// Whether there is more than one URL.
    pub fn has_mirrors(&self) -> bool {
        self.remotes.len() > 1
    }

    /// Whether the head that was listed last is what the first URL said.
    pub fn is_of_the_first(&self) -> bool {
        !self.has_mirrors() || self.belief.by_first.load(Ordering::Relaxed)
    }

    /// That a head was refused: whether another source is to be asked in its place.
    pub fn pass_over(&self) -> bool {
        if !self.belief.mirrors_count || !self.has_mirrors() {
            return false;
        }
        let refused = self.belief.preferred.load(Ordering::Relaxed);
        let Ok(mut passed_over) = self.belief.passed_over.lock() else {
            return false;
        };
        passed_over.insert(refused) && passed_over.len() < self.remotes.len()
    }

    pub(super) async fn list_all(&self) -> Result<Head, SourceError> {
        let mut asked = JoinSet::new();
        for (index, remote) in self.remotes.iter().cloned().enumerate() {
            let branch = self.branch.clone();
            asked.spawn(async move { (index, list_one(&remote, &branch).await) });
        }
        let passed_over = |index: usize| {
            let passed_over = self.belief.passed_over.lock();
            passed_over.is_ok_and(|passed_over| passed_over.contains(&index))
        };
        let mut answers: Vec<(usize, Head)> = Vec::new();
        let mut failures: Vec<(usize, String)> = Vec::new();
        let mut end: Option<Instant> = None;
        loop {
            let answered = match end {
                None => asked.join_next().await,
                Some(end) => timeout_at(end, asked.join_next()).await.unwrap_or(None),
            };
            let within = |limit| Some(Instant::now() + limit);
            match answered {
                None => break,
                Some(Ok((index, Ok(head)))) if !passed_over(index) => {
                    let will_do = self.belief.any_will_do && self.is_what_was_fetched(&head);
                    if (index == 0 && !self.is_passed_by(&head)) || will_do {
                        return Ok(self.counts(index, head));
                    }
                    let is_behind =
                        || matches!(&head, Head::At(id) if self.is_behind(id).is_some());
                    let limit = match (self.belief.mirrors_count, self.belief.any_will_do) {
                        (false, _) => FIRST_HANGS,
                        (true, false) if is_behind() => FIRST_ALONE,
                        (true, _) => FIRST_AGAIN,
                    };
                    let own = within(limit);
                    end = end.map_or(own, |end| own.map(|own| own.min(end)));
                    answers.push((index, head));
                }
                Some(Ok((_, Ok(_)))) => {}
                Some(Ok((index, Err(error)))) => {
                    let why = in_words(&error);
                    tracing::warn!("one of the repository's URLs does not answer: {why}");
                    failures.push((index, why));
                    if index == 0 {
                        let grace = within(GRACE);
                        end = end.map_or(grace, |end| grace.map(|grace| grace.min(end)));
                    }
                }
                Some(Err(error)) => failures.push((usize::MAX, error.to_string())),
            }
        }
        self.without_the_first(answers, failures)
    }

    /// What counts where the first URL has not answered, or only what was refused.
    fn without_the_first(
        &self,
        answers: Vec<(usize, Head)>,
        failures: Vec<(usize, String)>,
    ) -> Result<Head, SourceError> {
        let why = failures
            .iter()
            .find(|(index, _)| *index == 0)
            .map_or("it has not answered yet", |(_, why)| why.as_str());
        // A head that was refused hides no better one.
        let (refused, others): (Vec<_>, Vec<_>) = answers
            .into_iter()
            .partition(|(_, head)| self.was_refused(head));
        let best = match self.belief.mirrors_count {
            true => self.newest(others),
            // The first URL said so itself, before.
            false => {
                let said = |(_, head): &(usize, Head)| self.is_what_was_fetched(head);
                match others.iter().position(said) {
                    Some(found) => others.into_iter().nth(found),
                    None => {
                        let news = self.newest(others);
                        if let Some((index, Head::At(commit))) = news {
                            return Err(SourceError::Unconfirmed {
                                url: self.told(index),
                                commit,
                                first: self.told(0),
                                why: why.to_owned(),
                            });
                        }
                        None
                    }
                }
            }
        };
        let Some((index, head)) = best.or_else(|| refused.into_iter().next()) else {
            let failures = failures.into_iter().map(|(_, why)| why).collect();
            return Err(SourceError::NoMirror { failures });
        };
        if let Head::At(id) = &head
            && let Some(seen) = self.is_behind(id)
        {
            return Err(SourceError::Behind {
                url: self.told(index),
                commit: id.clone(),
                seen,
            });
        }
        Ok(self.counts(index, head))
    }

    /// Notes whose word counts.
    fn counts(&self, index: usize, head: Head) -> Head {
        self.belief.preferred.store(index, Ordering::Relaxed);
        self.belief.by_first.store(index == 0, Ordering::Relaxed);
        self.note(&self.remotes[index], &head);
        if let (Ok(mut listed), Head::At(id)) = (self.belief.listed.lock(), &head) {
            *listed = Some(id.clone());
        }
        head
    }

    fn is_what_was_fetched(&self, head: &Head) -> bool {
        matches!((head, self.fetched()), (Head::At(id), Some(fetched)) if *id == fetched)
    }

    fn was_refused(&self, head: &Head) -> bool {
        matches!((head, &self.belief.refused), (Head::At(id), Some(refused)) if id == refused)
    }

    /// Whether mirrors are asked although the first URL has this.
    fn is_passed_by(&self, head: &Head) -> bool {
        self.belief.mirrors_count && self.was_refused(head)
    }

    pub(super) async fn fetch_any(&self) -> Result<CommitId, SourceError> {
        let before = self.fetched();
        let listed = self
            .belief
            .listed
            .lock()
            .ok()
            .and_then(|listed| listed.clone());
        let preferred = self.belief.preferred.load(Ordering::Relaxed);
        let mut failures = Vec::new();
        for (index, remote) in self.in_order() {
            let head = match self.fetch_from(remote).await {
                Ok(head) => head,
                Err(error) => {
                    failures.push(error);
                    continue;
                }
            };
            // The branch may have moved on since: the first URL's word counts as it is now.
            let believed =
                index == 0 || self.belief.mirrors_count || listed.as_ref() == Some(&head);
            if !believed {
                self.restore(before.as_ref())?;
                failures.push(SourceError::Unconfirmed {
                    url: self.told(index),
                    commit: head,
                    first: self.told(0),
                    why: "it could not be fetched from".to_owned(),
                });
                continue;
            }
            self.belief.by_first.store(
                index == 0 || listed.as_ref() == Some(&head) && self.is_of_the_first(),
                Ordering::Relaxed,
            );
            if index == preferred {
                return Ok(head);
            }
            match self.step_back(&head, before.as_ref())? {
                None => return Ok(head),
                Some(seen) => failures.push(SourceError::Behind {
                    url: self.told(index),
                    commit: head,
                    seen,
                }),
            }
        }
        if failures.len() == 1 {
            return Err(failures.remove(0));
        }
        let failures = failures.iter().map(|error| in_words(error)).collect();
        Err(SourceError::NoMirror { failures })
    }

    /// First the URL whose answer counted last, each with its place in the configuration.
    pub(super) fn in_order(&self) -> impl Iterator<Item = (usize, &Remote)> {
        let preferred = self.belief.preferred.load(Ordering::Relaxed);
        let preferred = preferred.min(self.remotes.len());
        let all = || self.remotes.iter().enumerate();
        all().skip(preferred).chain(all().take(preferred))
    }

    /// Those of them that are believed without a signature.
    pub(super) fn believed_in_order(&self) -> impl Iterator<Item = &Remote> {
        let all = self.belief.mirrors_count || self.manifests_are_signed;
        self.in_order()
            .filter(move |(index, _)| all || *index == 0)
            .map(|(_, remote)| remote)
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

    fn told(&self, index: usize) -> String {
        let url = self.remotes.get(index).map(|remote| remote.url.as_str());
        address::without_credentials(url.unwrap_or_default())
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
        self.restore(Some(before))?;
        Ok(Some(before.clone()))
    }

    /// Puts the branch of the local copy back to where it was.
    fn restore(&self, before: Option<&CommitId>) -> Result<(), SourceError> {
        let name = format!("refs/heads/{FETCHED_BRANCH}");
        let restore = || -> Result<(), git2::Error> {
            let repository = git2::Repository::open_bare(&self.local)?;
            match before {
                Some(before) => {
                    let id = Oid::from_str(before.as_str())?;
                    repository.reference(&name, id, true, "as before")?;
                }
                None => repository.find_reference(&name)?.delete()?,
            }
            Ok(())
        };
        restore().map_err(|source| self.object(&name, source))
    }
}

#[cfg(test)]
mod tests;
