//! How the machine behaves: its activations, its boot loader, its checks, its garbage collector.

use std::path::Path;

use super::fault::{Death, Story};
use super::machine::{Inner, NEW, NEXT, OLD, RESCUE, name_of, store_path};
use super::teeth::Tooth;
use crate::decide::phase::PhaseName;
use crate::machine::system::{Action, Switch, SwitchEnd, TrialEnd};
use crate::protocol::{Cause, CheckOutcome, CheckResult, Evidence, Toplevel, newest_version};
use crate::state::boot_proven;
use crate::state::journal::Deployment;
use crate::state::layout::Layout;

/// When the carrier comes that is late, in seconds since a boot. It is waited for longer.
const LIGHT: u64 = 40;

impl Inner {
    /// The system profile has a generation of this system.
    fn has_generation(&self, toplevel: &Toplevel) -> bool {
        let system = Layout::host().profiles();
        [system.join("system-profiles"), system].iter().any(|dir| {
            self.files.list(dir).is_ok_and(|names| {
                names.iter().any(|name| {
                    self.files
                        .read_link(&dir.join(name))
                        .is_ok_and(|target| target == toplevel.path())
                })
            })
        })
    }

    /// The last system that proved that it boots.
    pub(super) fn boot_proven(&self) -> Option<Toplevel> {
        let link = Layout::host().roots().join("boot-proven");
        Toplevel::try_from(self.files.read_link(&link).ok()?).ok()
    }

    /// `switch-to-configuration test`, or the first half of it.
    fn test(&mut self, toplevel: &Toplevel, half: bool) -> SwitchEnd {
        if name_of(toplevel) == NEW {
            return self.test_new(toplevel, half);
        }
        if self.back_failures > 0 && name_of(toplevel) == OLD {
            self.back_failures = self.back_failures.saturating_sub(1);
            return SwitchEnd::Exited(2);
        }
        if !half {
            self.current = toplevel.clone();
            self.units.failed.retain(|unit| unit != "nginx.service");
        }
        SwitchEnd::Exited(0)
    }

    fn test_new(&mut self, toplevel: &Toplevel, half: bool) -> SwitchEnd {
        if self.timers.is_empty() {
            self.breaks("a watchdog is armed before the activation");
        }
        self.activated = true;
        let end = match self.story {
            Story::Busy => return SwitchEnd::Exited(11),
            Story::NeedsReboot => return SwitchEnd::Exited(100),
            Story::FailsAtOnce => return SwitchEnd::Exited(1),
            Story::DoesNotRun => return SwitchEnd::Exited(0),
            Story::FailsHalfWay => SwitchEnd::Exited(2),
            Story::ActivationHangs => SwitchEnd::TimedOut { waits_for: vec![] },
            Story::BreaksUnit => SwitchEnd::Exited(4),
            _ => SwitchEnd::Exited(0),
        };
        self.units.active.clear();
        self.lost |= matches!(self.story, Story::LosesRoute | Story::LosesRouteForLong);
        if self.story == Story::BreaksUnit {
            self.units.failed.push("nginx.service".to_owned());
        }
        if !half {
            self.current = toplevel.clone();
        }
        end
    }

    /// `switch-to-configuration boot`. Like systemd-boot's builder it knows only the systems that the
    /// profile has, and says nothing of another.
    fn install(&mut self, toplevel: &Toplevel, half: bool) -> SwitchEnd {
        let new = name_of(toplevel) == NEW;
        if new && self.story == Story::ProfileTaken {
            let dir = Layout::host().profiles();
            let (link, new) = (dir.join("system"), dir.join("system.other"));
            if self.files.exists(&dir.join("system-3-link"))
                && self.files.symlink(Path::new("system-3-link"), &new).is_ok()
            {
                let _ = self.files.rename(&new, &link);
                self.files.sync_dir(&dir);
            }
        }
        if new && self.boot_failures > 0 {
            self.boot_failures = self.boot_failures.saturating_sub(1);
            return SwitchEnd::Exited(1);
        }
        if !new && self.boot_back_failures > 0 {
            self.boot_back_failures -= 1;
            return SwitchEnd::Exited(1);
        }
        if half || (new && self.story == Story::BootLies) || !self.has_generation(toplevel) {
            return SwitchEnd::Exited(0);
        }
        if let Some(proven) = self.boot_proven()
            && !self.has_generation(&proven)
        {
            self.breaks("what proved that it boots is in the boot menu");
        }
        self.loader.seen = toplevel.clone();
        if self.builder_syncs {
            self.loader.durable = toplevel.clone();
        }
        if new && self.story == Story::BootFailsLate {
            SwitchEnd::Exited(1)
        } else {
            SwitchEnd::Exited(0)
        }
    }

