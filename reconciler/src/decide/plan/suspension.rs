//! That an operator holds a host still.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// That, since when, until when and why a host is held still.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suspension {
    /// The version of this file's format.
    pub version: u32,
    /// Since when.
    pub since: Timestamp,
    /// Until when; until `nixus resume` where there is none.
    pub until: Option<Timestamp>,
    /// Why, in the operator's words.
    pub why: Option<String>,
}

impl Suspension {
    /// Whether it still holds.
    pub fn holds(&self, now: Timestamp) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}
