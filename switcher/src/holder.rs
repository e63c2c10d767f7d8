//! The lock of the journal, and who holds it. It is an `flock`: the kernel drops it when its holder
//! dies, however it dies.

use std::fs;
use std::io::{self, ErrorKind};
use std::time::Duration;

use crate::disk::{Disk, Held, HostDisk, read_bounded};
use crate::layout::Layout;
use crate::systemd::{SECOND, Systemd, is_ours};

/// Takes the lock, for at most `wait`; `None` where somebody else holds it.
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

/// Kills whatever still works on a deployment: switchers, watchdogs that hang, and
/// `switch-to-configuration`. The caller's own unit is spared.
pub fn kill_others(layout: &Layout, systemd: &Systemd, deployment: &str) -> Vec<String> {
    let own = own_unit();
    let mut units = vec![format!("nixus-switch-{deployment}.service")];
    if is_held(layout)
        && let Ok(bytes) = read_bounded(&layout.lock(), 512)
    {
        units.push(String::from_utf8_lossy(&bytes).trim().to_owned());
    }
    for kind in ["nixus-expire-", "nixus-stc-", SECOND] {
        // systemd that does not answer cannot tell; then the first two are what can be known.
        units.extend(
            systemd
                .names(&format!("{kind}{deployment}-*.service"))
                .unwrap_or_default(),
        );
    }
    units.retain(|unit| is_ours(unit) && unit.ends_with(".service") && Some(unit) != own.as_ref());
    units.dedup();
    units
        .iter()
        .filter_map(|unit| systemd.end(unit).err())
        .map(|error| error.to_string())
        .collect()
}

/// The unit that this process runs in (cgroup 2: one line, `0::/system.slice/<unit>`).
fn own_unit() -> Option<String> {
    let text = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    Some(path.rsplit('/').next()?.to_owned())
}
