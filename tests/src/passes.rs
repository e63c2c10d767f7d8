//! The passes of a host: they begin by themselves, or they do not.

use std::time::Duration;

use anyhow::Result;

use crate::host::Host;

const TIMER: &str = "nixus-reconcile.timer";
const LIMIT: Duration = Duration::from_secs(120);

impl Host {
    /// From now on no pass begins by itself, and none is under way: it would write over what is changed
    /// behind its back.
    ///
    /// # Errors
    /// When a pass does not end.
    pub fn stop_passes(&self) -> Result<()> {
        self.must(["systemctl", "stop", TIMER])?;
        let state = [
            "systemctl",
            "show",
            "--property=ActiveState",
            "--value",
            "nixus-reconcile.service",
        ];
        self.wait_until("no pass is under way", LIMIT, |host| {
            Ok(matches!(host.must(state)?.trim(), "inactive" | "failed"))
        })
    }

    /// Passes begin by themselves again.
    ///
    /// # Errors
    /// When systemd refuses it.
    pub fn start_passes(&self) -> Result<()> {
        self.must(["systemctl", "start", TIMER]).map(drop)
    }
}
