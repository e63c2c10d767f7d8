//! Checks that this host makes of itself.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use nixus_switcher::machine::activation::mark;
use nixus_switcher::protocol::{CheckOutcome, Toplevel};
use nixus_switcher::state::layout::Layout;

use crate::config::Passes;
use crate::decide::baseline::Baseline;
use crate::decide::verdict::Finding;
use crate::host::process::in_words;
use crate::host::systemd::{self, PASS_TIMER, PASS_UNIT, SystemdError};

/// What runs these checks.
const VERIFY: &str = "nixus-verify.service";
/// The check of the timer.
pub const TIMER: &str = "timer";
/// How often the timer is looked at where it seems to wait for nothing,
const LOOKS: usize = 5;
/// and the pause until it is looked at again.
const BETWEEN_LOOKS: Duration = Duration::from_millis(300);

/// What systemd says of the timer of the passes to come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Timer {
    /// Its properties, by name.
    shown: HashMap<String, String>,
    /// The time until it elapses next; nothing where it does not, or while what it starts runs.
    next: Option<Duration>,
}

/// Asks systemd about the timer. It may elapse between two questions, and then seems to wait for nothing: that
/// counts only where it stays so.
///
/// # Errors
/// When systemd does not answer.
pub async fn look_at_timer() -> Result<Timer, SystemdError> {
    let mut timer = look_at_timer_once().await?;
    for _ in 1..LOOKS {
        if !timer.waits_for_nothing() {
            break;
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
        timer = look_at_timer_once().await?;
    }
    Ok(timer)
}

async fn look_at_timer_once() -> Result<Timer, SystemdError> {
    let properties = "LoadState,ActiveState,SubState,Unit,WantedBy,RequiredBy";
    let shown = systemd::show(PASS_TIMER, properties).await?;
    let next = systemd::next_elapse(PASS_TIMER).await?;
    let now = Timestamp::now();
    Ok(Timer {
        shown,
        next: next.map(|next| Duration::try_from(next.duration_since(now)).unwrap_or_default()),
    })
}

/// The passes to come need their timer.
pub async fn timer(passes: &Passes) -> Finding {
    match look_at_timer().await {
        Ok(timer) => timer.judge(passes),
        Err(error) => Finding::new(TIMER, CheckOutcome::Unknown, in_words(&error)),
    }
}

impl Timer {
    /// Whether it will go on starting passes, as often as the configuration says.
    pub fn judge(&self, passes: &Passes) -> Finding {
        let of = |property: &str| self.shown.get(property).map_or("", String::as_str);
        let fail = |reason: String| Finding::new(TIMER, CheckOutcome::Fail, reason);
        // A timer whose new file systemd refuses may go on with what it had, until the next boot.
        if of("LoadState") != "loaded" {
            let state = of("LoadState");
            return fail(format!("systemd does not take {PASS_TIMER}: {state}"));
        }
        // A timer that nothing wants still runs, but would not start at the next boot.
        if of("WantedBy").is_empty() && of("RequiredBy").is_empty() {
            return fail(format!(
                "{PASS_TIMER} is wanted by no target: no pass would follow the next boot"
            ));
        }
        if of("Unit") != PASS_UNIT {
            let unit = of("Unit");
            return fail(format!("{PASS_TIMER} starts {unit}, and no pass"));
        }
        if of("ActiveState") != "active" || self.waits_for_nothing() {
            let state = of("ActiveState");
            return fail(format!(
                "{PASS_TIMER} is {state} and starts no further pass"
            ));
        }
        let bound = passes.longest_pause();
        match self.next {
            Some(next) if next > bound => fail(format!(
                "{PASS_TIMER} starts the next pass in {} s only, and one is to follow every {} s",
                next.as_secs(),
                passes.interval.as_secs()
            )),
            _ => Finding::new(TIMER, CheckOutcome::Pass, "the next pass is due"),
        }
    }

    /// Whether it will not elapse; while its service runs, a timer has no next elapse either.
    fn waits_for_nothing(&self) -> bool {
        let runs = self
            .shown
            .get("SubState")
            .is_some_and(|state| state == "running");
        self.next.is_none() && !runs
    }

    /// Whether it is still to start a pass within this time.
    pub fn is_due_within(&self, time: Duration) -> bool {
        self.next.is_none_or(|next| next <= time)
    }
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
                // Ours are not part of what a host is for; the timer has a check of its own.
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
                "reconcile runs in the same environment as this check",
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
    fn a_timer_must_start_passes_as_often_as_the_configuration_says() {
        let passes = Passes {
            interval: Duration::from_secs(60),
            boot_delay: Duration::from_secs(30),
            timeout: Duration::from_secs(3600),
        };
        let well = [
            ("LoadState", "loaded"),
            ("ActiveState", "active"),
            ("SubState", "waiting"),
            ("Unit", PASS_UNIT),
            ("WantedBy", "timers.target"),
        ];
        let check = |property: &str, value: &str, next: Option<u64>, words: &str| {
            let mut shown: HashMap<String, String> = well
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
            shown.insert(property.to_owned(), value.to_owned());
            let next = next.map(Duration::from_secs);
            let found = Timer { shown, next }.judge(&passes);
            let passes = words == "the next pass is due";
            assert_eq!(found.outcome == CheckOutcome::Pass, passes, "{found:?}");
            assert!(found.reason.contains(words), "{found:?}");
        };
        check("", "", Some(60), "the next pass is due");
        check("", "", Some(180), "the next pass is due");
        check("SubState", "running", None, "the next pass is due");
        check("", "", None, "starts no further pass");
        check(
            "",
            "",
            Some(181),
            "in 181 s only, and one is to follow every 60 s",
        );
        // The year 2099.
        check("", "", Some(2_000_000_000), "in 2000000000 s only");
        check(
            "Unit",
            "k-nothing.service",
            Some(5),
            "starts k-nothing.service, and no pass",
        );
        check("ActiveState", "inactive", Some(5), "starts no further pass");
        check(
            "LoadState",
            "masked",
            Some(5),
            "does not take nixus-reconcile.timer: masked",
        );
        check("WantedBy", "", Some(5), "wanted by no target");
    }

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
