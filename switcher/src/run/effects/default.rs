//! What the boot loader starts, compared with what it was to start and with how it was before.

use crate::machine::system::{BootDefault, Pin, PinKind, System};
use crate::protocol::Toplevel;
use crate::run::Switcher;
use crate::state::disk::Disk;
use crate::state::journal::{BootBefore, Deployment};

/// What of it matters afterwards.
pub(super) fn before(default: &BootDefault) -> BootBefore {
    BootBefore {
        told: default.installed().is_some(),
        pinned: matches!(default, BootDefault::Pinned(pin) if pin.kind != PinKind::Once),
    }
}

impl<D: Disk, S: System> Switcher<'_, D, S> {
    /// Whether the boot loader's installer has made this system the default. A pin is only reported: no
    /// installation removes it, and it is not a reason to undo what is good. So is what cannot be determined, where it
    /// could not be determined before either.
    pub(super) fn see_default(
        &self,
        open: &Deployment,
        wanted: &Toplevel,
    ) -> Result<Option<Pin>, String> {
        let default = self.system.boot_default();
        match (default.installed(), &default) {
            (Some(installed), _) if installed != wanted => {
                return Err(format!("the boot loader starts {installed}"));
            }
            (None, BootDefault::Broken(reason)) if open.boot_before.told => {
                return Err(format!("the boot loader is broken: {reason}"));
            }
            (None, BootDefault::Broken(reason) | BootDefault::Unknown(reason)) => {
                self.system.say(&format!(
                    "what the boot loader starts cannot be read back here: {reason}"
                ));
            }
            _ => {}
        }
        let BootDefault::Pinned(pin) = default else {
            return Ok(None);
        };
        self.say_pinned(&pin);
        Ok(Some(pin))
    }

    /// Whether a reboot leads to the old system, as far as that is seen.
    pub(super) fn starts_old(&self, open: &Deployment) -> bool {
        let default = self.system.boot_default();
        if let BootDefault::Pinned(pin) = &default {
            self.say_pinned(pin);
        }
        default.starts() == Some(&open.persistent.toplevel)
    }

    fn say_pinned(&self, pin: &Pin) {
        let starts = match &pin.starts {
            Some(system) => system.to_string(),
            None => "something else".to_owned(),
        };
        self.system
            .say(&format!("the next boot starts {starts}: {pin}"));
    }
}