    /// Runs `switch-to-configuration`, or the first half of it.
    pub(super) fn run(&mut self, switch: &Switch, half: bool) -> SwitchEnd {
        self.now += 3;
        if !self.is_whole(&switch.toplevel) {
            self.breaks("what is activated is whole");
        }
        match switch.action {
            Action::Check => SwitchEnd::Exited(0),
            Action::Test => self.test(&switch.toplevel, half),
            Action::Boot => self.install(&switch.toplevel, half),
        }
    }

    /// What `sync` promises.
    pub(super) fn sync_all_of_it(&mut self) {
        self.files.sync_below(Path::new("/nix"));
        self.loader.durable = self.loader.seen.clone();
        for stored in self.store.values_mut() {
            stored.synced = true;
        }
    }

    /// What the checks say.
    pub(super) fn judge(&mut self, deployment: &Deployment, limit: u64) -> TrialEnd {
        self.now += 5;
        if deployment.boot_trial {
            return self.judge_boot(deployment, limit);
        }
        // `nixus verify` reads in the journal what is on trial.
        if self.recorded != Some(PhaseName::OnTrial) {
            return inconclusive();
        }
        let new = name_of(&deployment.request.candidate) == NEW;
        let verdict = match self.story {
            Story::ChecksFail
            | Story::LosesRoute
            | Story::LosesRouteForLong
            | Story::BackFailsOnce
            | Story::BackFails
                if new =>
            {
                CheckOutcome::Fail
            }
            Story::NobodyConfirms if new => {
                self.now += limit;
                return TrialEnd::NotVerified(Cause::NotConfirmed { seconds: limit }, None);
            }
            _ => CheckOutcome::Pass,
        };
        let checks = vec![CheckResult::new("repository", verdict, "as the story says")];
        let evidence = Evidence {
            version: newest_version(),
            deployment: deployment.request.deployment.clone(),
            boot: self.boot_id(),
            toplevel: deployment.request.candidate.clone(),
            verdict,
            checks: checks.clone(),
        };
        if verdict == CheckOutcome::Pass {
            self.proved |= new;
            TrialEnd::Verified(evidence)
        } else {
            TrialEnd::NotVerified(Cause::VerificationFailed { checks }, Some(evidence))
        }
    }

    /// Whether the candidate has a network, where it was booted.
    fn has_way(&self) -> bool {
        self.card() == (true, true) && !self.lacks_route()
    }

    /// Whether the machine's card is there, and whether it has a carrier.
    pub(super) fn card(&self) -> (bool, bool) {
        if name_of(&self.booted) != NEW {
            return (true, true);
        }
        match self.story {
            Story::BootLacksCard => (false, false),
            Story::BootStaysDark => (true, false),
            Story::BootIsDark => (true, self.now > LIGHT),
            _ => (true, true),
        }
    }

    /// Whether there is no route, for a reason of its own.
    pub(super) fn lacks_route(&self) -> bool {
        name_of(&self.booted) == NEW && self.story == Story::BootHasNoRoute
    }

