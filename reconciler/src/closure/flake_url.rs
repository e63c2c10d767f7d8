//! How Nix is given a repository on this machine, or a flake in it.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use crate::config::FLAKE;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

/// RFC 3986, section 2.3 (unreserved), and what separates folders.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// The URL of a clone as a flake; a query and a fragment may follow it.
pub fn of_clone(folder: &Path) -> String {
    format!("git+{}", repository(folder))
}

/// The URL of a clone as `builtins.fetchGit` takes it.
pub fn repository(folder: &Path) -> String {
    let path = percent_encode(folder.as_os_str().as_bytes(), KEPT);
    format!("file://{path}")
}

/// The same for a flake that is in a folder of the clone.
pub fn of_clone_at(folder: &Path, directory: Option<&str>) -> String {
    let query = self::directory(directory).replacen('&', "?", 1);
    format!("{}{query}", of_clone(folder))
}

/// What is added to a query for a flake that is not at the root.
pub fn directory(folder: Option<&str>) -> String {
    folder.map_or(String::new(), |folder| {
        format!("&dir={}", percent_encode(folder.as_bytes(), KEPT))
    })
}

/// The folder with a flake that is nearest to `here`, going up to `root`; relative to `root`, and nothing where it
/// is `root` itself, or where there is none: what is wrong then is for Nix to say.
pub fn nearest(here: &Path, root: &Path) -> Option<String> {
    let here = here.canonicalize().ok()?;
    let root = root.canonicalize().ok()?;
    let inside = here.strip_prefix(&root).ok()?;
    let found = inside
        .ancestors()
        .find(|folder| root.join(folder).join(FLAKE).exists())?;
    let found = found.to_str()?;
    (!found.is_empty()).then(|| found.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_folder_is_taken_for_a_query_or_a_fragment() {
        let table = [
            ("/root/deploy/", "git+file:///root/deploy/"),
            ("/home/a b/é", "git+file:///home/a%20b/%C3%A9"),
            ("/x#y?z%20", "git+file:///x%23y%3Fz%2520"),
        ];
        for (folder, url) in table {
            assert_eq!(of_clone(Path::new(folder)), url);
            assert_eq!(format!("git+{}", repository(Path::new(folder))), url);
        }
    }

    #[test]
    fn the_nearest_flake_is_taken() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        std::fs::create_dir_all(root.join("nix/hosts/web")).unwrap();
        let check = |here: &str, expected: Option<&str>| {
            assert_eq!(
                nearest(&root.join(here), root).as_deref(),
                expected,
                "{here}"
            );
        };
        check("nix/hosts", None);
        std::fs::write(root.join("nix/flake.nix"), "").unwrap();
        check("nix/hosts/web", Some("nix"));
        check("nix", Some("nix"));
        check("", None);
        std::fs::write(root.join("flake.nix"), "").unwrap();
        check("nix", Some("nix"));
        check("", None);
        assert_eq!(nearest(Path::new("/"), root), None);
    }

    #[test]
    fn no_directory_is_taken_for_another_part_of_the_query() {
        let table = [
            (None, ""),
            (Some("nix/hosts"), "&dir=nix/hosts"),
            (
                Some("a b&rev=x#y?z%20"),
                "&dir=a%20b%26rev%3Dx%23y%3Fz%2520",
            ),
        ];
        for (folder, query) in table {
            assert_eq!(directory(folder), query);
        }
    }
}
