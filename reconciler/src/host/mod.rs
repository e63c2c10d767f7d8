//! The host that Nixus runs on, as everything above stands on it: files, other programs, systemd, disks, the HTTP
//! client with the certificate store of the host, and what people read.

pub mod disk_space;
pub mod files;
pub mod http;
pub mod output;
pub mod process;
pub mod public_key;
pub mod set_aside;
pub mod store_path;
pub mod systemd;
#[cfg(test)]
pub(crate) mod testing;
