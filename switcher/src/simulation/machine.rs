//! A machine that exists only in memory: its files, store, boot loader, systemd. What a seed wants
//! to go wrong goes wrong.

use std::cell::{Ref, RefCell, RefMut};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::rc::Rc;

use super::fault::{Death, FAULTS_AT_ONCE, Kind, STORIES, Story};
use super::files::{Files, Node};
use super::rng::Rng;
use super::teeth::Tooth;
use crate::decide::phase::PhaseName;
use crate::machine::system::Units;
use crate::protocol::{BootId, DeploymentId, Toplevel};
use crate::state::layout::Layout;
use crate::state::network::Network;

/// The systems of the story, by the ends of their store paths.
pub(super) const OLDER: &str = "older";
pub(super) const OLD: &str = "old";
pub(super) const NEW: &str = "new";
pub(super) const NEXT: &str = "next";
/// A system that somebody boots by hand.
pub(super) const RESCUE: &str = "rescue";
/// The store path of the switcher.
pub(super) const SWITCHER: &str = "nixus";

/// Where a store path of this name is.
pub(super) fn store_path(name: &str) -> PathBuf {
    PathBuf::from(format!(
        "/nix/store/0123456789abcdfghijklmnpqrsvwxyz-{name}"
    ))
}

/// The name of a system of the story.
pub(super) fn name_of(toplevel: &Toplevel) -> &str {
    toplevel
        .path()
        .to_str()
        .and_then(|path| path.rsplit('-').next())
        .unwrap_or("")
}

/// Whether the files of a store path are whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stored {
    pub whole: bool,
    pub synced: bool,
}

/// A watchdog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timer {
    pub phase: PhaseName,
    pub deadline: u64,
}

/// What is seen, and what a power cut leaves of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Loader {
    pub seen: Toplevel,
    pub durable: Toplevel,
}

