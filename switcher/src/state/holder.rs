//! The lock of the journal, and who holds it. It is an `flock`: the kernel drops it when its holder
//! dies, however it dies.

use std::fs;
use std::io::{self, ErrorKind};
use std::time::Duration;

use crate::state::disk::{Disk, Held, HostDisk};
use crate::state::layout::Layout;

/// Takes the lock, for at most `wait`; `None` where somebody else holds it.
///
/// # Errors
/// The lock file cannot be opened.
pub fn take(layout: &Layout, wait: Duration) -> io::Result<Option<Held>> {
    fs::create_dir_all(layout.run())?;
    match HostDisk.lock(&layout.lock(), wait) {
        Ok(held) => {
            // Only for those who have to kill a holder that hangs.
            fs::write(layout.lock(), own_unit().unwrap_or_default())?;
            Ok(Some(held))
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether somebody holds the lock. It is taken for a moment to find out, which a taker waits out.
pub fn is_held(layout: &Layout) -> bool {
    layout.lock().exists()
        && matches!(
            HostDisk.lock(&layout.lock(), Duration::ZERO),
            Err(error) if error.kind() == ErrorKind::WouldBlock
        )
}

/// The unit that this process runs in (cgroup 2: one line, `0::/system.slice/<unit>`).
pub(crate) fn own_unit() -> Option<String> {
    let text = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    Some(path.rsplit('/').next()?.to_owned())
}
