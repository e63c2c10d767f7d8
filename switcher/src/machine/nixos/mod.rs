//! The machine, for real: a NixOS host under systemd.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sys::statvfs::statvfs;
use nix::time::{ClockId, clock_gettime};

use crate::decide::change::{Change, forbids_switch};
use crate::error_chain::chain;
use crate::machine::activation::mark;
use crate::machine::bootloader;
use crate::machine::network;
use crate::machine::network::Paths;
use crate::machine::parts;
use crate::machine::system::{
    Action, BUSY, BootDefault, Stopped, Switch, SwitchEnd, System, SystemError, TrialEnd, Units,
};
use crate::machine::systemd::{Systemd, UnitState};
use crate::machine::toplevel::{self, named_by};
use crate::machine::trial_door::{self, Door};
use crate::output::say;
use crate::protocol::{BootId, Cause, DeploymentId, Toplevel};
use crate::state::bounded::read_bounded;
use crate::state::disk::{Disk, Held, HostDisk};
use crate::state::journal::{Deployment, Watch};
use crate::state::layout::{Layout, VERIFY_UNIT};
use crate::state::lock_file;
use crate::state::network::Network;
use crate::waits::{self, Kind};

mod soundness;

/// The journal, the history, evidence and a log must fit.
const STATE_BYTES: u64 = 16 << 20;
/// systemd reloads no units with less than 16 MiB left in /run (src/core/dbus-manager.c,
/// `RELOAD_DISK_SPACE_MIN`), and requests, exit codes and files of the activation have to fit beside it.
const RUN_BYTES: u64 = (16 << 20) + (2 << 20);
/// What else the boot loader's installation writes.
const BOOT_BYTES: u64 = 1 << 20;
/// How often a verification that ends without a word is run in one trial.
const VERIFY_RUNS: u32 = 2;
const LOGS_KEPT: usize = 20;
const LOG_BYTES: u64 = 1 << 20;
const UNIT_POLL: Duration = Duration::from_millis(500);
const UNIT_POLL_LONGEST: Duration = Duration::from_secs(5);

/// A NixOS host.
#[derive(Debug)]
pub struct NixOs {
    layout: Layout,
    systemd: Systemd,
    exe: PathBuf,
    switching: Option<Held>,
    said: String,
}

impl NixOs {
    /// This host. `exe` is the switcher's own program, by its real path.
    ///
    /// # Errors
    /// A program of systemd is not to be found.
    pub fn new(layout: &Layout, exe: PathBuf) -> Result<Self, SystemError> {
        Ok(Self {
            layout: layout.clone(),
            systemd: Systemd::find(layout, exe.clone())?,
            exe,
            switching: None,
            said: String::new(),
        })
    }

    /// systemd on this host.
    pub fn systemd(&self) -> &Systemd {
        &self.systemd
    }

    /// Only where nobody runs an installer now.
    fn remove_leftovers(&mut self) {
        let leftovers = bootloader::leftovers(&self.layout);
        if leftovers.is_empty() || self.hold_switching(true).is_err() {
            return;
        }
        for path in leftovers {
            let path_is = path.display();
            match fs::remove_file(&path) {
                Ok(()) => self.say(&format!("{path_is} was left over: removed")),
                Err(error) => self.say(&format!("{path_is} was left over, and stays: {error}")),
            }
        }
        let _ = self.hold_switching(false);
    }

    fn named(&self, path: PathBuf) -> Result<Toplevel, SystemError> {
        named_by(&path).ok_or(SystemError::NoSystem { path })
    }

    fn lacks_space(&self, candidate: &Toplevel, old: &Toplevel) -> Option<String> {
        let boot = toplevel::boot_bytes(&self.layout, candidate, old);
        [
            (self.layout.state(), STATE_BYTES),
            // Without a word of how it ended, an activation would seem to hang.
            (self.layout.run(), RUN_BYTES),
            (self.layout.at("/nix/var"), STATE_BYTES),
            (self.layout.at("/boot"), boot + BOOT_BYTES),
        ]
        .into_iter()
        .find_map(|(path, needed)| {
            let stat = statvfs(&path).ok()?;
            let free = stat.blocks_available() as u64 * stat.fragment_size() as u64;
            (free < needed).then(|| {
                format!(
                    "{} has {free} bytes left, {needed} are needed",
                    path.display()
                )
            })
        })
    }

