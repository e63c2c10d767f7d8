//! One faulty deployment from its request until nothing more can happen: whoever dies is followed by
//! watchdogs, reboots, the recovery, operators.

use super::fault::{Death, Kind};
use super::machine::{Machine, NEW, NEXT, OLD, Timer, name_of, store_path};
use super::promises;
use super::teeth::Tooth;
use crate::Layout;
use crate::decide::phase::{Phase, PhaseName};
use crate::decide::transaction::Event;
use crate::protocol::{
    Before, Commit, DeploymentId, FailedUnits, Policy, Request, Toplevel, newest_version,
};
use crate::run::Switcher;
use crate::run::boot_trial::{at_boot, judge};
use crate::run::takeover::{settle, take_over};
use crate::state::journal::{self, Record};
use std::collections::BTreeSet;

/// So much may follow one fault; more never ends.
const ROUNDS: u32 = 60;
/// After a power cut all is settled within this many boots, the one after it included.
const BOOTS: u32 = 2;

/// What became of one seed.
#[derive(Debug)]
pub struct Run {
    /// What went wrong, in order.
    pub happened: Vec<(&'static str, Kind)>,
    /// What makes this run different from others.
    pub signature: u64,
    /// The pairs of phase and event that came up.
    pub pairs: BTreeSet<(PhaseName, &'static str)>,
    /// The promise that was broken.
    pub broken: Option<String>,
    /// What happened, where it was to be told.
    pub lines: Vec<String>,
}

/// Runs one seed to its end. A tooth is a step that is taken out. `told` keeps an account of it.
pub fn run(seed: u64, tooth: Option<Tooth>, told: bool) -> Option<Run> {
    let machine = Machine::new(seed, tooth, told)?;
    let story = machine.see().story;
    machine.get().scar(&story);
    machine.get().tell(|| format!("seed {seed}: {story:?}"));
    let mut world = World::new(machine.clone());
    let told = world.tell_the_story();
    let mut inner = machine.get();
    let broken = inner.broken.take().or(told.err());
    Some(Run {
        happened: std::mem::take(&mut inner.happened),
        signature: inner.signature(),
        pairs: std::mem::take(&mut inner.pairs),
        broken,
        lines: inner.lines.take().unwrap_or_default(),
    })
}

fn request(deployment: &str, candidate: &str) -> Result<Request, String> {
    Ok(Request {
        version: newest_version(),
        deployment: deployment.parse().map_err(|error| format!("{error}"))?,
        candidate: Toplevel::try_from(store_path(candidate)).map_err(|error| error.to_string())?,
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
        before: Some(Before {
            ways: vec!["10.0.0.2".parse().map_err(|error| format!("{error}"))?],
            ..Before::default()
        }),
    })
}

/// The unit that a process runs in.
#[derive(Debug, Clone)]
enum Unit {
    Switch,
    Watchdog(String, Timer),
    Recover,
    BootTrial(DeploymentId),
    Operator,
}

struct World {
    machine: Machine,
    layout: Layout,
    /// The process that holds the lock and does nothing any more.
    hung: Option<Unit>,
    recover_due: bool,
    /// Since the last power cut.
    boots: u32,
    operators: u32,
    /// Nobody can be expected to watch: an operator's own command died, or no watchdog could be
    /// armed for the rollback.
    unwatched: bool,
}

impl World {
    fn new(machine: Machine) -> Self {
        Self {
            machine,
            layout: Layout::host(),
            hung: None,
            recover_due: false,
            boots: 0,
            operators: 1,
            unwatched: false,
        }
    }

    fn tell_the_story(&mut self) -> Result<(), String> {
        let with_a_boot = self.machine.see().story.begins_with_a_boot();
        self.machine.get().prelude = with_a_boot;
        let asked = request("d-1", NEW)?;
        self.process(Unit::Switch, |disk, layout, system| {
            Switcher::open(disk, layout, system)
                .and_then(|mut switcher| switcher.request(asked))
                .is_ok()
        })?;
        if with_a_boot {
            self.machine.get().power_on(false);
            self.machine.get().prelude = false;
            self.booted(1)?;
        }
        self.go_on()?;
        self.try_boot_again()?;
        promises::settled(&self.machine, &self.record()?)?;
        self.help_the_stuck()?;
        self.deploy_again()
    }

    /// Lets the world go on until nothing can happen any more.
    fn go_on(&mut self) -> Result<(), String> {
        for _ in 0..ROUNDS {
            if self.machine.see().going_down {
                self.hung = None;
                self.machine.get().power_on(false);
                self.booted(1)?;
                continue;
            }
            let record = self.record()?;
            let phase = record.phase.name();
            let open = !matches!(phase, PhaseName::Idle | PhaseName::Stuck);
            if open && self.boots > BOOTS {
                return Err("recovery ends within two boots".to_owned());
            }
            self.machine.get().collect_garbage_by_chance();
            if self.recover_due && self.hung.is_none() {
                self.recover_due = false;
                self.process(Unit::Recover, |disk, layout, system| {
                    at_boot(disk, layout, system).is_ok()
                })?;
            } else if let Some(waiting) = self.units_are_up() {
                self.process(Unit::BootTrial(waiting), |disk, layout, system| {
                    judge(disk, layout, system).is_ok()
                })?;
            } else if open && self.operators > 0 && self.by_chance("operator", 12) {
                self.operators -= 1;
                self.operator()?;
            } else if open && self.hung.is_none() && self.by_chance("second request", 12) {
                // It settles what it finds open before it asks for its own.
                self.process(Unit::Operator, |disk, layout, system| {
                    settle(disk, layout, system).is_ok()
                })?;
            } else if self.fire(&record)? {
            } else if open {
                self.nobody_is_left(phase)?;
            } else {
                return Ok(());
            }
        }
        Err("recovery comes to an end".to_owned())
    }

    /// Who waited for that; sometimes they never are.
    fn units_are_up(&mut self) -> Option<DeploymentId> {
        if self.hung.is_some() || self.machine.see().awaits_units.is_none() {
            return None;
        }
        let waiting = self.machine.get().awaits_units.take();
        if self.by_chance("units never up", 12) {
            return None;
        }
        waiting
    }

    /// A pass finds that the boot is not proven yet.
    fn try_boot_again(&mut self) -> Result<(), String> {
        for _ in 0..2 {
            if !self.by_chance("a pass", 2) {
                break;
            }
            self.recover_due = true;
            self.go_on()?;
        }
        Ok(())
    }

    fn by_chance(&self, what: &'static str, all: u64) -> bool {
        let mut inner = self.machine.get();
        let yes = inner.rng.chance(1, all);
        if yes {
            inner.undisturbed = false;
            inner.scar(&what);
        }
        yes
    }

    fn record(&self) -> Result<Record, String> {
        journal::read(&self.machine, &self.layout)
            .map_err(|error| format!("the journal can be read: {error}"))
    }

    /// Somebody takes the lock and works until the end, or until death.
    fn process(
        &mut self,
        unit: Unit,
        work: impl FnOnce(&Machine, &Layout, &mut Machine) -> bool,
    ) -> Result<(), String> {
        let disk = self.machine.clone();
        let mut system = self.machine.clone();
        self.machine.get().tell(|| format!("{unit:?} begins"));
        let well = work(&disk, &self.layout, &mut system);
        let death = self.machine.get().dead.take();
        match death {
            None if well => {}
            None | Some(Death::Killed) => {
                self.machine.get().held.clear();
                self.restart(unit);
            }
            Some(Death::Hangs) => {
                self.machine.get().held.clear();
                self.unwatched |= matches!(unit, Unit::Operator | Unit::Recover);
                self.hung = Some(unit);
            }
            Some(Death::Power) => {
                self.hung = None;
                self.machine.get().power_on(true);
                self.boots = 0;
                self.booted(1)?;
            }
        }
        Ok(())
    }

    fn booted(&mut self, times: u32) -> Result<(), String> {
        self.boots += times;
        self.recover_due = true;
        self.unwatched = false;
        promises::after_a_boot(&self.machine)
    }

    /// What systemd starts again when it did not end well.
    fn restart(&mut self, unit: Unit) {
        match unit {
            Unit::Watchdog(name, timer) => {
                self.machine.get().timers.insert(name, timer);
            }
            Unit::Recover => self.recover_due = true,
            Unit::BootTrial(waiting) => self.machine.get().awaits_units = Some(waiting),
            Unit::Operator => self.unwatched = true,
            Unit::Switch => {}
        }
    }

    /// One of the armed watchdogs fires, by chance any of them: a clock shows nothing here.
    fn fire(&mut self, record: &Record) -> Result<bool, String> {
        let names: Vec<String> = self.machine.see().timers.keys().cloned().collect();
        let index = self.machine.get().rng.below(names.len() as u64);
        let Some(name) = usize::try_from(index).ok().and_then(|at| names.get(at)) else {
            return Ok(false);
        };
        let mut inner = self.machine.get();
        let Some(timer) = inner.timers.remove(name) else {
            return Ok(false);
        };
        inner.now = inner.now.max(timer.deadline + 1);
        inner.scar(&index);
        let runs = inner
            .store
            .get(super::machine::SWITCHER)
            .is_some_and(|stored| stored.whole);
        drop(inner);
        let due = record.deployment.as_ref().is_some_and(|open| {
            name.contains(&format!("-{}-", open.request.deployment))
                && record.phase.name().is_watched_by(timer.phase)
        });
        // It is rooted at the beginning of the staging. Before the activation nothing has changed.
        if due && !runs && !self.machine.see().activated {
            self.unwatched = true;
            return Ok(true);
        }
        if due && !runs {
            return Err("the watchdog's program is there".to_owned());
        }
        if due {
            let alive = self.hung.take().is_some();
            let limit = 9;
            self.process(
                Unit::Watchdog(name.clone(), timer),
                |disk, layout, system| {
                    take_over(disk, layout, system, Event::Expired { alive, limit }).is_ok()
                },
            )?;
        }
        Ok(true)
    }

    /// An operator ends whoever is at work, and wants the old system.
    fn operator(&mut self) -> Result<(), String> {
        self.hung = None;
        self.process(Unit::Operator, |disk, layout, system| {
            take_over(disk, layout, system, Event::OperatorReverts).is_ok()
        })
    }

    /// A deployment is open and nobody works on it: that may be only where a watchdog could not be
    /// armed. Then the next boot settles it; bookkeeping is settled by whoever comes next.
    fn nobody_is_left(&mut self, phase: PhaseName) -> Result<(), String> {
        let bookkeeping = matches!(
            phase,
            PhaseName::Confirmed | PhaseName::Reverted | PhaseName::Refused
        );
        let could_not_arm = self.machine.see().happened.iter().any(|(point, kind)| {
            *point == "arm a watchdog" && matches!(kind, Kind::Fails | Kind::Full)
        });
        // A watchdog that hangs is ended after RuntimeMaxSec and started again.
        if let Some(unit @ Unit::Watchdog(..)) = self.hung.take() {
            self.restart(unit);
            return Ok(());
        }
        if !bookkeeping && !could_not_arm && !self.unwatched {
            return Err(format!(
                "a watchdog is armed while a deployment is open ({phase})"
            ));
        }
        // Somebody reboots it, knowing nothing of what is open: as good as a crash.
        self.machine.get().cuts += 1;
        self.machine.get().power_on(false);
        self.boots = 0;
        self.booted(1)
    }

    /// Stuck ends when an operator says so and nothing stands in the way any more.
    fn help_the_stuck(&mut self) -> Result<(), String> {
        let record = self.record()?;
        let Phase::Stuck { damage, .. } = &record.phase else {
            return Ok(());
        };
        // Where the units were never put back, because attempts were cut off, nothing else is known to be wrong.
        let network = damage.contains("was there before");
        // Who hangs is ended after RuntimeMaxSec.
        self.hung = None;
        let mut inner = self.machine.get();
        inner.faults.clear();
        inner.back_failures = 0;
        inner.boot_back_failures = 0;
        let only_lost = network && inner.lost && name_of(&inner.current) == OLD;
        inner.lost = false;
        drop(inner);
        if only_lost {
            // It ends by itself, once somebody looks; whoever comes first may have to tell it yet.
            for _ in 0..2 {
                self.recover_due = true;
                self.go_on()?;
            }
        } else {
            self.operator()?;
        }
        let record = self.record()?;
        if record.phase != Phase::Idle {
            return Err(format!(
                "an operator ends what is stuck: {}",
                record.phase.name()
            ));
        }
        promises::settled(&self.machine, &record)
    }

    /// After all of it the host takes the next commit.
    fn deploy_again(&mut self) -> Result<(), String> {
        let mut inner = self.machine.get();
        inner.faults.clear();
        inner.story = super::fault::Story::Good;
        inner.boot_failures = 0;
        inner.boot_back_failures = 0;
        inner.back_failures = 0;
        inner.candidate = NEXT;
        drop(inner);
        let asked = request("d-2", NEXT)?;
        let disk = self.machine.clone();
        let mut system = self.machine.clone();
        Switcher::open(&disk, &self.layout, &mut system)
            .and_then(|mut switcher| switcher.request(asked))
            .map_err(|error| format!("the host takes the next commit: {error}"))?;
        promises::took_the_next(&self.machine)
    }
}
