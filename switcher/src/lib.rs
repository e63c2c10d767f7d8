//! The switcher: the part of Nixus that must not fail.
//!
//! It activates a NixOS toplevel under a watchdog and keeps it only when it is confirmed. It knows a
//! toplevel, a boot loader, a deadline and a journal; it never decides whether a system is healthy.
//!
//! ```text
//! transaction   the decisions: (phase, event) -> (phase, effect); pure
//! phase         the phases of a deployment, as the journal keeps them
//! run, effects  carry decisions out: watchdog, journal, effect, next event
//! takeover      crash, watchdog, operator: somebody else goes on
//! boot_trial    the first boot of what was confirmed in place    boot_proven  what has proved that it boots
//! fault         places at which tests stop all this; nothing in a shipped program
//! journal       what was being done, durable before it is done       disk    what is durable
//!   lock_file   locks that nobody else can take
//! profile       the system profile      roots    GC roots            history what became of it
//! system        the seam to the machine
//!   network     addresses, routes, sshd's sockets
//!   nixos       the machine, for real   systemd  bootloader  toplevel  trial  process  exit_file  arrival
//!   store       whether files are what Nix put there      boot_mark  whether that is in doubt
//! cli           what it can be asked     by_hand    what operators do with it   operator   who they are
//! lost_journal  what can be done without the journal
//! protocol      what reconciler and switcher say to each other
//! state         what is going on, for those who only want to know
//! waits         what time is spent on, likewise      say   what people read, if they do
//! fuzzing       the parsers, for inputs that are to break them (with that feature only)
//! simulation    a machine in memory, and searches for ways to lose it (with that feature only)
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
//! 6. No effect begins before its phase is durable, except on the way back.
//! 7. A failed write stops every step forward, never the way back.
//! 8. An unreadable or unknown journal stops activations, never the machine.
// These panic where nobody reads; see `say`.
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
