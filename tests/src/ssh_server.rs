//! The unit that takes a host's SSH connections: a service, or on NixOS a socket.

use anyhow::Result;

use crate::host::Host;

impl Host {
    /// The unit of sshd that this host's system has.
    ///
    /// # Errors
    /// When the host is off.
    pub fn sshd_unit(&self) -> Result<&'static str> {
        let socket = "/etc/systemd/system/sshd.socket";
        Ok(if self.inside()?.exists(socket) {
            "sshd.socket"
        } else {
            "sshd.service"
        })
    }

    /// From now on nobody gets in.
    ///
    /// # Errors
    /// When systemd refuses it.
    pub fn stop_sshd(&self) -> Result<()> {
        self.must(["systemctl", "stop", self.sshd_unit()?])
            .map(drop)
    }

    /// Connections are taken again.
    ///
    /// # Errors
    /// When systemd refuses it.
    pub fn start_sshd(&self) -> Result<()> {
        self.must(["systemctl", "start", self.sshd_unit()?])
            .map(drop)
    }
}