/// Everything of the machine.
#[derive(Debug)]
pub(super) struct Inner {
    pub rng: Rng,
    pub files: Files,
    pub story: Story,
    pub faults: Vec<(u32, Kind)>,
    pub tooth: Option<Tooth>,
    /// What a taken-out order holds back until the next effect.
    pub held: Vec<(PathBuf, Vec<u8>)>,
    pub steps: u32,
    pub dead: Option<Death>,
    pub store: BTreeMap<String, Stored>,
    pub current: Toplevel,
    pub booted: Toplevel,
    pub loader: Loader,
    pub builder_syncs: bool,
    pub boots: u32,
    pub now: u64,
    pub timers: BTreeMap<String, Timer>,
    pub units: Units,
    /// A route is lost.
    pub lost: bool,
    pub going_back: bool,
    pub going_down: bool,
    pub reboots: u32,
    /// How often the power was cut.
    pub cuts: u32,
    pub proved: bool,
    /// It proved itself after a boot.
    pub proved_at_boot: bool,
    /// Nobody has interfered so far.
    pub undisturbed: bool,
    /// Nothing goes wrong yet, and no step is counted.
    pub prelude: bool,
    /// How often it was asked to prove itself since this boot.
    pub boot_trials: u32,
    /// Who waits for the units of this boot to be up.
    pub awaits_units: Option<DeploymentId>,
    /// Its staging has begun.
    pub begun: bool,
    pub activated: bool,
    /// How the history says that each deployment ended.
    pub ended: BTreeMap<String, String>,
    /// What is being deployed.
    pub candidate: &'static str,
    pub back_failures: u32,
    /// How often the candidate's boot loader cannot be installed.
    pub boot_failures: u32,
    pub boot_back_failures: u32,
    /// Where the switcher at work takes the deployment to be.
    pub phase: PhaseName,
    /// What the last record of the journal was about.
    pub recorded: Option<PhaseName>,
    /// What went wrong.
    pub happened: Vec<(&'static str, Kind)>,
    /// All that was decided by chance and mattered.
    pub scars: DefaultHasher,
    pub pairs: BTreeSet<(PhaseName, &'static str)>,
    pub broken: Option<String>,
    pub lines: Option<Vec<String>>,
}

/// The machine. Clones are the same machine.
#[derive(Debug, Clone)]
pub(super) struct Machine(Rc<RefCell<Inner>>);

impl Machine {
    /// A machine that runs generation 7, with an older one beside it.
    pub(super) fn new(seed: u64, tooth: Option<Tooth>, told: bool) -> Option<Self> {
        let mut rng = Rng::new(seed);
        let layout = Layout::host();
        let mut files = Files::default();
        for dir in ["/var/lib", "/nix/var/nix/gcroots", "/run/nixus"] {
            files.put(dir, Node::Dir);
        }
        files.put(layout.profiles(), Node::Dir);
        for (link, target) in [
            ("system-3-link", store_path(OLDER)),
            ("system-7-link", store_path(OLD)),
            ("system", PathBuf::from("system-7-link")),
        ] {
            files.put(layout.profiles().join(link), Node::Link(target.into()));
        }
        let store = [OLDER, OLD, NEW, NEXT, RESCUE, SWITCHER].map(|name| {
            // What was built a moment ago is in the page cache.
            let synced = name != NEW;
            let whole = true;
            (name.to_owned(), Stored { whole, synced })
        });
        let old = Toplevel::try_from(store_path(OLD)).ok()?;
        // Another system was booted, and the one that runs was confirmed in place.
        let in_place = rng.chance(1, 2);
        let older = Toplevel::try_from(store_path(OLDER)).ok()?;
        if in_place {
            files.put(layout.roots(), Node::Dir);
            let link = layout.roots().join("boot-proven");
            files.put(link, Node::Link(store_path(OLDER).into()));
        }
        let story = rng.pick(&STORIES)?;
        let mut faults = Vec::new();
        let mut at = 0;
        for _ in 0..=rng.below(4) {
            // What goes wrong comes alone, or in bursts.
            let gap = match at {
                0 => 110,
                _ if rng.chance(1, 2) => FAULTS_AT_ONCE,
                _ => 60,
            };
            at += 1 + u32::try_from(rng.below(gap)).ok()?;
            faults.push((at, rng.pick(&super::fault::KINDS)?));
        }
        Some(Self(Rc::new(RefCell::new(Inner {
            files,
            story,
            faults,
            tooth,
            held: Vec::new(),
            steps: 0,
            dead: None,
            store: BTreeMap::from(store),
            current: old.clone(),
            booted: if in_place { older } else { old.clone() },
            loader: Loader {
                seen: old.clone(),
                durable: old,
            },
            builder_syncs: rng.chance(1, 2),
            boots: 1,
            now: 1000,
            timers: BTreeMap::new(),
            units: healthy(),
            lost: false,
            going_back: false,
            going_down: false,
            reboots: 0,
            cuts: 0,
            proved: false,
            proved_at_boot: false,
            undisturbed: true,
            prelude: false,
            boot_trials: 0,
            awaits_units: None,
            begun: false,
            activated: false,
            ended: BTreeMap::new(),
            candidate: NEW,
            back_failures: match story {
                Story::BackFailsOnce => 1,
                Story::BackFails => u32::MAX,
                _ => 0,
            },
            boot_failures: match story {
                Story::BootFails | Story::BootBackFailsOnce => u32::MAX,
                Story::BootFailsOnce => 1,
                _ => 0,
            },
            boot_back_failures: match story {
                Story::BootBackFailsOnce | Story::BootReturnFailsOnce => 1,
                Story::BootReturnFails => u32::MAX,
                _ => 0,
            },
            phase: PhaseName::Idle,
            recorded: None,
            happened: Vec::new(),
            scars: DefaultHasher::new(),
            pairs: BTreeSet::new(),
            broken: None,
            lines: told.then(Vec::new),
            rng,
        }))))
    }

    pub(super) fn get(&self) -> RefMut<'_, Inner> {
        self.0.borrow_mut()
    }

    pub(super) fn see(&self) -> Ref<'_, Inner> {
        self.0.borrow()
    }

    /// Does something at a named point, unless something goes wrong there.
    pub(super) fn at<T>(
        &self,
        point: &'static str,
        work: impl FnOnce(&mut Inner) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut inner = self.get();
        match inner.begin(point) {
            None => work(&mut inner),
            Some(Kind::PowerBefore | Kind::KillBefore | Kind::Hangs) => dead(),
            Some(Kind::PowerAfter | Kind::KillAfter) => {
                let _ = work(&mut inner);
                dead()
            }
            Some(Kind::Full) => Err(ErrorKind::StorageFull.into()),
            Some(Kind::Fails) => {
                if inner.rng.chance(1, 2) {
                    inner.scar(&"done all the same");
                    let _ = work(&mut inner);
                }
                Err(io::Error::other("input/output error"))
            }
        }
    }
}

