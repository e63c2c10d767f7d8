//! What CI does with manifests.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use git2::Repository;

use self::create::{CreateError, Fleet};
use super::arguments::parse_commit;
use super::exit_code::{CommandError, Exit, Failed, HasExit, WrongInput};
use super::tables;
use crate::closure::flake_url;
use crate::decide::commit_id::CommitId;
use crate::host::files::{read_bounded, write_atomically};
use crate::host::process::in_words;
use crate::host::store_path;
use crate::manifest;
use crate::manifest::push::{Push, PushError, Pushed};
use crate::manifest::{LONGEST, Manifest};
use crate::source::{REFS, lfs_files};
use crate::{eprintln, print, println};

pub mod create;

/// What CI does for hosts that fetch what it has built: a manifest of a commit's closures.
#[derive(Debug, Args)]
#[command(after_help = "Examples, in a clone of the deploy repository:
  nixus manifest create --cache https://cache.example
  nixus manifest push --sign-key ci_key")]
pub struct ManifestArguments {
    /// What to do with it.
    #[command(subcommand)]
    pub command: ManifestCommand,
}

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
        /// The commit [default: the HEAD of the clone in this folder]
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
    /// Push a manifest to where hosts look it up: the ref refs/nixus/closures/COMMIT.
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

impl ManifestArguments {
    /// Makes or pushes a manifest.
    ///
    /// # Errors
    /// This folder is not a clone of the deploy repository, or the work on the manifest fails.
    pub async fn run(&self) -> Result<Exit, CommandError> {
        work(&self.command).await?;
        Ok(Exit::Done)
    }
}

impl HasExit for CreateError {
    fn exit(&self) -> Exit {
        match self.is_wrong_input() {
            true => Exit::WrongInput,
            false => Exit::Failed,
        }
    }
}

impl HasExit for PushError {
    fn exit(&self) -> Exit {
        match self.is_wrong_input() {
            true => Exit::WrongInput,
            false => Exit::Failed,
        }
    }
}

async fn work(command: &ManifestCommand) -> Result<(), CommandError> {
    match command {
        ManifestCommand::Create {
            file,
            attribute,
            commit,
            built,
            cache,
            ignore_lfs,
            output,
        } => {
            let clone = Clone::here()?;
            let commit = clone.commit(commit.as_ref())?;
            if built.is_empty() && !ignore_lfs {
                let unread = format!("cannot read commit {}", commit.short());
                let files = lfs_files(&clone.repository, &commit)
                    .map_err(|error| Failed::because(unread, error))?;
                if !files.is_empty() {
                    return Err(CreateError::Lfs { commit, files }.into());
                }
            }
            let cache = cache.as_deref();
            let manifest = if built.is_empty() {
                let fleet = Fleet {
                    directory: flake_url::nearest(Path::new("."), &clone.folder),
                    repository: clone.folder,
                    shallow: clone.shallow,
                    file: file.clone(),
                    attribute: attribute.clone(),
                };
                create::build(&fleet, &commit, cache).await?
            } else {
                create::take(built, &commit, cache)?
            };
            write(&manifest, output)
        }
        ManifestCommand::Push {
            file,
            remote,
            sign_key,
            replace,
        } => {
            let wrong = |why: &dyn std::error::Error| {
                WrongInput(format!("{}: {}", file.display(), in_words(why)))
            };
            let text = read_bounded(file, LONGEST as u64).map_err(|error| wrong(&error))?;
            let manifest = Manifest::parse(&text).map_err(|error| wrong(&error))?;
            let push = Push {
                repository: Path::new("."),
                remote,
                key: sign_key.as_deref(),
                replace: *replace,
            };
            let name = format!("{REFS}{}", manifest.commit);
            println!(
                "{}",
                match push.push(&manifest, &text).await? {
                    Pushed::New => format!("Pushed {name}."),
                    Pushed::Replaced => format!("Overwrote {name}."),
                    Pushed::Unchanged => format!("Nothing to do: {remote} has {name} already."),
                }
            );
            Ok(())
        }
    }
}

/// The clone of the deploy repository in this folder.
struct Clone {
    repository: Repository,
    folder: PathBuf,
    shallow: bool,
}

impl Clone {
    fn here() -> Result<Self, CommandError> {
        let Ok(repository) = Repository::discover(".") else {
            let problem = "this folder is not a clone of the deploy repository";
            return Err(WrongInput(problem.to_owned()).into());
        };
        let folder = repository.workdir().unwrap_or(repository.path()).to_owned();
        let shallow = repository.is_shallow();
        Ok(Self {
            repository,
            folder,
            shallow,
        })
    }

    fn commit(&self, asked: Option<&CommitId>) -> Result<CommitId, CommandError> {
        let name = asked.map_or("HEAD", CommitId::as_str);
        let found = self
            .repository
            .revparse_single(name)
            .and_then(|object| object.peel_to_commit());
        let Ok(commit) = found else {
            return Err(WrongInput(format!("this clone has no commit {name}")).into());
        };
        CommitId::try_from(commit.id().to_string()).map_err(|problem| WrongInput(problem).into())
    }
}

fn write(manifest: &Manifest, output: &Path) -> Result<(), CommandError> {
    let text = manifest
        .to_text()
        .map_err(|error| Failed::because("cannot write a manifest", error))?;
    if output == Path::new("-") {
        print!("{text}");
        return Ok(());
    }
    let place = std::path::absolute(output)
        .map_err(|error| Failed::because("there is no such folder", error))?;
    write_atomically(&place, text.as_bytes())
        .map_err(|error| Failed::because(format!("cannot write {}", output.display()), error))?;
    println!("{}", tables::manifest(manifest));
    eprintln!(
        "Wrote {}: commit {}, {} hosts.",
        output.display(),
        manifest.commit.short(),
        manifest.hosts.len()
    );
    Ok(())
}
