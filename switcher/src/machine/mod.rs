//! The machine behind one seam (`system`): toplevels, systemd, boot loaders, the network, other programs. One file or
//! folder for each outside party.

pub mod activation;
pub mod arrival;
pub mod bootloader;
pub mod exit_file;
pub mod fault;
pub mod network;
pub mod nixos;
pub mod operator;
pub mod parts;
pub mod process;
pub mod store;
pub mod system;
pub mod systemd;
pub mod toplevel;
pub mod trial_door;
