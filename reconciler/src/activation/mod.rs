//! The switcher, as the reconciler sees it: asked by a file and a transient unit, answered by its
//! journal and history.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nixus_switcher::Open;
use nixus_switcher::PhaseName;
use nixus_switcher::machine::bootloader;
use nixus_switcher::machine::system::{BootDefault, PinKind};
use nixus_switcher::protocol::{
    Before, Cause, Commit, DeploymentId, Outcome, Policy, Request, Toplevel, newest_version,
};
use nixus_switcher::state::disk::HostDisk;
use nixus_switcher::state::format;
use nixus_switcher::state::history::{self, HistoryError};
use nixus_switcher::state::holder;
use nixus_switcher::state::journal::{self, JournalError};
use nixus_switcher::state::layout::Layout;
use nixus_switcher::state::profile::{Profile, ProfileError};
use nixus_switcher::state::status::{self as switcher_state, UnprovenView};
use thiserror::Error;

use crate::activation::generation::Generation;
use crate::closure::BuiltClosure;
use crate::config::Switch;
use crate::host::files::{Paths, write_atomically};
use crate::host::process::{in_words, sibling};
use crate::host::systemd::{self, SystemdError};

pub mod generation;
pub mod hooks;

/// How long the switcher may take to note a request in its journal.
const TAKEN_UP: Duration = Duration::from_secs(30);
/// How often it is asked meanwhile whether it still runs.
const LOOK: Duration = Duration::from_secs(1);

/// How long nobody may hold the lock while one who worked on a deployment is followed by another.
const HANDED_ON: Duration = Duration::from_secs(2);
/// How long after its deadline a phase in which nobody works waits for its watchdog, in seconds.
const ABANDONED_AFTER: u64 = 30;

/// How often the first boot is judged in one boot, where the trials are inconclusive.
const BOOT_TRIALS: u32 = 3;
/// A profile's link leads over a generation's to the store.
const MAX_LINKS: u32 = 8;

