//! Whether a host may be changed now.

/// Whether the running system is fit to be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Baseline {
    /// Not looked at yet.
    Unknown,
    /// It is.
    Sound,
    /// It is not, for this reason.
    Unfit(String),
    /// It is, but these peers are on trial themselves.
    PeersOnTrial(Vec<String>),
}
