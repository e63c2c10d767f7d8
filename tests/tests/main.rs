//! Tests on real hosts. `deployments` and `failures` tell what Nixus promises;
//! those of the lab itself are in `hosts`, `switching` and `git_server`.

mod deployments;
mod failures;
mod git_server;
mod hosts;
mod switching;
