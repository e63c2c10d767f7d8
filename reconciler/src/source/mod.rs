//! The deploy repository: where its branch is, and a local copy of its history.
//!
//! The network is git's own program, which honours the system's ssh and proxy configuration; only
//! where the branch is, is asked without it over SSH, since git would list all branches. The local
//! copy is read with git2.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use git2::{Oid, Repository, RepositoryInitOptions};
use nixus_switcher::printable::is_printable;
use nixus_switcher::protocol::{Commit, Toplevel};
use thiserror::Error;

use crate::address::{self, Address, Scheme};
use crate::config::{Config, Remote};
use crate::decide::commit_id::CommitId;
use crate::decide::plan::Head;
use crate::host::disk_space;
use crate::host::files::Paths;
use crate::host::process::{Invocation, ProcessError};
use crate::host::set_aside::{WhenFull, set_aside};

pub mod askpass;
mod fetching;
mod history;
pub(crate) mod lfs;
pub(crate) mod list;
pub(crate) mod ls_refs;
mod manifests;
mod mirrors;
mod one_ref;
mod over_https;
pub mod packing;
pub mod reach;
pub mod ssh;
pub(crate) mod submodules;
mod tree;

pub(crate) use fetching::remove_leftovers;
pub use lfs::lfs_files;
use list::{list_failed, list_one};
pub use manifests::{FILE, FoundManifest, LONGEST, REFS, SIGNATURE};
use mirrors::Belief;
pub use over_https::AskError;
pub use tree::Missing;

/// How long git may look for damage in the local copy.
const LOOK: Duration = Duration::from_secs(120);

/// The only branch of the local copy: the fetched head of the deploy repository's.
const FETCHED_BRANCH: &str = "fetched";

/// How many damaged local copies are kept to be looked at: they can be large.
const MAX_SET_ASIDE: u32 = 1;

/// How many commits of one push are read for what they ask to retry.
const MAX_COMMITS_READ: usize = 10_000;

/// The most that one fetch may bring, in bytes as they are sent.
const MAX_FETCH: u64 = 4 * 1024 * 1024 * 1024;

/// The longest commit message that is read for trailers, in bytes.
const MAX_MESSAGE: usize = 64 * 1024;

/// What is kept of a commit's subject, in characters.
const MAX_SUBJECT: usize = 120;

/// What git finds wrong with objects and can work with (git-fsck(1), "FSCK MESSAGES"): what `git fsck` only warns
/// of, which a fetch makes an error, and what old programs and hosts of projects have put into histories that
/// cannot be changed any more. Without this, no host could fetch again after a merge of such a history. What could
/// lead out of a folder, or hide, stays an error: `hasDot`, `hasDotdot`, `hasDotgit`, `fullPathname`, `emptyName`,
/// `gitmodules…`, `treeNotSorted`, `duplicateEntries`.
const HARMLESS: [&str; 16] = [
    "zeroPaddedFilemode",
    "badFilemode",
    "nullSha1",
    "nulInCommit",
    "largePathname",
    "badTimezone",
    "badDate",
    "badDateOverflow",
    "zeroPaddedDate",
    "missingSpaceBeforeDate",
    "badEmail",
    "badName",
    "missingEmail",
    "missingNameBeforeEmail",
    "missingSpaceBeforeEmail",
    "missingTaggerEntry",
];

