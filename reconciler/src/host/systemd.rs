//! systemd, as the reconciler needs it: through `systemctl` and `systemd-run`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use nixus_switcher::machine::activation::said::Said;
use nixus_switcher::machine::systemd::UNDISTURBED;
use thiserror::Error;

use crate::host::process::{Invocation, ProcessError};

/// The unit that makes a pass.
pub const PASS_UNIT: &str = "nixus-reconcile.service";

/// The timer that starts it.
pub const PASS_TIMER: &str = "nixus-reconcile.timer";

/// How long PID 1 may take to answer.
const ANSWER: Duration = Duration::from_secs(30);

/// Why systemd could not be asked or told.
#[derive(Debug, Error)]
pub enum SystemdError {
    /// A unit's properties could not be read.
    #[error("cannot ask systemd about {unit}")]
    Show {
        /// The unit.
        unit: String,
        /// Why.
        #[source]
        source: ProcessError,
    },
    /// The failed units could not be listed.
    #[error("cannot list failed units")]
    ListFailed(#[source] ProcessError),
    /// A unit could not be started.
    #[error("cannot start {unit}")]
    Start {
        /// The unit.
        unit: String,
        /// Why.
        #[source]
        source: ProcessError,
    },
    /// A unit could not be stopped.
    #[error("cannot stop {unit}")]
    Stop {
        /// The unit.
        unit: String,
        /// Why.
        #[source]
        source: ProcessError,
    },
    /// A transient unit could not be started.
    #[error("cannot start the transient unit {unit}")]
    Run {
        /// The unit.
        unit: String,
        /// Why.
        #[source]
        source: ProcessError,
    },
}

async fn ask(unit: &str, arguments: &[&str]) -> Result<Vec<u8>, SystemdError> {
    Invocation::new("systemctl", ANSWER)
        .args(arguments)
        .output()
        .await
        .map_err(|source| SystemdError::Show {
            unit: unit.to_owned(),
            source,
        })
}

/// Some properties of a unit, by name; a unit that does not exist has empty ones.
///
/// # Errors
/// systemd does not answer in time.
pub async fn show(unit: &str, properties: &str) -> Result<HashMap<String, String>, SystemdError> {
    let output = ask(unit, &["show", "--property", properties, "--", unit]).await?;
    Ok(String::from_utf8_lossy(&output)
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect())
}

/// When a timer elapses next; nothing where it does not, or while its unit runs.
///
/// # Errors
/// systemd does not answer in time, or with a time that is not one.
pub async fn next_elapse(timer: &str) -> Result<Option<Timestamp>, SystemdError> {
    let output = ask(
        timer,
        &["list-timers", "--all", "--output=json", "--", timer],
    )
    .await?;
    Ok(elapse_in(&output))
}

/// `next` is in microseconds since 1970 (systemd, src/systemctl/systemctl-list-units.c).
pub(crate) fn elapse_in(output: &[u8]) -> Option<Timestamp> {
    let timers: serde_json::Value = serde_json::from_slice(output).ok()?;
    let next = timers.get(0)?.get("next")?.as_i64()?;
    // All bits set stands for never.
    Timestamp::from_microsecond(next).ok().filter(|_| next > 0)
}

/// The file that a loaded unit comes from, links resolved.
///
/// # Errors
/// systemd does not answer in time.
pub async fn fragment(unit: &str) -> Result<Option<PathBuf>, SystemdError> {
    let properties = show(unit, "FragmentPath").await?;
    Ok(properties
        .get("FragmentPath")
        .filter(|path| !path.is_empty())
        .and_then(|path| std::fs::canonicalize(path).ok()))
}

/// The text of a unit's files, drop-ins included, as systemd reads them.
///
/// # Errors
/// systemd does not answer in time, or knows no such unit.
pub async fn settings(unit: &str) -> Result<String, SystemdError> {
    let output = ask(unit, &["cat", "--no-pager", "--", unit]).await?;
    Ok(String::from_utf8_lossy(&output).into_owned())
}

/// What systemd itself is doing: `running`, `degraded`, `starting`, `stopping`, … (systemctl(1),
/// is-system-running).
///
/// # Errors
/// systemd does not answer in time.
pub async fn manager_state() -> Result<String, SystemdError> {
    let output = ask(
        "its own state",
        &["show", "--property", "SystemState", "--value"],
    )
    .await?;
    Ok(String::from_utf8_lossy(&output).trim().to_owned())
}

/// The units that are failed now.
///
/// # Errors
/// systemd does not answer in time, or with something else than a list.
pub async fn failed_units() -> Result<Vec<String>, SystemdError> {
    let output = Invocation::new("systemctl", ANSWER)
        .args(["list-units", "--failed", "--plain", "--no-legend", "--full"])
        .output()
        .await
        .map_err(SystemdError::ListFailed)?;
    Ok(String::from_utf8_lossy(&output)
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect())
}

/// Whether a unit that was started runs no more.
///
/// # Errors
/// systemd does not answer in time.
pub async fn has_ended(unit: &str) -> Result<bool, SystemdError> {
    let properties = show(unit, "ActiveState").await?;
    let state = properties.get("ActiveState").map(String::as_str);
    Ok(matches!(state, Some("inactive" | "failed")))
}

/// The last line that a unit has printed, where the journal has one.
pub async fn last_words(unit: &str) -> Option<String> {
    // `_SYSTEMD_UNIT`: what it said itself, not what systemd says of it.
    let output = Invocation::new("journalctl", ANSWER)
        .args(["--quiet", "--no-pager", "--output=cat", "--lines=1"])
        .arg(format!("_SYSTEMD_UNIT={unit}"))
        .output()
        .await
        .ok()?;
    let said = String::from_utf8_lossy(&output).trim().to_owned();
    (!said.is_empty()).then_some(said)
}

/// The snippets of activation scripts that failed in this boot, as far as the journal has what was printed.
pub async fn failed_snippets() -> Vec<String> {
    let output = Invocation::new("journalctl", ANSWER)
        .args(["--quiet", "--no-pager", "--boot", "--output=cat"])
        .args(["--lines=20", "--grep=Activation script snippet '.*' failed"])
        .output()
        .await
        .unwrap_or_default();
    Said::read(&strip_prefixes(&String::from_utf8_lossy(&output))).snippets
}

/// What a boot prints comes through the kernel's log, as `stage-2-init: …` (nixpkgs, stage-2-init.sh).
fn strip_prefixes(text: &str) -> String {
    let bare = |line: &str| line.trim_start_matches("stage-2-init: ").to_owned() + "\n";
    text.lines().map(bare).collect()
}

/// Starts a unit and does not wait for it.
///
/// # Errors
/// systemd does not answer in time, or refuses to start it.
pub async fn start(unit: &str) -> Result<(), SystemdError> {
    begin(unit, &["--no-block"], ANSWER).await
}

/// Starts a unit and waits until it has started; a oneshot has then ended. One that is under way already is
/// waited for.
///
/// # Errors
/// systemd refuses to start it, or it fails or has not started within `limit`.
pub async fn run(unit: &str, limit: Duration) -> Result<(), SystemdError> {
    begin(unit, &[], limit).await
}

async fn begin(unit: &str, options: &[&str], limit: Duration) -> Result<(), SystemdError> {
    Invocation::new("systemctl", limit)
        .arg("start")
        .args(options)
        .args(["--no-ask-password", "--", unit])
        .output()
        .await
        .map_err(|source| SystemdError::Start {
            unit: unit.to_owned(),
            source,
        })?;
    Ok(())
}

/// How the last run of a service ended, in systemd's words.
///
/// # Errors
/// systemd does not answer in time.
pub async fn how_it_ended(unit: &str) -> Result<String, SystemdError> {
    let shown = show(unit, "LoadState,ConditionResult,Result,ExecMainStatus").await?;
    Ok(ended_as(&shown))
}

/// `Result` is `success`, `exit-code`, `exec-condition`, … (systemd, src/core/service.c).
fn ended_as(shown: &HashMap<String, String>) -> String {
    let of = |property: &str| shown.get(property).map_or("", String::as_str);
    match (of("LoadState"), of("ConditionResult"), of("Result")) {
        // It counts as a condition too.
        ("loaded", _, "exec-condition") => "its ExecCondition does not hold".to_owned(),
        ("loaded", "no", _) => "a condition of its file does not hold".to_owned(),
        ("loaded", _, "success") => "it ended well".to_owned(),
        // Its program has not run.
        ("loaded", _, "exit-code") if of("ExecMainStatus") == "0" => {
            "a command before its program failed".to_owned()
        }
        ("loaded", _, "exit-code") => format!("it ended with exit code {}", of("ExecMainStatus")),
        ("loaded", _, result) => format!("it ended with {result}"),
        (state, _, _) => format!("it is {state}"),
    }
}

/// Stops a unit and waits until nothing of it runs.
///
/// # Errors
/// systemd does not answer in time, or refuses to stop it.
pub async fn stop(unit: &str) -> Result<(), SystemdError> {
    Invocation::new("systemctl", ANSWER)
        .args(["stop", "--no-ask-password", "--", unit])
        .output()
        .await
        .map_err(|source| SystemdError::Stop {
            unit: unit.to_owned(),
            source,
        })?;
    Ok(())
}

/// Starts `program` in a transient service of its own, which outlives this process, and emergency mode.
///
/// # Errors
/// systemd does not answer in time, or refuses to start it.
pub async fn start_transient(
    unit: &str,
    program: &Path,
    arguments: &[&str],
) -> Result<(), SystemdError> {
    Invocation::new("systemd-run", ANSWER)
        .args(["--quiet", "--collect", "--no-ask-password", "--unit", unit])
        .args(UNDISTURBED.map(|property| format!("--property={property}")))
        .args(["--service-type=exec", "--working-directory=/", "--"])
        .arg(program)
        .args(arguments)
        .output()
        .await
        .map_err(|source| SystemdError::Run {
            unit: unit.to_owned(),
            source,
        })?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_a_unit_ended_is_told_in_words() {
        let check = |load: &str, condition: &str, result: &str, words: &str| {
            let shown = [
                ("LoadState", load),
                ("ConditionResult", condition),
                ("Result", result),
                ("ExecMainStatus", "203"),
            ];
            let shown = shown.map(|(name, value)| (name.to_owned(), value.to_owned()));
            assert_eq!(ended_as(&shown.into()), words);
        };
        check("loaded", "yes", "success", "it ended well");
        check(
            "loaded",
            "no",
            "success",
            "a condition of its file does not hold",
        );
        check(
            "loaded",
            "no",
            "exec-condition",
            "its ExecCondition does not hold",
        );
        check("loaded", "yes", "exit-code", "it ended with exit code 203");
        check("loaded", "yes", "signal", "it ended with signal");
        check("masked", "no", "success", "it is masked");
    }

    #[test]
    fn the_next_elapse_is_read_as_systemd_writes_it() {
        let check = |output: &str, expected: Option<i64>| {
            let found = elapse_in(output.as_bytes()).map(Timestamp::as_second);
            assert_eq!(found, expected, "{output}");
        };
        check(
            r#"[{"next":1700000000000000,"left":5,"unit":"nixus-reconcile.timer"}]"#,
            Some(1_700_000_000),
        );
        check(r#"[{"next":null,"unit":"nixus-reconcile.timer"}]"#, None);
        check(r#"[{"next":0}]"#, None);
        check(r#"[{"next":18446744073709551615}]"#, None);
        check("[]", None);
        check("0 timers listed.", None);
    }
}
