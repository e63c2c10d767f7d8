//! Real hosts on one machine, for the tests and the demo of Nixus.
//!
//! Each host is a container with its own systemd, sshd, Nix, disk and addresses; all of a lab lives
//! in namespaces of its own and ends with the process that made it.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! use std::time::Duration;
//!
//! let lab = lab::Lab::start(&["web1"])?;
//! let web1 = lab.host("web1")?;
//! let commit = lab.deploy("web1", r#"environment.etc."greeting".text = "hello";"#, "greet")?;
//! web1.wait_until("greets", Duration::from_secs(60), |host| {
//!     Ok(host.exec(["test", "-e", "/etc/greeting"])?.ok())
//! })?;
//! let reports = lab.operator().reports("web1")?;
//! # Ok(())
//! # }
//! ```

pub mod binaries;
pub mod browser;
pub mod cache;
pub mod caches;
pub mod ci;
pub mod command;
pub mod descriptions;
pub mod disk_full;
#[cfg(test)]
mod documents;
pub mod evaluator;
pub mod fleet;
pub mod fuzz;
pub mod git_server;
pub mod gitea;
pub mod go;
pub mod harness;
pub mod host;
pub mod https_server;
pub mod inside;
pub mod keys;
pub mod kill;
pub mod kind;
pub mod laboratory;
pub mod memory;
pub mod meter;
#[cfg(test)]
mod module_graph;
pub mod namespace;
pub mod network;
pub mod nix_root;
pub mod nixos;
pub mod operator;
mod passes;
mod picture;
pub mod pipeline;
pub mod pool;
pub mod power;
pub mod qemu;
pub mod recording;
pub mod runner;
pub mod secrets;
pub mod seed;
pub mod setup;
pub mod signing_key;
mod ssh_server;
pub mod stc;
pub mod story;

pub use command::Output;
pub use host::Host;
pub use kind::Kind;
pub use lab_macros::test;
pub use laboratory::{Doors, Lab};
pub use operator::Operator;
