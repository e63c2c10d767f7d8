//! Every interleaving of an abstract machine: the switcher's steps one by one, its watchdogs, the
//! recovery at boot, operators, kills and power cuts. What follows from an event is decided by the
//! real `step`; the machine and the order of the switcher's steps are those of `run` and `takeover`
//! in short.
//!
//! ```text
//! book      phases, events and decisions as numbers
//! world     the machine, the journal and the switcher, small enough to be a key
//! process   from one phase to the next; mirrors `run`
//! successors  the next step of a process, in every way that it can go
//! effects   what each effect does to the machine, and how it may end
//! around    everybody else: watchdogs, boot, operators, crashes
//! promises  what must be so in every state
//! search    breadth first, so that what it finds is told in the fewest steps
//! ```

mod around;
mod book;
mod effects;
mod process;
mod promises;
mod search;
mod successors;
mod world;

pub use search::{Explored, Violation, explore};
pub use world::{Bounds, Reach};

#[cfg(test)]
mod tests;
