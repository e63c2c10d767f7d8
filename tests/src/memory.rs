//! The memory that a host has.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::host::Host;

/// Where the kernel's first memory controller is mounted, on machines that have it.
const FIRST: &str = "/sys/fs/cgroup/memory";

/// A limit on a host's memory. It ends with this, or with the power.
#[derive(Debug)]
pub struct MemoryLimit {
    group: PathBuf,
}

impl Host {
    /// Gives everything that systemd starts on this host from now on this many bytes together. The
    /// kernel kills what would take more.
    ///
    /// # Errors
    /// When the host is off, or the kernel has no memory controller.
    pub fn limit_memory(&self, bytes: u64) -> Result<MemoryLimit> {
        let first = Path::new(FIRST);
        if first.join("memory.limit_in_bytes").exists() {
            let group = first.join(format!("{}-{}", self.access.group, self.name));
            fs::create_dir(&group).with_context(|| format!("cannot make {}", group.display()))?;
            let limit = MemoryLimit { group };
            limit.write("memory.limit_in_bytes", &bytes.to_string())?;
            limit.write("cgroup.procs", &self.leader()?.to_string())?;
            return Ok(limit);
        }
        // With the second one, the host's own group is limited.
        let all = self.access.path("/sys/fs/cgroup");
        for group in [all.clone(), all.join(&self.access.group)] {
            let path = group.join("cgroup.subtree_control");
            fs::write(&path, "+memory")
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        let limit = MemoryLimit {
            group: self.access.group(&self.name),
        };
        limit.write("memory.max", &bytes.to_string())?;
        Ok(limit)
    }
}

impl MemoryLimit {
    fn write(&self, file: &str, text: &str) -> Result<()> {
        let path = self.group.join(file);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Takes the limit away.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn lift(self) -> Result<()> {
        if self.group.join("memory.max").exists() {
            return self.write("memory.max", "max");
        }
        self.write("memory.limit_in_bytes", "-1")
    }

    /// Moves who is left to where everybody else is, and removes the group.
    fn dissolve(&self) -> io::Result<()> {
        let everybody = Path::new(FIRST).join("cgroup.procs");
        for process in fs::read_to_string(self.group.join("cgroup.procs"))?.lines() {
            fs::write(&everybody, process)?;
        }
        fs::remove_dir(&self.group)
    }
}

impl Drop for MemoryLimit {
    fn drop(&mut self) {
        if self.group.starts_with(FIRST)
            && let Err(error) = self.dissolve()
        {
            eprintln!("lab: cannot remove {}: {error}", self.group.display());
        }
    }
}