/// Why the deploy repository could not be used.
#[derive(Debug, Error)]
pub enum SourceError {
    /// The branch could not be asked for.
    #[error("cannot list {url}")]
    List {
        /// The repository.
        url: String,
        /// Why.
        #[source]
        source: ProcessError,
    },
    /// The branch could not be asked for over HTTPS.
    #[error("cannot list {url}")]
    Ask {
        /// The repository.
        url: String,
        /// Why.
        #[source]
        source: AskError,
    },
    /// The branch could not be fetched.
    #[error("cannot fetch {branch} from {url}")]
    Fetch {
        /// The repository.
        url: String,
        /// The branch.
        branch: String,
        /// Why.
        #[source]
        source: ProcessError,
    },
    /// A submodule is not to be had, and the commit is to blame.
    #[error("the submodule {path} {problem}")]
    Submodule {
        /// Where it is in the repository.
        path: String,
        /// What is wrong: a half sentence after the path.
        problem: String,
    },
    /// A submodule could not be fetched.
    #[error("cannot fetch the submodule {path} from {url}")]
    FetchSubmodule {
        /// Where it is in the repository.
        path: String,
        /// Where it comes from.
        url: String,
        /// Why.
        #[source]
        source: ProcessError,
    },
    /// The repository answered something that is not a list of refs.
    #[error("{url} answered the list of refs with nonsense: {problem}")]
    Answer {
        /// The repository.
        url: String,
        /// What was wrong.
        problem: String,
    },
    /// None of several URLs gave an answer.
    #[error("no mirror of the repository answers: {}", failures.join("; "))]
    NoMirror {
        /// What each of them said.
        failures: Vec<String>,
    },
    /// Only a mirror has a commit, and mirrors do not count yet.
    #[error(
        "{url} has {}, which does not count while {first} has not said so: {why}", commit.short()
    )]
    Unconfirmed {
        /// The mirror.
        url: String,
        /// Its head.
        commit: CommitId,
        /// The first URL of the repository.
        first: String,
        /// Why that says nothing.
        why: String,
    },
    /// Only mirrors that are behind gave an answer.
    #[error(
        "{url} is behind: it has {}, and this host has seen {}", commit.short(), seen.short()
    )]
    Behind {
        /// The mirror.
        url: String,
        /// Its head.
        commit: CommitId,
        /// The newest head that this host has seen.
        seen: CommitId,
    },
    /// The local copy could not be opened or made.
    #[error("cannot open the local copy {}", path.display())]
    Open {
        /// The local copy.
        path: PathBuf,
        /// Why.
        #[source]
        source: git2::Error,
    },
    /// The local copy lacks an object or cannot be read.
    #[error("cannot read {what} in the local copy {}", path.display())]
    Object {
        /// The local copy.
        path: PathBuf,
        /// The object.
        what: String,
        /// Why.
        #[source]
        source: git2::Error,
    },
    /// An object is larger than any that people make: it is not read.
    #[error("{what} is {size} bytes large, and at most {limit} are read")]
    TooLarge {
        /// The object.
        what: String,
        /// Its size in bytes.
        size: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The damaged local copy could not be set aside.
    #[error("the local copy {} is damaged and cannot be set aside", path.display())]
    SetAside {
        /// The local copy.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// This executable does not know its own path, which git needs for SSH.
    #[error("cannot locate the running executable")]
    Executable(#[source] std::io::Error),
}

impl SourceError {
    fn is_given_up(&self) -> bool {
        matches!(self, Self::Fetch { source, .. } if source.is_given_up())
    }
}

/// The deploy repository and its local copy.
#[derive(Debug)]
pub struct Source {
    remotes: Vec<Remote>,
    branch: String,
    local: PathBuf,
    /// Whether the history alone is fetched, without the files that its commits have.
    commits_only: bool,
    /// Where the branch was listed last, by the URL.
    listed: Mutex<Option<(String, CommitId)>>,
    /// Whether manifests carry signatures, so that it does not matter who gives them.
    manifests_are_signed: bool,
    belief: Belief,
}

impl Source {
    /// A repository at one or more URLs, and where its local copy is or will be.
    pub fn new(remotes: Vec<Remote>, branch: String, local: PathBuf) -> Self {
        Self {
            remotes,
            branch,
            local,
            commits_only: false,
            listed: Mutex::new(None),
            manifests_are_signed: false,
            belief: Belief::default(),
        }
    }

    /// The repository that a host follows. One that evaluates nothing has a local copy without files,
    /// at a place of its own: git takes a copy that lacks them for one that has them.
    pub fn of(config: &Config, paths: &Paths) -> Self {
        let commits_only = config.closure.expression().is_none();
        let local = match commits_only {
            true => paths.commits(),
            false => paths.repository(),
        };
        let following = config.closure.following();
        Self {
            commits_only,
            manifests_are_signed: following.is_some_and(|following| !following.keys.is_empty()),
            ..Self::new(config.remotes(), config.branch.clone(), local)
        }
    }

    /// The path of the local copy.
    pub fn local(&self) -> &Path {
        &self.local
    }

    /// Asks where the branch is: one ref. With several URLs, all are asked at once, and the first one's answer
    /// counts; see [`Source::believing`].
    ///
    /// # Errors
    /// No server answers, or each one's answer cannot be used.
    pub async fn list(&self) -> Result<Head, SourceError> {
        match self.remotes.as_slice() {
            [only] => {
                let head = list_one(only, &self.branch).await?;
                self.note(only, &head);
                Ok(head)
            }
            _ => self.list_all().await,
        }
    }

    /// Fetches the branch, first from where it was listed, and there the commit that was listed; gives the
    /// commit.
    ///
    /// # Errors
    /// No server has the commit, or the local copy cannot be written.
    pub async fn fetch(&self) -> Result<CommitId, SourceError> {
        match self.remotes.as_slice() {
            [only] => self.fetch_from(only).await,
            _ => self.fetch_any().await,
        }
    }

    async fn fetch_from(&self, remote: &Remote) -> Result<CommitId, SourceError> {
        self.open_or_make()?;
        let fetched = format!("refs/heads/{FETCHED_BRANCH}");
        // By its id, git asks the server for no list of refs (git-fetch(1), <refspec>).
        let by_id = match self.listed_at(remote) {
            Some(id) => Some(self.fetch_one(remote, &format!("{id}:{fetched}")).await),
            None => None,
        };
        match by_id {
            Some(Ok(())) => {}
            Some(Err(error)) if error.is_given_up() => return Err(error),
            // It may have moved on, and not every server gives commits by their ids.
            None | Some(Err(_)) => {
                let refspec = format!("refs/heads/{}:{fetched}", self.branch);
                self.fetch_one(remote, &refspec).await?;
            }
        }
        let repository = self.open_or_make()?;
        let head = repository
            .refname_to_id(&fetched)
            .map_err(|source| self.object(&fetched, source))?;
        commit_id(head).map_err(|problem| SourceError::Answer {
            url: address::without_credentials(&remote.url),
            problem,
        })
    }

    /// Runs a fetch as long as something comes, and not too much.
    async fn bounded(
        &self,
        remote: &Remote,
        git: Invocation,
        most: u64,
    ) -> Result<Vec<u8>, ProcessError> {
        let bounds = fetching::Bounds {
            repository: &self.local,
            idle: remote.timeout,
            most,
        };
        fetching::run(git, &bounds).await
    }

    async fn fetch_one(&self, remote: &Remote, refspec: &str) -> Result<(), SourceError> {
        // A server that knows no filter sends the files as well.
        let git = self
            .fetching(remote)?
            .args(self.commits_only.then_some("--filter=tree:0"))
            .args(["--", &remote.url, &format!("+{refspec}")]);
        self.bounded(remote, git, MAX_FETCH)
            .await
            .map(drop)
            .map_err(|source| fetch_failed(remote, &self.branch, source))
    }

    fn note(&self, remote: &Remote, head: &Head) {
        let mut listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        *listed = match head {
            Head::At(id) => Some((remote.url.clone(), id.clone())),
            _ => None,
        };
    }

    /// Taken out: what is fetched again is fetched by the branch's name.
    fn listed_at(&self, remote: &Remote) -> Option<CommitId> {
        let mut listed = self.listed.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, id) = listed.take_if(|(url, _)| *url == remote.url)?;
        Some(id)
    }

    /// `git fetch` into the local copy, but for what to fetch. The local copy is ours alone: no tags,
    /// no hooks of the user, no background work after.
    fn fetching(&self, remote: &Remote) -> Result<Invocation, SourceError> {
        let harmless = HARMLESS
            .iter()
            .flat_map(|id| ["-c".to_owned(), format!("fetch.fsck.{id}=warn")]);
        Ok(git_for(remote)
            .map_err(SourceError::Executable)?
            .args(harmless)
            .arg("--git-dir")
            .arg(&self.local)
            .args([
                "-c",
                "fetch.fsckObjects=true",
                "-c",
                "maintenance.auto=false",
            ])
            .args([
                "-c",
                "core.fsync=committed",
                "-c",
                "core.hooksPath=/dev/null",
            ])
            // One file that grows, however few objects come; its progress is how a fetch is known to be alive.
            .args(["-c", "fetch.unpackLimit=1"])
            .args(["fetch", "--progress", "--no-tags", "--no-write-fetch-head"])
            .arg("--no-recurse-submodules")
            .args(of_any_owner(remote)))
    }

    /// Sets the local copy aside where git finds it damaged: it holds nothing that could not be
    /// fetched again. Where git cannot determine in time, it is left alone.
    ///
    /// # Errors
    /// The local copy cannot be renamed.
    pub async fn set_aside_if_damaged(&self) -> Result<Option<PathBuf>, SourceError> {
        if !is_damaged(&self.local).await {
            return Ok(None);
        }
        set_aside(&self.local, MAX_SET_ASIDE, WhenFull::Replace)
            .map(Some)
            .map_err(|source| SourceError::SetAside {
                path: self.local.clone(),
                source,
            })
    }

    /// Whether `commit` is `ancestor` or descends from it, in what has been fetched.
    ///
    /// # Errors
    /// The local copy cannot be read, or lacks one of them.
    pub fn descends(&self, commit: &CommitId, ancestor: &CommitId) -> Result<bool, SourceError> {
        self.walk(commit, ancestor).map(|walk| walk.descends)
    }

    /// A fetched commit with its subject.
    ///
    /// # Errors
    /// The local copy cannot be read, or lacks it.
    pub fn commit(&self, id: &CommitId) -> Result<Commit, SourceError> {
        let repository = self.open_or_make()?;
        let find = || -> Result<String, history::Unread> {
            let commit = history::commit(&repository, Oid::from_str(id.as_str())?)?;
            let subject = commit.summary_bytes().unwrap_or_default();
            Ok(String::from_utf8_lossy(subject).into_owned())
        };
        let subject = find().map_err(|why| self.unread(id.as_str(), why))?;
        Ok(Commit {
            id: id.to_string(),
            subject: subject
                .chars()
                .filter(|letter| is_printable(*letter))
                .take(MAX_SUBJECT)
                .collect(),
        })
    }

    /// The toplevels that the commits from after `accepted` to `head` ask to retry, by a trailer
    /// `Nixus-Retry: <toplevel>` in their messages.
    ///
    /// # Errors
    /// The local copy cannot be read, or lacks a part of the history.
    pub fn retries(
        &self,
        head: &CommitId,
        accepted: &CommitId,
    ) -> Result<Vec<Toplevel>, SourceError> {
        let repository = self.open_or_make()?;
        let since = self.walk(head, accepted)?.since;
        let find = || -> Result<Vec<Toplevel>, history::Unread> {
            let mut found = Vec::new();
            for id in since.into_iter().take(MAX_COMMITS_READ) {
                let commit = history::commit(&repository, id)?;
                let message = String::from_utf8_lossy(commit.message_bytes());
                if message.len() <= MAX_MESSAGE {
                    found.extend(retry_trailers(&message)?);
                }
            }
            Ok(found)
        };
        find().map_err(|why| self.unread(head.as_str(), why))
    }

    fn open_or_make(&self) -> Result<Repository, SourceError> {
        let open = |source| SourceError::Open {
            path: self.local.clone(),
            source,
        };
        if self.local.join("HEAD").exists() {
            return Repository::open_bare(&self.local).map_err(open);
        }
        let mut options = RepositoryInitOptions::new();
        // Nix asks a repository for its HEAD, and warns where there is none.
        options.bare(true).initial_head(FETCHED_BRANCH);
        Repository::init_opts(&self.local, &options).map_err(open)
    }

    fn object(&self, what: &str, source: git2::Error) -> SourceError {
        SourceError::Object {
            path: self.local.clone(),
            what: what.to_owned(),
            source,
        }
    }
}

/// A repository on this machine may be another user's: that its URL is configured says that it is meant. git asks
/// who owns it in the program that serves it, which knows no `-c` of the one that fetches. Only for reading: a push
/// would run that user's hooks.
fn of_any_owner(remote: &Remote) -> Option<&'static str> {
    let is_file = Address::parse(&remote.url).is_ok_and(|one| one.scheme() == Scheme::File);
    is_file.then_some("--upload-pack=git -c safe.directory=* upload-pack")
}

