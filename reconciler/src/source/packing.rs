//! A local repository grows by a few small files with each commit and report. Now and then they are put into
//! one: what is kept is the same, and on disk it stays small.

use std::path::Path;
use std::time::Duration;

use crate::host::process::in_words;
use crate::source::git;

/// So many loose objects and packs may be there until they are packed.
const MAX_LOOSE: usize = 400;
const MAX_PACKS: usize = 20;
/// The longest that it may take; what is not done is done another time.
const LIMIT: Duration = Duration::from_secs(120);

/// Packs a repository where it is worth it. Nothing is thrown away, as the history that is accepted may be in
/// no branch any more. Only for one who alone uses it. A failure costs nothing but space.
pub async fn pack(repository: &Path) {
    let objects = repository.join("objects");
    if loose(&objects) <= MAX_LOOSE && packs(&objects) <= MAX_PACKS {
        return;
    }
    let packed = git(LIMIT)
        .arg("--git-dir")
        .arg(repository)
        .args(["repack", "--quiet", "-a", "-d", "--keep-unreachable"])
        .output()
        .await;
    if let Err(error) = packed {
        let path = repository.display();
        tracing::warn!("{path} cannot be packed: {}", in_words(&error));
    }
}

/// The same where what matters has a ref: what nothing leads to, refused histories among it, is thrown away once
/// it is older than any fetch. The copy stays as large as its history, whatever was sent.
pub async fn collect(repository: &Path) {
    let objects = repository.join("objects");
    if loose(&objects) <= MAX_LOOSE && packs(&objects) <= MAX_PACKS {
        return;
    }
    let collected = git(LIMIT)
        .arg("--git-dir")
        .arg(repository)
        // Without it, each object that is not old enough gets a file of its own (git-gc(1)).
        .args(["-c", "gc.cruftPacks=true"])
        .args(["gc", "--quiet", "--prune=1.hour.ago"])
        .output()
        .await;
    if let Err(error) = collected {
        let path = repository.display();
        tracing::warn!("{path} cannot be tidied: {}", in_words(&error));
    }
}

/// The number of packs.
pub fn packs(objects: &Path) -> usize {
    entries(&objects.join("pack"))
        .filter(|path| path.extension().is_some_and(|end| end == "pack"))
        .count()
}

/// The number of objects that have a file each, in folders by the first byte of their name
/// (gitrepository-layout(5)).
fn loose(objects: &Path) -> usize {
    entries(objects)
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| name.len() == 2)
        })
        .map(|folder| entries(&folder).count())
        .sum()
}

fn entries(folder: &Path) -> impl Iterator<Item = std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.flatten().map(|entry| entry.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nothing_leads_to_is_thrown_away_once_it_is_old() {
        let folder = tempfile::tempdir().unwrap();
        let repository = git2::Repository::init_bare(folder.path()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let [old, new, kept] =
            ["old", "new", "kept"].map(|text| repository.blob(text.as_bytes()).unwrap());
        for (id, hours) in [(old, 2), (new, 0), (kept, 2)] {
            let name = id.to_string();
            let path = folder
                .path()
                .join("objects")
                .join(&name[..2])
                .join(&name[2..]);
            let time = std::time::SystemTime::now() - Duration::from_secs(hours * 3600);
            let file = std::fs::File::open(path).unwrap();
            file.set_modified(time).unwrap();
        }
        repository
            .reference("refs/nixus/kept/a", kept, true, "kept")
            .unwrap();
        for number in 0..MAX_LOOSE {
            repository.blob(number.to_string().as_bytes()).unwrap();
        }
        runtime.block_on(collect(folder.path()));
        let repository = git2::Repository::open_bare(folder.path()).unwrap();
        assert!(repository.find_blob(old).is_err());
        assert!(repository.find_blob(new).is_ok() && repository.find_blob(kept).is_ok());
        assert!(loose(&folder.path().join("objects")) < MAX_LOOSE);
    }

    #[test]
    fn many_small_files_become_one_and_nothing_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let repository = git2::Repository::init_bare(folder.path()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let objects = folder.path().join("objects");
        let first = repository.blob(b"in no branch").unwrap();
        runtime.block_on(pack(folder.path()));
        assert_eq!((loose(&objects), packs(&objects)), (1, 0), "too early");
        let mut tree = repository.treebuilder(None).unwrap();
        for number in 0..MAX_LOOSE {
            let name = number.to_string();
            let blob = repository.blob(name.as_bytes()).unwrap();
            tree.insert(&name, blob, 0o100_644).unwrap();
        }
        let tree = repository.find_tree(tree.write().unwrap()).unwrap();
        let who = git2::Signature::now("a", "a@example.org").unwrap();
        let branch = Some("refs/heads/main");
        repository
            .commit(branch, &who, &who, "all", &tree, &[])
            .unwrap();
        runtime.block_on(pack(folder.path()));
        // git leaves what is in no branch alone the first time.
        assert_eq!((loose(&objects), packs(&objects)), (1, 1));
        let repository = git2::Repository::open_bare(folder.path()).unwrap();
        assert_eq!(
            repository.find_blob(first).unwrap().content(),
            b"in no branch"
        );
    }
}