/// Why the switcher could not be asked.
#[derive(Debug, Error)]
pub enum ActivationError {
    /// The switcher's journal could not be read.
    #[error("cannot read the switcher's journal")]
    Journal(#[source] JournalError),
    /// The switcher's history could not be read.
    #[error("cannot read the switcher's history")]
    History(#[source] HistoryError),
    /// The request could not be written.
    #[error("cannot write the request {}", path.display())]
    Write {
        /// The request.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The request could not be written as JSON.
    #[error("cannot write the request as JSON")]
    Encode(#[source] serde_json::Error),
    /// The switcher's executable was not found beside this one.
    #[error("cannot find nixus-switcher next to this executable")]
    Executable(#[source] std::io::Error),
    /// The switcher was not started.
    #[error("cannot start the switcher")]
    Start(#[source] SystemdError),
    /// The running system is not a store path.
    #[error("cannot determine which system runs: {problem}")]
    Running {
        /// What is wrong.
        problem: String,
    },
    /// The switcher was started but nothing came of it.
    #[error(
        "the switcher did not take up deployment {deployment}{}; see `journalctl -u nixus-switch-{deployment}`",
        said.as_ref().map_or(String::new(), |said| format!(": {said}"))
    )]
    NotTakenUp {
        /// The deployment.
        deployment: DeploymentId,
        /// What it said last.
        said: Option<String>,
    },
}

/// What may be handed to the switcher.
#[derive(Debug, Clone, Copy)]
pub enum Candidate<'a> {
    /// A system that was built from a verified commit.
    Built(&'a BuiltClosure),
    /// A generation of the system profile, which an operator wants back.
    Generation(&'a Generation),
}

impl Candidate<'_> {
    fn toplevel(&self) -> &Toplevel {
        match self {
            Self::Built(closure) => closure.toplevel(),
            Self::Generation(generation) => generation.toplevel(),
        }
    }

    fn commit(&self) -> &Commit {
        match self {
            Self::Built(closure) => closure.commit().commit(),
            Self::Generation(generation) => generation.commit(),
        }
    }
}

/// The switcher of this host.
#[derive(Debug, Clone, Default)]
pub struct Switcher {
    layout: Layout,
}

impl Switcher {
    /// The deployment that is open, if any.
    ///
    /// # Errors
    /// The switcher's journal cannot be read.
    pub fn open(&self) -> Result<Option<Open>, ActivationError> {
        switcher_state::open(&self.layout).map_err(ActivationError::Journal)
    }

    /// Whether nobody holds an open deployment's lock where somebody should. Between two who follow each other
    /// that is so for a moment.
    pub fn is_left(&self, open: &Open) -> bool {
        let waits = matches!(
            open.phase,
            PhaseName::Stuck | PhaseName::Booted | PhaseName::CameBack
        );
        !waits && !holder::is_held(&self.layout)
    }

    /// Whether nobody works on an open deployment: the one who should has died. Stuck waits for an operator,
    /// and where the units of a boot are waited for, nobody is to be there until the phase is over.
    pub fn has_abandoned(&self, open: &Open) -> bool {
        match open.phase {
            PhaseName::Stuck => false,
            PhaseName::Booted | PhaseName::CameBack => {
                let over = boottime()
                    .zip(open.phase_deadline)
                    .is_some_and(|(now, deadline)| now > deadline + ABANDONED_AFTER);
                over && !holder::is_held(&self.layout)
            }
            _ => {
                let same = |now: &Open| {
                    now.deployment == open.deployment
                        && now.phase == open.phase
                        && now.phase_deadline == open.phase_deadline
                };
                let unheld = || !holder::is_held(&self.layout);
                // Whoever takes over from another has the lock a moment later.
                unheld() && {
                    std::thread::sleep(HANDED_ON);
                    unheld() && self.open().is_ok_and(|now| now.as_ref().is_some_and(same))
                }
            }
        }
    }

    /// What was confirmed in place and has not proved yet that it boots.
    pub fn unproven(&self) -> Option<UnprovenView> {
        switcher_state::unproven(&self.layout).ok().flatten()
    }

    /// Whether the first boot of what runs could not be judged, and is worth another try.
    pub fn boot_unproven(&self) -> bool {
        let tried = self
            .unproven()
            .filter(|one| one.told_nothing.is_some() && one.trials < BOOT_TRIALS);
        tried.is_some_and(|one| self.booted().is_ok_and(|booted| booted == one.toplevel))
    }

    /// Has the first boot judged once more, in a unit of its own.
    ///
    /// # Errors
    /// systemd refuses to start the unit.
    pub async fn prove_boot(&self) -> Result<(), ActivationError> {
        systemd::start_transient("nixus-settle-boot.service", &self.program()?, &["recover"])
            .await
            .map_err(ActivationError::Start)
    }

    /// Has the open deployment settled, in a unit of its own: it may outlive this pass.
    ///
    /// # Errors
    /// systemd refuses to start the unit.
    pub async fn recover(&self, deployment: &DeploymentId) -> Result<(), ActivationError> {
        let unit = format!("nixus-settle-{deployment}.service");
        systemd::start_transient(&unit, &self.program()?, &["recover"])
            .await
            .map_err(ActivationError::Start)
    }

    /// The version in which state is to be written now, so that no system that may run next finds
    /// what it cannot read: the one that was built last, and those of an open deployment, included.
    pub fn format(&self) -> u32 {
        // A journal that cannot be read stops activations; it decides nothing here.
        let open = self.open().ok().flatten();
        let open = open.map(|open| [open.candidate, open.old.toplevel]);
        let built = resolve(&self.layout.roots().join("built")).ok();
        let also: Vec<Toplevel> = open.into_iter().flatten().chain(built).collect();
        format::to_write(&self.layout, &also)
    }

    /// The deployments that ended after the one with this sequence number, oldest first.
    ///
    /// # Errors
    /// The switcher's history cannot be read.
    pub fn ended_after(&self, sequence: u64) -> Result<Vec<Outcome>, ActivationError> {
        history::read_after(&self.layout, sequence).map_err(ActivationError::History)
    }

    /// All generations of the system profile, sorted by number.
    ///
    /// # Errors
    /// The folder of the profiles cannot be listed.
    pub fn generations(&self) -> Result<Vec<(u64, PathBuf)>, ProfileError> {
        Profile::new(&HostDisk, self.layout.profiles()).generations()
    }

    /// Files of the history that cannot be read. They are left out of it.
    pub fn history_damage(&self) -> Vec<String> {
        match history::read(&HostDisk, &self.layout, 0) {
            Ok(history) => history.damaged,
            Err(error) => vec![in_words(&error)],
        }
    }

    /// The files of the journal, which may have been set aside.
    pub fn journal_files(&self) -> [PathBuf; 2] {
        journal::files(&self.layout)
    }

    /// Whether the last deployment was refused because this system is damaged in the store.
    pub fn is_damaged(&self, toplevel: &Toplevel) -> bool {
        let last = self.ended_after(0).ok().and_then(|mut all| all.pop());
        last.is_some_and(|last| {
            last.new.toplevel == *toplevel && matches!(last.cause, Some(Cause::StoreDamaged { .. }))
        })
    }

    /// The system that runs.
    ///
    /// # Errors
    /// `/run/current-system` does not name a system in the store.
    pub fn running(&self) -> Result<Toplevel, ActivationError> {
        resolve(&self.layout.current_system())
    }

    /// What the boot loader starts by default, as its files say now. It is read anew each time, the loader's
    /// own program included: ask once, and hand it on.
    pub fn boot_default(&self) -> BootDefault {
        bootloader::default(&self.layout)
    }

    /// Whether this boot is of another generation than the boot loader's default, and that
    /// generation still runs: somebody picked it in the boot menu. What the loader starts by itself, as a variable
    /// of the firmware may have it, nobody has picked.
    pub fn booted_other(&self, boot_default: &BootDefault) -> bool {
        let (Ok(running), Ok(default)) = (
            self.running(),
            resolve(&self.layout.profiles().join("system")),
        ) else {
            return false;
        };
        let unpicked = match boot_default {
            BootDefault::Pinned(pin) if pin.kind == PinKind::Once => pin.installed.as_ref(),
            other => other.starts(),
        };
        running != default
            && self.booted().is_ok_and(|booted| booted == running)
            && unpicked != Some(&running)
    }

    /// What was made the default, where that is not this system, as far as that can be determined: by the system
    /// profile, from which the boot loader's entries are made, or by the boot loader itself.
    pub fn next_boot_other_than(
        &self,
        boot_default: &BootDefault,
        toplevel: &Toplevel,
    ) -> Option<Toplevel> {
        let profile = resolve(&self.layout.profiles().join("system")).ok();
        let loader = boot_default.installed().cloned();
        [loader, profile]
            .into_iter()
            .flatten()
            .find(|next| next != toplevel)
    }

    /// The system that was booted.
    ///
    /// # Errors
    /// `/run/booted-system` does not name a system in the store.
    pub fn booted(&self) -> Result<Toplevel, ActivationError> {
        resolve(&self.layout.booted_system())
    }

    /// The system that was built last, as its root names it.
    pub fn built(&self) -> Option<Toplevel> {
        resolve(&self.layout.roots().join("built")).ok()
    }

    /// The last system that proved that it boots.
    pub fn boot_proven(&self) -> Option<Toplevel> {
        resolve(&self.layout.roots().join("boot-proven")).ok()
    }

    /// The number of the system profile's current generation, where it is of this toplevel.
    pub fn generation_of(&self, toplevel: &Toplevel) -> Option<u64> {
        if resolve(&self.layout.profiles().join("system")).ok()? != *toplevel {
            return None;
        }
        let link = std::fs::read_link(self.layout.profiles().join("system")).ok()?;
        let name = link.file_name()?.to_str()?;
        name.strip_prefix("system-")?
            .strip_suffix("-link")?
            .parse()
            .ok()
    }

    /// The newest generation of this toplevel, where it has one.
    pub fn number_of(&self, toplevel: &Toplevel) -> Option<u64> {
        let profile = Profile::new(&HostDisk, self.layout.profiles());
        profile.number(toplevel).ok().flatten()
    }

    /// Hands a built closure, or a generation from before, to the switcher and sees that it took it up.
    ///
    /// # Errors
    /// The request cannot be written, systemd refuses to start the switcher, or the switcher does not
    /// open the deployment in time.
    pub async fn activate(
        &self,
        candidate: Candidate<'_>,
        deployment: DeploymentId,
        switch: &Switch,
        before: Option<Before>,
        paths: &Paths,
    ) -> Result<(), ActivationError> {
        let request = Request {
            version: newest_version(),
            deployment: deployment.clone(),
            candidate: candidate.toplevel().clone(),
            commit: candidate.commit().clone(),
            policy: Policy {
                activation_seconds: switch.activation_timeout.as_secs(),
                trial_seconds: switch.trial_timeout.as_secs(),
                commit_seconds: switch.commit_timeout.as_secs(),
                failed_units: switch.failed_units,
                carrier_seconds: switch.carrier_timeout.as_secs(),
            },
            before,
        };
        remove_requests(&paths.run);
        let path = paths.run.join(format!("request-{deployment}.json"));
        let content = serde_json::to_vec_pretty(&request).map_err(ActivationError::Encode)?;
        write_atomically(&path, &content).map_err(|source| ActivationError::Write {
            path: path.clone(),
            source,
        })?;
        let program = self.program()?;
        let unit = format!("nixus-switch-{deployment}.service");
        let argument = path.to_string_lossy().into_owned();
        systemd::start_transient(&unit, &program, &["run", "--request", &argument])
            .await
            .map_err(ActivationError::Start)?;
        self.see_taken_up(&deployment, &unit).await
    }

    /// Removes the requests of deployments that have ended. That of an open one stays: where the switcher's
    /// journal is lost, it is what names the commit.
    pub fn forget_requests(&self, paths: &Paths) {
        if let Ok(None) = self.open() {
            remove_requests(&paths.run);
        }
    }

    fn program(&self) -> Result<PathBuf, ActivationError> {
        sibling("nixus-switcher").map_err(ActivationError::Executable)
    }

    async fn see_taken_up(
        &self,
        deployment: &DeploymentId,
        unit: &str,
    ) -> Result<(), ActivationError> {
        let begun = Instant::now();
        let mut looked = begun;
        loop {
            let mut gone = begun.elapsed() >= TAKEN_UP;
            // Asked before the journal is read, so that what it wrote last is not missed.
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                gone |= systemd::has_ended(unit).await.unwrap_or(false);
            }
            if self.has_taken_up(deployment)? {
                return Ok(());
            }
            if gone {
                return Err(ActivationError::NotTakenUp {
                    deployment: deployment.clone(),
                    said: systemd::last_words(unit).await,
                });
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn has_taken_up(&self, deployment: &DeploymentId) -> Result<bool, ActivationError> {
        let open = self.open()?;
        Ok(open.is_some_and(|open| open.deployment == *deployment)
            || self
                .ended_after(0)?
                .iter()
                .any(|outcome| outcome.deployment == *deployment))
    }
}

/// They would fill the folder.
fn remove_requests(run: &Path) {
    for entry in std::fs::read_dir(run).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("request-") && name.ends_with(".json") {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// The clock of deadlines, in seconds.
fn boottime() -> Option<u64> {
    let now = nix::time::clock_gettime(nix::time::ClockId::CLOCK_BOOTTIME).ok()?;
    u64::try_from(now.tv_sec()).ok()
}

/// Follows the links of a profile to the store. Each pass does it often, and not the path to a link
/// but only what it names can be a link again.
fn resolve(link: &Path) -> Result<Toplevel, ActivationError> {
    let problem = |problem: String| ActivationError::Running { problem };
    let mut path = link.to_owned();
    for _ in 0..MAX_LINKS {
        match std::fs::read_link(&path) {
            Ok(target) => path = path.parent().map_or(target.clone(), |dir| dir.join(target)),
            // It is not a link.
            Err(error) if error.kind() == ErrorKind::InvalidInput => {
                return Toplevel::try_from(path).map_err(|error| problem(error.to_string()));
            }
            Err(error) => return Err(problem(format!("{}: {error}", path.display()))),
        }
    }
    Err(problem(format!("{}: too many links", link.display())))
}
