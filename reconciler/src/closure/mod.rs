//! This host's toplevel for a commit: built by its own Nix, or fetched by it where CI has built it.
//! The only maker of a `BuiltClosure`.

use std::future::Future;
use std::path::{Path, PathBuf};

use nixus_switcher::protocol::{NameError, Toplevel};
use thiserror::Error;

use crate::closure::build_scope::BuildScope;
use crate::closure::nix_failure::Class;
use crate::closure::nix_log::{NixLog, Progress};
use crate::config::{Closure, ClosureSource, Config, Expression, Otherwise};
use crate::decide::commit_id::CommitId;
use crate::decide::plan::Gap;
use crate::host::files::replace_link;
use crate::host::process::{Invocation, ProcessError};
use crate::manifest::{self, Entry, ManifestError};
use crate::source::{Missing, Source, SourceError};
use crate::trust::VerifiedCommit;

pub mod build_scope;
mod expression;
pub(crate) mod fetched;
pub mod flake_url;
pub mod nix_failure;
pub mod nix_log;
pub mod progress;
pub mod trifle;

/// Keeps the newest built closure from being collected until the switcher has rooted it.
const ROOT: &str = "/nix/var/nix/gcroots/nixus/built";

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
    /// What is to be evaluated is not in the commit.
    #[error("commit {} cannot be evaluated: {missing}", commit.short())]
    Missing {
        /// The commit.
        commit: CommitId,
        /// What is missing.
        missing: Missing,
    },
    /// Files of the commit are somewhere else.
    #[error(
        "commit {} has files in Git LFS, of which Nix would get the pointers alone ({}): \
         commit them without LFS (`git lfs migrate export`), fetch them by their hash (`pkgs.fetchurl`), \
         or first have closure.lfs = \"ignore\" deployed, to deploy pointers",
        commit.short(),
        some(files)
    )]
    Lfs {
        /// The commit.
        commit: CommitId,
        /// The files.
        files: Vec<String>,
    },
    /// The commit's files cannot be looked at.
    #[error(transparent)]
    Files(#[from] SourceError),
    /// Nix printed something that is not a store path.
    #[error("nix built {attribute} but printed no store path")]
    Answer {
        /// The attribute.
        attribute: String,
        /// Why.
        #[source]
        source: NameError,
    },
    /// Nix did not get it from a cache.
    #[error("nix did not fetch {toplevel}{}", of_cache(cache.as_ref()))]
    Fetch {
        /// What was to be fetched.
        toplevel: Toplevel,
        /// Where CI says that it pushed it.
        cache: Option<String>,
        /// Why.
        #[source]
        source: ProcessError,
    },
    /// It is in the store, and nobody whom this host trusts says that it is what it should be.
    #[error("{toplevel} has no signature of a key that this host trusts")]
    Unsigned {
        /// What was to be activated.
        toplevel: Toplevel,
    },
    /// Whoever may write to the store made it.
    #[error("{toplevel} is addressed by its content, which no key needs to sign")]
    ByContent {
        /// What was to be activated.
        toplevel: Toplevel,
    },
    /// Nix could not determine who signed it.
    #[error("cannot determine who signed {toplevel}")]
    Signatures {
        /// What was to be activated.
        toplevel: Toplevel,
        /// Why.
        #[source]
        source: ProcessError,
    },
    /// No cache answers with it.
    #[error("no cache has {toplevel} for this host: {}", said.join("; "))]
    NoCache {
        /// What was asked for.
        toplevel: Toplevel,
        /// What each of them said.
        said: Vec<String>,
    },
    /// Nix does not fetch what a cache has.
    #[error("nix cannot fetch {}, which a cache has", small.display())]
    NotFetching {
        /// Something small.
        small: PathBuf,
        /// Why.
        #[source]
        source: ProcessError,
    },
    /// The running generation names no cache.
    #[error("cannot fetch {toplevel}: no substituters are configured")]
    NoSubstituters {
        /// What was asked for.
        toplevel: Toplevel,
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
    /// Whether it was a builder that failed by itself: a try later may end otherwise.
    pub fn is_of_a_builder(&self) -> bool {
        matches!(
            self,
            Self::Build {
                class: Class::Builder,
                ..
            }
        )
    }

    /// Whether the commit itself is at fault: trying it again would end the same.
    pub fn is_of_the_commit(&self) -> bool {
        match self {
            Self::Build { class, .. } => *class != Class::Transient,
            Self::Answer { .. } | Self::Missing { .. } | Self::Lfs { .. } => true,
            Self::Submodules { source, .. } => matches!(**source, SourceError::Submodule { .. }),
            // A cache may have it later, or sign it.
            Self::Fetch { .. }
            | Self::Unsigned { .. }
            | Self::ByContent { .. }
            | Self::Signatures { .. }
            | Self::NoCache { .. }
            | Self::NotFetching { .. }
            | Self::NoSubstituters { .. } => false,
            Self::Files(_) | Self::Overtaken { .. } | Self::Root { .. } => false,
        }
    }
}

/// A few names of many.
pub fn some(files: &[String]) -> String {
    const NAMED: usize = 3;
    let named: Vec<_> = files.iter().take(NAMED).map(String::as_str).collect();
    match files.len().saturating_sub(NAMED) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

fn of_cache(cache: Option<&String>) -> String {
    cache.map_or(String::new(), |cache| format!(" from the cache {cache}"))
}

/// Why it is not known again what a commit's toplevel is.
#[derive(Debug, Error)]
pub enum ResolveError {
    /// It could not be made.
    #[error(transparent)]
    Closure(#[from] ClosureError),
    /// The manifest is not to be followed.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// There is no entry any more.
    #[error("there is nothing to fetch: {0}")]
    Gap(Gap),
}

/// A toplevel that was made of a verified commit and is in the store.
#[derive(Debug, Clone)]
pub struct BuiltClosure {
    commit: VerifiedCommit,
    toplevel: Toplevel,
}

impl BuiltClosure {
    /// The commit that it was made of.
    pub fn commit(&self) -> &VerifiedCommit {
        &self.commit
    }

    /// Its store path.
    pub fn toplevel(&self) -> &Toplevel {
        &self.toplevel
    }
}

/// What a toplevel is made by.
#[derive(Debug, Clone, Copy)]
pub enum Recipe<'a> {
    /// This host evaluates and builds.
    Expression(&'a Expression),
    /// CI has built; this host fetches.
    Entry(&'a Entry),
}

/// Makes this host's toplevel of exactly that commit, and roots it. `repair` has Nix look at every
/// file, and make anew what is damaged.
///
/// `show` is given every step of the progress. It is given up when `overtaken` names a newer commit.
/// Only for the holder of the pass's lock.
///
/// # Errors
/// Nix fails, takes too long, or makes another system than the one that was pinned; or the root cannot
/// be made.
pub async fn build(
    closure: &Closure,
    recipe: Recipe<'_>,
    source: &Source,
    commit: &VerifiedCommit,
    repair: bool,
    show: &mut (dyn FnMut(Progress) + Send),
    overtaken: impl Future<Output = CommitId>,
) -> Result<BuiltClosure, ClosureError> {
    build_scope::end_left_over().await;
    let scope = BuildScope::build();
    let realise = async {
        match recipe {
            Recipe::Expression(expression) => {
                expression::realise(closure, expression, source, commit, repair, &scope, show).await
            }
            Recipe::Entry(entry) => fetched::realise(closure, entry, repair, &scope, show).await,
        }
    };
    let toplevel = tokio::select! {
        toplevel = realise => toplevel?,
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

/// What that commit's toplevel is, without a root: evaluated and built anew where needed, or what CI
/// says and a cache still vouches for.
///
/// # Errors
/// Nix fails or takes too long, or CI has not built this commit for this host.
pub async fn resolve(
    config: &Config,
    source: &Source,
    commit: &VerifiedCommit,
) -> Result<Toplevel, ResolveError> {
    let closure = &config.closure;
    let by_itself = async |expression: &Expression| {
        let scope = BuildScope::resolve();
        let show = &mut |_| {};
        expression::realise(closure, expression, source, commit, false, &scope, show).await
    };
    let following = match &closure.source {
        ClosureSource::Expression(expression) => return Ok(by_itself(expression).await?),
        ClosureSource::Manifest(following) => following,
    };
    let found = manifest::look_up(config, following, source, commit).await?;
    match (found, &following.otherwise) {
        (Ok(entry), _) => {
            fetched::vouched_for(entry.toplevel()).await?;
            if let Some(small) = entry.trial() {
                fetched::fetches_anew(closure, entry.toplevel(), small).await?;
            }
            Ok(entry.toplevel().clone())
        }
        (Err(_), Otherwise::Build(expression)) => Ok(by_itself(expression).await?),
        (Err(gap), _) => Err(ResolveError::Gap(gap)),
    }
}

/// Whether a cache has this toplevel, with a signature that this host trusts.
pub async fn is_vouched_for(toplevel: &Toplevel) -> bool {
    fetched::vouched_for(toplevel).await.is_ok()
}

/// Runs Nix in a scope of its own; gives what it said beside what it printed.
async fn run(
    invocation: Invocation,
    closure: &Closure,
    scope: &BuildScope,
    show: &mut (dyn FnMut(Progress) + Send),
) -> (NixLog, Result<Vec<u8>, ProcessError>) {
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
    (log, result)
}

fn toplevel_in(output: &[u8]) -> Result<Toplevel, NameError> {
    let path = String::from_utf8_lossy(output).trim().to_owned();
    Toplevel::try_from(PathBuf::from(path))
}

fn root(path: &Path, toplevel: &Toplevel) -> Result<(), ClosureError> {
    replace_link(path, toplevel.path()).map_err(|source| ClosureError::Root {
        path: path.to_owned(),
        source,
    })
}
