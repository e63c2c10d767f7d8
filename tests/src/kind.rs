//! What the hosts of a fleet are.

use std::cell::Cell;

/// The kind of the hosts of a fleet; its git server is Debian in any case.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// Debian in the shape of NixOS, by a stand-in for nixpkgs.
    #[default]
    StandIn,
    /// NixOS.
    Nixos,
}

thread_local! {
    static CURRENT: Cell<Kind> = const { Cell::new(Kind::StandIn) };
}

impl Kind {
    /// What the labs of this thread are made of, where nobody says otherwise.
    pub fn current() -> Self {
        CURRENT.get()
    }

    /// From now on the labs of this thread are of this kind.
    pub fn make_current(self) {
        CURRENT.set(self);
    }
}