    /// The loaded unit must be the candidate's, or the old system would vouch for the new one.
    fn loaded_verify(&self, candidate: &Toplevel) -> Result<bool, SystemError> {
        let state = self.systemd.state(VERIFY_UNIT)?;
        let Some(ours) = self.layout.verify_unit(candidate) else {
            return Ok(false);
        };
        let read = |path: &Path| {
            read_bounded(path, 1 << 20).map_err(|source| SystemError::File {
                path: path.to_owned(),
                source,
            })
        };
        Ok(!state.fragment.is_empty() && read(Path::new(&state.fragment))? == read(&ours)?)
    }

    fn wait_for_evidence(&self, deployment: &Deployment, door: &Door) -> TrialEnd {
        let (deadline, limit) = deployment
            .watch
            .as_ref()
            .map_or((0, 0), |watch| (watch.deadline, watch.limit));
        let mut unknown = None;
        let begun = Instant::now();
        let mut looked = begun;
        let mut ended: Option<UnitState> = None;
        let mut runs = 1;
        loop {
            while let Some(judged) = door.answer(|message| trial_door::judge(deployment, message)) {
                if let Some(reason) = &judged.reply.reason {
                    self.say(&format!("evidence refused: {reason}"));
                }
                if let Some(end) = judged.end {
                    return end;
                }
                unknown = judged.unknown.or(unknown);
            }
            // What it said last was taken above, so its end is the last word.
            let in_time = self.boottime() < deadline;
            match ended.take() {
                Some(state) if unknown.is_none() && state.by_itself => {
                    // One that systemd did not answer in time is the real one, and deserves another run.
                    if runs == VERIFY_RUNS {
                        return trial_door::said_nothing(&state.how);
                    }
                    runs += 1;
                    if !in_time || self.systemd.restart(VERIFY_UNIT).is_err() {
                        return trial_door::without_verdict(None, Some(&state.how), limit);
                    }
                }
                Some(state) => {
                    return trial_door::without_verdict(unknown, Some(&state.how), limit);
                }
                None if !in_time => return trial_door::without_verdict(unknown, None, limit),
                None => {}
            }
            // A long trial is not to be filled with questions to systemd.
            let pause = (begun.elapsed() / 8).clamp(UNIT_POLL, UNIT_POLL_LONGEST);
            let left = deadline.saturating_sub(self.boottime()).max(1);
            door.wait(pause.min(Duration::from_secs(left)));
            if looked.elapsed() >= pause {
                looked = Instant::now();
                // systemd that does not answer now may answer later; the deadline decides.
                if let Ok(state) = self.systemd.state(VERIFY_UNIT)
                    && state.ended
                {
                    if let Some(what) = state.refused {
                        return trial_door::never_ran(what);
                    }
                    ended = Some(state);
                }
            }
        }
    }
}

impl System for NixOs {
    fn boottime(&self) -> u64 {
        // CLOCK_BOOTTIME is always there on Linux; 0 would only lengthen a wait that a timer ends.
        clock_gettime(ClockId::CLOCK_BOOTTIME)
            .map_or(0, |time| u64::try_from(time.tv_sec()).unwrap_or(0))
    }

