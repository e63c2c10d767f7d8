//! Reports kept in git: one branch per host, each report a commit.
//!
//! The local repository is the outbox and this host's log: a report is durable once it is committed
//! here, and sending is a push of what the remote lacks. A report that cannot be sent waits.

use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

use git2::{ErrorCode, Oid, Repository, Signature};
use nixus_switcher::printable::{printable, printable_lines};
use thiserror::Error;

use crate::address::without_credentials;
use crate::config::{Remote, is_host_name};
use crate::decide::commit_id::CommitId;
use crate::decide::report::Report;
use crate::host::process::{Invocation, ProcessError};
use crate::host::set_aside::{WhenFull, set_aside};
use crate::source::{git_for, remove_leftovers, without_advice};

mod history;
mod reading;
pub mod retention;
pub mod sound;

/// The file that holds a report in its commit.
const FILE: &str = "report.json";
/// Before a host's name in the name of its branch.
const HOSTS: &str = "refs/heads/hosts/";
/// The longest report that is read, in bytes: others write them too.
const MAX_REPORT: usize = 64 * 1024;
/// How many damaged repositories are kept to be looked at.
const MAX_SET_ASIDE: u32 = 3;

/// What nobody has written to for so long was left by a fetch that was ended.
const LEFT_OVER: Duration = Duration::from_secs(60 * 60);

