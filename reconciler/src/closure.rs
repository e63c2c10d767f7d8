//! This host's toplevel for a commit, made by its own Nix. The only maker of a `BuiltClosure`.

use std::path::{Path, PathBuf};

use nixus_switcher::protocol::{NameError, Toplevel};
use thiserror::Error;

use crate::config::{Closure, ClosureSource};
use crate::process::{Invocation, ProcessError};
use crate::state::replace_link;
use crate::trust::VerifiedCommit;

/// Keeps the newest built closure from being collected until the switcher has rooted it.
const ROOT: &str = "/nix/var/nix/gcroots/nixus/built";

/// How many lines of Nix's first error are told.
const ERROR_LINES: usize = 40;

/// How lines begin in which Nix says where its log is, which is of no use elsewhere.
const ADVICE: [&str; 2] = ["For full logs", "nix log "];

/// Why there is no toplevel.
#[derive(Debug, Error)]
pub enum ClosureError {
    /// Nix did not build it.
    #[error("nix did not build {attribute}")]
    Build {
        /// The attribute.
        attribute: String,
        /// Why.
        #[source]
        source: ProcessError,
    },
    /// Nix printed something that is no store path.
    #[error("nix built {attribute} but printed no store path")]
    Answer {
        /// The attribute.
        attribute: String,
        /// Why.
        #[source]
        source: NameError,
    },
    /// The garbage collector could not be kept from the result.
    #[error("cannot root the built closure at {}", path.display())]
    Root {
        /// The root.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl ClosureError {
    /// Whether the commit itself is at fault: trying it again would end the same.
    ///
    /// Nix uses exit code 1 for errors of evaluation and 100 to 104 for failed builds
    /// (nix-store(1), "exit status").
    pub fn is_of_the_commit(&self) -> bool {
        match self {
            Self::Build {
                source: ProcessError::Failed { status, .. },
                ..
            } => matches!(status.code(), Some(1 | 100..=104)),
            Self::Answer { .. } => true,
            _ => false,
        }
    }
}

/// A toplevel that was built from a verified commit and is in the store.
#[derive(Debug, Clone)]
pub struct BuiltClosure {
    commit: VerifiedCommit,
    toplevel: Toplevel,
}

impl BuiltClosure {
    /// The commit that it was built from.
    pub fn commit(&self) -> &VerifiedCommit {
        &self.commit
    }

    /// Its store path.
    pub fn toplevel(&self) -> &Toplevel {
        &self.toplevel
    }
}

/// Builds this host's toplevel from exactly that commit of the local copy, and roots it.
pub async fn build(
    closure: &Closure,
    repository: &Path,
    commit: &VerifiedCommit,
) -> Result<BuiltClosure, ClosureError> {
    let toplevel = realise(closure, repository, commit).await?;
    root(Path::new(ROOT), &toplevel)?;
    Ok(BuiltClosure {
        commit: commit.clone(),
        toplevel,
    })
}

/// The same without a root: what that commit's toplevel is, evaluated and built anew where needed.
pub async fn resolve(
    closure: &Closure,
    repository: &Path,
    commit: &VerifiedCommit,
) -> Result<Toplevel, ClosureError> {
    realise(closure, repository, commit).await
}

async fn realise(
    closure: &Closure,
    repository: &Path,
    commit: &VerifiedCommit,
) -> Result<Toplevel, ClosureError> {
    let (attribute, invocation) = match &closure.source {
        ClosureSource::Flake { attribute } => (
            attribute,
            build_flake(closure, repository, commit, attribute),
        ),
        ClosureSource::File { file, attribute } => (
            attribute,
            build_file(closure, repository, commit, file, attribute),
        ),
    };
    let output = invocation
        .output()
        .await
        .map_err(|source| ClosureError::Build {
            attribute: attribute.clone(),
            source: source.told_by(first_error),
        })?;
    let path = String::from_utf8_lossy(&output).trim().to_owned();
    Toplevel::try_from(PathBuf::from(path)).map_err(|source| ClosureError::Answer {
        attribute: attribute.clone(),
        source,
    })
}

fn build_flake(
    closure: &Closure,
    repository: &Path,
    commit: &VerifiedCommit,
    attribute: &str,
) -> Invocation {
    // The local copy has no branch of its own, so the commit must be looked for in all refs.
    let flake = format!(
        "git+file://{}?rev={}&allRefs=1#{attribute}",
        repository.display(),
        commit.id()
    );
    Invocation::new("nix", closure.build_timeout)
        .args(["--extra-experimental-features", "nix-command flakes"])
        .args(["build", "--no-link", "--print-out-paths"])
        // A lock file that does not fit is the commit's fault, not to be mended here.
        .args(["--no-update-lock-file", "--no-write-lock-file"])
        .args(["--option", "accept-flake-config", "false", "--", &flake])
}

fn build_file(
    closure: &Closure,
    repository: &Path,
    commit: &VerifiedCommit,
    file: &str,
    attribute: &str,
) -> Invocation {
    // Values go in as arguments, so that nothing is quoted into Nix code.
    let expression = "{ nixusUrl, nixusRev, nixusFile }: let tree = builtins.fetchGit \
                      { url = nixusUrl; rev = nixusRev; allRefs = true; }; \
                      root = import (tree + \"/\" + nixusFile); in \
                      if builtins.isFunction root then root { } else root";
    let url = format!("file://{}", repository.display());
    Invocation::new("nix-build", closure.build_timeout)
        .args(["--no-out-link", "--attr", attribute])
        .args(["--argstr", "nixusUrl", &url])
        .args(["--argstr", "nixusRev", commit.id().as_str()])
        .args(["--argstr", "nixusFile", file])
        .args(["--expr", expression])
}

/// Nix's first error with what belongs to it: what it did before, and the errors that only follow
/// from the first, are left out.
fn first_error(stderr: &str) -> String {
    let begins = |line: &&str| line.starts_with("error:");
    let Some(start) = stderr.lines().position(|line| begins(&line)) else {
        return stderr.to_owned();
    };
    let mut lines = stderr.lines().skip(start);
    let first = lines.next().into_iter();
    let lines: Vec<_> = first
        .chain(lines.take_while(|line| !begins(line)))
        .map(str::trim)
        .filter(|line| !line.is_empty() && !ADVICE.iter().any(|advice| line.starts_with(advice)))
        .take(ERROR_LINES)
        .collect();
    lines.join("\n")
}

fn root(path: &Path, toplevel: &Toplevel) -> Result<(), ClosureError> {
    replace_link(path, toplevel.path()).map_err(|source| ClosureError::Root {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_is_told_without_its_consequences() {
        let said = "these 2 derivations will be built:\n  /nix/store/x-shop.drv\n\
                    building '/nix/store/x-shop.drv'...\n\
                    error: builder for '/nix/store/x-shop.drv' failed with exit code 1;\n\
                    \x20      last 1 log lines:\n\
                    \x20      > shop.c:1: error: no such header\n\
                    \x20      For full logs, run:\n\
                    \x20        nix log /nix/store/x-shop.drv\n\
                    error: 1 dependencies of derivation '/nix/store/y-system.drv' failed to build\n";
        assert_eq!(
            first_error(said),
            "error: builder for '/nix/store/x-shop.drv' failed with exit code 1;\n\
             last 1 log lines:\n\
             > shop.c:1: error: no such header"
        );
        assert_eq!(first_error("out of memory"), "out of memory");
    }
}
