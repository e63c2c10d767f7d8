//! CI's commands: from what was asked to a manifest, written or pushed.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use git2::Repository;
use nixus::cli::ManifestCommand;
use nixus::cli::exit_code::WrongInput;
use nixus::cli::manifest::create::{self, CreateError, Fleet};
use nixus::cli::tables;
use nixus::closure::flake_url;
use nixus::decide::commit_id::CommitId;
use nixus::eprintln;
use nixus::host::files::{read_bounded, write_atomically};
use nixus::host::process::in_words;
use nixus::manifest::push::{Push, Pushed};
use nixus::manifest::{LONGEST, Manifest};
use nixus::print;
use nixus::println;
use nixus::source::{REFS, lfs_files};

/// Does what was asked.
pub async fn run(command: &ManifestCommand) -> anyhow::Result<()> {
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
                let files = lfs_files(&clone.repository, &commit)
                    .with_context(|| format!("cannot read commit {}", commit.short()))?;
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
    fn here() -> anyhow::Result<Self> {
        let Ok(repository) = Repository::discover(".") else {
            let problem = "this folder is no clone of the deploy repository";
            bail!(WrongInput(problem.to_owned()));
        };
        let folder = repository.workdir().unwrap_or(repository.path()).to_owned();
        let shallow = repository.is_shallow();
        Ok(Self {
            repository,
            folder,
            shallow,
        })
    }

    fn commit(&self, asked: Option<&CommitId>) -> anyhow::Result<CommitId> {
        let name = asked.map_or("HEAD", CommitId::as_str);
        let found = self
            .repository
            .revparse_single(name)
            .and_then(|object| object.peel_to_commit());
        let Ok(commit) = found else {
            bail!(WrongInput(format!("this clone has no commit {name}")));
        };
        CommitId::try_from(commit.id().to_string()).map_err(|problem| WrongInput(problem).into())
    }
}

fn write(manifest: &Manifest, output: &Path) -> anyhow::Result<()> {
    let text = manifest.to_text().context("cannot write a manifest")?;
    if output == Path::new("-") {
        print!("{text}");
        return Ok(());
    }
    let place = std::path::absolute(output).context("there is no such folder")?;
    write_atomically(&place, text.as_bytes())
        .with_context(|| format!("cannot write {}", output.display()))?;
    println!("{}", tables::manifest(manifest));
    eprintln!(
        "Wrote {}: commit {}, {} hosts.",
        output.display(),
        manifest.commit.short(),
        manifest.hosts.len()
    );
    Ok(())
}