    /// What the checks say after a boot.
    fn judge_boot(&mut self, deployment: &Deployment, limit: u64) -> TrialEnd {
        if self.recorded != Some(PhaseName::BootTrial) {
            return inconclusive();
        }
        let late = self.boot_trials > 0;
        self.boot_trials += 1;
        let verdict = match self.story {
            Story::ChecksFailAtBoot | Story::BootReturnFailsOnce | Story::BootReturnFails => {
                CheckOutcome::Fail
            }
            _ if !self.has_way() => CheckOutcome::Fail,
            Story::BootTellsNothing if late => self
                .rng
                .pick(&[
                    CheckOutcome::Pass,
                    CheckOutcome::Fail,
                    CheckOutcome::Unknown,
                ])
                .unwrap_or(CheckOutcome::Unknown),
            Story::BootTellsNothing => CheckOutcome::Unknown,
            Story::BootIsMute => {
                self.now += limit;
                return TrialEnd::NotVerified(Cause::NotConfirmed { seconds: limit }, None);
            }
            Story::BootPanics => {
                self.dead = Some(Death::Power);
                return inconclusive();
            }
            _ => CheckOutcome::Pass,
        };
        self.scar(&(verdict as u8));
        let checks = vec![CheckResult::new("repository", verdict, "as the story says")];
        let evidence = Evidence {
            version: newest_version(),
            deployment: deployment.request.deployment.clone(),
            boot: self.boot_id(),
            toplevel: deployment.request.candidate.clone(),
            verdict,
            checks: checks.clone(),
        };
        match verdict {
            CheckOutcome::Pass => {
                self.proved_at_boot |= self.booted == deployment.request.candidate;
                TrialEnd::Verified(evidence)
            }
            CheckOutcome::Fail => {
                TrialEnd::NotVerified(Cause::VerificationFailed { checks }, Some(evidence))
            }
            CheckOutcome::Unknown => {
                TrialEnd::NotVerified(Cause::VerificationInconclusive { checks }, Some(evidence))
            }
        }
    }

    /// Somebody collects garbage, sometimes: of what no root keeps nothing is left.
    pub(super) fn collect_garbage_by_chance(&mut self) {
        if !self.rng.chance(1, 6) {
            return;
        }
        let old_generations = self.rng.chance(1, 2);
        self.scar(&("garbage", old_generations));
        self.tell(|| format!("garbage is collected, old generations too: {old_generations}"));
        let layout = Layout::host();
        let profiles = layout.profiles();
        // What others change comes after what they saw, on every file system with a journal.
        self.files.sync_dir(&profiles);
        let current = self.files.read_link(&profiles.join("system"));
        let mut kept = vec![
            self.current.path().to_owned(),
            self.booted.path().to_owned(),
        ];
        for name in self.files.list(&profiles).unwrap_or_default() {
            let link = profiles.join(&name);
            let is_current = current
                .as_ref()
                .is_ok_and(|current| current == Path::new(&name));
            if old_generations && !is_current && name != "system" && name.ends_with("-link") {
                let _ = self.files.remove(&link);
            } else {
                kept.extend(self.files.read_link(&link));
            }
        }
        let menu = profiles.join("system-profiles");
        if self.tooth != Some(Tooth::RootBootProven)
            && let Ok(name) = self.files.read_link(&menu.join(boot_proven::PROFILE))
        {
            kept.extend(self.files.read_link(&menu.join(name)));
        }
        for name in self.files.list(&layout.roots()).unwrap_or_default() {
            let taken_out = match self.tooth {
                Some(Tooth::RootCandidate) => name == "candidate",
                Some(Tooth::RootOld) => name == "old" || name == "persistent",
                Some(Tooth::RootSwitcher) => name == "switcher",
                Some(Tooth::RootBootProven) => name == "boot-proven",
                _ => false,
            };
            if !taken_out {
                kept.extend(self.files.read_link(&layout.roots().join(name)));
            }
        }
        // What is to be deployed next is built after this; the older one is nobody's concern.
        for (name, stored) in &mut self.store {
            let path = store_path(name);
            if name != NEXT && name != RESCUE && !kept.contains(&path) {
                stored.whole = false;
            }
        }
    }
}

/// The end of a trial that was inconclusive.
pub(super) fn inconclusive() -> TrialEnd {
    TrialEnd::NotVerified(Cause::VerificationInconclusive { checks: Vec::new() }, None)
}
