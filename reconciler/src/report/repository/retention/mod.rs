//! What is kept of old reports, and how the rest is removed from a repository: each host's branch is written anew
//! without it. A note in its newest commit says where the branch was before, so that the host, which still has the
//! whole of it, goes on from there instead of bringing everything back.

use std::collections::BTreeSet;
use std::ops::Range;
use std::os::unix::fs::DirBuilderExt as _;

use git2::{Commit, Oid, Repository, Sort};
use jiff::{SignedDuration, Timestamp};
use thiserror::Error;

use super::{ReportsError, ReportsRepository, local_ref, remote_error, report_in};
use crate::config::Remote;
use crate::decide::report::{Report, State};
use crate::host::process::ProcessError;

/// Begins the note's line.
const NOTE: &str = "Nixus-Pruned: ";
/// How far back a note is looked for: a host cannot have reported more often since.
const MAX_LOOKED: usize = 10_000;
/// So many reports are pushed at once, but for a host that has more: a few hundred bytes each, where the server of the
/// template takes 1 MiB (`receive.maxInputSize`).
const AT_ONCE: usize = 2000;

/// Why reports were not pruned.
#[derive(Debug, Error)]
pub enum PruneError {
    /// The repository could not be read or written.
    #[error(transparent)]
    Reports(#[from] ReportsError),
    /// There is no place for a copy of it.
    #[error("cannot make a folder for a copy of the reports")]
    Copy(#[source] std::io::Error),
}

/// What is kept of each host's reports, beside its newest one and its newest of each outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// What is not older.
    pub age: SignedDuration,
    /// At most so many, of the newest ones.
    pub most: usize,
}

/// What was removed, or would be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// How many hosts have reports.
    pub hosts: usize,
    /// How many reports there were.
    pub reports: usize,
    /// How many of them are removed.
    pub removed: usize,
}

impl Retention {
    /// Which of a host's reports are kept, newest first. A heartbeat that another report followed says nothing any more;
    /// what cannot be read is kept as long as its neighbours.
    pub fn keeps(&self, reports: &[Option<Report>], now: Timestamp) -> Vec<bool> {
        let mut outcomes = BTreeSet::new();
        let mut time = now;
        let mut number = 0;
        reports
            .iter()
            .enumerate()
            .map(|(place, report)| {
                time = report.as_ref().map_or(time, |report| report.time);
                let heartbeat = report.as_ref().is_some_and(Report::is_heartbeat);
                let outcome = report
                    .as_ref()
                    .filter(|_| !heartbeat)
                    .map(|report| report.state);
                let newest = outcome.is_some_and(|state: State| outcomes.insert(state.word()));
                if heartbeat {
                    return place == 0;
                }
                number += 1;
                let young = now.duration_since(time) <= self.age;
                place == 0 || newest || (young && number <= self.most)
            })
            .collect()
    }
}

/// Removes old reports of all hosts from a repository; with `dry_run`, only says how many it would be.
///
/// # Errors
/// The repository cannot be read, or does not let its branches be written anew.
pub async fn prune(
    remote: &Remote,
    retention: &Retention,
    dry_run: bool,
) -> Result<Pruned, PruneError> {
    let place = Folder::new().map_err(PruneError::Copy)?;
    let copy = ReportsRepository::new(place.0.join("reports.git"));
    let (pruned, moves) = look(&copy, remote, retention).await?;
    if !dry_run {
        push(&copy, remote, &moves).await?;
    }
    Ok(pruned)
}

/// A branch that is to be elsewhere.
struct Move {
    name: String,
    before: Oid,
    after: Oid,
    /// How many reports it has then.
    size: usize,
}

/// Shortens the branches of all hosts in a copy of the repository.
async fn look(
    copy: &ReportsRepository,
    remote: &Remote,
    retention: &Retention,
) -> Result<(Pruned, Vec<Move>), PruneError> {
    copy.fetch_all(remote).await?;
    let now = Timestamp::now();
    let mut pruned = Pruned::default();
    let mut moves = Vec::new();
    for host in copy.hosts()? {
        let shortened = copy.shortened(&host, retention, now)?;
        pruned.hosts += 1;
        pruned.reports += shortened.reports;
        pruned.removed += shortened.removed;
        moves.extend(shortened.moved.map(|(before, after)| Move {
            name: local_ref(&host),
            before,
            after,
            size: shortened.reports - shortened.removed,
        }));
    }
    Ok((pruned, moves))
}

/// Moves the branches of the repository, unless they have moved meanwhile.
async fn push(copy: &ReportsRepository, remote: &Remote, moves: &[Move]) -> Result<(), PruneError> {
    let sizes: Vec<_> = moves.iter().map(|one| one.size).collect();
    for batch in batches(&sizes, AT_ONCE) {
        let some = moves.get(batch).unwrap_or_default();
        // A lease alone: with --force, git moves what has moved meanwhile, too.
        let leases = some
            .iter()
            .map(|one| format!("--force-with-lease={}:{}", one.name, one.before));
        let refspecs = some.iter().map(|one| format!("{}:{}", one.after, one.name));
        let pushed = copy
            .network(remote)?
            .args(["push", "--quiet"])
            .args(leases)
            .args(["--", &remote.url])
            .args(refspecs)
            .output()
            .await;
        match pushed {
            Ok(_) => {}
            // The other branches have moved (git-push(1), --atomic).
            Err(ProcessError::Failed { stderr, .. }) if stderr.contains("(stale info)") => {
                tracing::warn!(
                    "a host has reported meanwhile: its reports are left for another time"
                );
            }
            Err(source) => Err(remote_error("prune reports in", remote, source))?,
        }
    }
    Ok(())
}

