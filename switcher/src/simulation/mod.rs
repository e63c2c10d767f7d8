//! A machine that exists only in memory, and searches for ways to lose it. Not part of a switcher
//! that is shipped: it is compiled for tests and with the feature `simulation`.
//!
//! ```text
//! kinds    the kinds of events, for tables and coverage
//! model    every interleaving of an abstract machine, driven by the real decisions
//!
//! world    one faulty deployment to its end; the whole switcher runs in it, as it is shipped
//! machine  the machine: files, store, boot loader, watchdogs; what a seed wants to go wrong
//!   files  files that honour only what fsync promises        disk, system  the switcher's seams
//!   host   how it behaves: activations, boot loader, checks, garbage collector
//!   fault  what goes wrong, and the stories                  rng           chance, repeatable
//! promises what must be so afterwards
//! sweep    many seeds, counted
//! teeth    the steps that can be taken out, to see that it is noticed
//! ```

mod disk;
mod fault;
mod files;
mod host;
pub mod kinds;
mod machine;
pub mod model;
mod promises;
mod rng;
mod sweep;
mod system;
mod teeth;
mod world;

pub use fault::{KINDS as FAULTS, Kind, Story};
pub use sweep::Tally;
pub use teeth::{Caught, TEETH, Tooth, catch};
pub use world::{Run, run};

#[cfg(test)]
mod tests;
