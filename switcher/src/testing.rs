//! A machine that exists only in memory: its disk, its boot loader, its systemd. It fails or crashes
//! at any step that the test names.

use std::cell::{Ref, RefCell, RefMut};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use crate::decide::phase::PhaseName;
use crate::machine::network::Paths;
use crate::machine::system::Stopped;
use crate::machine::system::{
    Action, BootDefault, Switch, SwitchEnd, System, SystemError, TrialEnd, Units,
};
use crate::protocol::{
    BootId, Cause, CheckOutcome, CheckResult, Commit, DeploymentId, Evidence, FailedUnits, Policy,
    Request, Toplevel, newest_version,
};
use crate::state::disk::{Disk, Held};
use crate::state::journal::{self, Deployment, Watch};
use crate::state::layout::Layout;
use crate::state::network::Network;

pub fn toplevel(name: &str) -> Toplevel {
    PathBuf::from(format!(
        "/nix/store/{}-{name}",
        "0123456789abcdfghijklmnpqrsvwxyz"
    ))
    .try_into()
    .unwrap()
}

pub fn request() -> Request {
    Request {
        version: newest_version(),
        deployment: "d-1".parse().unwrap(),
        candidate: toplevel("new"),
        commit: Commit {
            id: "3f2c1a0".to_owned(),
            subject: "open port 8080".to_owned(),
        },
        policy: Policy {
            activation_seconds: 300,
            trial_seconds: 120,
            commit_seconds: 100,
            failed_units: FailedUnits::Revert,
            carrier_seconds: 60,
        },
        before: None,
    }
}

pub fn evidence(verdict: CheckOutcome, boot: &BootId) -> Evidence {
    Evidence {
        version: newest_version(),
        deployment: "d-1".parse().unwrap(),
        boot: boot.clone(),
        toplevel: toplevel("new"),
        verdict,
        checks: vec![CheckResult::new("repository", verdict, "as the test says")],
    }
}

pub fn healthy_network() -> Network {
    Network {
        addresses: vec!["10.0.0.7/24".to_owned()],
        routes: vec!["default via 10.0.0.1".to_owned()],
        ways: Vec::new(),
        ssh: vec!["00000000:0016".to_owned()],
    }
}

/// What goes wrong at one step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Fail,
    CrashBefore,
    CrashAfter,
}

/// Thrown through the switcher by a crash.
#[derive(Debug)]
pub struct Crash;

#[derive(Debug, Clone)]
enum Node {
    File(Vec<u8>),
    Link(PathBuf),
}

/// How the candidate and its surroundings behave.
#[derive(Debug, Clone)]
pub struct Script {
    pub refusal: Option<Cause>,
    pub activation: SwitchEnd,
    /// The candidate's activation gets as far as this.
    pub activates: bool,
    pub breaks_units: bool,
    pub verdict: Option<CheckOutcome>,
    pub boot: SwitchEnd,
    /// Every activation of the old system ends so.
    pub back: SwitchEnd,
    pub loader_known: bool,
    pub inhibitors: Vec<String>,
    pub checks: SwitchEnd,
    /// What each run prints.
    pub said: &'static str,
    /// What ran before, and does not once the candidate runs.
    pub stopped: Vec<Stopped>,
    /// The old system's activation had failed.
    pub activation_failed_before: bool,
    /// Units that fail by themselves whenever they are started.
    pub weak: Vec<String>,
}

impl Default for Script {
    fn default() -> Self {
        Self {
            refusal: None,
            activation: SwitchEnd::Exited(0),
            activates: true,
            breaks_units: false,
            verdict: Some(CheckOutcome::Pass),
            boot: SwitchEnd::Exited(0),
            back: SwitchEnd::Exited(0),
            loader_known: true,
            inhibitors: Vec::new(),
            checks: SwitchEnd::Exited(0),
            said: "",
            stopped: Vec::new(),
            activation_failed_before: false,
            weak: Vec::new(),
        }
    }
}

