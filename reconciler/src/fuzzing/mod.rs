//! The parsers of what comes from outside, each with what must hold whatever it is given: `lab fuzz` looks for
//! inputs that break one. With the feature `fuzzing` only.

mod forges;
mod git;
mod hosts;
mod written;

pub use nixus_switcher::fuzzing::Target;

/// All targets: the reconciler's and the switcher's.
pub fn targets() -> impl Iterator<Item = Target> {
    [
        git::TARGETS,
        forges::TARGETS,
        hosts::TARGETS,
        written::TARGETS,
        nixus_switcher::fuzzing::TARGETS,
    ]
    .into_iter()
    .flatten()
    .copied()
}

/// A target of this name.
const fn target(name: &'static str, run: fn(&[u8]) -> Result<(), String>) -> Target {
    Target { name, run }
}
