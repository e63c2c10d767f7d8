//! This host's toplevel for a commit, made by its own Nix. The only maker of a `BuiltClosure`.

use std::future::Future;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};

use nixus_switcher::protocol::{NameError, Toplevel};
use thiserror::Error;

use crate::build_scope::{self, BuildScope};
use crate::commit_id::CommitId;
use crate::config::{Closure, ClosureSource};
use crate::disk_space;
use crate::nix_failure::{self, Class, explain};
use crate::nix_log::{NixLog, Progress};
use crate::process::{Invocation, ProcessError};
use crate::source::{Source, SourceError};
use crate::state::replace_link;
use crate::trust::VerifiedCommit;

/// Keeps the newest built closure from being collected until the switcher has rooted it.
const ROOT: &str = "/nix/var/nix/gcroots/nixus/built";

/// What the kernel and `OOMPolicy=kill` end processes with (signal(7)).
const SIGKILL: i32 = 9;

/// Why there is no toplevel.
#[derive(Debug, Error)]
pub enum ClosureError {
    /// Nix did not build it.
    #[error("nix did not build {attribute}")]
    Build {
        /// The attribute.
        attribute: String,
        /// Whether the commit is at fault.
        class: Class,
        /// Why.
        #[source]
        source: ProcessError,
    },
    /// The commit's submodules are not to be had.
    #[error("cannot put the submodules into commit {}", commit.short())]
    Submodules {
        /// The commit.
        commit: CommitId,
        /// Why.
        #[source]
        source: Box<SourceError>,
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
    /// It was given up, because there is a newer commit.
    #[error("the build was overtaken by commit {}", by.short())]
    Overtaken {
        /// The newer commit.
        by: CommitId,
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
    pub fn is_of_the_commit(&self) -> bool {
        match self {
            Self::Build { class, .. } => *class == Class::Commit,
            Self::Answer { .. } => true,
            Self::Submodules { source, .. } => matches!(**source, SourceError::Submodule { .. }),
            Self::Overtaken { .. } | Self::Root { .. } => false,
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

/// Builds this host's toplevel from exactly that commit of the local copy, and roots it. `repair` has
/// Nix look at every file of the closure, and make anew what is damaged.
///
/// `show` is given every step of the progress. The build is given up when `overtaken` names a newer
/// commit. Only for the holder of the pass's lock.
pub async fn build(
    closure: &Closure,
    source: &Source,
    commit: &VerifiedCommit,
    repair: bool,
    show: &mut (dyn FnMut(Progress) + Send),
    overtaken: impl Future<Output = CommitId>,
) -> Result<BuiltClosure, ClosureError> {
    build_scope::end_left_over().await;
    let scope = BuildScope::build();
    let toplevel = tokio::select! {
        toplevel = realise(closure, source, commit, repair, &scope, show) => toplevel?,
        by = overtaken => {
            scope.end().await;
            return Err(ClosureError::Overtaken { by });
        }
    };
    root(Path::new(ROOT), &toplevel)?;
    Ok(BuiltClosure {
        commit: commit.clone(),
        toplevel,
    })
}

/// The same without a root: what that commit's toplevel is, evaluated and built anew where needed.
pub async fn resolve(
    closure: &Closure,
    source: &Source,
    commit: &VerifiedCommit,
) -> Result<Toplevel, ClosureError> {
    let scope = BuildScope::resolve();
    realise(closure, source, commit, false, &scope, &mut |_| {}).await
}

async fn realise(
    closure: &Closure,
    source: &Source,
    commit: &VerifiedCommit,
    repair: bool,
    scope: &BuildScope,
    show: &mut (dyn FnMut(Progress) + Send),
) -> Result<Toplevel, ClosureError> {
    let revision = match closure.submodules {
        false => commit.id().clone(),
        true => source
            .with_submodules(commit.id())
            .await
            .map_err(|source| ClosureError::Submodules {
                commit: commit.id().clone(),
                source: Box::new(source),
            })?,
    };
    let repository = source.local();
    let (attribute, invocation) = match &closure.source {
        ClosureSource::Flake { attribute } => (
            attribute,
            build_flake(closure, repository, &revision, attribute, repair),
        ),
        ClosureSource::File { file, attribute } => (
            attribute,
            build_file(closure, repository, &revision, file, attribute, repair),
        ),
    };
    let invocation = scope.around(invocation, &closure.limits, closure.build_timeout);
    let mut log = NixLog::default();
    let result = invocation
        .output_heard(&mut |bytes| {
            let before = log.progress();
            log.hear(bytes);
            if log.progress() != before {
                show(log.progress());
            }
        })
        .await;
    log.finish();
    if matches!(&result, Err(error) if error.is_given_up()) {
        scope.end().await;
    }
    let output = result.map_err(|source| not_built(attribute, &log, source))?;
    let path = String::from_utf8_lossy(&output).trim().to_owned();
    Toplevel::try_from(PathBuf::from(path)).map_err(|source| ClosureError::Answer {
        attribute: attribute.clone(),
        source,
    })
}

fn build_flake(
    closure: &Closure,
    repository: &Path,
    revision: &CommitId,
    attribute: &str,
    repair: bool,
) -> Invocation {
    // A verified commit need not be in the history of HEAD: the branch may have been rewritten since.
    let flake = format!(
        "git+file://{}?rev={revision}&allRefs=1#{attribute}",
        repository.display(),
    );
    Invocation::new("nix", closure.build_timeout)
        .args(["--extra-experimental-features", "nix-command flakes"])
        .args(["build", "--no-link", "--print-out-paths"])
        .args(["--log-format", "internal-json"])
        // A lock file that does not fit is the commit's fault, not to be mended here. It must not
        // be called unwritten as well: then Nix mends it in memory.
        .arg("--no-update-lock-file")
        .args(["--option", "accept-flake-config", "false"])
        .args(repair.then_some("--repair"))
        .args(["--", &flake])
}

fn build_file(
    closure: &Closure,
    repository: &Path,
    revision: &CommitId,
    file: &str,
    attribute: &str,
    repair: bool,
) -> Invocation {
    // Values go in as arguments, so that nothing is quoted into Nix code.
    let expression = "{ nixusUrl, nixusRev, nixusFile }: let tree = builtins.fetchGit \
                      { url = nixusUrl; rev = nixusRev; allRefs = true; }; \
                      root = import (tree + \"/\" + nixusFile); in \
                      if builtins.isFunction root then root { } else root";
    let url = format!("file://{}", repository.display());
    Invocation::new("nix-build", closure.build_timeout)
        .args(["--no-out-link", "--attr", attribute])
        .args(repair.then_some("--repair"))
        .args(["--log-format", "internal-json"])
        .args(["--argstr", "nixusUrl", &url])
        .args(["--argstr", "nixusRev", revision.as_str()])
        .args(["--argstr", "nixusFile", file])
        .args(["--expr", expression])
}

fn not_built(attribute: &str, log: &NixLog, source: ProcessError) -> ClosureError {
    let failure = explain(log, nix_failure::read_kind);
    // A Nix that was killed, or ended for its time, did not come to its own conclusion.
    let killed = matches!(
        &source,
        ProcessError::Failed { status, .. } if status.signal() == Some(SIGKILL)
    );
    let concluded =
        matches!(&source, ProcessError::Failed { status, .. } if status.code().is_some());
    ClosureError::Build {
        attribute: attribute.to_owned(),
        class: if concluded {
            failure.class
        } else {
            Class::Transient
        },
        source: source.told_by(|_| {
            if killed {
                "it was killed, perhaps for want of memory".to_owned()
            } else {
                disk_space::named(failure.told)
            }
        }),
    }
}

fn root(path: &Path, toplevel: &Toplevel) -> Result<(), ClosureError> {
    replace_link(path, toplevel.path()).map_err(|source| ClosureError::Root {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use std::process::ExitStatus;
    use std::time::Duration;

    use super::*;
    use crate::process::in_words;

    fn failed(wait_status: i32, said: &str) -> ClosureError {
        let mut log = NixLog::default();
        log.hear(said.as_bytes());
        log.finish();
        let source = ProcessError::Failed {
            program: "nix".into(),
            status: ExitStatus::from_raw(wait_status),
            stderr: said.into(),
        };
        not_built("x", &log, source)
    }

    #[test]
    fn only_a_nix_that_came_to_a_conclusion_can_blame_the_commit() {
        let said = include_str!("nix_failure/recorded/eval-throw.log");
        let error = failed(1 << 8, said);
        assert!(error.is_of_the_commit());
        assert_eq!(
            in_words(&error),
            "nix did not build x: error: no such host in the fleet at \
             /nix/store/66sfxpzgdcjbkp44mp563ivwdkw6qks3-source/flake.nix:1:22 (nix: exit code 1)"
        );
        let killed = failed(9, said);
        assert!(!killed.is_of_the_commit());
        assert_eq!(
            in_words(&killed),
            "nix did not build x: it was killed, perhaps for want of memory (nix: signal 9)"
        );
        let late = ProcessError::TimedOut {
            program: "nix".into(),
            limit: Duration::from_secs(1),
        };
        assert!(!not_built("x", &NixLog::default(), late).is_of_the_commit());
    }
}