fn fetch_failed(remote: &Remote, what: &str, source: ProcessError) -> SourceError {
    SourceError::Fetch {
        url: address::without_credentials(&remote.url),
        branch: what.to_owned(),
        source: source.told_by(|said| disk_space::named(in_short(remote, said))),
    }
}

/// The git program with all that it needs to reach `remote`.
///
/// # Errors
/// This executable's own path is not known.
pub fn git_for(remote: &Remote) -> std::io::Result<Invocation> {
    let git = git(remote.timeout);
    match Address::parse(&remote.url) {
        Ok(address) if address.scheme() == Scheme::Https => askpass::with_https(git, remote),
        _ => ssh::with_ssh(git, remote),
    }
}

/// The git program with what is the same in every call: no questions, no surprises.
pub fn git(limit: Duration) -> Invocation {
    Invocation::new("git", limit)
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_ALLOW_PROTOCOL", "ssh:https:file")
        .env("LC_ALL", "C")
        .args(["-c", "protocol.version=2"])
        // The machine's own configuration of git does not switch that off.
        .args(["-c", "http.sslVerify=true"])
}

/// Whether git itself finds a local repository damaged. One that is not there is not, nor is one that the
/// machine's own configuration of git keeps from being opened: only the repository is looked at.
pub async fn is_damaged(path: &Path) -> bool {
    if std::fs::symlink_metadata(path).is_err() {
        return false;
    }
    let looked = git(LOOK)
        // git(1), "Environment variables": files for all users and for this one, which may not even parse.
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .arg("--git-dir")
        .arg(path)
        .args(["fsck", "--full", "--no-dangling", "--no-progress"])
        .output()
        .await;
    matches!(looked, Err(ProcessError::Failed { status, .. }) if status.code().is_some())
}

