//! Checks that this host makes of itself.

use nixus_switcher::activation::mark;
use nixus_switcher::layout::Layout;
use nixus_switcher::protocol::{CheckOutcome, Toplevel};

use crate::health::Finding;
use crate::plan::Baseline;
use crate::process::in_words;
use crate::systemd::{self, PASS_UNIT, SystemdError};

/// The timer of the passes to come.
const TIMER: &str = "nixus-reconcile.timer";
/// What runs these checks.
const VERIFY: &str = "nixus-verify.service";

/// The passes to come need their timer.
pub async fn timer() -> Finding {
    let name = "timer";
    let properties = "LoadState,ActiveState,SubState,NextElapseUSecMonotonic,NextElapseUSecRealtime,\
                      WantedBy,RequiredBy";
    let shown = match systemd::show(TIMER, properties).await {
        Ok(shown) => shown,
        Err(error) => return Finding::new(name, CheckOutcome::Unknown, in_words(&error)),
    };
    let is = |property: &str, value: &str| shown.get(property).is_some_and(|found| found == value);
    let elapses = |property: &str| {
        shown
            .get(property)
            .is_some_and(|next| !matches!(next.as_str(), "" | "0" | "infinity"))
    };
    let coming = elapses("NextElapseUSecMonotonic") || elapses("NextElapseUSecRealtime");
    // A timer whose new file systemd refuses may go on with what it had, until the next boot.
    if !is("LoadState", "loaded") {
        let state = shown.get("LoadState").cloned().unwrap_or_default();
        let reason = format!("systemd does not take {TIMER}: {state}");
        return Finding::new(name, CheckOutcome::Fail, reason);
    }
    // A timer that nothing wants still runs, but would not start at the next boot.
    if is("WantedBy", "") && is("RequiredBy", "") {
        let reason = format!("{TIMER} is wanted by no target: no pass would follow the next boot");
        return Finding::new(name, CheckOutcome::Fail, reason);
    }
    // While its service runs, a timer has no next elapse.
    if is("ActiveState", "active") && (coming || is("SubState", "running")) {
        return Finding::new(name, CheckOutcome::Pass, "the next pass is due");
    }
    let state = shown.get("ActiveState").cloned().unwrap_or_default();
    let reason = format!("{TIMER} is {state} and starts no further pass");
    Finding::new(name, CheckOutcome::Fail, reason)
}

/// Whether the running system is fit to be changed: systemd answers, and the machine neither comes
/// up nor goes down.
pub async fn baseline() -> Baseline {
    match systemd::manager_state().await {
        Err(error) => Baseline::Unfit(in_words(&error)),
        Ok(state) if matches!(state.as_str(), "initializing" | "maintenance" | "stopping") => {
            Baseline::Unfit(format!("systemd is {state}"))
        }
        Ok(_) => Baseline::Sound,
    }
}

/// Whether neither sshd nor its socket is there, or wanted by anything: nobody will start it.
pub async fn nobody_starts_sshd() -> bool {
    let properties = "LoadState,ActiveState,WantedBy,RequiredBy";
    for unit in ["sshd.service", "sshd.socket"] {
        let Ok(shown) = systemd::show(unit, properties).await else {
            return false;
        };
        let is =
            |property: &str, value: &str| shown.get(property).map_or("", String::as_str) == value;
        let wanted = !is("WantedBy", "") || !is("RequiredBy", "");
        let runs = !is("ActiveState", "inactive") && !is("ActiveState", "failed");
        if is("LoadState", "loaded") && (wanted || runs) {
            return false;
        }
    }
    true
}