/// Why reports could not be kept, sent or read.
#[derive(Debug, Error)]
pub enum ReportsError {
    /// The local repository could not be used.
    #[error("cannot {action} in {}", path.display())]
    Local {
        /// What was tried.
        action: &'static str,
        /// The repository.
        path: PathBuf,
        /// Why.
        #[source]
        source: git2::Error,
    },
    /// The remote repository did not take or give reports.
    #[error("cannot {action} {url}")]
    Remote {
        /// What was tried.
        action: &'static str,
        /// The repository.
        url: String,
        /// Why.
        #[source]
        source: ProcessError,
    },
    /// The disk did not take a report.
    #[error("cannot sync the disk of {}", path.display())]
    Sync {
        /// The repository.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The damaged local repository could not be set aside.
    #[error("{} is damaged and cannot be set aside", path.display())]
    SetAside {
        /// The repository.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A report could not be written as JSON.
    #[error("cannot write a report")]
    Encode(#[source] serde_json::Error),
    /// This executable does not know its own path, which git needs for SSH.
    #[error("cannot locate the running executable")]
    Executable(#[source] std::io::Error),
}

/// A local repository of reports.
#[derive(Debug)]
pub struct ReportsRepository {
    path: PathBuf,
}

impl ReportsRepository {
    /// The repository at this path, which is made when first needed.
    pub fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Keeps a report durably, unless the last one of that host says the same.
    ///
    /// # Errors
    /// The repository on this host cannot be read or written.
    pub fn keep(&self, report: &Report) -> Result<(), ReportsError> {
        let last = self.last(&report.host)?;
        if last.as_ref().is_some_and(|last| last.says_the_same(report)) && !report.is_heartbeat() {
            return Ok(());
        }
        // The clock takes care that it rises on a new disk too.
        let now = u64::try_from(report.time.as_second()).unwrap_or(0);
        let report = &Report {
            sequence: last.map_or(now, |last| now.max(last.sequence.saturating_add(1))),
            ..report.clone()
        };
        let content = serde_json::to_vec_pretty(report).map_err(ReportsError::Encode)?;
        let repository = self.open()?;
        let write = || -> Result<Oid, git2::Error> {
            let parent = tip(&repository, &local_ref(&report.host))?;
            let blob = repository.blob(&content)?;
            let mut tree = repository.treebuilder(None)?;
            tree.insert(FILE, blob, 0o100_644)?;
            let tree = repository.find_tree(tree.write()?)?;
            let author = Signature::new(
                &report.host,
                &format!("nixus@{}", report.host),
                &git2::Time::new(report.time.as_second(), 0),
            )?;
            let parent = parent.map(|id| repository.find_commit(id)).transpose()?;
            let parents: Vec<_> = parent.iter().collect();
            let message = format!("{}: {}\n", report.state.word(), report.text);
            repository.commit(None, &author, &author, &message, &tree, &parents)
        };
        let keep = |source| self.local("keep a report", source);
        let commit = write().map_err(keep)?;
        // A report must survive a power cut: it is what tells that there was one. The branch moves
        // only once its commit is on disk.
        self.sync()?;
        repository
            .reference(&local_ref(&report.host), commit, true, "report")
            .map_err(keep)?;
        self.sync()
    }

    /// Reads what is needed to go on, and gives whether reports of this host wait to be sent; an
    /// error says that the repository is damaged.
    ///
    /// # Errors
    /// The repository on this host is damaged.
    pub fn sound(&self, host: &str) -> Result<bool, ReportsError> {
        if std::fs::symlink_metadata(&self.path).is_err() {
            return Ok(false);
        }
        let repository = self.open()?;
        let read = || -> Result<bool, git2::Error> {
            let kept = tip(&repository, &local_ref(host))?;
            let sent = tip(&repository, &sent_ref(host))?;
            for id in [kept, sent.filter(|_| sent != kept)].into_iter().flatten() {
                let tree = repository.find_commit(id)?.tree()?;
                for entry in &tree {
                    repository.find_blob(entry.id())?;
                }
            }
            Ok(kept != sent)
        };
        read().map_err(|source| self.local("read the last report", source))
    }

    /// The file that changes with each report that is kept; it may have been packed.
    pub fn reference_file(&self, host: &str) -> PathBuf {
        self.path.join(local_ref(host))
    }

    /// Sets the whole repository aside, for a person to look at; the next report begins a new one.
    ///
    /// # Errors
    /// The folder cannot be renamed.
    pub fn set_aside(&self) -> Result<PathBuf, ReportsError> {
        set_aside(&self.path, MAX_SET_ASIDE, WhenFull::Replace).map_err(|source| {
            ReportsError::SetAside {
                path: self.path.clone(),
                source,
            }
        })
    }

    /// Whether reports of this host wait to be sent.
    ///
    /// # Errors
    /// The repository on this host cannot be read.
    pub fn unsent(&self, host: &str) -> Result<bool, ReportsError> {
        let repository = self.open()?;
        let read = || Ok(tip(&repository, &local_ref(host))? != tip(&repository, &sent_ref(host))?);
        read().map_err(|source| self.local("compare reports", source))
    }

    /// Sends what waits. The remote keeps the whole history, so that all reports arrive, in order.
    ///
    /// # Errors
    /// The server cannot be reached or refuses, or the repository on this host cannot be used.
    pub async fn send(&self, host: &str, remote: &Remote) -> Result<(), ReportsError> {
        let Err(error) = self.push(host, remote).await else {
            return Ok(());
        };
        // The remote may have another history of this host: its disk is new, or was damaged.
        let refused = matches!(&error, ReportsError::Remote { source, .. } if matches!(source, ProcessError::Failed { .. }));
        if refused
            && self.take_over(host, remote).await.is_ok()
            && history::continues(&self.open()?, host)
                .map_err(|source| self.local("continue the remote's reports", source))?
        {
            self.sync()?;
            return self.push(host, remote).await;
        }
        Err(error)
    }

    async fn push(&self, host: &str, remote: &Remote) -> Result<(), ReportsError> {
        let note = |source| self.local("note what was sent", source);
        let Some(newest) = tip(&self.open()?, &local_ref(host)).map_err(note)? else {
            return Ok(());
        };
        // By its id: a report that is kept while this one is on its way has not been sent.
        let refspec = format!("{newest}:{}", local_ref(host));
        self.network(remote)?
            .args(["push", "--quiet", "--", &remote.url, &refspec])
            .output()
            .await
            .map_err(|source| remote_error("send reports to", remote, source))?;
        self.open()?
            .reference(&sent_ref(host), newest, true, "sent")
            .map_err(note)?;
        Ok(())
    }

    /// Goes on from what the remote has of this host: after a new disk, reports are appended.
    ///
    /// # Errors
    /// The server cannot be reached, or the repository on this host cannot be used.
    pub async fn take_over(&self, host: &str, remote: &Remote) -> Result<(), ReportsError> {
        let repository = self.open()?;
        let name = local_ref(host);
        let listed = self
            .network(remote)?
            .args(["ls-remote", "--heads", "--", &remote.url, &name])
            .output()
            .await
            .map_err(|source| remote_error("list reports in", remote, source))?;
        if listed.is_empty() {
            return Ok(());
        }
        let refspec = format!("+{name}:{}", sent_ref(host));
        self.fetch(remote, &refspec, false).await?;
        let adopt = || -> Result<(), git2::Error> {
            if let (Some(id), None) = (
                tip(&repository, &sent_ref(host))?,
                tip(&repository, &local_ref(host))?,
            ) {
                repository.reference(&local_ref(host), id, true, "taken over")?;
            }
            Ok(())
        };
        adopt().map_err(|source| self.local("take reports over", source))
    }

    /// Fetches the reports of all hosts.
    ///
    /// # Errors
    /// The server cannot be reached, or the repository on this host cannot be used.
    pub async fn fetch_all(&self, remote: &Remote) -> Result<(), ReportsError> {
        self.open()?;
        self.fetch(remote, "+refs/heads/hosts/*:refs/heads/hosts/*", true)
            .await
    }

    /// `short`: without what is too long to be a report, from a server that knows filters.
    async fn fetch(&self, remote: &Remote, refspec: &str, short: bool) -> Result<(), ReportsError> {
        remove_leftovers(&self.path, LEFT_OVER);
        self.network(remote)?
            .args(["fetch", "--quiet", "--no-tags", "--no-write-fetch-head"])
            .args(short.then_some("--filter=blob:limit=65537"))
            .args(["--prune", "--", &remote.url, refspec])
            .output()
            .await
            .map_err(|source| remote_error("fetch reports from", remote, source))?;
        Ok(())
    }

    fn network(&self, remote: &Remote) -> Result<Invocation, ReportsError> {
        let git = git_for(remote).map_err(ReportsError::Executable)?;
        Ok(git.arg("--git-dir").arg(&self.path).args([
            "-c",
            "maintenance.auto=false",
            "-c",
            "core.hooksPath=/dev/null",
        ]))
    }

    fn sync(&self) -> Result<(), ReportsError> {
        File::open(&self.path)
            .and_then(|directory| Ok(nix::unistd::syncfs(directory)?))
            .map_err(|source| ReportsError::Sync {
                path: self.path.clone(),
                source,
            })
    }

    fn open(&self) -> Result<Repository, ReportsError> {
        let open = || {
            if self.path.join("HEAD").exists() {
                return Repository::open_bare(&self.path);
            }
            Repository::init_bare(&self.path)
        };
        open().map_err(|source| self.local("open the reports", source))
    }

    fn local(&self, action: &'static str, source: git2::Error) -> ReportsError {
        ReportsError::Local {
            action,
            path: self.path.clone(),
            source,
        }
    }
}

fn remote_error(action: &'static str, remote: &Remote, source: ProcessError) -> ReportsError {
    ReportsError::Remote {
        action,
        url: without_credentials(&remote.url),
        source: source.told_by(without_advice),
    }
}

fn local_ref(host: &str) -> String {
    format!("{HOSTS}{host}")
}

fn sent_ref(host: &str) -> String {
    format!("refs/nixus/sent/{host}")
}

fn tip(repository: &Repository, name: &str) -> Result<Option<Oid>, git2::Error> {
    match repository.refname_to_id(name) {
        Ok(id) => Ok(Some(id)),
        Err(error) if error.code() == ErrorCode::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The host whose branch this is; nothing where it is none of a host.
fn host_of(name: &str) -> Option<&str> {
    let host = name.strip_prefix(HOSTS)?;
    is_host_name(host).then_some(host)
}

/// The report in a commit of this host's branch. A report on another one's branch is not that one's word.
fn report_in(repository: &Repository, id: Oid, host: &str) -> Option<Report> {
    let odb = repository.odb().ok()?;
    // Whoever may push could push anything: nothing is read before its size is known.
    let is_short = |id: Oid| {
        let header = odb.read_header(id);
        header.is_ok_and(|(size, _)| size <= MAX_REPORT)
    };
    let tree = repository
        .find_commit(Some(id).filter(|id| is_short(*id))?)
        .ok()?
        .tree_id();
    let tree = repository
        .find_tree(Some(tree).filter(|id| is_short(*id))?)
        .ok()?;
    let blob = tree.get_name(FILE)?.id();
    let blob = repository
        .find_blob(Some(blob).filter(|id| is_short(*id))?)
        .ok()?;
    understand(blob.content(), host)
}

/// The report in these bytes from the branch of this host.
pub(crate) fn understand(content: &[u8], host: &str) -> Option<Report> {
    let mut report: Report = serde_json::from_slice(content).ok()?;
    let is_own = report.host == host && CommitId::try_from(report.commit.id.clone()).is_ok();
    report.noticed.retain(|noticed| is_host_name(&noticed.host));
    report.text = printable_lines(&report.text);
    report.commit.subject = printable(&report.commit.subject);
    is_own.then_some(report)
}

#[cfg(test)]
mod tests;
