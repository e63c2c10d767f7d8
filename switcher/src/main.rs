//! The switcher.
fn main() {}