/// What git or ssh say of a failure with this repository, as short as it is of use.
fn in_short(remote: &Remote, said: &str) -> String {
    ssh::changed_host_key(said, remote.known_hosts.as_deref())
        .unwrap_or_else(|| without_advice(said))
}

/// What git says of a failure, without what it says of every failure.
pub fn without_advice(stderr: &str) -> String {
    const ADVICE: [&str; 3] = [
        "fatal: Could not read from remote repository.",
        "Please make sure you have the correct access rights",
        "and the repository exists.",
    ];
    let lines: Vec<_> = stderr
        .split(['\n', '\r'])
        .filter(|line| !line.trim().is_empty() && !ADVICE.contains(line))
        .filter(|line| !fetching::is_progress(line))
        .collect();
    address::without_credentials(&lines.join("\n"))
}

pub(crate) fn retry_trailers(message: &str) -> Result<Vec<Toplevel>, git2::Error> {
    let trailers = git2::message_trailers_strs(message)?;
    Ok(trailers
        .iter()
        .filter(|(key, _)| key.eq_ignore_ascii_case("Nixus-Retry"))
        .filter_map(|(_, value)| Toplevel::try_from(PathBuf::from(value.trim())).ok())
        .collect())
}

fn commit_id(id: Oid) -> Result<CommitId, String> {
    CommitId::try_from(id.to_string())
}

#[cfg(test)]
mod tests;
