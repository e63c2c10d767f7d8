//! Files of a commit that are in Git LFS: git has a pointer in the place of each, and Nix, which reads git's objects,
//! would take the pointer for the file.

use git2::{ObjectType, Oid, Repository, Tree, TreeWalkMode, TreeWalkResult};

use super::{Source, SourceError};
use crate::decide::commit_id::CommitId;

/// The longest pointer, in bytes (git-lfs, docs/spec.md: less than 1024).
const LONGEST_POINTER: usize = 1024;
/// The longest file of attributes that is read, in bytes.
const LONGEST_ATTRIBUTES: usize = 1024 * 1024;
/// So many files are named at most.
const MOST: usize = 100;

/// The first line of a pointer, now and before the program had its name.
const VERSIONS: [&str; 2] = [
    "version https://git-lfs.github.com/spec/v1",
    "version https://hawser.github.com/spec/v1",
];

impl Source {
    /// The files of a fetched commit that are in Git LFS.
    ///
    /// # Errors
    /// The commit cannot be read.
    pub fn lfs_files(&self, commit: &CommitId) -> Result<Vec<String>, SourceError> {
        let find = || lfs_files(&Repository::open_bare(&self.local)?, commit);
        find().map_err(|source| self.object(commit.as_str(), source))
    }
}

/// The files of a commit that are in Git LFS, at most a hundred of them.
///
/// # Errors
/// The commit cannot be read.
pub fn lfs_files(repository: &Repository, commit: &CommitId) -> Result<Vec<String>, git2::Error> {
    let oid = Oid::from_str(commit.as_str())?;
    let tree = repository.find_commit(oid)?.tree()?;
    match names_lfs(repository, &tree)? {
        true => pointers(repository, &tree),
        false => Ok(Vec::new()),
    }
}

/// Whether any file of attributes gives files to LFS. Without that, what looks like a pointer is a file about LFS.
fn names_lfs(repository: &Repository, tree: &Tree<'_>) -> Result<bool, git2::Error> {
    let mut found = Vec::new();
    tree.walk(TreeWalkMode::PreOrder, |_, entry| {
        if entry.name_bytes() == b".gitattributes" && entry.kind() == Some(ObjectType::Blob) {
            found.push(entry.id());
        }
        TreeWalkResult::Ok
    })?;
    let odb = repository.odb()?;
    for id in found {
        if odb.read_header(id)?.0 > LONGEST_ATTRIBUTES {
            continue;
        }
        let text = repository.find_blob(id)?.content().to_vec();
        if gives_to_lfs(&String::from_utf8_lossy(&text)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether attributes (gitattributes(5)) have the filter of LFS in them, also as a macro.
pub(crate) fn gives_to_lfs(attributes: &str) -> bool {
    attributes
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with('#'))
        .any(|line| line.split_whitespace().any(|word| word == "filter=lfs"))
}

fn pointers(repository: &Repository, tree: &Tree<'_>) -> Result<Vec<String>, git2::Error> {
    let mut blobs = Vec::new();
    tree.walk(TreeWalkMode::PreOrder, |folder, entry| {
        if entry.kind() == Some(ObjectType::Blob) {
            let name = String::from_utf8_lossy(entry.name_bytes()).into_owned();
            blobs.push((format!("{folder}{name}"), entry.id()));
        }
        TreeWalkResult::Ok
    })?;
    let odb = repository.odb()?;
    let mut found = Vec::new();
    for (path, id) in blobs {
        if found.len() >= MOST {
            break;
        }
        let short = odb.read_header(id)?.0 < LONGEST_POINTER;
        if short && is_pointer(repository.find_blob(id)?.content()) {
            found.push(path);
        }
    }
    Ok(found)
}

pub(crate) fn is_pointer(content: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(content) else {
        return false;
    };
    let mut lines = text.lines();
    let begins = lines.next().is_some_and(|line| VERSIONS.contains(&line));
    let has = |name: &str| {
        text.lines().any(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with(' '))
        })
    };
    begins && has("oid") && has("size")
}

#[cfg(test)]
mod tests {
    use super::*;

    const POINTER: &str = "version https://git-lfs.github.com/spec/v1\n\
        oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n";

    #[test]
    fn pointers_are_found_where_attributes_give_files_to_lfs() {
        let folder = tempfile::tempdir().unwrap();
        let repository = Repository::init_bare(folder.path()).unwrap();
        let attributes = "# LFS\n*.bin filter=lfs diff=lfs merge=lfs -text\n";
        let check = |files: &[(&str, &str)], expected: &[&str]| {
            let empty = repository.treebuilder(None).unwrap().write().unwrap();
            let empty = repository.find_tree(empty).unwrap();
            let mut update = git2::build::TreeUpdateBuilder::new();
            for (path, text) in files {
                let blob = repository.blob(text.as_bytes()).unwrap();
                update.upsert(*path, blob, git2::FileMode::Blob);
            }
            let tree = update.create_updated(&repository, &empty).unwrap();
            let tree = repository.find_tree(tree).unwrap();
            let author = git2::Signature::now("operator", "operator@example").unwrap();
            let commit = repository
                .commit(None, &author, &author, "files", &tree, &[])
                .unwrap();
            let commit = CommitId::try_from(commit.to_string()).unwrap();
            assert_eq!(
                lfs_files(&repository, &commit).unwrap(),
                expected,
                "{files:?}"
            );
        };
        check(&[("logo.bin", POINTER)], &[]);
        check(
            &[(".gitattributes", attributes), ("a/logo.bin", POINTER)],
            &["a/logo.bin"],
        );
        // The attributes may be in the folder, or those of a submodule, and a macro.
        check(
            &[
                ("a/.gitattributes", "[attr]large filter=lfs\n*.bin large\n"),
                ("a/b/x.bin", POINTER),
                ("c", "x"),
            ],
            &["a/b/x.bin"],
        );
        let old = POINTER.replace("git-lfs", "hawser");
        check(
            &[(".gitattributes", attributes), ("x.bin", &old)],
            &["x.bin"],
        );
        // What was committed as it is needs no server.
        check(
            &[(".gitattributes", attributes), ("logo.bin", "a picture")],
            &[],
        );
        check(
            &[
                (".gitattributes", "# *.bin filter=lfs\n*.txt filter=other\n"),
                ("x.bin", POINTER),
            ],
            &[],
        );
        let long = format!("{POINTER}{}", "x".repeat(2000));
        check(
            &[
                (".gitattributes", attributes),
                ("spec.md", &long),
                ("empty", ""),
            ],
            &[],
        );
    }
}
