//! A machine that really boots: firmware, a boot loader, a kernel, and a disk that loses at a power
//! cut what was not flushed.
//!
//! It is emulated (QEMU's TCG), so it needs no virtualization, and is some twenty times slower than
//! the machine that it runs on.

pub mod disk;
pub mod image;
pub mod kernel;
pub mod machine;
pub mod nbd;
