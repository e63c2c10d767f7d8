//! How Nix is told of a flake in a clone on this machine.

use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

/// RFC 3986, section 2.3 (unreserved), and what separates folders.
const KEPT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// The URL of a clone; a query and a fragment may follow it.
pub fn of_clone(folder: &Path) -> String {
    let path = percent_encode(folder.as_os_str().as_bytes(), KEPT);
    format!("git+file://{path}")
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
        }
    }
}
