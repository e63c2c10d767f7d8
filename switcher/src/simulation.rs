//! A machine that exists only in memory, and searches for ways to lose it. Not part of a switcher
//! that is shipped: it is compiled for tests and with the feature `simulation`.
//!
//! ```text
//! kinds   the kinds of events, for tables and coverage
//! model   every interleaving of an abstract machine, driven by the real decisions
//! ```

pub mod kinds;
pub mod model;
