//! `nixus manifest push`: CI puts a manifest beside the branch, where hosts look it up.
//!
//! The push itself is git's, with the configuration and the credentials that CI has given it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use git2::{Oid, Repository, Signature, Time};
use russh::keys::load_secret_key;
use thiserror::Error;

use super::signature::{self, SignError};
use super::{FILE, Manifest, SIGNATURE};
use crate::address::{Address, AddressError, without_credentials};
use crate::decide::commit_id::CommitId;
use crate::host::process::{Invocation, ProcessError};
use crate::source::{REFS, without_advice};

/// How long git may take.
const LIMIT: Duration = Duration::from_secs(300);

/// Why nothing was pushed.
#[derive(Debug, Error)]
pub enum PushError {
    /// This is not a clone with the commit in it.
    #[error("commit {} is not in the repository {}", commit.short(), path.display())]
    Commit {
        /// The commit of the manifest.
        commit: CommitId,
        /// The repository.
        path: PathBuf,
        /// Why.
        #[source]
        source: git2::Error,
    },
    /// The manifest's commit could not be made.
    #[error("cannot write the manifest into the repository {}", path.display())]
    Write {
        /// The repository.
        path: PathBuf,
        /// Why.
        #[source]
        source: git2::Error,
    },
    /// The key to sign with cannot be read.
    #[error("cannot read the key {} to sign with", path.display())]
    Key {
        /// The key.
        path: PathBuf,
        /// Why.
        #[source]
        source: russh::keys::Error,
    },
    /// It could not be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
    /// The remote is a URL that is not used.
    #[error(
        "the remote {remote} {source}: name a remote of the clone, or let a credential helper of git's have it"
    )]
    Remote {
        /// The remote.
        remote: String,
        /// Why.
        #[source]
        source: AddressError,
    },
    /// The remote was not asked.
    #[error("cannot ask {remote} for {name}")]
    List {
        /// The remote.
        remote: String,
        /// The ref.
        name: String,
        /// Why.
        #[source]
        source: ProcessError,
    },
    /// There is another manifest of that commit. Hosts may have taken it.
    #[error(
        "{name} has another content already, which hosts may have taken: --replace overwrites it"
    )]
    Differs {
        /// The ref.
        name: String,
    },
    /// The remote did not take it.
    #[error("cannot push {name} to {remote}")]
    Push {
        /// The remote.
        remote: String,
        /// The ref.
        name: String,
        /// Why.
        #[source]
        source: ProcessError,
    },
}

impl PushError {
    /// Whether trying it again would end the same.
    pub fn is_wrong_input(&self) -> bool {
        matches!(
            self,
            Self::Commit { .. }
                | Self::Remote { .. }
                | Self::Key { .. }
                | Self::Sign(_)
                | Self::Differs { .. }
        )
    }
}

/// What a push did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// The remote has it now.
    New,
    /// The remote has it now in the place of another one.
    Replaced,
    /// The remote had it already.
    Unchanged,
}

/// A manifest on its way.
#[derive(Debug)]
pub struct Push<'a> {
    /// A clone of the deploy repository.
    pub repository: &'a Path,
    /// The name or the URL of the remote.
    pub remote: &'a str,
    /// The private SSH key to sign with.
    pub key: Option<&'a Path>,
    /// Whether another manifest of the commit is overwritten.
    pub replace: bool,
}