/// Neighbours that are at most so large together, or one that is larger by itself.
fn batches(sizes: &[usize], most: usize) -> Vec<Range<usize>> {
    let mut batches: Vec<Range<usize>> = Vec::new();
    let mut sum = 0;
    for (place, size) in sizes.iter().enumerate() {
        match batches.last_mut() {
            Some(last) if sum + size <= most => {
                last.end = place + 1;
                sum += size;
            }
            _ => {
                batches.push(place..place + 1);
                sum = *size;
            }
        }
    }
    batches
}

/// A folder that goes with its owner.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new() -> std::io::Result<Self> {
        let name = format!(
            "nixus-prune-{}-{:08x}",
            std::process::id(),
            fastrand::u32(..)
        );
        let place = std::env::temp_dir().join(name);
        std::fs::DirBuilder::new().mode(0o700).create(&place)?;
        Ok(Self(place))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A host's branch without what is not kept.
struct Shortened {
    reports: usize,
    removed: usize,
    /// Where it was, and where it is to be; nothing where nothing is removed.
    moved: Option<(Oid, Oid)>,
}

impl ReportsRepository {
    fn hosts(&self) -> Result<Vec<String>, ReportsError> {
        let repository = self.open()?;
        let read = || -> Result<Vec<String>, git2::Error> {
            let mut names = Vec::new();
            for name in repository.references_glob("refs/heads/hosts/*")?.names() {
                let name = name
                    .ok()
                    .and_then(|name| name.strip_prefix("refs/heads/hosts/"));
                names.extend(name.map(str::to_owned));
            }
            Ok(names)
        };
        read().map_err(|source| self.local("list hosts", source))
    }

    fn shortened(
        &self,
        host: &str,
        retention: &Retention,
        now: Timestamp,
    ) -> Result<Shortened, ReportsError> {
        let repository = self.open()?;
        let write = || -> Result<Shortened, git2::Error> {
            let tip = repository.refname_to_id(&local_ref(host))?;
            let mut walk = repository.revwalk()?;
            walk.set_sorting(Sort::TOPOLOGICAL)?;
            walk.push(tip)?;
            let ids = walk.collect::<Result<Vec<_>, _>>()?;
            let reports: Vec<_> = ids
                .iter()
                .map(|id| report_in(&repository, *id, host))
                .collect();
            let keeps = retention.keeps(&reports, now);
            let kept: Vec<Oid> = ids
                .iter()
                .zip(&keeps)
                .filter(|(_, keep)| **keep)
                .map(|(id, _)| *id)
                .collect();
            let removed = ids.len() - kept.len();
            let moved = match removed {
                0 => None,
                _ => Some((tip, again(&repository, &kept, tip)?)),
            };
            Ok(Shortened {
                reports: ids.len(),
                removed,
                moved,
            })
        };
        write().map_err(|source| self.local("shorten reports", source))
    }
}

/// These commits, newest first, in a history of their own whose newest says where the branch was.
fn again(repository: &Repository, kept: &[Oid], tip: Oid) -> Result<Oid, git2::Error> {
    let mut parent: Option<Commit<'_>> = None;
    for (left, id) in kept.iter().enumerate().rev() {
        let commit = repository.find_commit(*id)?;
        let text = String::from_utf8_lossy(commit.message_bytes()).into_owned();
        let lines = text.lines().filter(|line| !line.starts_with(NOTE));
        let mut message = lines.collect::<Vec<_>>().join("\n").trim_end().to_owned();
        message.push('\n');
        if left == 0 {
            message.push_str(&format!("\n{NOTE}{tip}\n"));
        }
        let parents: Vec<_> = parent.iter().collect();
        let id = repository.commit(
            None,
            &commit.author(),
            &commit.committer(),
            &message,
            &commit.tree()?,
            &parents,
        )?;
        parent = Some(repository.find_commit(id)?);
    }
    Ok(parent.map_or(tip, |newest| newest.id()))
}

/// Where a branch was before it was shortened last, if it was.
pub(super) fn before(repository: &Repository, tip: Oid) -> Result<Option<Oid>, git2::Error> {
    let mut walk = repository.revwalk()?;
    walk.set_sorting(Sort::TOPOLOGICAL)?;
    walk.push(tip)?;
    for id in walk.take(MAX_LOOKED) {
        let commit = repository.find_commit(id?)?;
        let text = String::from_utf8_lossy(commit.message_bytes()).into_owned();
        let note = text.lines().rev().find_map(|line| line.strip_prefix(NOTE));
        if let Some(note) = note {
            return Ok(Oid::from_str(note.trim()).ok());
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
