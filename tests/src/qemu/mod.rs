//! A machine that really boots: firmware, a boot loader, a kernel, and a disk that loses at a power
//! cut what was not flushed.
//!
//! It is emulated (QEMU's TCG), so it needs no virtualization, and is some twenty times slower than
//! the machine that it runs on.

pub mod disk;
pub mod image;
pub mod kernel;
pub mod loader;
pub mod machine;
pub mod nbd;

use std::process::{Command, Stdio};

/// Lets this thread, and all that it starts from now on, come before what else runs: a machine that is
/// emulated takes longest, and has watchdogs that do not wait. Without the right to that, it is
/// only slower.
pub fn come_first() {
    // Linux has one nice value for each thread, and children inherit it (sched(7)).
    let thread = nix::unistd::gettid().to_string();
    let _ = Command::new("renice")
        .args(["-n", "-12", "-p", &thread])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
}
