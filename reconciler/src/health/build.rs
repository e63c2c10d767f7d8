//! Nix can still build: a generation whose Nix starts no builder, or cannot make the folder for it, would
//! find the next commit and come no further. What was built before proves nothing, so something new is.

use nixus_switcher::Open;
use nixus_switcher::protocol::CheckOutcome;

use super::Scene;
use crate::closure::trifle::{self, Trifle};
use crate::decide::verdict::Finding;

/// The name of this check.
pub const BUILD: &str = "build";

/// Builds something small that no other trial has built. Nothing where this host never builds.
pub async fn check(scene: &Scene<'_>, open: &Open) -> Option<Finding> {
    let closure = &scene.config.closure;
    if !closure.builds_here() {
        return None;
    }
    let found = match trifle::build(closure, &open.deployment).await {
        Trifle::Built => Finding::new(BUILD, CheckOutcome::Pass, "nix builds"),
        Trifle::NotBuilt(why) => Finding::new(
            BUILD,
            CheckOutcome::Fail,
            format!("nix cannot build: {why}"),
        ),
        Trifle::Unknown(why) => Finding::new(BUILD, CheckOutcome::Unknown, why),
    };
    Some(found)
}
