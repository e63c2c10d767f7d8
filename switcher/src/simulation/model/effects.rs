//! What each effect does to the machine, and every way in which it may end.

use super::book::{Book, Happening};
use super::process::{Next, decide, end};
use super::world::{At, Ended, Kept, Process, Sys, World};
use crate::decide::phase::PhaseName;
use crate::decide::transaction::{Effect, Restore};

/// The ends of the effect that a process is at.
pub(super) fn outcomes(book: &Book<'_>, world: World, process: Process) -> Next {
    let mut ends = Ends {
        book,
        world,
        next: Vec::new(),
    };
    match (process.effect, process.at) {
        // The loop ends before this.
        (Effect::Nothing, _) => ends.next.push(("nothing is left to do", end(world))),
        (Effect::Stage, _) => {
            ends.free("the candidate is staged", Happening::StageDone, |_| {});
            ends.free("the candidate is refused", Happening::StageFailed, |_| {});
        }
        (Effect::SeeWatchdog, _) => {
            let seen = process
                .record
                .watch
                .is_some_and(|name| world.timers.has(name));
            if seen {
                ends.free("the watchdog is seen", Happening::WatchdogSeen, |_| {});
            }
            if seen && world.faults == 0 {
                return ends.next;
            }
            if seen {
                ends.world.faults -= 1;
            }
            ends.free(
                "the watchdog is not seen",
                Happening::WatchdogFailed,
                |_| {},
            );
        }
        (Effect::Activate, At::Half) => {
            ends.free("the activation ends well", Happening::Activated, |world| {
                world.running = Sys::New;
            });
            ends.free("the activation fails", Happening::ActivationFailed, |_| {});
        }
        (Effect::Activate, _) => {
            ends.free("another switch runs", Happening::ActivationBusy, |_| {});
            ends.free("nothing is activated", Happening::ActivationFailed, |_| {});
            ends.half("the activation begins", |world| world.running = Sys::Mixed);
        }
        (Effect::Verify, _) => {
            ends.free("the candidate is verified", Happening::Verified, |world| {
                world.proved = true;
            });
            ends.free(
                "the candidate is not verified",
                Happening::NotVerified,
                |_| {},
            );
            if world.operators > 0 {
                ends.world.operators -= 1;
                ends.free("an operator confirms", Happening::Verified, |world| {
                    world.proved = true;
                });
                ends.free("an operator reverts", Happening::NotVerified, |_| {});
            }
        }
        (Effect::SetProfile, At::Half) => {
            ends.free("the profile is set", Happening::ProfileSet, |world| {
                world.profile = world.profile.synced();
            });
            ends.fault("the profile is not synced", Happening::CommitFailed, |_| {});
        }
        (Effect::SetProfile, _) => {
            ends.half("the profile is being set", |world| {
                world.profile = world.profile.set(Sys::New);
            });
            ends.fault("the profile cannot be set", Happening::CommitFailed, |_| {});
        }
        (Effect::InstallBoot, At::Half) => {
            ends.free(
                "the boot loader is installed",
                Happening::BootInstalled,
                |_| {},
            );
            ends.free(
                "installing it fails at the end",
                Happening::CommitFailed,
                |_| {},
            );
        }
        (Effect::InstallBoot, _) => {
            ends.half("the boot loader is being installed", |world| {
                world.loader = world.loader.set(Sys::New);
            });
            ends.free(
                "installing it fails at once",
                Happening::CommitFailed,
                |_| {},
            );
            ends.free(
                "it says that it is installed",
                Happening::BootInstalled,
                |_| {},
            );
        }
        (Effect::CheckCommit, _) => {
            let well = world.profile.seen == Sys::New && world.loader.seen == Sys::New;
            let happening = if well {
                Happening::CommitChecked
            } else {
                Happening::CommitFailed
            };
            ends.free("what is persistent is read back", happening, synced);
            ends.fault("the sync fails", Happening::CommitFailed, |_| {});
        }
        (Effect::Restore(part), at) => ends.restore(part, at),
        (Effect::SeeBootDefault, _) => {
            let old = world.loader.seen == Sys::Old;
            ends.free("the default is read", Happening::BootDefault(old), |_| {});
        }
        (Effect::Reboot, _) => {
            ends.free("the machine goes down", Happening::Rebooting, |world| {
                world.going_down = true;
                world.reboots += 1;
            });
            ends.fault("it cannot be rebooted", Happening::RebootFailed, |_| {});
        }
        (Effect::AwaitUnits, _) => {
            ends.free("the units are awaited", Happening::UnitsAwaited, |world| {
                world.awaits = true;
            });
            ends.fault("nobody awaits the units", Happening::UnitsAwaited, |_| {});
        }
        (Effect::AwaitNetwork, _) => {
            ends.free(
                "a carrier was waited for",
                Happening::NetworkAwaited,
                |_| {},
            );
        }
        (Effect::Look, _) => {
            let back = world.running == Sys::Old
                && world.profile.seen == Sys::Old
                && world.loader.seen == Sys::Old;
            if back {
                ends.free("nothing is wrong", Happening::Looked(true), synced);
            }
            ends.free("something is wrong", Happening::Looked(false), |_| {});
        }
        (Effect::VerifyBoot, _) => {
            ends.free("the boot is verified", Happening::Verified, |world| {
                world.proved_at_boot = true;
            });
            ends.free("the boot is not verified", Happening::NotVerified, |_| {});
            ends.free(
                "nothing can be determined of the boot",
                Happening::BootInconclusive,
                |_| {},
            );
            if world.operators > 0 {
                ends.world.operators -= 1;
                ends.free("an operator reverts", Happening::NotVerified, |_| {});
            }
        }
        (Effect::Close, _) => ends.close(process),
    }
    ends.next
}

