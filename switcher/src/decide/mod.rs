//! The decisions: what follows from a phase and an event. Pure: no file, process, clock or network.

pub(crate) mod cause;
pub mod phase;
pub mod transaction;
