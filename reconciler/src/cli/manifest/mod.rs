//! What CI does with manifests.

use std::path::{Path, PathBuf};

use clap::Subcommand;

use super::parse_commit;
use crate::decide::commit_id::CommitId;
use crate::host::store_path;
use crate::manifest;

pub mod create;

/// What is done with a manifest.
#[derive(Debug, Subcommand)]
pub enum ManifestCommand {
    /// Evaluate the fleet once, build every host, and write down each host's store path.
    #[command(after_help = "Examples:
  nixus manifest create                                    the flake's nixosConfigurations at HEAD
  nixus manifest create --file hosts.nix --attribute hosts
  nixus manifest create --built web1=/nix/store/...-nixos-system-web1 --built db1=...

Push the closures to the cache before the manifest: hosts fetch as soon as it is there.
  jq -r '.hosts[].toplevel' manifest.json | xargs nix copy --to https://cache.example")]
    Create {
        /// The Nix file that describes the fleet, relative to the root of the repository; default: the flake
        /// nearest to this folder.
        #[arg(long, value_name = "FILE")]
        file: Option<String>,
        /// The attribute that has all hosts.
        #[arg(long, value_name = "ATTRIBUTE", default_value = "nixosConfigurations")]
        attribute: String,
        /// The commit; the one that the clone in this folder is at unless given.
        #[arg(long, value_parser = parse_commit)]
        commit: Option<CommitId>,
        /// What was built already, instead of evaluating and building.
        #[arg(long, value_name = "HOST=TOPLEVEL", value_parser = parse_built, conflicts_with = "file")]
        built: Vec<(String, PathBuf)>,
        /// The cache that the closures are pushed to, in words for people.
        #[arg(long, value_name = "NAME")]
        cache: Option<String>,
        /// Take the pointers of files in Git LFS for the files.
        #[arg(long)]
        ignore_lfs: bool,
        /// Where to write it; - is standard output.
        #[arg(long, short, value_name = "FILE", default_value = manifest::FILE)]
        output: PathBuf,
    },
    /// Push a manifest to where hosts look it up: the ref refs/nixus/closures/<commit>.
    #[command(after_help = "Examples:
  nixus manifest push
  nixus manifest push --sign-key ci_key --remote origin
  git push origin :refs/nixus/closures/3f2c1a0...    to take one back

What was pushed before is not overwritten, as hosts may have taken it, unless with --replace.")]
    Push {
        /// The manifest.
        #[arg(default_value = manifest::FILE)]
        file: PathBuf,
        /// The deploy repository: a remote of the clone in this folder, or a URL.
        #[arg(long, default_value = "origin")]
        remote: String,
        /// The private SSH key to sign with, for hosts that have its public half in closure.manifest_keys.
        #[arg(long, value_name = "FILE")]
        sign_key: Option<PathBuf>,
        /// Overwrite another manifest of the same commit.
        #[arg(long)]
        replace: bool,
    },
}

fn parse_built(text: &str) -> Result<(String, PathBuf), String> {
    let (host, path) = text.split_once('=').ok_or("expected HOST=TOPLEVEL")?;
    let known = store_path::is_in(Path::new(path), Path::new("/nix/store"));
    match (host.is_empty(), known) {
        (false, true) => Ok((host.to_owned(), path.into())),
        _ => Err("expected HOST=/nix/store/...".to_owned()),
    }
}