/// What somebody who is dead gets from the machine.
pub(super) fn dead<T>() -> io::Result<T> {
    Err(io::Error::other("nobody is there any more"))
}

/// The units of a machine where all is well.
pub(super) fn healthy() -> Units {
    Units {
        active: vec!["sshd.service".to_owned()],
        failed: vec!["weak.service".to_owned()],
    }
}

/// Its network.
pub(super) fn healthy_network() -> Network {
    Network {
        addresses: vec!["10.0.0.7/24".to_owned()],
        routes: vec!["default via 10.0.0.1".to_owned()],
        ways: Vec::new(),
        ssh: vec!["00000000:0016".to_owned()],
    }
}

impl Inner {
    /// Counts one step, and says what goes wrong in it. Nothing works for the dead.
    pub(super) fn begin(&mut self, point: &'static str) -> Option<Kind> {
        if self.dead.is_some() {
            return Some(Kind::KillBefore);
        }
        if self.prelude {
            return None;
        }
        self.steps += 1;
        let kind = self
            .faults
            .iter()
            .find(|(at, _)| *at == self.steps)
            .map(|(_, kind)| *kind)?;
        self.dead = kind.death();
        self.happened.push((point, kind));
        let steps = self.steps;
        self.scar(&(steps, point, kind));
        self.tell(|| format!("step {steps}, {point}: {kind:?}"));
        Some(kind)
    }

    /// Remembers something that makes this run different from others.
    pub(super) fn scar(&mut self, what: &impl Hash) {
        what.hash(&mut self.scars);
    }

    /// What makes this run different from others, as a number.
    pub(super) fn signature(&self) -> u64 {
        self.scars.finish()
    }

    pub(super) fn tell(&mut self, line: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(line());
        }
    }

    /// Notes a broken promise that is seen in the middle of something.
    pub(super) fn breaks(&mut self, promise: &str) {
        if self.broken.is_none() {
            self.broken = Some(promise.to_owned());
        }
    }

    pub(super) fn boot_id(&self) -> BootId {
        BootId(format!("boot-{}", self.boots))
    }

    pub(super) fn is_whole(&self, toplevel: &Toplevel) -> bool {
        self.store
            .get(name_of(toplevel))
            .is_some_and(|stored| stored.whole)
    }

    /// Starts again with what its boot loader starts.
    pub(super) fn power_on(&mut self, cut: bool) {
        if cut {
            let Self { files, rng, .. } = self;
            files.cut(rng);
            if self.loader.seen != self.loader.durable && self.rng.chance(1, 2) {
                self.loader.durable = self.loader.seen.clone();
            }
            for stored in self.store.values_mut() {
                if !stored.synced && self.rng.chance(1, 2) {
                    stored.whole = false;
                }
                stored.synced = true;
            }
            let next = self.rng.clone().next();
            self.scar(&next);
        } else {
            self.files.sync_all();
            self.loader.durable = self.loader.seen.clone();
            for stored in self.store.values_mut() {
                stored.synced = true;
            }
        }
        self.cuts += u32::from(cut);
        self.held.clear();
        self.loader.seen = self.loader.durable.clone();
        self.current = self.loader.seen.clone();
        self.booted = self.loader.seen.clone();
        if cut
            && self.rng.chance(1, 12)
            && let Ok(rescue) = Toplevel::try_from(store_path(RESCUE))
        {
            self.scar(&"rescue");
            self.booted = rescue.clone();
            self.current = rescue;
        }
        self.boots += 1;
        self.now = 10;
        self.timers.clear();
        self.awaits_units = None;
        self.boot_trials = 0;
        self.going_back = false;
        self.going_down = false;
        self.dead = None;
        self.units = healthy();
        self.lost &= self.story == Story::LosesRouteForLong;
        let (booted, how) = (self.booted.clone(), if cut { "cut" } else { "reboot" });
        self.tell(|| format!("{how}: boots {}", name_of(&booted)));
    }

    /// What a taken-out order held back happens now.
    pub(super) fn release(&mut self) {
        for (path, bytes) in std::mem::take(&mut self.held) {
            if self.files.create(&path).is_ok() && self.files.write(&path, &bytes).is_ok() {
                let _ = self.files.sync_file(&path);
            }
            if let Some(dir) = path.parent() {
                self.files.sync_dir(dir);
            }
        }
    }
}
