//! What an outbox remembers, as it stands in its file.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::decide::status::{Status, Word};

/// The version of the file that this is kept in.
pub const VERSION: u32 = 1;

/// A status that waits, made of one report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// The report's place in the host's history.
    pub report: String,
    /// What is to be posted.
    pub status: Status,
    /// Its state in the forge's words.
    pub state: String,
}

/// How far a host's reports are on their forge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outbox {
    /// The version of this format.
    pub version: u32,
    /// The report up to which all is settled, one way or another.
    pub settled: Option<String>,
    /// Nothing is asked before this.
    pub wait: Option<Wait>,
    /// When the last status was posted or tried.
    pub asked: Option<Timestamp>,
    /// What stands on the last commits, the newest at the end.
    pub posted: Vec<Posted>,
    /// What was refused and is tried again.
    pub held: Vec<Held>,
    /// What was refused and is not tried again; the newest at the end.
    pub given_up: Vec<GivenUp>,
}

/// A time before which a forge is not asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// The time.
    pub until: Timestamp,
    /// The forge named it; nothing is more urgent.
    pub named: bool,
    /// How many requests in a row were in vain.
    pub failures: u32,
    /// The report that was the newest then.
    pub newest: String,
    /// Why.
    pub why: String,
}

/// What stands on a commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posted {
    /// The commit.
    pub commit: String,
    /// The word of its last status.
    pub word: Word,
    /// The state in the forge's words.
    pub state: String,
    /// The whole description.
    pub description: String,
    /// How many statuses were posted on it.
    pub count: u32,
    /// When the last was.
    pub time: Timestamp,
}

/// A status that was refused, perhaps not for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The status.
    pub item: Item,
    /// How often it was refused.
    pub tries: u32,
    /// When it is tried again.
    pub until: Timestamp,
    /// The forge's words.
    pub why: String,
    /// The forge failed at it, and did not refuse it.
    pub failed: bool,
}

/// A status that will not be on its commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenUp {
    /// The commit.
    pub commit: String,
    /// The word of the status.
    pub word: Word,
    /// When it was given up.
    pub time: Timestamp,
    /// The forge's words.
    pub why: String,
}

impl Default for Outbox {
    fn default() -> Self {
        Self {
            version: VERSION,
            settled: None,
            wait: None,
            asked: None,
            posted: Vec::new(),
            held: Vec::new(),
            given_up: Vec::new(),
        }
    }
}
