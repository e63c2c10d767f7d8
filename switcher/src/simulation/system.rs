//! The machine as a system.

use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::fault::{Kind, Story};
use super::host::inconclusive;
use super::machine::{Machine, NEW, OLD, SWITCHER, Timer, healthy_network, name_of, store_path};
use super::teeth::Tooth;
use crate::decide::phase::{Phase, PhaseName};
use crate::decide::transaction::Event;
use crate::machine::network::Paths;
use crate::machine::system::Stopped;
use crate::machine::system::{
    Action, BootDefault, Switch, SwitchEnd, System, SystemError, TrialEnd, Units,
};
use crate::protocol::{BootId, Cause, DeploymentId, Toplevel};
use crate::simulation::kinds::kind;
use crate::state::journal::{Deployment, Watch};
use crate::state::network::Network;

fn failed(what: &'static str) -> impl FnOnce(io::Error) -> SystemError {
    move |error| SystemError::Command {
        what: what.to_owned(),
        how: error.to_string(),
    }
}

impl System for Machine {
    fn boottime(&self) -> u64 {
        self.see().now
    }

    fn wallclock(&self) -> u64 {
        1_800_000_000
    }

    fn boot_id(&self) -> Result<BootId, SystemError> {
        Ok(self.see().boot_id())
    }

    fn current(&self) -> Result<Toplevel, SystemError> {
        Ok(self.see().current.clone())
    }

    fn booted(&self) -> Result<Toplevel, SystemError> {
        Ok(self.see().booted.clone())
    }

    fn refusal(&self, candidate: &Toplevel, _: &Toplevel) -> Option<Cause> {
        {
            let mut inner = self.get();
            inner.begun |= inner.dead.is_none();
        }
        let inner = self.see();
        if inner.story == Story::Refused && name_of(candidate) == NEW {
            return Some(Cause::NoVerification);
        }
        (!inner.is_whole(candidate)).then(|| Cause::NotAToplevel {
            missing: vec!["init".to_owned()],
        })
    }

    fn own_path(&self) -> Option<PathBuf> {
        Some(store_path(SWITCHER))
    }

    fn units(&self) -> Result<Units, SystemError> {
        self.at("read the units", |inner| Ok(inner.units.clone()))
            .map_err(failed("systemctl"))
    }

    fn inhibitors(&self, _: &Toplevel, _: &Toplevel) -> Vec<String> {
        Vec::new()
    }

    fn stopped(&self, _: &Toplevel, _: &[String]) -> Result<Vec<Stopped>, SystemError> {
        Ok(Vec::new())
    }

    fn activation_failed(&self, _: &Toplevel) -> bool {
        false
    }

    fn said(&self) -> String {
        String::new()
    }

    fn network(&self, _: &Toplevel, _: &[IpAddr]) -> Result<Network, SystemError> {
        self.at("read the network", |inner| {
            let mut network = healthy_network();
            if inner.lost && inner.tooth != Some(Tooth::Network) {
                network.routes.clear();
            }
            Ok(network)
        })
        .map_err(failed("netlink"))
    }

    fn paths(&self, to: &[IpAddr]) -> Result<Paths, SystemError> {
        self.at("read the interfaces", |inner| {
            let (is_there, mut has_carrier) = inner.card();
            has_carrier |= inner.tooth == Some(Tooth::Carrier) && inner.phase == PhaseName::Booted;
            let is_open = has_carrier && !inner.lacks_route();
            let to = if is_open { to } else { &[] };
            Ok(Paths::of_one_card(is_there, has_carrier, to))
        })
        .map_err(failed("netlink"))
    }

    fn sync(&self) -> Result<(), SystemError> {
        let (point, tooth) = match self.see().phase {
            PhaseName::Staged => ("sync before the activation", Tooth::SyncBeforeActivation),
            PhaseName::Committing => ("sync before confirmed", Tooth::SyncBeforeConfirmed),
            _ => ("sync during a rollback", Tooth::SyncOnTheWayBack),
        };
        self.at(point, |inner| {
            if inner.tooth != Some(tooth) {
                inner.sync_all_of_it();
            }
            Ok(())
        })
        .map_err(failed("sync"))
    }

    fn arm(&mut self, _: &DeploymentId, watch: &Watch) -> Result<(), SystemError> {
        let armed = self.at("arm a watchdog", |inner| {
            inner.now += 1;
            if inner.tooth == Some(Tooth::Watchdog(watch.phase)) {
                return Ok(());
            }
            let timer = Timer {
                phase: watch.phase,
                deadline: watch.deadline,
            };
            if inner.timers.contains_key(&watch.unit) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            inner.timers.insert(watch.unit.clone(), timer);
            Ok(())
        });
        let mut inner = self.get();
        if armed.is_err() && inner.dead.is_none() && inner.rng.chance(1, 2) {
            // It seemed to be armed, and is gone a moment later.
            inner.timers.remove(&watch.unit);
            return Ok(());
        }
        // Nothing but its root keeps the candidate now.
        if armed.is_ok() && watch.phase == PhaseName::Activating {
            inner.collect_garbage_by_chance();
        }
        armed.map_err(failed("systemd-run"))
    }

