//! Checks that this host makes of itself.

use nixus_switcher::protocol::{CheckOutcome, CheckResult};

use crate::health::result;
use crate::process::in_words;
use crate::systemd;

/// The timer of the passes to come.
const TIMER: &str = "nixus-reconcile.timer";

/// The passes to come need their timer.
pub async fn timer() -> CheckResult {
    let name = "timer";
    let properties =
        "ActiveState,SubState,NextElapseUSecMonotonic,NextElapseUSecRealtime,FragmentPath";
    let shown = match systemd::show(TIMER, properties).await {
        Ok(shown) => shown,
        Err(error) => return result(name, CheckOutcome::Unknown, in_words(&error)),
    };
    let is = |property: &str, value: &str| shown.get(property).is_some_and(|found| found == value);
    let elapses = |property: &str| {
        shown
            .get(property)
            .is_some_and(|next| !matches!(next.as_str(), "" | "0" | "infinity"))
    };
    let coming = elapses("NextElapseUSecMonotonic") || elapses("NextElapseUSecRealtime");
    // While its service runs, a timer has no next elapse.
    if is("ActiveState", "active") && (coming || is("SubState", "running")) {
        return result(name, CheckOutcome::Pass, "the next pass is due");
    }
    let state = shown.get("ActiveState").cloned().unwrap_or_default();
    let reason = format!("{TIMER} is {state} and starts no further pass");
    result(name, CheckOutcome::Fail, reason)
}

/// No unit is failed that was not failed before.
pub async fn units(failed_before: &[String]) -> CheckResult {
    let name = "units";
    match systemd::failed_units().await {
        Err(error) => result(name, CheckOutcome::Unknown, in_words(&error)),
        Ok(failed) => {
            let new: Vec<_> = failed
                .into_iter()
                .filter(|unit| !failed_before.contains(unit))
                // Ours are no part of what a host is for; the timer has a check of its own.
                .filter(|unit| !unit.starts_with("nixus-"))
                .collect();
            if new.is_empty() {
                result(name, CheckOutcome::Pass, "no unit failed that ran before")
            } else {
                let reason = format!("failed units: {}", new.join(", "));
                result(name, CheckOutcome::Fail, reason)
            }
        }
    }
}
