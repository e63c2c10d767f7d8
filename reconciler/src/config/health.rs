//! What the configuration says of a host's health: its checks, its peers, and who must get in.

use std::time::Duration;

pub use super::tables::{OwnSsh, Peer};
pub use super::value::{CheckKind, Need, Quorum};
use crate::host::public_key::PublicKey;

/// The account that answers peers.
pub const PROBE_USER: &str = "nixus-probe";

/// How a host proves that it is well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// The least time that the checks must go on passing before a generation is kept.
    pub soak: Duration,
    /// How long a peer must have been silent for nobody to wait for its word.
    pub peers_lost_after: Duration,
    /// This host's own sshd.
    pub ssh: OwnSsh,
    /// Who must be able to get in.
    pub operators: Vec<Operator>,
    /// Who looks from outside.
    pub peers: Vec<Peer>,
    /// What is checked; the checks that every host has included.
    pub checks: Vec<Check>,
}

/// A key that must let its owner in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// The account.
    pub user: String,
    /// The key.
    pub key: PublicKey,
    /// Where its owner comes from: addresses, networks or patterns. Nothing where nobody has said.
    pub from: Vec<String>,
}

/// One check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Its name; each once.
    pub name: String,
    /// What is checked.
    pub kind: Kind,
    /// Whether a generation is kept only if it passes.
    pub required: bool,
    /// The longest that it may take.
    pub timeout: Duration,
    /// The pause until it is made again, while a generation is on trial.
    pub interval: Duration,
}

/// What is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A pass could take the next commit.
    Repository,
    /// The own sshd lets operators in.
    Ssh,
    /// Peers get in.
    Peer {
        /// How many must.
        quorum: Quorum,
        /// Ports that they must find open too.
        ports: Vec<u16>,
    },
    /// A port is open.
    Tcp {
        /// Where.
        host: String,
        /// The port.
        port: u16,
    },
    /// A page is as it should be.
    Http {
        /// Where.
        url: String,
        /// The status that is right.
        status: u16,
        /// What its body must have in it.
        body: Option<String>,
    },
    /// A command ends with 0.
    Command {
        /// The program and its arguments.
        command: Vec<String>,
    },
    /// No unit is failed that ran before.
    Units {
        /// Units that do not matter.
        ignore: Vec<String>,
    },
}

impl Kind {
    pub(super) fn of(&self) -> CheckKind {
        match self {
            Self::Repository => CheckKind::Repository,
            Self::Ssh => CheckKind::Ssh,
            Self::Peer { .. } => CheckKind::Peer,
            Self::Tcp { .. } => CheckKind::Tcp,
            Self::Http { .. } => CheckKind::Http,
            Self::Command { .. } => CheckKind::Command,
            Self::Units { .. } => CheckKind::Units,
        }
    }

    /// What a check of this kind is called unless it has a name.
    pub fn word(&self) -> &'static str {
        self.of().word()
    }

    /// Whether sshd is asked about keys: once a trial is enough, as too many questions look like
    /// guessing (sshd_config(5), PerSourcePenalties).
    pub fn asks_for_keys(&self) -> bool {
        matches!(self, Self::Ssh | Self::Peer { .. })
    }

    /// The time that it may take, and the pause, unless the configuration says others.
    pub(super) fn pace(kind: CheckKind) -> (Duration, Duration) {
        let (seconds, pause) = match kind {
            // Each network operation has its own limit.
            CheckKind::Repository => (10 * 60, Duration::from_millis(500)),
            CheckKind::Ssh => (20, Duration::from_secs(2)),
            CheckKind::Peer => (30, Duration::from_secs(2)),
            CheckKind::Tcp | CheckKind::Http => (10, Duration::from_secs(1)),
            CheckKind::Command => (30, Duration::from_secs(1)),
            CheckKind::Units => (30, Duration::from_millis(500)),
        };
        (Duration::from_secs(seconds), pause)
    }
}

impl Check {
    /// A check as every host has it.
    pub(super) fn usual(kind: Kind) -> Self {
        let (timeout, interval) = Kind::pace(kind.of());
        Self {
            name: kind.word().to_owned(),
            kind,
            required: true,
            timeout,
            interval,
        }
    }
}
