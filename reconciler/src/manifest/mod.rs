//! What CI built of a commit, as it says in a manifest: for each host a toplevel to fetch.
//!
//! The ref `refs/nixus/closures/<commit>` of the deploy repository is a commit of its own with
//! `manifest.json`, and the signature of its bytes beside it. A host reads its own entry, and what of
//! the others tells whose a store path is. The only maker of an [`Entry`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use nixus_switcher::printable::is_printable;
use nixus_switcher::protocol::{NameError, Toplevel};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::config::{Config, Following};
use crate::decide::commit_id::CommitId;
use crate::decide::plan::Gap;
pub use crate::source::{FILE, LONGEST, SIGNATURE};
use crate::source::{Source, SourceError};
use crate::trust::VerifiedCommit;

pub mod push;
pub mod signature;

use signature::SignatureError;

/// The version of the format that is written and read.
pub const VERSION: u32 = 1;

/// What CI built of one commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// The version of this format.
    pub version: u32,
    /// The commit that all was built from.
    pub commit: CommitId,
    /// What each host is to fetch.
    pub hosts: BTreeMap<String, Built>,
    /// Something small that was built for this commit alone: a host on trial fetches it, to prove that it could
    /// fetch the next commit. Manifests of what was built elsewhere have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<PathBuf>,
}

/// What CI built for one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Built {
    /// Nix' name of the kind of machine, such as `x86_64-linux`.
    pub system: String,
    /// The store path.
    pub toplevel: PathBuf,
    /// The cache that CI pushed it to, in words for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<String>,
}

/// Why a text is not a manifest.
#[derive(Debug, Error)]
pub enum FormatError {
    /// It is something else.
    #[error("it is not a manifest")]
    Json(#[source] serde_json::Error),
    /// A later release of Nixus wrote it.
    #[error("it has version {0}, and this release reads version {VERSION}")]
    Version(u32),
}

/// Why a manifest is not followed.
#[derive(Debug, Error)]
pub enum ManifestError {
    /// The repository could not be used.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// It is not what it should be.
    #[error("the manifest of commit {} cannot be read", commit.short())]
    Format {
        /// The commit that it was looked up for.
        commit: CommitId,
        /// Why.
        #[source]
        source: FormatError,
    },
    /// It is not signed as it must be.
    #[error("the manifest of commit {} is not believed", commit.short())]
    Signature {
        /// The commit that it was looked up for.
        commit: CommitId,
        /// Why.
        #[source]
        source: SignatureError,
    },
    /// Somebody put the manifest of one commit under another.
    #[error("the manifest is for commit {}, not for {}", says.short(), commit.short())]
    OtherCommit {
        /// The commit that it was looked up for.
        commit: CommitId,
        /// The commit that it is for.
        says: CommitId,
    },
    /// What is to be fetched is not a toplevel.
    #[error("the manifest's entry for this host names no toplevel")]
    Name(#[source] NameError),
    /// What a host on trial is to fetch is not a store path.
    #[error("what the manifest names for trials is not a store path")]
    Trial(#[source] NameError),
    /// What is to be fetched is another host's.
    #[error(
        "the manifest's {} is not a system of this host, whose systems are named nixos-system-{name}",
        toplevel.display()
    )]
    OtherHost {
        /// What is to be fetched.
        toplevel: PathBuf,
        /// What systems of this host are named after.
        name: String,
    },
    /// What is to be fetched runs on other machines.
    #[error("the manifest's entry is for {system}, and this host is {own}")]
    OtherSystem {
        /// The machines it runs on.
        system: String,
        /// This one.
        own: String,
    },
    /// Another toplevel was taken from it before.
    #[error(
        "the manifest of commit {} was rewritten: it says {is}, and this host took {was} before",
        commit.short()
    )]
    Rewritten {
        /// The commit.
        commit: CommitId,
        /// What was taken.
        was: Toplevel,
        /// What it says now.
        is: Toplevel,
    },
}

/// A host's own entry in the manifest of a verified commit, every check of the manifest passed.
#[derive(Debug, Clone)]
pub struct Entry {
    commit: VerifiedCommit,
    toplevel: Toplevel,
    cache: Option<String>,
    trial: Option<PathBuf>,
}

impl Entry {
    /// The commit.
    pub fn commit(&self) -> &VerifiedCommit {
        &self.commit
    }

    /// What is to be fetched.
    pub fn toplevel(&self) -> &Toplevel {
        &self.toplevel
    }

    /// Where CI says that it pushed it.
    pub fn cache(&self) -> Option<&str> {
        self.cache.as_deref()
    }

    /// What a host on trial fetches.
    pub fn trial(&self) -> Option<&Path> {
        self.trial.as_deref()
    }

