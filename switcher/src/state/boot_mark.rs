//! Whether the last boot ended in order. A mark is there from the boot to the orderly end of
//! `nixus-recover.service`; one of another boot says that there was no such end, and that files of
//! the store may be cut short. Candidates are compared with what Nix knows of them from then on, until
//! one was found sound and the machine went down in order.

use std::io::{self, ErrorKind};

use serde::{Deserialize, Serialize};

use crate::protocol::{BootId, newest_version};
use crate::state::disk::{Disk, keep_dir, write_atomic};
use crate::state::layout::Layout;

const NAME: &str = "boot.json";
const LIMIT: u64 = 4096;

/// What is in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    version: u32,
    boot: BootId,
    /// A boot before ended without notice.
    doubtful: bool,
    /// A candidate was found sound since.
    checked: bool,
}

/// Notes this boot, and says whether files of the store are in doubt.
///
/// # Errors
/// The mark cannot be read or written.
pub fn note(disk: &impl Disk, layout: &Layout, boot: &BootId) -> io::Result<bool> {
    let mark = match read(disk, layout)? {
        Found::Mark(mark) if &mark.boot == boot => return Ok(mark.doubtful),
        Found::Nothing => new(boot, false),
        Found::Mark(_) | Found::Nonsense => new(boot, true),
    };
    write(disk, layout, &mark)?;
    Ok(mark.doubtful)
}

/// Notes that a candidate was found sound.
pub fn checked(disk: &impl Disk, layout: &Layout) {
    if let Ok(Found::Mark(mark)) = read(disk, layout)
        && !mark.checked
    {
        let mark = Mark {
            checked: true,
            ..mark
        };
        // Without the note more is compared than needed.
        let _ = write(disk, layout, &mark);
    }
}

/// The machine goes down in order. A doubt that nobody has looked into stays.
///
/// # Errors
/// The mark cannot be read or written.
pub fn goes_down(disk: &impl Disk, layout: &Layout) -> io::Result<()> {
    match read(disk, layout)? {
        Found::Mark(mark) if !mark.doubtful || mark.checked => {
            let path = layout.state().join(NAME);
            disk.remove(&path)?;
            disk.sync_dir(&layout.state())
        }
        _ => Ok(()),
    }
}

enum Found {
    Nothing,
    Nonsense,
    Mark(Mark),
}

fn new(boot: &BootId, doubtful: bool) -> Mark {
    Mark {
        version: newest_version(),
        boot: boot.clone(),
        doubtful,
        checked: false,
    }
}

fn read(disk: &impl Disk, layout: &Layout) -> io::Result<Found> {
    match disk.read(&layout.state().join(NAME), LIMIT) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Found::Nothing),
        bytes => Ok(serde_json::from_slice(&bytes?).map_or(Found::Nonsense, Found::Mark)),
    }
}

fn write(disk: &impl Disk, layout: &Layout, mark: &Mark) -> io::Result<()> {
    let dir = layout.state();
    keep_dir(disk, &dir)?;
    write_atomic(disk, &dir.join(NAME), &serde_json::to_vec(mark)?)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::state::disk::HostDisk;

    #[test]
    fn a_boot_that_ends_without_notice_leaves_a_doubt_until_a_candidate_was_sound() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::below(dir.path());
        let path = layout.state().join(NAME);
        let doubt = |boot: &str| note(&HostDisk, &layout, &BootId(boot.to_owned())).unwrap();
        let ends = || goes_down(&HostDisk, &layout).unwrap();
        ends();
        assert!(!doubt("1") && !doubt("1"));
        ends();
        assert!(!doubt("2"), "an orderly end");
        assert!(doubt("3") && doubt("3"), "no end at all");
        ends();
        assert!(doubt("4"), "nobody has looked yet");
        checked(&HostDisk, &layout);
        assert!(doubt("4"), "other candidates have other files");
        ends();
        assert!(!doubt("5"));
        fs::write(&path, "").unwrap();
        assert!(doubt("5"), "a mark that was cut short itself");
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        note(&HostDisk, &layout, &BootId("6".to_owned())).unwrap_err();
    }
}