/// No unit is failed that was not failed before, but for those that do not matter.
pub async fn units(failed_before: &[String], ignore: &[String]) -> Finding {
    let name = "units";
    match systemd::failed_units().await {
        Err(error) => Finding::new(name, CheckOutcome::Unknown, in_words(&error)),
        Ok(failed) => {
            let new: Vec<_> = failed
                .into_iter()
                .filter(|unit| !failed_before.contains(unit) && !ignore.contains(unit))
                // Ours are no part of what a host is for; the timer has a check of its own.
                .filter(|unit| !unit.starts_with("nixus-"))
                .collect();
            if new.is_empty() {
                Finding::new(name, CheckOutcome::Pass, "no unit failed that ran before")
            } else {
                let reason = format!("failed units: {}", new.join(", "));
                Finding::new(name, CheckOutcome::Fail, reason)
            }
        }
    }
}

/// How the activation of the system that runs ended, which an exit code can hide and a boot does not show.
/// Where nobody has noted it, nothing is held against it: what is in `/run` may be lost.
pub async fn activation(candidate: &Toplevel) -> Finding {
    let name = "activation";
    match mark::failed(&Layout::host(), candidate) {
        Some(false) => Finding::new(name, CheckOutcome::Pass, "the activation script succeeded"),
        None => {
            let reason = "how the activation script ended was not noted";
            Finding::new(name, CheckOutcome::Pass, reason)
        }
        Some(true) => {
            let snippets = systemd::failed_snippets().await;
            let reason = match snippets.is_empty() {
                true => "a snippet of the activation script failed".to_owned(),
                false => format!("activation script snippets failed: {}", snippets.join(", ")),
            };
            Finding::new(name, CheckOutcome::Fail, reason)
        }
    }
}

/// What is proved here counts for the passes to come only if they run in the same place: the same
/// user, sandbox, credentials and environment.
pub async fn place() -> Finding {
    let name = "place";
    let both = async {
        Ok::<_, SystemdError>((
            systemd::settings(PASS_UNIT).await?,
            systemd::settings(VERIFY).await?,
        ))
    };
    match both.await {
        Err(error) => Finding::new(name, CheckOutcome::Unknown, in_words(&error)),
        Ok((pass, verify)) => match first_difference(&pass, &verify) {
            None => Finding::new(
                name,
                CheckOutcome::Pass,
                "passes run as this verification does",
            ),
            Some(line) => {
                let reason = format!("{PASS_UNIT} and {VERIFY} do not run alike: {line}");
                Finding::new(name, CheckOutcome::Fail, reason)
            }
        },
    }
}

/// The first line of `[Service]` that stands in one of two units only; what the units are to run
/// is theirs.
fn first_difference(one: &str, other: &str) -> Option<String> {
    let place = |text: &str| -> Vec<String> {
        let mut inside = false;
        let mut lines: Vec<String> = text
            .lines()
            .map(str::trim)
            .filter(|line| {
                if line.starts_with('[') {
                    inside = *line == "[Service]";
                }
                let own = ["[", "#", ";", "Exec", "Timeout", "X-", "Restart"];
                inside && !line.is_empty() && !own.iter().any(|own| line.starts_with(own))
            })
            .map(str::to_owned)
            .collect();
        lines.sort_unstable();
        lines.dedup();
        lines
    };
    let (one, other) = (place(one), place(other));
    one.iter()
        .find(|line| !other.contains(line))
        .or_else(|| other.iter().find(|line| !one.contains(line)))
        .cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_run_alike_if_only_their_commands_differ() {
        let pass = "[Unit]\nDescription=a\n[Service]\nType=oneshot\nExecStart=nixus reconcile\n";
        let check = |other: &str, expected: Option<&str>| {
            assert_eq!(first_difference(pass, other).as_deref(), expected);
            assert_eq!(first_difference(other, pass).as_deref(), expected);
        };
        check(
            "[Unit]\nDescription=b\n[Service]\nExecStart=nixus verify\nType=oneshot\n",
            None,
        );
        check(
            "[Service]\nType=oneshot\nExecStart=x\n# drop-in\n[Service]\nUser=nobody\n",
            Some("User=nobody"),
        );
    }
}