/// Somebody else who switches the machine.
#[derive(Debug, Clone)]
pub struct Somebody {
    /// At which time that the switcher wants to do so, counted from 1.
    pub at: u32,
    /// For how long.
    pub seconds: u64,
    /// To what, if to anything else.
    pub to: Option<Toplevel>,
}

#[derive(Debug)]
pub struct Inner {
    files: BTreeMap<PathBuf, Node>,
    pub steps: usize,
    pub fault: Option<(usize, Fault)>,
    pub script: Script,
    pub current: Toplevel,
    pub booted: Toplevel,
    pub loader: Toplevel,
    pub boots: u64,
    pub now: u64,
    pub timers: BTreeSet<String>,
    pub units: Units,
    pub network: Network,
    pub proved: bool,
    pub going_back: bool,
    pub somebody: Option<Somebody>,
    wanted: u32,
    busy_until: u64,
    pub reboots: u32,
    pub ends: u32,
    pub effects: Vec<String>,
    pub lines: Vec<String>,
}

/// The machine. Clones are the same machine.
#[derive(Debug, Clone)]
pub struct Machine(Rc<RefCell<Inner>>);

impl Machine {
    /// A machine that runs generation 7, with an older one beside it.
    pub fn new(script: Script) -> Self {
        let machine = Self(Rc::new(RefCell::new(Inner {
            files: BTreeMap::new(),
            steps: 0,
            fault: None,
            script,
            current: toplevel("old"),
            booted: toplevel("old"),
            loader: toplevel("old"),
            boots: 1,
            now: 1000,
            timers: BTreeSet::new(),
            units: Units {
                active: vec!["sshd.service".to_owned()],
                failed: vec!["weak.service".to_owned()],
            },
            network: healthy_network(),
            proved: false,
            going_back: false,
            somebody: None,
            wanted: 0,
            busy_until: 0,
            reboots: 0,
            ends: 0,
            effects: Vec::new(),
            lines: Vec::new(),
        })));
        for (link, target) in [
            ("system-3-link", toplevel("older").path().to_owned()),
            ("system-7-link", toplevel("old").path().to_owned()),
            ("system", PathBuf::from("system-7-link")),
        ] {
            let path = layout().profiles().join(link);
            machine.get().files.insert(path, Node::Link(target));
        }
        machine
    }

