//! Which disk is full, where a program said only that one is.

use std::path::Path;

use nix::sys::statvfs::statvfs;

/// Where passes write, themselves or through Nix and git.
const WRITTEN: [&str; 6] = [
    "/nix/store",
    "/nix/var",
    "/tmp",
    crate::host::files::STATE,
    "/var/lib/nixus/repository.git",
    crate::host::files::RUN,
];
/// With less than this left, in bytes, a disk counts as full: what failed may have been removed.
const FULL: u64 = 4 << 20;
/// What is said of a full disk: by the system, and by SQLite.
const SIGNS: [&str; 2] = ["No space left on device", "database or disk is full"];

/// The same text, with the full disks named where it is about one.
pub fn named(text: String) -> String {
    with(text, || WRITTEN.into_iter().filter(|path| is_full(path)))
}

fn with<'a, I: Iterator<Item = &'a str>>(text: String, full: impl FnOnce() -> I) -> String {
    if !SIGNS.iter().any(|sign| text.contains(sign)) {
        return text;
    }
    let full: Vec<_> = full().collect();
    if full.is_empty() {
        return text;
    }
    format!("{text}; full: {}", full.join(", "))
}

fn is_full(path: &str) -> bool {
    statvfs(Path::new(path)).is_ok_and(|disk| {
        let free = disk.blocks_available() * disk.fragment_size();
        // Some file systems do not count files.
        free < FULL || (disk.files() > 0 && disk.files_available() == 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_about_a_full_disk_names_one() {
        let check = |text: &str, full: &[&str], expected: &str| {
            assert_eq!(with(text.to_owned(), || full.iter().copied()), expected);
        };
        let full = "writing to file: No space left on device";
        check(full, &["/nix/store"], &format!("{full}; full: /nix/store"));
        check(full, &[], full);
        check("no such file", &["/nix/store"], "no such file");
    }
}
