//! Whether a candidate is whole: what it has to have is there, and where that is in doubt, its files
//! are what Nix has put into the store.

use std::time::Duration;

use super::NixOs;
use crate::error_chain::chain;
use crate::machine::store::{self, Soundness};
use crate::machine::system::{System, SystemError};
use crate::machine::toplevel;
use crate::protocol::{Cause, Toplevel};
use crate::state::boot_mark;
use crate::state::disk::HostDisk;

/// To compare one store path takes moments, a whole closure minutes; the staging has ten.
const MISSING_LIMIT: Duration = Duration::from_secs(60);
const CLOSURE_LIMIT: Duration = Duration::from_secs(480);

impl NixOs {
    /// Notes that this boot has begun; says whether one before ended without notice.
    ///
    /// # Errors
    /// The boot's id cannot be read, or the mark cannot be written.
    pub fn note_boot(&self) -> Result<bool, SystemError> {
        boot_mark::note(&HostDisk, &self.layout, &self.boot_id()?).map_err(|source| {
            SystemError::File {
                path: self.layout.state(),
                source,
            }
        })
    }

    /// What speaks against the candidate itself. Where something is missing of it, Nix knows whether
    /// it was ever there; after a boot that ended without notice, all files are compared.
    pub(super) fn unsound(&self, candidate: &Toplevel) -> Option<Cause> {
        let refusal = toplevel::refusal(&self.layout, candidate);
        if refusal.is_some() {
            return match store::check(candidate, store::Extent::Alone, MISSING_LIMIT) {
                Ok(Soundness::Damaged(what)) => Some(Cause::StoreDamaged { what }),
                // It cannot be determined, and is not a candidate either way.
                Ok(Soundness::Sound) | Err(_) => refusal,
            };
        }
        match self.note_boot() {
            Ok(false) => return None,
            Ok(true) => {
                self.say("a boot ended without notice: comparing all files of the candidate");
            }
            Err(error) => {
                let reason = format!(
                    "cannot determine how the last boot ended: {}",
                    chain(&error)
                );
                return Some(Cause::NotReady { reason });
            }
        }
        match store::check(candidate, store::Extent::Closure, CLOSURE_LIMIT) {
            Ok(Soundness::Sound) => {
                boot_mark::checked(&HostDisk, &self.layout);
                None
            }
            Ok(Soundness::Damaged(what)) => Some(Cause::StoreDamaged { what }),
            Err(error) => Some(Cause::NotReady {
                reason: chain(&error),
            }),
        }
    }
}
