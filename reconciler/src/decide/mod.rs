//! The decisions: what a pass does next, what an end says of a commit, what is posted. Pure: nothing here reads a
//! file, the clock, the network or the environment, or runs a program.

pub mod age;
pub mod baseline;
pub mod blame;
pub mod commit_id;
pub mod ledger;
pub mod outbox;
pub mod plan;
pub mod reboot;
pub mod report;
pub mod status;
pub mod verdict;
pub mod window;
