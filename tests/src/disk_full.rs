//! The disk that all hosts of a lab share, and that it is full.

use anyhow::{Context as _, Result};

use crate::laboratory::Lab;
use crate::namespace::RUN;

/// As much as a tmpfs has by itself (tmpfs(5)).
const ALL: &str = "50%";
/// How often it is made as small as what is on it.
const TRIES: u32 = 20;

impl Lab {
    /// Leaves no byte on the disk that all hosts, the git server and the operator are on. Nothing is written for it: the
    /// disk is made as small as what is on it.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn fill_disk(&self) -> Result<()> {
        let access = &self.doors().operator.access;
        let mut tries = 0;
        loop {
            let said = access.must(&["df", "--output=used", "-k", RUN], None)?;
            let used = said.lines().nth(1).context("df says nothing")?;
            // Whoever has written something meanwhile needs more than that.
            match self.resize_disk(&format!("{}k", used.trim())) {
                Err(_) if tries < TRIES => tries += 1,
                ended => return ended,
            }
        }
    }

    /// Gives it room again.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn relieve_disk(&self) -> Result<()> {
        self.resize_disk(ALL)
    }

    fn resize_disk(&self, size: &str) -> Result<()> {
        let access = &self.doors().operator.access;
        let options = format!("remount,size={size}");
        // The mount below which the lab's folder is.
        let words = ["mount", "-o", &options, "/run"];
        access.must(&words, None).map(drop)
    }
}
