//! Orders that are meant for all units, in the middle of a deployment: whoever gives them, the deployment
//! ends in time and the host stays reachable.

use anyhow::{Context as _, Result};
use lab::descriptions::{NEEDED_MOUNT, order};
use lab::story::Story;
use lab::test;
use nixus::decide::report::State;

use crate::failures::{check, takes_the_next_commit};

#[test(nixos)]
fn a_mount_that_fails_takes_no_host_away() -> Result<()> {
    // In emergency mode nobody but root may log in. The next commit is kept only if a peer may again.
    let story = Story::begin(&["web1", "db1"])?;
    let web1 = story.host("web1")?;
    let before = web1.current_system()?;
    let commit = story.lab().deploy("web1", NEEDED_MOUNT, "mount data")?;
    story.went_back("web1", &commit, &before, "data.mount")?;
    web1.must(["systemctl", "is-active", "multi-user.target"])?;
    takes_the_next_commit(&story)
}

#[test]
fn a_machine_that_is_isolated_to_its_rescue_mode_comes_back() -> Result<()> {
    let story = Story::begin(&["web1"])?;
    let web1 = story.host("web1")?;
    let before = web1.current_system()?;
    let order = order("systemctl isolate --no-block rescue.target");
    let commit = story.lab().deploy("web1", &order, "isolate")?;
    // The rest of the switch starts again what the order had stopped, or else the old system does.
    let report = story.ended("web1", &commit)?;
    let runs = match report.state {
        State::Success => report.toplevel.context("no toplevel")?.to_string(),
        _ => before,
    };
    story.at_rest("web1", &runs)?;
    takes_the_next_commit(&story)
}

#[test]
fn a_deployment_whose_units_are_all_stopped_ends_at_its_deadline() -> Result<()> {
    check(&order("systemctl stop --no-block 'nixus-*'"), "")
}
