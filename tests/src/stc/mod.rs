//! `bin/switch-to-configuration` of the lab's systems.
//!
//! It has the contract of nixpkgs' switch-to-configuration-ng: the same actions, order, lock, exit
//! codes, `X-` settings and lists for resuming. [`plan`] and [`unit_file`] are pure; [`actions`]
//! does what was planned.

pub mod actions;
pub mod bootloader;
pub mod plan;
pub mod systemctl;
pub mod unit_file;