/// What `sync` promises: all that was written is durable.
fn synced(world: &mut World) {
    world.profile = world.profile.synced();
    world.loader = world.loader.synced();
}

struct Ends<'a, 'b> {
    book: &'a Book<'b>,
    world: World,
    next: Next,
}

impl Ends<'_, '_> {
    fn free(&mut self, label: &'static str, happening: Happening, change: impl FnOnce(&mut World)) {
        let mut after = self.world;
        change(&mut after);
        self.next.push((label, decide(self.book, after, happening)));
    }

    fn fault(
        &mut self,
        label: &'static str,
        happening: Happening,
        change: impl FnOnce(&mut World),
    ) {
        if self.world.faults > 0 {
            self.free(label, happening, |world| {
                world.faults -= 1;
                change(world);
            });
        }
    }

    fn half(&mut self, label: &'static str, change: impl FnOnce(&mut World)) {
        let mut after = self.world;
        change(&mut after);
        if let Some(process) = after.process.as_mut() {
            process.at = At::Half;
        }
        self.next.push((label, after));
    }

    fn restore(&mut self, part: Restore, at: At) {
        let back = |well| Happening::Restored(part, well);
        match (part, at) {
            (Restore::System, At::Half) => {
                self.free("the old system runs", back(true), |world| {
                    world.running = Sys::Old;
                });
                self.fault("the old system does not come up", back(false), |_| {});
            }
            (Restore::System, _) => {
                self.half("the old system is activated", |world| {
                    world.running = Sys::Mixed;
                });
            }
            (Restore::Profile, _) => {
                self.free("the profile is put back", back(true), |world| {
                    world.profile = Kept::at(Sys::Old);
                });
                self.fault("the profile is not put back", back(false), |_| {});
            }
            (Restore::Boot, At::Half) => {
                self.free("the boot loader is put back", back(true), synced);
                self.fault("the boot loader is not synced", back(false), |_| {});
            }
            (Restore::Boot, _) => {
                self.half("the boot loader is being put back", |world| {
                    world.loader = world.loader.set(Sys::Old);
                });
                self.fault("the boot loader is not put back", back(false), |_| {});
            }
            (Restore::Units, _) => {
                self.free("the units run again", back(true), |_| {});
                self.fault("a unit does not run again", back(false), |_| {});
            }
        }
    }

    /// The history is written; it tells once how the deployment ended.
    fn close(&mut self, process: Process) {
        let phase = self.book.name(process.record.phase);
        let ended = match phase {
            PhaseName::Confirmed | PhaseName::BootProven => Ended::Confirmed,
            PhaseName::Reverted => Ended::Reverted,
            PhaseName::Refused => Ended::Refused,
            _ => Ended::Stuck,
        };
        self.free("the history is written", Happening::Closed, |world| {
            match (world.trial, phase) {
                (true, PhaseName::Refused) => {
                    world.told_nothing = true;
                    return;
                }
                (true, PhaseName::BootProven) => {
                    world.boot_proven = true;
                    world.unproven = false;
                }
                (true, PhaseName::Reverted) => world.unproven = false,
                (false, PhaseName::Confirmed) => world.unproven = true,
                _ => {}
            }
            world.ended = ended;
        });
        if self.world.faults > 0 {
            let mut failed = self.world;
            failed.faults -= 1;
            if let Some(process) = failed.process.as_mut() {
                process.trouble = true;
            }
            let failed = decide(self.book, failed, Happening::StateNotWritten);
            self.next.push(("the history cannot be written", failed));
        }
    }
}
