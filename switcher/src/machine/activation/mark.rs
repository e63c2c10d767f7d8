//! How the last activation of a system ended, by the system's own word: the exit code of a switch can hide
//! it, and at a boot nobody sees one. The activation script writes it last (`reconciler/nix/activation.nix`).

use std::path::PathBuf;

use crate::protocol::Toplevel;
use crate::state::bounded::read_bounded;
use crate::state::layout::Layout;

/// A path of the store and a number fit well.
const LIMIT: u64 = 4096;

/// Where it is.
pub fn path(layout: &Layout) -> PathBuf {
    layout.run().join("activation")
}

/// Whether the last activation of this system failed; nothing where that is not known, as where another
/// system was activated since.
pub fn failed(layout: &Layout, system: &Toplevel) -> Option<bool> {
    let text = read_bounded(&path(layout), LIMIT).ok()?;
    let text = String::from_utf8_lossy(&text);
    let (status, of) = text.trim_end().split_once(' ')?;
    (of == system.to_string()).then_some(status != "0")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::toplevel;

    #[test]
    fn only_what_was_written_of_this_system_counts() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::below(dir.path());
        let new = toplevel("new");
        assert_eq!(failed(&layout, &new), None);
        std::fs::create_dir_all(layout.run()).unwrap();
        for (text, expected) in [
            (format!("0 {new}\n"), Some(false)),
            (format!("1 {new}\n"), Some(true)),
            (format!("1 {}\n", toplevel("old")), None),
            ("nonsense".to_owned(), None),
            (String::new(), None),
        ] {
            std::fs::write(path(&layout), &text).unwrap();
            assert_eq!(failed(&layout, &new), expected, "{text:?}");
        }
    }
}
