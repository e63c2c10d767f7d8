//! Where commit statuses go, and which of them.

use crate::forge::Repository;
use crate::forge::http::Reach;
use crate::outbox::Policy;

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
