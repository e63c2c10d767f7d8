//! The reconciler.
fn main() {}
