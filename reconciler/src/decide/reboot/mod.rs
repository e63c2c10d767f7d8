//! Whether a host can take a candidate over in place, and what a reboot is for.

use nixus_switcher::decide::change::{Change, Parts, forbids_switch, needs_boot};

/// When a host reboots by its own decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum When {
    /// Never: it waits, and reports what it needs.
    #[default]
    Never,
    /// For what cannot be taken over in place.
    Needed,
    /// In addition, to prove a new kernel, initrd or set of modules soon after it was confirmed in place.
    Kernel,
    /// For each candidate.
    Always,
}

/// How a candidate is taken over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Takeover {
    /// By a switch.
    InPlace,
    /// By a boot, which is its trial.
    Reboot(Vec<Reason>),
    /// By a switch; what only a boot brings is proved by a reboot after that.
    InPlaceThenReboot(Vec<Reason>),
}

/// What a reboot is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// Something differs that a switch does not, or must not, bring about.
    Change(Change),
    /// The switch program has refused, in these words.
    Refused(String),
    /// The configuration wants one for each candidate.
    Always,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Change(change) => change.fmt(f),
            Self::Refused(said) => write!(f, "the switch was refused: {said}"),
            Self::Always => f.write_str("reboot.when is \"always\""),
        }
    }
}

/// The systems that a decision is about.
#[derive(Debug, Clone, Copy)]
pub struct Systems<'a> {
    /// What runs.
    pub running: &'a Parts,
    /// What was booted; its kernel is the one that runs.
    pub booted: &'a Parts,
    /// What is to run.
    pub candidate: &'a Parts,
}

/// How a candidate is taken over, by what the three systems say. Whatever the policy, what forbids a switch
/// forbids it; the policy says only whether somebody has to be asked for the reboot.
pub fn classify(systems: Systems<'_>, when: When) -> Takeover {
    let reasons = |changes: Vec<Change>| changes.into_iter().map(Reason::Change);
    let forbidden = forbids_switch(systems.running, systems.candidate);
    let by_boot = needs_boot(systems.booted, systems.candidate);
    if !forbidden.is_empty() {
        // The boot brings the others as well.
        return Takeover::Reboot(reasons(forbidden).chain(reasons(by_boot)).collect());
    }
    match when {
        When::Always if by_boot.is_empty() => Takeover::Reboot(vec![Reason::Always]),
        When::Always => Takeover::Reboot(reasons(by_boot).collect()),
        When::Kernel if !by_boot.is_empty() => {
            Takeover::InPlaceThenReboot(reasons(by_boot).collect())
        }
        When::Never | When::Needed | When::Kernel => Takeover::InPlace,
    }
}

/// What a host that runs its commit still needs a reboot for: what it runs was not booted.
pub fn pending(booted: &Parts, running: &Parts) -> Vec<Reason> {
    let changes = needs_boot(booted, running);
    changes.into_iter().map(Reason::Change).collect()
}

#[cfg(test)]
mod tests;
