//! Tests on real hosts. `deployments` and `failures` tell what Nixus promises;
//! those of the lab itself are in `hosts`, `switching` and `git_server`.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "this is a test; clippy's own exception is for functions marked as such only"
)]

mod activations;
mod boots;
mod boots_dark;
mod commands;
mod connections;
mod deployments;
mod drift;
mod failures;
mod forges;
mod full_disks;
mod git_server;
mod hardening;
mod health;
mod health_keys;
mod health_outages;
mod health_peers;
mod heartbeats;
mod hooks;
mod hosts;
mod https;
mod local_users;
mod machines;
mod manifest_caches;
mod manifests;
mod matrix;
mod memory;
mod modules;
mod networks;
mod outages;
mod own_pass;
mod passes;
mod pipelines;
mod programs;
mod real_modules;
mod real_switches;
mod real_systems;
mod releases;
mod restoring;
mod rollbacks;
mod secrets;
mod secrets_leaks;
mod secrets_operators;
mod secrets_refused;
mod silence;
mod sizes;
mod strange;
mod submodules;
mod survival;
mod switching;

fn main() -> std::process::ExitCode {
    lab::harness::main(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests"))
}