    fn wallclock(&self) -> u64 {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |time| time.as_secs())
    }

    fn boot_id(&self) -> Result<BootId, SystemError> {
        let path = self.layout.at("/proc/sys/kernel/random/boot_id");
        read_bounded(&path, 64)
            .map(|bytes| BootId(String::from_utf8_lossy(&bytes).trim().to_owned()))
            .map_err(|source| SystemError::File { path, source })
    }

    fn current(&self) -> Result<Toplevel, SystemError> {
        self.named(self.layout.current_system())
    }

    fn booted(&self) -> Result<Toplevel, SystemError> {
        self.named(self.layout.booted_system())
    }

    fn refusal(&self, candidate: &Toplevel, old: &Toplevel) -> Option<Cause> {
        if let Some(cause) = self.unsound(candidate) {
            return Some(cause);
        }
        if !toplevel::can_switch(&self.layout, old) {
            return Some(Cause::NotReady {
                reason: format!("{old} has no bin/switch-to-configuration: no rollback"),
            });
        }
        self.lacks_space(candidate, old)
            .map(|reason| Cause::NotReady { reason })
    }

    fn own_path(&self) -> Option<PathBuf> {
        let name = self.exe.strip_prefix("/nix/store").ok()?.iter().next()?;
        Some(Path::new("/nix/store").join(name))
    }

    fn units(&self) -> Result<Units, SystemError> {
        self.systemd.units()
    }

    fn inhibitors(&self, from: &Toplevel, to: &Toplevel) -> Vec<String> {
        let parts = |system| parts::of(&self.layout, system);
        let changes = forbids_switch(&parts(from), &parts(to));
        changes.iter().map(Change::to_string).collect()
    }

    fn stopped(
        &self,
        candidate: &Toplevel,
        before: &[String],
    ) -> Result<Vec<Stopped>, SystemError> {
        let wanted = toplevel::wanted(&self.layout, candidate);
        self.systemd.stopped(before, &wanted)
    }

    fn activation_failed(&self, system: &Toplevel) -> bool {
        mark::failed(&self.layout, system) == Some(true)
    }

    fn network(&self, of: &Toplevel, to: &[IpAddr]) -> Result<Network, SystemError> {
        network::now(&self.layout, of, to).map_err(|source| SystemError::File {
            path: self.layout.at("/proc/net"),
            source,
        })
    }

    fn paths(&self, to: &[IpAddr]) -> Result<Paths, SystemError> {
        Paths::now(to).map_err(|source| SystemError::File {
            path: self.layout.at("/proc/net"),
            source,
        })
    }

    fn sync(&self) -> Result<(), SystemError> {
        for path in ["/nix/store", "/nix/var"]
            .into_iter()
            .chain(bootloader::PARTITIONS)
        {
            let path = self.layout.at(path);
            let _wait = waits::begin(Kind::Sync, || path.display().to_string());
            let synced = match File::open(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                Err(error) => Err(error),
                Ok(dir) => nix::unistd::syncfs(dir).map_err(io::Error::from),
            };
            synced.map_err(|source| SystemError::File { path, source })?;
        }
        Ok(())
    }

    fn arm(&mut self, deployment: &DeploymentId, watch: &Watch) -> Result<(), SystemError> {
        crate::machine::fault::around(format_args!("arm-{}", watch.phase), || {
            self.systemd.arm(deployment, watch)
        })
    }

    fn is_armed(&self, unit: &str) -> bool {
        self.systemd.is_armed(unit)
    }

    fn mark_going_back(&mut self, deployment: &DeploymentId) {
        if let Err(error) = fs::write(self.layout.going_back(deployment), "") {
            self.say(&format!("cannot note that the rollback has begun: {error}"));
        }
    }

    fn is_going_back(&self, deployment: &DeploymentId) -> bool {
        self.layout.going_back(deployment).exists()
    }

    fn disarm(&mut self, unit: &str) {
        self.systemd.disarm(unit);
    }

    fn switch(&mut self, switch: &Switch) -> SwitchEnd {
        if switch.unchecked {
            // A switcher that died left the candidate's verification behind.
            self.systemd.ask("stop", VERIFY_UNIT);
        }
        if switch.action == Action::Boot {
            self.remove_leftovers();
        }
        // `switch-to-configuration` makes its lock readable for everybody, who could then hold it.
        if let Err(error) = private(&self.layout.stc_lock()) {
            self.say(&format!("the lock cannot be made private: {error}"));
        }
        let (end, said) = self.systemd.switch(switch);
        if end == SwitchEnd::Exited(BUSY) {
            for holder in lock_file::holders(&self.layout.stc_lock()) {
                self.say(&format!("another switch is under way: {holder}"));
            }
        }
        if end != SwitchEnd::Exited(0) {
            for line in tail(&said, 20) {
                self.say(&format!("  {line}"));
            }
        }
        self.said = said;
        end
    }

    fn said(&self) -> String {
        self.said.clone()
    }

    fn hold_switching(&mut self, hold: bool) -> Result<(), SystemError> {
        if !hold {
            self.switching = None;
            return Ok(());
        }
        if self.switching.is_some() {
            return Ok(());
        }
        let path = self.layout.stc_lock();
        let taken = take(&path).map_err(|source| SystemError::File {
            path: path.clone(),
            source,
        })?;
        self.switching = Some(taken);
        Ok(())
    }

    fn trial(&mut self, deployment: &Deployment) -> TrialEnd {
        let broken = |cause| TrialEnd::NotVerified(cause, None);
        match self.loaded_verify(&deployment.request.candidate) {
            Ok(true) => {}
            Ok(false) => return broken(Cause::NoVerification),
            Err(error) => {
                return trial_door::without_verdict(None, Some(&error.to_string()), 0);
            }
        }
        let started = Door::open(&self.layout.socket())
            .map_err(|source| SystemError::File {
                path: self.layout.socket(),
                source,
            })
            .and_then(|door| self.systemd.restart(VERIFY_UNIT).map(|()| door));
        let end = match started {
            Ok(door) => self.wait_for_evidence(deployment, &door),
            Err(error) => trial_door::without_verdict(None, Some(&chain(&error)), 0),
        };
        if !trial_door::is_its_own_word(&end) {
            self.systemd.dismiss(VERIFY_UNIT);
        }
        end
    }

    fn await_units(&mut self, deployment: &DeploymentId) -> Result<(), SystemError> {
        self.systemd.await_units(deployment)
    }

    fn start(&mut self, units: &[String]) -> Result<(), SystemError> {
        self.systemd.start(units)
    }

    fn boot_default(&self) -> BootDefault {
        bootloader::default(&self.layout)
    }

    fn reboot(&mut self) -> Result<(), SystemError> {
        nix::unistd::sync();
        if self.systemd.reboot().is_ok() {
            thread::sleep(Duration::from_secs(180));
        }
        self.say("systemd does not reboot the machine, asking the kernel");
        nix::unistd::sync();
        match nix::sys::reboot::reboot(nix::sys::reboot::RebootMode::RB_AUTOBOOT) {
            Ok(never) => match never {},
            Err(error) => Err(SystemError::Command {
                what: "reboot".to_owned(),
                how: error.to_string(),
            }),
        }
    }

    fn pause(&mut self, time: Duration) {
        thread::sleep(time);
    }

    fn ended(&mut self) {
        prune(&self.layout.logs());
        // After a takeover, nobody else stops it.
        self.systemd.dismiss(VERIFY_UNIT);
        self.systemd.ask("start", "nixus-reconcile.service");
    }

    fn say(&self, line: &str) {
        say(line);
    }
}

/// Takes the lock of `switch-to-configuration`, if nobody else has it.
fn take(path: &Path) -> io::Result<Held> {
    private(path)?;
    HostDisk.lock(path, Duration::ZERO)
}

fn private(path: &Path) -> io::Result<()> {
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir)?;
    }
    lock_file::open(path).map(drop)
}

fn tail(text: &str, lines: usize) -> Vec<String> {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..]
        .iter()
        .map(|line| line.chars().take(500).collect())
        .collect()
}

/// Keeps the newest logs, and of each the first mebibyte.
fn prune(dir: &Path) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    let mut logs: Vec<_> = entries
        .flatten()
        .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
        .collect();
    logs.sort();
    let old = logs.len().saturating_sub(LOGS_KEPT);
    for (_, path) in &logs[..old] {
        let _ = fs::remove_file(path);
    }
    for (_, path) in &logs[old..] {
        if let Ok(file) = OpenOptions::new().write(true).open(path)
            && file.metadata().is_ok_and(|data| data.len() > LOG_BYTES)
        {
            let _ = file.set_len(LOG_BYTES);
        }
    }
}
