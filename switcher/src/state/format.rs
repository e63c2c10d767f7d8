//! Which version of the state files is written, so that whoever may run next can read them.
//!
//! Each release reads its own version and the one before. A system says how far its Nixus reads with
//! a line `X-Nixus-Format=` in its `nixus-verify.service`; without one it reads version 1. What is
//! written is what all systems read that may run next: the running one, the booted one, the
//! boot-proven one, and those of the open deployment. So an upgrade writes as the old release until
//! the new one is boot-proven, and a downgrade writes as the new one from its beginning.

use std::fs;
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::protocol::{Toplevel, newest_version};
use crate::state::bounded::read_bounded;
use crate::state::layout::Layout;

/// The oldest version that this release reads and writes.
pub fn oldest() -> u32 {
    newest_version().saturating_sub(1).max(1)
}

const KEY: &str = "X-Nixus-Format=";

/// Whether this release reads a version.
pub fn is_readable(version: u32) -> bool {
    (oldest()..=newest_version()).contains(&version)
}

/// The newest version that this release may write now. `also` are systems that may run next beside
/// those that always may.
pub fn to_write<'a>(layout: &Layout, also: impl IntoIterator<Item = &'a Toplevel>) -> u32 {
    let linked = [
        layout.current_system(),
        layout.booted_system(),
        layout.roots().join("boot-proven"),
    ];
    let linked = linked
        .iter()
        .filter_map(|link| Toplevel::try_from(fs::canonicalize(link).ok()?).ok());
    let read = linked
        .chain(also.into_iter().cloned())
        .filter_map(|system| read_up_to(&layout.verify_unit(&system)?));
    in_common(read, oldest(), newest_version())
}

fn in_common(read: impl Iterator<Item = u32>, oldest: u32, newest: u32) -> u32 {
    read.fold(newest, u32::min).max(oldest)
}

/// How far the Nixus of a verification unit reads; nothing where the file is gone meanwhile.
fn read_up_to(unit: &Path) -> Option<u32> {
    let bytes = read_bounded(unit, 1 << 20).ok()?;
    Some(said_in(&String::from_utf8_lossy(&bytes)))
}

/// A line that makes no sense is as none.
fn said_in(unit: &str) -> u32 {
    let said = unit.lines().find_map(|line| line.trim().strip_prefix(KEY));
    said.and_then(|said| said.trim().parse().ok()).unwrap_or(1)
}

/// A state as the text of a version.
///
/// # Errors
/// The state has a value that JSON cannot hold.
pub fn encode(version: u32, state: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    #[cfg(feature = "next-format")]
    if version > 1 {
        return serde_json::to_vec_pretty(&Next { version, state });
    }
    let _ = version;
    serde_json::to_vec_pretty(state)
}

/// A state from the text of a version that is readable.
///
/// # Errors
/// The text is not JSON of that version's shape.
pub fn decode<T: DeserializeOwned>(version: u32, text: &[u8]) -> serde_json::Result<T> {
    #[cfg(feature = "next-format")]
    if version > 1 {
        return serde_json::from_slice(text).map(|next: Next<T>| next.state);
    }
    let _ = version;
    serde_json::from_slice(text)
}

/// The stand-in for a next format: no release before it understands it.
#[cfg(feature = "next-format")]
#[derive(serde::Serialize, serde::Deserialize)]
struct Next<T> {
    version: u32,
    state: T,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_every_system_reads_that_may_run_next() {
        let check = |read: &[u32], expected: u32| {
            let found = in_common(read.iter().copied(), 4, 5);
            assert_eq!(found, expected, "{read:?}");
        };
        check(&[], 5);
        check(&[5, 5], 5);
        check(&[5, 4], 4);
        // What a later release may write, this one may not.
        check(&[6], 5);
        // Two releases at once: the older one finds what it cannot read, and stops activations.
        check(&[5, 3], 4);
    }

    #[test]
    fn a_system_says_in_its_unit_how_far_its_nixus_reads() {
        let check = |unit: &str, expected: u32| assert_eq!(said_in(unit), expected, "{unit}");
        check("[Unit]\nX-Nixus-Format=3\n[Service]\nType=oneshot\n", 3);
        check("[Unit]\nDescription=before there was such a line\n", 1);
        check("[Unit]\nX-Nixus-Format=three\n", 1);
        check("", 1);
    }

    #[test]
    fn a_system_without_nixus_does_not_matter_and_links_lead_to_those_that_do() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::below(root.path().canonicalize().unwrap());
        assert_eq!(to_write(&layout, []), newest_version());
        let path = format!("/nix/store/{}-nixos", "0".repeat(32));
        let system = Toplevel::try_from(std::path::PathBuf::from(path)).unwrap();
        let units = layout.at(system.path()).join("etc/systemd/system");
        fs::create_dir_all(&units).unwrap();
        assert_eq!(to_write(&layout, [&system]), newest_version());
        let unit = units.join(crate::state::layout::VERIFY_UNIT);
        fs::write(&unit, "[Unit]\n").unwrap();
        assert_eq!(to_write(&layout, [&system]), oldest());
        assert_eq!(read_up_to(&unit), Some(1));
        assert_eq!(read_up_to(&units.join("none")), None);
    }

    #[test]
    fn this_release_reads_its_own_version_and_the_one_before() {
        assert!(is_readable(newest_version()) && is_readable(oldest()));
        assert!(!is_readable(newest_version() + 1) && !is_readable(oldest() - 1));
    }
}