    /// Holds CI to what it said before.
    ///
    /// # Errors
    /// It names another toplevel for this host than before.
    pub fn same_as(self, before: Option<&Toplevel>) -> Result<Self, ManifestError> {
        match before {
            Some(before) if *before != self.toplevel => Err(ManifestError::Rewritten {
                commit: self.commit.id().clone(),
                was: before.clone(),
                is: self.toplevel,
            }),
            _ => Ok(self),
        }
    }
}

/// Looks up this host's entry for a commit, over a new connection.
///
/// # Errors
/// The repository does not answer, or what it has is not to be followed.
pub async fn look_up(
    config: &Config,
    following: &Following,
    source: &Source,
    commit: &VerifiedCommit,
) -> Result<Result<Entry, Gap>, ManifestError> {
    let Some(found) = source.manifest(commit.id()).await? else {
        return Ok(Err(Gap::NoManifest));
    };
    let signed = signature::check(&found, &following.keys);
    signed.map_err(|source| ManifestError::Signature {
        commit: commit.id().clone(),
        source,
    })?;
    let manifest = parse(&found.text, commit.id())?;
    let Some(built) = manifest.hosts.get(&config.host) else {
        return Ok(Err(Gap::NoEntry));
    };
    let own = own_system();
    if built.system != own {
        return Err(ManifestError::OtherSystem {
            system: printable(&built.system),
            own,
        });
    }
    let toplevel = Toplevel::try_from(built.toplevel.clone()).map_err(ManifestError::Name)?;
    if !is_of_host(&manifest, &toplevel, &config.host, &following.system_name) {
        return Err(ManifestError::OtherHost {
            toplevel: built.toplevel.clone(),
            name: following.system_name.clone(),
        });
    }
    // Only its form is checked: whoever signs it says what it is.
    let trial = manifest.trial.clone().map(Toplevel::try_from).transpose();
    Ok(Ok(Entry {
        commit: commit.clone(),
        toplevel,
        cache: built.cache.as_deref().map(printable),
        trial: trial.map_err(ManifestError::Trial)?.map(PathBuf::from),
    }))
}

/// Reads a manifest that was found under `commit`.
fn parse(text: &[u8], commit: &CommitId) -> Result<Manifest, ManifestError> {
    let manifest = Manifest::parse(text).map_err(|source| ManifestError::Format {
        commit: commit.clone(),
        source,
    })?;
    if manifest.commit != *commit {
        return Err(ManifestError::OtherCommit {
            commit: commit.clone(),
            says: manifest.commit,
        });
    }
    Ok(manifest)
}

/// Whether a toplevel is named after this host and no other: `nixos-system-web1-25.05` may be one of
/// `web1`, but not where the manifest also has a host `web1-25`. Labels of NixOS have dashes, too, so
/// that the name alone does not say where the host's ends.
fn is_of_host(manifest: &Manifest, toplevel: &Toplevel, host: &str, name: &str) -> bool {
    let path = toplevel.path().to_string_lossy();
    let fits = |name: &str| {
        let rest = path
            .split_once('-')
            .and_then(|(_, named)| named.strip_prefix("nixos-system-")?.strip_prefix(name));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    let label = |host: &'_ str| host.split('.').next().unwrap_or_default().to_owned();
    let others = manifest.hosts.keys().filter(|other| *other != host);
    fits(name)
        && !others
            .map(|other| label(other))
            .any(|other| other.len() > name.len() && fits(&other))
}

/// Nix' name of this kind of machine.
fn own_system() -> String {
    let processor = match std::env::consts::ARCH {
        "x86" => "i686",
        "arm" => "armv7l",
        "powerpc64" => "powerpc64le",
        other => other,
    };
    format!("{processor}-{}", std::env::consts::OS)
}

/// It comes from outside, and is shown on terminals.
fn printable(text: &str) -> String {
    let plain = text.chars().filter(|letter| is_printable(*letter));
    plain.take(120).collect()
}

impl Manifest {
    /// Reads one.
    ///
    /// # Errors
    /// It is not TOML of this shape, of a version that is not known, or names something that is not a
    /// toplevel.
    pub fn parse(text: &[u8]) -> Result<Self, FormatError> {
        // Another version may have anything beside its number.
        #[derive(Deserialize)]
        struct Versioned {
            version: u32,
        }
        let Versioned { version } = serde_json::from_slice(text).map_err(FormatError::Json)?;
        if version != VERSION {
            return Err(FormatError::Version(version));
        }
        serde_json::from_slice(text).map_err(FormatError::Json)
    }

    /// As it is written: one value a line, hosts in the order of their names.
    ///
    /// # Errors
    /// A value cannot be written as text.
    pub fn to_text(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self).map(|text| text + "\n")
    }
}

#[cfg(test)]
mod tests;
