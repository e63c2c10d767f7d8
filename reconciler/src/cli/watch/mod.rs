//! TODO

pub mod live_lines;
pub mod progress;
