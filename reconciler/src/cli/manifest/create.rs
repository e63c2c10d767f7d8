//! `nixus manifest create`: CI evaluates the fleet once, builds every host, and writes down what came
//! of it.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nixus_switcher::protocol::{NameError, Toplevel};
use serde::Deserialize;
use thiserror::Error;

use crate::closure::flake_url;
use crate::closure::{some, trifle};
use crate::decide::commit_id::CommitId;
use crate::host::files::read_bounded;
use crate::host::process::{Invocation, ProcessError};
use crate::manifest::{Built, Manifest, VERSION};

/// The longest that an evaluation or all builds together may take.
const LIMIT: Duration = Duration::from_secs(12 * 60 * 60);

/// What an evaluation may print, in bytes: some 300 for each of 10,000 hosts, twice.
const LONGEST: usize = 8 * 1024 * 1024;

/// What is asked of each host. A host may also be its toplevel.
const EACH: &str = "hosts: builtins.mapAttrs (_: host: \
    let toplevel = host.config.system.build.toplevel or host; plain = builtins.unsafeDiscardStringContext; in \
    { inherit (toplevel) system; derivation = plain toplevel.drvPath; toplevel = plain toplevel.outPath; }) hosts";

/// Why there is no manifest.
#[derive(Debug, Error)]
pub enum CreateError {
    /// The fleet was not evaluated.
    #[error("nix did not evaluate {attribute} of commit {}", commit.short())]
    Evaluate {
        /// The attribute.
        attribute: String,
        /// The commit.
        commit: CommitId,
        /// Why. Nix has printed the rest.
        #[source]
        source: ProcessError,
    },
    /// Files of the commit are somewhere else.
    #[error(
        "commit {} has files in Git LFS, of which Nix would get the pointers alone ({}): commit them without LFS, \
         or say --ignore-lfs",
        commit.short(),
        some(files)
    )]
    Lfs {
        /// The commit.
        commit: CommitId,
        /// The files.
        files: Vec<String>,
    },
    /// Nix printed something else than hosts.
    #[error("{attribute} is not a set of hosts")]
    Hosts {
        /// The attribute.
        attribute: String,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// A host was not built.
    #[error("nix did not build all hosts")]
    Build(#[source] ProcessError),
    /// What hosts on trial are to fetch was not built.
    #[error("nix did not build what hosts on trial fetch")]
    Trial(#[source] ProcessError),
    /// What was named as a host's toplevel is none.
    #[error("{} is not a toplevel of {host}", path.display())]
    NoToplevel {
        /// The host.
        host: String,
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: NameError,
    },
    /// It does not say what machine it is for.
    #[error("cannot determine from {} what machines it is for: it is not built, or no toplevel", path.display())]
    System {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl CreateError {
    /// Whether what was named is not what it was named as.
    pub fn is_wrong_input(&self) -> bool {
        matches!(
            self,
            Self::NoToplevel { .. } | Self::System { .. } | Self::Lfs { .. }
        )
    }
}

/// Where the fleet is described.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fleet {
    /// The repository's folder.
    pub repository: PathBuf,
    /// Whether its history was cut off, as CI likes it.
    pub shallow: bool,
    /// The folder of the flake in it; default: its root.
    pub directory: Option<String>,
    /// The Nix file in it; default: the flake.
    pub file: Option<String>,
    /// The attribute with all hosts.
    pub attribute: String,
}

#[derive(Deserialize)]
struct Evaluated {
    system: String,
    derivation: String,
    toplevel: PathBuf,
}

/// Evaluates all hosts of a commit, once, and builds them. What Nix says goes to standard error.
///
/// # Errors
/// Nix does not do it.
pub async fn build(
    fleet: &Fleet,
    commit: &CommitId,
    cache: Option<&str>,
) -> Result<Manifest, CreateError> {
    let mut speak = |bytes: &[u8]| {
        // Nobody may be listening.
        let _ = std::io::stderr().write_all(bytes);
    };
    let evaluation = match &fleet.file {
        None => evaluate_flake(fleet, commit),
        Some(file) => evaluate_file(fleet, file, commit),
    };
    let output = evaluation
        .output_limit(LONGEST)
        .output_heard(&mut speak)
        .await
        .map_err(|source| CreateError::Evaluate {
            attribute: fleet.attribute.clone(),
            commit: commit.clone(),
            source: source.told_by(last_line),
        })?;
    let hosts: BTreeMap<String, Evaluated> =
        serde_json::from_slice(&output).map_err(|source| CreateError::Hosts {
            attribute: fleet.attribute.clone(),
            source,
        })?;
    // Derivations are built without evaluating anything again.
    Invocation::new("nix-store", LIMIT)
        .args(["--realise", "--keep-going"])
        .args(hosts.values().map(|host| &host.derivation))
        .output_limit(LONGEST)
        .output_heard(&mut speak)
        .await
        .map_err(|source| CreateError::Build(source.told_by(last_line)))?;
    let trial = trifle::for_trials(commit)
        .output()
        .await
        .map_err(|source| CreateError::Trial(source.told_by(last_line)))?;
    let trial = String::from_utf8_lossy(&trial).trim().to_owned();
    let built = |(name, host): (String, Evaluated)| {
        let built = Built {
            system: host.system,
            toplevel: host.toplevel,
            cache: cache.map(str::to_owned),
        };
        (name, built)
    };
    Ok(Manifest {
        version: VERSION,
        commit: commit.clone(),
        hosts: hosts.into_iter().map(built).collect(),
        trial: Some(PathBuf::from(trial)),
    })
}

/// Takes what was built elsewhere.
///
/// # Errors
/// It is not a toplevel, or not in this store.
pub fn take(
    built: &[(String, PathBuf)],
    commit: &CommitId,
    cache: Option<&str>,
) -> Result<Manifest, CreateError> {
    let hosts = built.iter().map(|(host, path)| {
        let toplevel =
            Toplevel::try_from(path.clone()).map_err(|source| CreateError::NoToplevel {
                host: host.clone(),
                path: path.clone(),
                source,
            })?;
        let built = Built {
            system: system_of(toplevel.path())?,
            toplevel: path.clone(),
            cache: cache.map(str::to_owned),
        };
        Ok((host.clone(), built))
    });
    Ok(Manifest {
        version: VERSION,
        commit: commit.clone(),
        hosts: hosts.collect::<Result<_, _>>()?,
        trial: None,
    })
}

/// As nixpkgs' top-level.nix writes it.
fn system_of(toplevel: &Path) -> Result<String, CreateError> {
    let path = toplevel.join("system");
    let text = read_bounded(&path, 100).map_err(|source| CreateError::System { path, source })?;
    Ok(String::from_utf8_lossy(&text).trim().to_owned())
}

fn evaluate_flake(fleet: &Fleet, commit: &CommitId) -> Invocation {
    let shallow = if fleet.shallow { "&shallow=1" } else { "" };
    let flake = format!(
        "{}?rev={commit}&allRefs=1{shallow}{}#{}",
        flake_url::of_clone(&fleet.repository),
        flake_url::directory(fleet.directory.as_deref()),
        fleet.attribute
    );
    Invocation::new("nix", LIMIT)
        .args(["--extra-experimental-features", "nix-command flakes"])
        // The flake's nixConfig would be obeyed, where the user's configuration says so (nix.conf(5)).
        .args(["--option", "accept-flake-config", "false"])
        .args(["eval", "--json", "--no-update-lock-file"])
        .args(["--apply", EACH, "--", &flake])
}

fn evaluate_file(fleet: &Fleet, file: &str, commit: &CommitId) -> Invocation {
    // Values go in as arguments, so that nothing is quoted into Nix code.
    let expression = format!(
        "{{ nixusUrl, nixusRev, nixusFile, nixusAttribute, nixusShallow }}: \
         let tree = builtins.fetchGit {{ url = nixusUrl; rev = nixusRev; allRefs = true; \
                    shallow = nixusShallow == \"true\"; }}; \
             root = import (tree + \"/\" + nixusFile); \
             names = builtins.filter builtins.isString (builtins.split \"\\\\.\" nixusAttribute); \
         in ({EACH}) (builtins.foldl' (set: name: set.${{name}}) \
            (if builtins.isFunction root then root {{ }} else root) names)"
    );
    let url = flake_url::repository(&fleet.repository);
    Invocation::new("nix-instantiate", LIMIT)
        .args(["--eval", "--strict", "--json", "--read-write-mode"])
        .args(["--argstr", "nixusUrl", &url])
        .args(["--argstr", "nixusRev", commit.as_str()])
        .args(["--argstr", "nixusFile", file])
        .args(["--argstr", "nixusAttribute", &fleet.attribute])
        .args(["--argstr", "nixusShallow", &fleet.shallow.to_string()])
        .args(["--expr", &expression])
}

/// The rest was printed when it came.
fn last_line(said: &str) -> String {
    said.lines().last().unwrap_or_default().trim().to_owned()
}