    pub fn get(&self) -> RefMut<'_, Inner> {
        self.0.borrow_mut()
    }

    pub fn see(&self) -> Ref<'_, Inner> {
        self.0.borrow()
    }

    pub fn boot_id(&self) -> BootId {
        BootId(format!("boot-{}", self.see().boots))
    }

    /// Does something with the machine until it ends or crashes.
    pub fn until_crash<T>(&self, work: impl FnOnce(&mut Self) -> T) -> Result<T, Crash> {
        let mut machine = self.clone();
        catch_unwind(AssertUnwindSafe(|| work(&mut machine))).map_err(|thrown| {
            match thrown.downcast::<Crash>() {
                Ok(crash) => *crash,
                Err(other) => resume_unwind(other),
            }
        })
    }

    /// Starts again with what its boot loader starts.
    pub fn power_cycle(&self) {
        let mut inner = self.get();
        inner.current = inner.loader.clone();
        inner.booted = inner.loader.clone();
        inner.boots += 1;
        inner.now = 10;
        inner.timers.clear();
        inner.going_back = false;
        inner.units.active = vec!["sshd.service".to_owned()];
        inner.units.failed = vec!["weak.service".to_owned()];
    }

    /// Whether somebody else switches the machine now, who may have begun just before.
    fn is_busy(&self) -> bool {
        let mut inner = self.get();
        inner.wanted += 1;
        let Some(somebody) = inner.somebody.clone() else {
            return false;
        };
        if somebody.at == inner.wanted {
            inner.busy_until = inner.now + somebody.seconds;
        }
        inner.now < inner.busy_until
    }

    /// One step: what the test wants to go wrong here goes wrong.
    fn step<T>(&self, what: &str, work: impl FnOnce(&mut Inner) -> T) -> Result<T, String> {
        let mut inner = self.get();
        inner.steps += 1;
        let fault = inner
            .fault
            .filter(|(step, _)| *step == inner.steps)
            .map(|(_, fault)| fault);
        match fault {
            Some(Fault::Fail) => Err(format!("{what} fails as the test wants")),
            Some(Fault::CrashBefore) => resume_unwind(Box::new(Crash)),
            Some(Fault::CrashAfter) => {
                work(&mut inner);
                resume_unwind(Box::new(Crash))
            }
            None => Ok(work(&mut inner)),
        }
    }

    fn disk_step<T>(
        &self,
        what: &str,
        work: impl FnOnce(&mut Inner) -> io::Result<T>,
    ) -> io::Result<T> {
        self.step(what, work).map_err(io::Error::other)?
    }

    fn system_step<T>(
        &self,
        what: &str,
        work: impl FnOnce(&mut Inner) -> T,
    ) -> Result<T, SystemError> {
        self.step(what, work).map_err(|how| SystemError::Command {
            what: what.to_owned(),
            how,
        })
    }

    /// What is durable, without a step.
    pub fn journal(&self) -> journal::Record {
        let quiet = self.quiet();
        journal::read(&quiet, &layout()).unwrap()
    }

    /// The same disk, where nothing goes wrong.
    pub fn quiet(&self) -> Self {
        let inner = self.see();
        let copy = Self::new(inner.script.clone());
        copy.get().files = inner.files.clone();
        copy
    }

    pub fn corrupt(&self, path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
        match self.get().files.get_mut(path) {
            Some(Node::File(bytes)) => change(bytes),
            other => panic!("{other:?} is not a file"),
        }
    }
}

pub fn layout() -> Layout {
    Layout::host()
}

fn not_found<T>() -> io::Result<T> {
    Err(ErrorKind::NotFound.into())
}

impl Disk for Machine {
    fn write_synced(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.disk_step("write", |inner| {
            inner
                .files
                .insert(path.to_owned(), Node::File(bytes.to_vec()));
            Ok(())
        })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.disk_step("rename", |inner| match inner.files.remove(from) {
            Some(node) => {
                inner.files.insert(to.to_owned(), node);
                Ok(())
            }
            None => not_found(),
        })
    }

    fn sync_dir(&self, _: &Path) -> io::Result<()> {
        self.disk_step("sync_dir", |_| Ok(()))
    }

    fn symlink(&self, target: &Path, path: &Path) -> io::Result<()> {
        self.disk_step("symlink", |inner| {
            if inner.files.contains_key(path) {
                return Err(ErrorKind::AlreadyExists.into());
            }
            inner
                .files
                .insert(path.to_owned(), Node::Link(target.to_owned()));
            Ok(())
        })
    }

    fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        match self.see().files.get(path) {
            Some(Node::Link(target)) => Ok(target.clone()),
            _ => not_found(),
        }
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.disk_step("remove", |inner| match inner.files.remove(path) {
            Some(_) => Ok(()),
            None => not_found(),
        })
    }

    fn read(&self, path: &Path, _: u64) -> io::Result<Vec<u8>> {
        match self.see().files.get(path) {
            Some(Node::File(bytes)) => Ok(bytes.clone()),
            _ => not_found(),
        }
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        Ok(self
            .see()
            .files
            .keys()
            .filter(|path| path.parent() == Some(dir))
            .map(|path| path.file_name().unwrap().to_str().unwrap().to_owned())
            .collect())
    }

    fn create_dir_all(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, _: &Path, _: Duration) -> io::Result<Held> {
        Ok(Held(None))
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
        Ok(Machine::boot_id(self))
    }

    fn current(&self) -> Result<Toplevel, SystemError> {
        Ok(self.see().current.clone())
    }

    fn booted(&self) -> Result<Toplevel, SystemError> {
        Ok(self.see().booted.clone())
    }

    fn refusal(&self, _: &Toplevel, _: &Toplevel) -> Option<Cause> {
        self.see().script.refusal.clone()
    }

    fn own_path(&self) -> Option<PathBuf> {
        Some(toplevel("nixus").path().to_owned())
    }

    fn units(&self) -> Result<Units, SystemError> {
        self.system_step("units", |inner| inner.units.clone())
    }

    fn inhibitors(&self, _: &Toplevel, _: &Toplevel) -> Vec<String> {
        self.see().script.inhibitors.clone()
    }

    fn stopped(&self, _: &Toplevel, _: &[String]) -> Result<Vec<Stopped>, SystemError> {
        Ok(self.see().script.stopped.clone())
    }

    fn activation_failed(&self, _: &Toplevel) -> bool {
        self.see().script.activation_failed_before
    }

    fn said(&self) -> String {
        self.see().script.said.to_owned()
    }

    fn network(&self, _: &Toplevel, _: &[IpAddr]) -> Result<Network, SystemError> {
        self.system_step("network", |inner| inner.network.clone())
    }

    fn paths(&self, to: &[IpAddr]) -> Result<Paths, SystemError> {
        self.system_step("paths", |_| Paths::of_one_card(true, true, to))
    }

    fn sync(&self) -> Result<(), SystemError> {
        self.system_step("sync", |_| ())
    }

    fn arm(&mut self, _: &DeploymentId, watch: &Watch) -> Result<(), SystemError> {
        self.system_step("arm", |inner| {
            assert!(inner.timers.insert(watch.unit.clone()), "armed twice");
            inner.now += 1;
        })
    }

    fn is_armed(&self, unit: &str) -> bool {
        self.see().timers.contains(unit)
    }

    fn mark_going_back(&mut self, _: &DeploymentId) {
        self.get().going_back = true;
    }

    fn is_going_back(&self, _: &DeploymentId) -> bool {
        self.see().going_back
    }

    fn disarm(&mut self, unit: &str) {
        let _ = self.system_step("disarm", |inner| match unit.strip_suffix('*') {
            Some(start) => inner.timers.retain(|timer| !timer.starts_with(start)),
            None => drop(inner.timers.remove(unit)),
        });
    }

    fn switch(&mut self, switch: &Switch) -> SwitchEnd {
        // Its checks are over before anybody could begin.
        if switch.action != Action::Check && self.is_busy() {
            return SwitchEnd::Exited(11);
        }
        let phase = self.journal().phase.name();
        let new = switch.toplevel == toplevel("new");
        if new {
            let needed = match switch.action {
                Action::Check => PhaseName::Armed,
                Action::Test => PhaseName::Activating,
                Action::Boot => PhaseName::Committing,
            };
            assert_eq!(phase, needed, "the phase is durable before its effect");
            assert!(!self.see().timers.is_empty() || self.see().boots > 1);
        }
        assert_eq!(switch.unchecked, !new, "only the rollback is unchecked");
        let in_profile = self.quiet().see().files.iter().any(|(path, node)| {
            path.starts_with(layout().profiles())
                && matches!(node, Node::Link(target) if target == switch.toplevel.path())
        });
        let done = self.step("switch", |inner| {
            inner
                .effects
                .push(format!("{} {}", switch.toplevel, switch.action.as_str()));
            inner.now += 3;
            match (new, switch.action) {
                (_, Action::Check) => inner.script.checks.clone(),
                (true, Action::Test) => {
                    if inner.script.activates {
                        inner.current = switch.toplevel.clone();
                        inner.units.active.clear();
                        if inner.script.breaks_units {
                            inner.units.failed.push("nginx.service".to_owned());
                        }
                    }
                    inner.script.activation.clone()
                }
                (true, Action::Boot) => {
                    assert!(in_profile, "systemd-boot lists only the profile's systems");
                    if inner.script.boot == SwitchEnd::Exited(0) {
                        inner.loader = switch.toplevel.clone();
                    }
                    inner.script.boot.clone()
                }
                (false, Action::Test) => {
                    if inner.script.back == SwitchEnd::Exited(0)
                        || inner.script.activation_failed_before
                    {
                        inner.current = switch.toplevel.clone();
                        inner.units.failed.retain(|unit| unit != "nginx.service");
                    }
                    inner.script.back.clone()
                }
                (false, Action::Boot) => {
                    inner.loader = switch.toplevel.clone();
                    SwitchEnd::Exited(0)
                }
            }
        });
        done.unwrap_or_else(SwitchEnd::NotRun)
    }

    fn hold_switching(&mut self, hold: bool) -> Result<(), SystemError> {
        match hold && self.is_busy() {
            true => Err(SystemError::StillRunning {
                unit: "nixos-rebuild-switch-to-configuration.service".to_owned(),
            }),
            false => Ok(()),
        }
    }

    fn trial(&mut self, deployment: &Deployment) -> TrialEnd {
        let phase = self.journal().phase.name();
        let needed = match deployment.boot_trial {
            true => PhaseName::BootTrial,
            false => PhaseName::OnTrial,
        };
        assert_eq!(phase, needed);
        let limit = deployment.watch.as_ref().unwrap().limit;
        let boot = Machine::boot_id(self);
        let done = self.step("trial", |inner| {
            inner.effects.push("verify".to_owned());
            inner.now += 5;
            match inner.script.verdict {
                Some(CheckOutcome::Pass) => {
                    inner.proved = true;
                    TrialEnd::Verified(evidence(CheckOutcome::Pass, &boot))
                }
                Some(CheckOutcome::Fail) => {
                    let evidence = evidence(CheckOutcome::Fail, &boot);
                    let checks = evidence.checks.clone();
                    TrialEnd::NotVerified(Cause::VerificationFailed { checks }, Some(evidence))
                }
                Some(CheckOutcome::Unknown) | None => {
                    inner.now += limit;
                    TrialEnd::NotVerified(Cause::NotConfirmed { seconds: limit }, None)
                }
            }
        });
        done.unwrap_or(TrialEnd::NotVerified(Cause::NoVerification, None))
    }

    fn await_units(&mut self, _: &DeploymentId) -> Result<(), SystemError> {
        self.system_step("await_units", |inner| {
            inner.effects.push("await units".to_owned());
        })
    }

    fn start(&mut self, units: &[String]) -> Result<(), SystemError> {
        self.system_step("start", |inner| {
            inner.effects.push(format!("start {}", units.join(" ")));
            for unit in units {
                let weak = inner.script.weak.contains(unit);
                inner.units.failed.retain(|failed| failed != unit);
                match weak {
                    true => inner.units.failed.push(unit.clone()),
                    false => inner.units.active.push(unit.clone()),
                }
            }
        })
    }

    fn boot_default(&self) -> BootDefault {
        let known = self.see().script.loader_known;
        match self.step("boot_default", |inner| inner.loader.clone()) {
            Ok(toplevel) if known => BootDefault::System(toplevel),
            Ok(_) => BootDefault::Unknown("it is not known".to_owned()),
            Err(reason) => BootDefault::Broken(reason),
        }
    }

    fn reboot(&mut self) -> Result<(), SystemError> {
        self.system_step("reboot", |inner| inner.reboots += 1)
    }

    fn pause(&mut self, time: Duration) {
        let mut inner = self.get();
        inner.now += time.as_secs();
        if (1..=inner.now).contains(&inner.busy_until)
            && let Some(to) = inner.somebody.take().and_then(|somebody| somebody.to)
        {
            inner.current = to;
        }
    }

    fn ended(&mut self) {
        self.get().ends += 1;
    }

    fn say(&self, line: &str) {
        self.get().lines.push(line.to_owned());
    }
}
