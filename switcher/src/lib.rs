//! The switcher: the part of Nixus that must not fail.
//!
//! It activates a NixOS toplevel under a watchdog and keeps it only when it is confirmed. It knows a
//! toplevel, a boot loader, a deadline and a journal; it never decides whether a system is healthy.
//!
//! ```text
//! protocol     what reconciler and switcher say to each other
//! decide/      the decisions: (phase, event) -> (phase, effect), and what an end means; pure
//! state/       what is kept on disk: the journal, the history, locks, GC roots, the system profile
//! machine/     the seam to the machine (system), and NixOS behind it: toplevels, systemd, boot loaders, network
//! run/         carries decisions out: watchdog, journal, effect, next event; takeover; the first boot
//! by_hand      what operators do with it
//! cli          its command line
//! output       what people read (output, panic, printable, error_chain); waits: what time is spent on
//! simulation/  a machine in memory, and searches for ways to lose it (feature `simulation`)
//! fuzzing      the parsers, for inputs that are to break them (feature `fuzzing`)
//! ```
//!
//! Invariants, each of which has a test:
//!
//! 1. What the boot loader starts by default was confirmed once.
//! 2. At most one deployment is open; only the holder of the lock writes the journal.
//! 3. A watchdog is armed whenever a deployment is open. The next phase's is armed before the phase
//!    is durable, the last phase's is dropped after.
//! 4. Confirmed means evidence with this deployment's id and the trial's boot id.
//! 5. Reverting never turns into confirmed.
//! 6. No effect begins before its phase is durable, except in a rollback.
//! 7. A failed write stops every step forward, never a rollback.
//! 8. An unreadable or unknown journal stops activations, never the machine.
// They panic on a closed pipe; see `output`.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod by_hand;
pub mod cli;
pub mod decide;
pub mod error_chain;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod machine;
pub mod output;
pub mod panic;
pub mod printable;
pub mod protocol;
pub mod run;
#[cfg(any(test, feature = "simulation"))]
pub mod simulation;
pub mod state;
pub mod waits;

pub use decide::phase::PhaseName;
pub use state::layout::Layout;
pub use state::status::Open;

#[cfg(test)]
mod testing;
