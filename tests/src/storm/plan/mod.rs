//! The plan of a round: which commits come, what goes wrong, and what has to come of it. It follows from the seed and the
//! number of the round alone.

use std::collections::BTreeMap;
use std::fmt;

use clap::ValueEnum as _;
use fastrand::Rng;
use serde::{Deserialize, Serialize};

use super::commits::{End, Kind};
use super::faults::{Fault, Kind as FaultKind, Moment, Phase};

/// The hosts of the storm, with the last number of their addresses.
pub const HOSTS: [(&str, u8); 3] = [("web1", 11), ("web2", 12), ("web3", 13)];
/// After so many milliseconds all that goes wrong has begun, unless a phase is waited for.
pub const LATEST: u64 = 20_000;
/// Nothing lasts longer, in milliseconds.
pub const LONGEST: u64 = 15_000;
/// So many interruptions of its deployments make a host blame the commit.
const BLAMED_AFTER: u32 = 2;

/// A commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// How many milliseconds after the one before it is pushed.
    pub after: u64,
    /// What it says of which hosts; it says nothing of the others.
    pub hosts: BTreeMap<String, Kind>,
}

/// What happens in a round.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    pub seed: u64,
    pub round: u64,
    pub commits: Vec<Commit>,
    pub faults: Vec<Fault>,
}

/// What has to come of a round on a host, once it is quiet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Duty {
    /// It runs the system with this mark.
    Keep(String),
    /// It runs any system that was not to be refused; why that cannot be determined more exactly.
    Stand(&'static str),
}

impl Plan {
    /// The plan of this round.
    pub fn of(seed: u64, round: u64) -> Self {
        let mut chance = Rng::with_seed(mixed(seed, round));
        let count = 1 + usize::from(chance.u8(..3) == 0);
        let commits: Vec<Commit> = (0..count)
            .map(|index| {
                commit(
                    &mut chance,
                    index,
                    dealt(seed, round, Kind::value_variants()),
                )
            })
            .collect();
        let mut plan = Self {
            seed,
            round,
            commits,
            faults: Vec::new(),
        };
        for index in 0..chance.usize(..=3) {
            let kinds = FaultKind::value_variants();
            let kind = match index {
                0 => dealt(seed, round, kinds),
                _ => any(&mut chance, kinds),
            };
            let told: Vec<&String> = plan.commits[0].hosts.keys().collect();
            let fault = fault(&mut chance, kind, &told);
            plan.add(fault);
        }
        plan
    }

    /// Adds a fault, unless it cannot be determined what has to come of it.
    fn add(&mut self, mut fault: Fault) {
        let same = |one: &Fault| one.kind == fault.kind && fault.kind.meets_pushes();
        if self.faults.iter().any(same) {
            return;
        }
        // What an operator confirms is kept, however broken it is.
        if fault.kind == FaultKind::Confirm && !self.is_harmless(&fault.host) {
            match HOSTS.iter().find(|(host, _)| self.is_harmless(host)) {
                Some((host, _)) => (*host).clone_into(&mut fault.host),
                None => return,
            }
        }
        self.faults.push(fault);
    }

    fn is_harmless(&self, host: &str) -> bool {
        let mut kinds = self.commits.iter().filter_map(|one| one.hosts.get(host));
        kinds.all(|kind| kind.end() == End::Kept)
    }

    /// The mark of the systems that a commit of this round makes.
    pub fn mark(&self, commit: usize) -> String {
        format!("s{}-r{}-c{commit}", self.seed, self.round)
    }

    /// The mark of the commit that ends the round.
    pub fn last_mark(&self) -> String {
        format!("s{}-r{}-clean", self.seed, self.round)
    }

    /// The commit whose description of a host counts in the end.
    fn effective(&self, host: &str) -> Option<(usize, Kind)> {
        let said = self.commits.iter().enumerate().rev();
        said.filter_map(|(index, commit)| Some((index, *commit.hosts.get(host)?)))
            .find(|(_, kind)| *kind != Kind::Unchanged)
    }

    /// The marks of systems that a host must never keep.
    pub fn refused(&self, host: &str) -> Vec<String> {
        let of = |(index, commit): (usize, &Commit)| {
            let kind = commit.hosts.get(host)?;
            (kind.end() == End::NotKept).then(|| self.mark(index))
        };
        self.commits.iter().enumerate().filter_map(of).collect()
    }

    /// What has to come of this round's commits on a host.
    pub fn duty(&self, host: &str) -> Duty {
        let Some((index, kind)) = self.effective(host) else {
            return Duty::Stand("no commit was about this host");
        };
        match kind.end() {
            End::NotKept => return Duty::Stand("the commit is bad"),
            End::Either => return Duty::Stand("the commit may be kept or not"),
            End::Kept => {}
        }
        // All hosts are one evaluation.
        let broken = |(host, _): &(&str, u8)| {
            self.effective(host)
                .is_some_and(|(_, kind)| kind == Kind::DoesNotEvaluate)
        };
        if HOSTS.iter().any(broken) {
            return Duty::Stand("the fleet does not evaluate");
        }
        let here = self.faults.iter().filter(|fault| fault.host == host);
        if here.clone().any(|fault| fault.kind == FaultKind::Revert) {
            return Duty::Stand("an operator went back");
        }
        let interruptions: u32 = here
            .filter(|fault| fault.kind.interrupts())
            .map(|fault| fault.times)
            .sum::<u32>()
            + u32::from(kind == Kind::KilledOnce);
        if interruptions >= BLAMED_AFTER {
            return Duty::Stand("it was interrupted again and again");
        }
        Duty::Keep(self.mark(index))
    }