impl Push<'_> {
    /// Pushes a manifest, `text` being what its file has.
    ///
    /// # Errors
    /// It cannot be signed, the remote does not take it, or has another one.
    pub async fn push(&self, manifest: &Manifest, text: &[u8]) -> Result<Pushed, PushError> {
        // The name of a remote is read as a path.
        Address::parse(self.remote).map_err(|source| PushError::Remote {
            remote: without_credentials(self.remote),
            source,
        })?;
        let name = format!("{REFS}{}", manifest.commit);
        let signature = self.signature(text)?;
        let commit = self
            .commit(manifest, text, signature.as_deref())?
            .to_string();
        let there = self.listed(&name).await?;
        let done = match &there {
            Some(there) if *there == commit => return Ok(Pushed::Unchanged),
            Some(_) if !self.replace => return Err(PushError::Differs { name }),
            Some(_) => Pushed::Replaced,
            None => Pushed::New,
        };
        // Whoever pushed meanwhile is not overwritten.
        let lease = format!("--force-with-lease={name}:{}", there.unwrap_or_default());
        self.git()
            .args(["push", "--quiet", &lease, "--", self.remote])
            .arg(format!("{commit}:{name}"))
            .output()
            .await
            .map_err(|source| PushError::Push {
                remote: without_credentials(self.remote),
                name,
                source: source.told_by(without_advice),
            })?;
        Ok(done)
    }

    fn git(&self) -> Invocation {
        Invocation::new("git", LIMIT)
            .env("GIT_TERMINAL_PROMPT", "0")
            .arg("-C")
            .arg(self.repository)
    }

    async fn listed(&self, name: &str) -> Result<Option<String>, PushError> {
        let output = self
            .git()
            .args(["ls-remote", "--refs", "--", self.remote, name])
            .output()
            .await
            .map_err(|source| PushError::List {
                remote: without_credentials(self.remote),
                name: name.to_owned(),
                source: source.told_by(without_advice),
            })?;
        let text = String::from_utf8_lossy(&output);
        let mut refs = text.lines().filter_map(|line| line.split_once('\t'));
        Ok(refs
            .find(|(_, found)| *found == name)
            .map(|(id, _)| id.to_owned()))
    }

    fn signature(&self, text: &[u8]) -> Result<Option<String>, PushError> {
        let Some(path) = self.key else {
            return Ok(None);
        };
        let key = load_secret_key(path, None).map_err(|source| PushError::Key {
            path: path.to_owned(),
            source,
        })?;
        Ok(Some(signature::sign(text, &key)?))
    }

    /// The commit of the manifest. The same manifest of the same commit always has the same id.
    fn commit(
        &self,
        manifest: &Manifest,
        text: &[u8],
        signature: Option<&str>,
    ) -> Result<Oid, PushError> {
        let failed = |source| PushError::Commit {
            commit: manifest.commit.clone(),
            path: self.repository.to_owned(),
            source,
        };
        let open = || -> Result<(Repository, Time), git2::Error> {
            let repository = Repository::discover(self.repository)?;
            let id = Oid::from_str(manifest.commit.as_str())?;
            let time = repository.find_commit(id)?.time();
            Ok((repository, time))
        };
        let (repository, time) = open().map_err(failed)?;
        let write = || -> Result<Oid, git2::Error> {
            let mut tree = repository.treebuilder(None)?;
            tree.insert(FILE, repository.blob(text)?, 0o100_644)?;
            if let Some(signature) = signature {
                tree.insert(SIGNATURE, repository.blob(signature.as_bytes())?, 0o100_644)?;
            }
            let tree = repository.find_tree(tree.write()?)?;
            let by = Signature::new("Nixus", "nixus@invalid", &time)?;
            let message = format!("Closures of {}\n", manifest.commit);
            repository.commit(None, &by, &by, &message, &tree, &[])
        };
        write().map_err(|source| PushError::Write {
            path: self.repository.to_owned(),
            source,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::process::in_words;
    use crate::host::testing::run;
    use crate::manifest::VERSION;

    #[test]
    fn what_hosts_may_have_taken_is_overwritten_only_by_one_who_says_so() {
        let directory = tempfile::tempdir().unwrap();
        let remote = directory.path().join("deploy.git");
        let remote = Repository::init_bare(remote).unwrap();
        let clone = Repository::init(directory.path().join("clone")).unwrap();
        let by = Signature::now("operator", "operator@example").unwrap();
        let tree = clone.treebuilder(None).unwrap().write().unwrap();
        let tree = clone.find_tree(tree).unwrap();
        let commit = clone.commit(Some("HEAD"), &by, &by, "one", &tree, &[]);
        let manifest = Manifest {
            version: VERSION,
            commit: CommitId::try_from(commit.unwrap().to_string()).unwrap(),
            hosts: [].into(),
            trial: None,
        };
        let key = directory.path().join("key");
        std::fs::write(&key, include_str!("../report/signature/test_ed25519")).unwrap();
        let url = format!("file://{}", remote.path().display());
        let check = |text: &str, replace: bool, key: Option<&Path>, expected: Result<_, &str>| {
            let push = Push {
                repository: clone.path(),
                remote: &url,
                key,
                replace,
            };
            let pushed = run(push.push(&manifest, text.as_bytes()));
            match (pushed, expected) {
                (Ok(pushed), expected) => assert_eq!(Ok(pushed), expected, "{text}"),
                (Err(error), Ok(_)) => unreachable!("{text}: {}", in_words(&error)),
                (Err(error), Err(words)) => {
                    assert!(in_words(&error).contains(words), "{error:?}");
                    assert!(error.is_wrong_input());
                }
            }
        };
        let differs = "has another content already, which hosts may have taken";
        check("one", false, None, Ok(Pushed::New));
        check("one", false, None, Ok(Pushed::Unchanged));
        check("two", false, None, Err(differs));
        check("two", true, None, Ok(Pushed::Replaced));
        // A signature makes another manifest of the same text, and always the same one.
        check("two", false, Some(&key), Err(differs));
        check("two", true, Some(&key), Ok(Pushed::Replaced));
        check("two", false, Some(&key), Ok(Pushed::Unchanged));
        let none = directory.path().join("none");
        check("two", false, Some(&none), Err("cannot read the key"));

        let name = format!("{REFS}{}", manifest.commit);
        let tree = remote.revparse_single(&name).unwrap();
        let tree = tree.peel_to_tree().unwrap();
        let files: Vec<_> = tree
            .iter()
            .map(|one| one.name().unwrap().to_owned())
            .collect();
        assert_eq!(files, [FILE, SIGNATURE]);

        let push = Push {
            repository: clone.path(),
            remote: "https://ci:s3cret@127.0.0.1:1/deploy.git",
            key: None,
            replace: false,
        };
        let error = run(push.push(&manifest, b"one")).unwrap_err();
        assert!(error.is_wrong_input(), "{error:?}");
        let words = in_words(&error);
        assert!(words.contains("has a password in it"), "{words}");
        assert!(!words.contains("s3cret"), "{words}");

        let elsewhere = Repository::init(directory.path().join("elsewhere")).unwrap();
        let push = Push {
            repository: elsewhere.path(),
            remote: &url,
            key: None,
            replace: true,
        };
        let error = run(push.push(&manifest, b"one")).unwrap_err();
        assert!(error.is_wrong_input(), "{error:?}");
    }
}
