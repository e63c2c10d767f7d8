//! Somebody else who switches this host: waited for, and never fought.
//!
//! Every `switch-to-configuration` takes one lock. Who holds it is waited for, within bounds; what
//! they leave running is theirs, and neither judged nor undone. What the boot loader starts is put
//! back all the same where a commit had touched it: nobody has confirmed anything else.

use super::BUSY_PAUSE;
use crate::machine::system::System;
use crate::protocol::Toplevel;
use crate::run::Switcher;
use crate::state::disk::Disk;
use crate::state::journal::Deployment;

/// How long somebody else's `switch-to-configuration` is waited for before a step forward.
pub(crate) const BUSY_SECONDS: u64 = 120;

impl<D: Disk, S: System> Switcher<'_, D, S> {
    /// Keeps everybody else from switching, once they have ended; false where they do not in time.
    pub(super) fn waits_out_others(&mut self) -> bool {
        let end = self.system.boottime() + BUSY_SECONDS;
        let mut said = false;
        while self.system.hold_switching(true).is_err() {
            if self.system.boottime() >= end {
                return false;
            }
            if !std::mem::replace(&mut said, true) {
                self.system.say(&format!(
                    "somebody else is switching this host, waiting {BUSY_SECONDS} s at most"
                ));
            }
            self.system.pause(BUSY_PAUSE);
        }
        true
    }

    /// Whether what was noted at the beginning is so no more: somebody else has switched since, and
    /// a rollback would lead to the wrong place.
    pub(super) fn is_changed(&self, open: &Deployment) -> bool {
        let current = self.system.current();
        let persistent = self.profile().current();
        current.is_ok_and(|current| current != open.old.toplevel)
            || persistent.is_ok_and(|system| {
                system.is_some_and(|system| system.toplevel != open.persistent.toplevel)
            })
    }

    /// The system that runs where it is neither of this deployment's: somebody else switched to it.
    /// One that was booted since is no such system.
    pub(super) fn others(&self, open: &Deployment) -> Option<Toplevel> {
        let current = self.system.current().ok()?;
        let ours = current == open.old.toplevel || current == open.request.candidate;
        let booted = || {
            let later = self.system.boot_id().is_ok_and(|boot| boot != open.boot);
            later && self.system.booted().is_ok_and(|booted| booted == current)
        };
        (!ours && !booted()).then_some(current)
    }
}

#[cfg(test)]
mod tests;