    /// Whether anything but the commit may have kept a trial from telling something.
    pub fn disturbs(&self, host: &str) -> bool {
        let others = self.commits.iter().flat_map(|commit| &commit.hosts);
        let mut bad = others.filter(|(name, kind)| *name != host && kind.end() != End::Kept);
        !self.faults.is_empty() || bad.next().is_some()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let commits = self.commits.iter().map(|commit| {
            let hosts = commit.hosts.iter();
            let hosts: Vec<String> = hosts
                .map(|(host, kind)| format!("{host} {}", kind.name()))
                .collect();
            hosts.join(", ")
        });
        write!(f, "{}", commits.collect::<Vec<_>>().join("; then "))?;
        for fault in &self.faults {
            write!(f, "; {fault}")?;
        }
        Ok(())
    }
}

fn commit(chance: &mut Rng, index: usize, dealt: Kind) -> Commit {
    let after = match index {
        0 => 0,
        _ => chance.u64(0..12_000),
    };
    let mut hosts = BTreeMap::new();
    let everywhere = chance.u8(..4) == 0;
    let first = chance.usize(..HOSTS.len());
    for (number, (host, _)) in HOSTS.iter().enumerate() {
        let kind = if index == 0 && (everywhere || number == first) {
            dealt
        } else if chance.bool() {
            Kind::Plain
        } else {
            any(chance, Kind::value_variants())
        };
        if number == first || chance.u8(..3) > 0 {
            hosts.insert((*host).to_owned(), kind);
        }
    }
    Commit { after, hosts }
}

fn fault(chance: &mut Rng, kind: FaultKind, told: &[&String]) -> Fault {
    // Most of them where something is under way.
    let host = match told {
        [] => HOSTS[chance.usize(..HOSTS.len())].0,
        _ if chance.u8(..4) == 0 => HOSTS[chance.usize(..HOSTS.len())].0,
        told => told[chance.usize(..told.len())],
    };
    let moment = match kind {
        FaultKind::Revert | FaultKind::Confirm => Moment::In(Phase::OnTrial, chance.u64(..1_500)),
        // A trial of a good commit takes little more than a second.
        FaultKind::KillVerify => Moment::In(Phase::OnTrial, chance.u64(..400)),
        FaultKind::KillSwitch => {
            let phase = any(chance, &[Phase::Activating, Phase::Reverting]);
            Moment::In(phase, chance.u64(..400))
        }
        _ if kind.interrupts() && chance.u8(..3) > 0 => {
            let phase = any(chance, Phase::value_variants());
            Moment::In(phase, chance.u64(..1_500))
        }
        // These are there only at the beginning, and are waited for a little.
        FaultKind::KillNix | FaultKind::KillBuilders => Moment::AfterPush(chance.u64(..1_500)),
        FaultKind::KillPass => Moment::AfterPush(chance.u64(..6_000)),
        _ => Moment::AfterPush(chance.u64(..LATEST)),
    };
    let times = match kind {
        FaultKind::PowerCutAgain => chance.u32(2..=3),
        FaultKind::KillAll
        | FaultKind::KillSwitcher
        | FaultKind::KillSwitch
        | FaultKind::KillPass
        | FaultKind::KillNix
        | FaultKind::KillBuilders => 1 + chance.u32(..3) * u32::from(chance.bool()),
        _ => 1,
    };
    let pause = match kind {
        FaultKind::PowerCutAgain => chance.u64(200..5_000),
        FaultKind::LinkLoss | FaultKind::ServerAway | FaultKind::DiskFull | FaultKind::Suspend => {
            chance.u64(2_000..LONGEST)
        }
        _ => chance.u64(100..3_000),
    };
    Fault {
        kind,
        host: host.to_owned(),
        moment,
        times,
        pause,
    }
}

fn any<T: Copy>(chance: &mut Rng, from: &[T]) -> T {
    from[chance.usize(..from.len())]
}

/// The one of these that comes in this round: each of them comes once in as many rounds as there are.
fn dealt<T: Copy>(seed: u64, round: u64, from: &[T]) -> T {
    let count = from.len() as u64;
    let mut chance = Rng::with_seed(mixed(!seed, round / count));
    let mut all = from.to_vec();
    chance.shuffle(&mut all);
    all[usize::try_from(round % count).unwrap_or_default()]
}

/// One number of two, such that neighbours have nothing in common (SplitMix64).
fn mixed(seed: u64, round: u64) -> u64 {
    let mut mixed = seed ^ round.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests;
