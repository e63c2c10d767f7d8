//! A toplevel that this host evaluates and builds by itself.

use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;

use nixus_switcher::protocol::Toplevel;

use super::{ClosureError, run, toplevel_in};
use crate::closure::build_scope::BuildScope;
use crate::closure::flake_url;
use crate::closure::nix_failure::{self, Class, explain};
use crate::closure::nix_log::{NixLog, Progress};
use crate::config::{Closure, Expression, Lfs};
use crate::decide::commit_id::CommitId;
use crate::host::disk_space;
use crate::host::process::{Invocation, ProcessError};
use crate::source::Source;
use crate::trust::VerifiedCommit;

/// What the kernel and `OOMPolicy=kill` end processes with (signal(7)).
const SIGKILL: i32 = 9;

pub(super) async fn realise(
    closure: &Closure,
    expression: &Expression,
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
    if let Some(missing) = source.missing(&revision, expression)? {
        return Err(ClosureError::Missing {
            commit: commit.id().clone(),
            missing,
        });
    }
    if closure.lfs == Lfs::Refuse {
        let files = source.lfs_files(&revision)?;
        if !files.is_empty() {
            return Err(ClosureError::Lfs {
                commit: commit.id().clone(),
                files,
            });
        }
    }
    let repository = source.local();
    let (attribute, invocation) = match expression {
        Expression::Flake {
            directory,
            attribute,
        } => {
            let directory = flake_url::directory(directory.as_deref());
            // A verified commit need not be in the history of HEAD: the branch may have been rewritten since.
            let query = format!("rev={revision}&allRefs=1{directory}");
            (
                attribute,
                build_flake(closure, repository, &query, attribute, repair),
            )
        }
        Expression::File { attribute, .. } => {
            let file = expression.file();
            (
                attribute,
                build_file(closure, repository, &revision, &file, attribute, repair),
            )
        }
    };
    let (log, result) = run(invocation, closure, scope, show).await;
    let output = result.map_err(|source| not_built(attribute, &log, source))?;
    toplevel_in(&output).map_err(|source| ClosureError::Answer {
        attribute: attribute.clone(),
        source,
    })
}

fn build_flake(
    closure: &Closure,
    repository: &Path,
    query: &str,
    attribute: &str,
    repair: bool,
) -> Invocation {
    let flake = format!("{}?{query}#{attribute}", flake_url::of_clone(repository));
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
    let url = flake_url::repository(repository);
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

#[cfg(test)]
mod tests {
    use std::process::ExitStatus;
    use std::time::Duration;

    use super::*;
    use crate::host::process::in_words;

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