    fn is_armed(&self, unit: &str) -> bool {
        let inner = self.see();
        match inner.tooth {
            Some(Tooth::SeeWatchdog | Tooth::Watchdog(_)) => true,
            _ => inner.timers.contains_key(unit),
        }
    }

    fn mark_going_back(&mut self, _: &DeploymentId) {
        let mut inner = self.get();
        if inner.dead.is_none() {
            inner.going_back = inner.tooth != Some(Tooth::NoteOfTheWayBack);
        }
    }

    fn is_going_back(&self, _: &DeploymentId) -> bool {
        self.see().going_back
    }

    fn disarm(&mut self, unit: &str) {
        let _ = self.at("drop a watchdog", |inner| {
            match unit.strip_suffix('*') {
                Some(start) => inner.timers.retain(|timer, _| !timer.starts_with(start)),
                None => drop(inner.timers.remove(unit)),
            }
            Ok(())
        });
    }

    fn switch(&mut self, switch: &Switch) -> SwitchEnd {
        let new = name_of(&switch.toplevel) == NEW;
        let point = match (new, switch.action) {
            (true, Action::Test) => "activate the candidate",
            (true, Action::Boot) => "install the candidate's boot loader",
            (false, Action::Test) => "activate the old system",
            (false, Action::Boot) => "install the old boot loader",
            // It changes nothing.
            (_, Action::Check) => return SwitchEnd::Exited(0),
        };
        let mut inner = self.get();
        let end = match inner.begin(point) {
            None => inner.run(switch, false),
            Some(Kind::PowerBefore | Kind::KillBefore) => return gone(),
            Some(Kind::PowerAfter | Kind::KillAfter | Kind::Hangs) => {
                let half = inner.rng.chance(1, 2);
                inner.scar(&half);
                inner.run(switch, half);
                return gone();
            }
            Some(Kind::Fails | Kind::Full) => {
                let half = inner.rng.chance(1, 2);
                inner.scar(&half);
                inner.run(switch, half);
                SwitchEnd::Exited(1)
            }
        };
        inner.release();
        end
    }

    fn hold_switching(&mut self, hold: bool) -> Result<(), SystemError> {
        if hold {
            self.at("hold the lock of switching", |_| Ok(()))
                .map_err(failed("flock"))
        } else {
            Ok(())
        }
    }

    fn trial(&mut self, deployment: &Deployment) -> TrialEnd {
        let limit = deployment.watch.as_ref().map_or(0, |watch| watch.limit);
        let mut inner = self.get();
        let end = match inner.begin("the trial") {
            None => {
                inner.collect_garbage_by_chance();
                inner.judge(deployment, limit)
            }
            Some(Kind::Fails | Kind::Full) => inconclusive(),
            Some(_) => return inconclusive(),
        };
        inner.release();
        end
    }

    fn await_units(&mut self, deployment: &DeploymentId) -> Result<(), SystemError> {
        self.at("await the units", |inner| {
            inner.awaits_units = Some(deployment.clone());
            Ok(())
        })
        .map_err(failed("systemd-run"))
    }

    fn start(&mut self, units: &[String]) -> Result<(), SystemError> {
        self.at("start units", |inner| {
            inner.units.active.extend_from_slice(units);
            Ok(())
        })
        .map_err(failed("systemctl"))
    }

    fn boot_default(&self) -> BootDefault {
        let committing = self.see().phase == PhaseName::Committing;
        let read = self.at("read the boot default", |inner| {
            if inner.tooth == Some(Tooth::ReadBootDefault) {
                let name = if committing { inner.candidate } else { OLD };
                return Ok(Toplevel::try_from(store_path(name)).ok());
            }
            Ok(Some(inner.loader.seen.clone()))
        });
        match read {
            Ok(Some(toplevel)) => BootDefault::System(toplevel),
            Ok(None) => BootDefault::Unknown("it is not known".to_owned()),
            Err(error) => BootDefault::Broken(error.to_string()),
        }
    }

    fn reboot(&mut self) -> Result<(), SystemError> {
        self.at("reboot", |inner| {
            inner.going_down = true;
            inner.reboots += 1;
            Ok(())
        })
        .map_err(failed("systemctl"))
    }

    fn pause(&mut self, time: Duration) {
        self.get().now += time.as_secs();
    }

    fn ended(&mut self) {}

    fn decided(&mut self, phase: &Phase, event: &Event) {
        let mut inner = self.get();
        if inner.dead.is_none() {
            inner.pairs.insert((phase.name(), kind(event)));
            inner.tell(|| format!("  {}: {}", phase.name(), kind(event)));
        }
    }

    fn entered(&mut self, phase: PhaseName) {
        self.get().phase = phase;
    }

    fn say(&self, line: &str) {
        let mut inner = self.get();
        if inner.dead.is_none() {
            inner.tell(|| format!("    {line}"));
        }
    }
}

fn gone() -> SwitchEnd {
    SwitchEnd::NotRun("nobody is there any more".to_owned())
}
