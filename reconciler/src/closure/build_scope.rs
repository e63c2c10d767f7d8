//! A build in a transient scope of its own: limited, and ended with all that it started.
//!
//! Builders leave the process group of their Nix, so only their control group holds them all. A
//! Nix that hands its builds to a daemon is limited here, its builders are not.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::config::Limits;
use crate::host::process::{Invocation, in_words};

/// How long PID 1 may take to end a scope.
const ANSWER: Duration = Duration::from_secs(30);
/// What systemd gives a build beyond our own time limit, should we not be there to end it.
const GRACE: Duration = Duration::from_secs(60);

static STARTED: AtomicU32 = AtomicU32::new(0);

/// The scope of one run of Nix.
#[derive(Debug)]
pub struct BuildScope {
    unit: String,
}

impl BuildScope {
    /// A scope for a pass's build.
    pub fn build() -> Self {
        Self::named("build")
    }

    /// A scope for finding out what a commit's toplevel is.
    pub fn resolve() -> Self {
        Self::named("resolve")
    }

    fn named(kind: &str) -> Self {
        let count = STARTED.fetch_add(1, Ordering::Relaxed);
        Self {
            unit: format!("nixus-{kind}-{}-{count}.scope", std::process::id()),
        }
    }

    /// The same program, run in this scope.
    pub fn around(&self, invocation: Invocation, limits: &Limits, limit: Duration) -> Invocation {
        let own = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let arguments = arguments(&self.unit, limits, limit, service_in(&own));
        invocation.run_by("systemd-run", arguments)
    }

    /// Ends everything in the scope, and waits until it is gone.
    pub async fn end(&self) {
        end(&self.unit).await;
    }
}

/// Ends the builds of passes that were killed. Only for the holder of the pass's lock.
pub async fn end_left_over() {
    end("nixus-build-*.scope").await;
}

async fn end(units: &str) {
    let systemctl = |arguments: &[&str]| {
        Invocation::new("systemctl", ANSWER)
            .args(arguments)
            .args(["--", units])
            .output()
    };
    // A scope that has ended by itself is not loaded any more.
    let _ = systemctl(&["kill", "--signal=SIGKILL"]).await;
    if let Err(error) = systemctl(&["stop"]).await {
        tracing::debug!("{units}: {}", in_words(&error));
    }
}

fn arguments(unit: &str, limits: &Limits, limit: Duration, service: Option<&str>) -> Vec<String> {
    let ours = [
        "--scope",
        "--quiet",
        "--collect",
        "--no-ask-password",
        // An attribute may hold a dollar sign.
        "--expand-environment=no",
    ];
    let seconds = limit.saturating_add(GRACE).as_secs();
    let mut arguments: Vec<String> = ours.map(str::to_owned).into();
    arguments.push(format!("--unit={unit}"));
    arguments.push("--description=Nixus builds this host's system".to_owned());
    let mut properties = vec![
        format!("MemoryMax={}", limits.memory),
        // All of it or nothing: a compiler that was killed alone looks like a broken builder.
        "OOMPolicy=kill".to_owned(),
        format!("CPUWeight={}", limits.cpu_weight),
        format!("RuntimeMaxSec={seconds}"),
        "TimeoutStopSec=10".to_owned(),
    ];
    // A pass that is killed or stopped takes its build along.
    properties.extend(service.map(|service| format!("BindsTo={service}")));
    for property in properties {
        arguments.push(format!("--property={property}"));
    }
    arguments.push("--".to_owned());
    arguments
}

/// The system service that a process is in, from its `/proc/self/cgroup`.
fn service_in(text: &str) -> Option<&str> {
    let path = text.lines().find_map(|line| line.strip_prefix("0::"))?;
    let (slice, unit) = path.rsplit_once('/')?;
    (slice.ends_with("/system.slice") && unit.ends_with(".service")).then_some(unit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MemoryLimit;

    #[test]
    fn limits_are_properties_and_the_build_ends_with_its_service() {
        let limits = Limits {
            memory: MemoryLimit::Percent(50),
            cpu_weight: 7,
        };
        let limit = Duration::from_secs(540);
        let service = Some("nixus-reconcile.service");
        let arguments = arguments("x.scope", &limits, limit, service);
        for expected in [
            "--scope",
            "--collect",
            "--unit=x.scope",
            "--property=MemoryMax=50%",
            "--property=OOMPolicy=kill",
            "--property=CPUWeight=7",
            "--property=RuntimeMaxSec=600",
            "--property=BindsTo=nixus-reconcile.service",
        ] {
            assert!(arguments.iter().any(|one| one == expected), "{expected}");
        }
        assert_eq!(arguments.last().map(String::as_str), Some("--"));
    }

    #[test]
    fn only_a_system_service_is_bound_to() {
        let table = [
            (
                "0::/system.slice/nixus-reconcile.service\n",
                Some("nixus-reconcile.service"),
            ),
            ("1:cpu:/\n0::/system.slice/a.service\n", Some("a.service")),
            ("0::/user.slice/user-0.slice/session-1.scope\n", None),
            (
                "0::/user.slice/user-0.slice/user@0.service/app.slice/a.service\n",
                None,
            ),
            ("0::/\n", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(service_in(text), expected, "{text}");
        }
    }

    #[test]
    fn no_two_builds_share_a_scope() {
        assert_ne!(BuildScope::build().unit, BuildScope::build().unit);
    }
}
