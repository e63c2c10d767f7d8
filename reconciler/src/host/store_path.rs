//! Whether a path is one of the store's. `Path::starts_with` alone takes `/nix/store/../../tmp/x` for one.

use std::path::{Component, Path};

/// Whether a path is below the store by its words: below one of its entries, and never up again.
pub fn is_in(path: &Path, store: &Path) -> bool {
    path.strip_prefix(store).is_ok_and(|rest| {
        let mut parts = rest.components();
        let named = |part| matches!(part, Component::Normal(_));
        parts.next().is_some_and(named) && parts.all(named)
    })
}

/// The same of what it leads to as well, where that is there.
pub fn leads_into(path: &Path, store: &Path) -> bool {
    let real = |path: &Path| std::fs::canonicalize(path);
    is_in(path, store)
        && real(path)
            .and_then(|path| Ok(is_in(&path, &real(store)?)))
            .unwrap_or(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_below_the_store_is_in_it() {
        let store = Path::new("/nix/store");
        for (path, expected) in [
            ("/nix/store/abc-nixus/bin/nixus", true),
            ("/nix/store/abc", true),
            ("/nix/store//abc/./x", true),
            ("/nix/store", false),
            ("/nix/store/", false),
            ("/nix/store/../../tmp/x", false),
            ("/nix/store/abc/../../../tmp/x", false),
            ("/nix/store/..", false),
            ("/nix/store2/abc", false),
            ("/nix/./store/abc", true),
            ("/nix/../nix/store/abc", false),
            ("nix/store/abc", false),
            ("", false),
        ] {
            assert_eq!(is_in(Path::new(path), store), expected, "{path}");
        }
    }

    #[test]
    fn a_link_out_of_the_store_is_not_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("store");
        std::fs::create_dir_all(store.join("a")).unwrap();
        std::fs::write(store.join("a/x"), "").unwrap();
        std::fs::write(folder.path().join("x"), "").unwrap();
        std::os::unix::fs::symlink("../../x", store.join("a/out")).unwrap();
        std::os::unix::fs::symlink("../a/x", store.join("a/in")).unwrap();
        assert!(leads_into(&store.join("a/x"), &store) && leads_into(&store.join("a/in"), &store));
        assert!(!leads_into(&store.join("a/out"), &store));
        assert!(leads_into(&store.join("a/none"), &store));
    }
}
