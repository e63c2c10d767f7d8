//! The decisions: what follows from a phase and an event. Pure: no file, process, clock or network.

pub(crate) mod cause;
pub mod change;
pub mod phase;
pub mod transaction;
