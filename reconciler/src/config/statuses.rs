//! Where commit statuses go, and which of them.

use crate::config::forge::Reach;
use crate::config::forge::Repository;

/// Everything about commit statuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statuses {
    /// The repository on its forge.
    pub repository: Repository,
    /// How the forge is reached.
    pub reach: Reach,
    /// Where each status leads to, with `{host}`, `{commit}` and `{deployment}` in it.
    pub link: Option<String>,
    /// Whether each status is signed with the host's key.
    pub sign: bool,
    /// Which statuses this host posts.
    pub policy: Policy,
}

/// Which statuses a host posts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// How many hosts the fleet has.
    pub hosts: u32,
    /// Whether this host is one of those that take a commit first.
    pub canary: bool,
    /// Whether the forge takes a status of the same state as the last one.
    pub repeats: bool,
}
