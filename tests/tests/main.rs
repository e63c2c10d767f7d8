//! Tests on real hosts. Those of the lab itself are in `hosts`, `switching` and `git_server`.

mod git_server;
mod hosts;
mod switching;
