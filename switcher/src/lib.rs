//! The switcher: the part of Nixus that must not fail.

pub mod protocol;
