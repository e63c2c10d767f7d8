//! `nixus check`: every check made once, for an operator or for monitoring.

use nixus_switcher::protocol::{Before, CheckOutcome, CheckResult};
use serde::Serialize;

use super::{Scene, recovery};
use crate::config::Config;
use crate::decide::verdict::{Finding, judge, rules};
use crate::health::units;
use crate::host::files::Paths;

/// What `nixus check --json` prints.
#[derive(Debug, Serialize)]
pub struct Now {
    /// The version of this format.
    pub version: u32,
    /// The host.
    pub host: String,
    /// What all say together, as they would of a generation on trial.
    pub verdict: CheckOutcome,
    /// Each finding.
    pub checks: Vec<CheckResult>,
}

/// Makes all checks of the system that runs.
pub async fn now(config: &Config, paths: &Paths) -> Now {
    let scene = Scene {
        config,
        paths,
        open: None,
        by_unit: true,
    };
    let (timer, place, recover, found) = tokio::join!(
        units::timer(&config.passes),
        units::place(),
        recovery::unit(),
        super::all(&scene)
    );
    let mut all = vec![timer, place, recover, recovery::state(&paths.state)];
    all.extend(found);
    // Here every peer counts.
    let before = Before {
        checks: all
            .iter()
            .filter(|one| one.by.is_some())
            .map(Finding::as_well)
            .collect(),
        ..Before::default()
    };
    let verdict = judge(
        &before,
        &all,
        &rules(&config.health.checks, config.switch.failed_units),
    );
    Now {
        version: 1,
        host: config.host.clone(),
        verdict: verdict.outcome,
        checks: verdict.checks,
    }
}
