//! Something small that is built to see that Nix builds: by the generation's own Nix and settings, in the
//! scope that a pass's build would have.

use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use nixus_switcher::protocol::DeploymentId;

use super::run;
use crate::closure::build_scope::BuildScope;
use crate::closure::nix_failure::{self, explain};
use crate::closure::nix_log::NixLog;
use crate::config::Closure;
use crate::decide::commit_id::CommitId;
use crate::host::disk_space;
use crate::host::process::{Invocation, ProcessError, in_words};

/// The longest that it may take; what takes longer shows nothing.
const LIMIT: Duration = Duration::from_secs(120);
/// The longest that a question about Nix' settings may take.
const ANSWER: Duration = Duration::from_secs(30);
/// What the environment, and no setting of the generation, is at fault for.
const PASSING: [&str; 6] = [
    "No space left on device",
    "database or disk is full",
    "Disk quota exceeded",
    "Cannot allocate memory",
    "out of memory",
    "Resource temporarily unavailable",
];

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trifle {
    /// Nix has built it.
    Built,
    /// Nix does not build, for this reason.
    NotBuilt(String),
    /// It could not be found out.
    Unknown(String),
}

/// Builds something that has this deployment's name, so that no other trial has built it.
pub async fn build(closure: &Closure, deployment: &DeploymentId) -> Trifle {
    let scope = BuildScope::resolve();
    let (log, result) = run(
        invocation(deployment.as_str()),
        closure,
        &scope,
        &mut |_| {},
    )
    .await;
    match result {
        Ok(_) => Trifle::Built,
        Err(error) => judge(&error, &log, builds_elsewhere().await),
    }
}

/// The same for CI: what hosts on trial fetch once it is in the cache, each commit's its own.
pub fn for_trials(commit: &CommitId) -> Invocation {
    invocation(commit.as_str())
}

/// Whether a failure says nothing of the generation's Nix and its settings.
pub fn is_passing(told: &str) -> bool {
    PASSING.iter().any(|sign| told.contains(sign))
}

/// No cache is asked for it, and where the host builds at all, no other machine is.
fn invocation(name: &str) -> Invocation {
    let expression = "{ name }: derivation { inherit name; system = builtins.currentSystem; \
                      builder = \"/bin/sh\"; args = [ \"-c\" \"echo > $out\" ]; \
                      allowSubstitutes = false; preferLocalBuild = true; }";
    Invocation::new("nix-build", LIMIT)
        .args(["--no-out-link", "--log-format", "internal-json"])
        .args(["--option", "substitute", "false"])
        .args(["--argstr", "name", &format!("nixus-trial-{name}")])
        .args(["--expr", expression])
}

/// Whether this host starts no builder itself, and has others do so: one that does not answer is not a fault
/// of the generation.
async fn builds_elsewhere() -> bool {
    let ask = async |setting: &str| {
        let answer = Invocation::new("nix", ANSWER)
            .args(["--extra-experimental-features", "nix-command"])
            .args(["config", "show", setting])
            .output()
            .await
            .ok()?;
        Some(String::from_utf8_lossy(&answer).trim().to_owned())
    };
    if ask("max-jobs").await.as_deref() != Some("0") {
        return false;
    }
    let builders = ask("builders").await.unwrap_or_default();
    match builders.strip_prefix('@') {
        // The default names a file that need not be there (nix.conf(5), builders).
        Some(file) => std::fs::read_to_string(file).is_ok_and(|text| names_a_machine(&text)),
        None => names_a_machine(&builders),
    }
}

pub(crate) fn names_a_machine(text: &str) -> bool {
    let lines = text.lines().map(str::trim);
    lines
        .flat_map(|line| line.split(';'))
        .any(|line| !line.trim().is_empty() && !line.trim().starts_with('#'))
}

fn judge(error: &ProcessError, log: &NixLog, elsewhere: bool) -> Trifle {
    let told = || disk_space::named(explain(log, nix_failure::read_kind).told);
    match error {
        ProcessError::Failed { status, .. } if status.signal().is_some() => {
            Trifle::Unknown("nix was killed, perhaps for want of memory".to_owned())
        }
        ProcessError::Failed { stderr, .. } => {
            let told = Some(told()).filter(|told| !told.is_empty());
            let told = told.unwrap_or_else(|| stderr.trim().to_owned());
            if elsewhere {
                Trifle::Unknown(format!("no other machine builds: {told}"))
            } else if is_passing(&told) {
                Trifle::Unknown(told)
            } else {
                Trifle::NotBuilt(told)
            }
        }
        // A pass could not start it either.
        ProcessError::Start { .. } => Trifle::NotBuilt(in_words(error)),
        _ => Trifle::Unknown(in_words(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::process::ExitStatus;

    use super::*;

    fn failed(wait_status: i32, said: &str) -> ProcessError {
        ProcessError::Failed {
            program: "nix-build".into(),
            status: ExitStatus::from_raw(wait_status),
            stderr: said.into(),
        }
    }

    #[test]
    fn only_what_nix_itself_says_of_itself_is_a_failure() {
        let check = |error: &ProcessError, elsewhere, expected: fn(String) -> Trifle| {
            let found = judge(error, &NixLog::default(), elsewhere);
            let (Trifle::NotBuilt(text) | Trifle::Unknown(text)) = &found else {
                unreachable!("it failed");
            };
            assert_eq!(found, expected(text.clone()), "{error:?}");
        };
        let jobs = failed(1 << 8, "error: unable to start any build");
        check(&jobs, false, Trifle::NotBuilt);
        check(&jobs, true, Trifle::Unknown);
        let disk = failed(1 << 8, "error: writing: No space left on device");
        check(&disk, false, Trifle::Unknown);
        check(&failed(9, ""), false, Trifle::Unknown);
        let late = ProcessError::TimedOut {
            program: "nix-build".into(),
            limit: LIMIT,
        };
        check(&late, false, Trifle::Unknown);
        let missing = ProcessError::Start {
            program: "nix-build".into(),
            source: std::io::ErrorKind::NotFound.into(),
        };
        check(&missing, false, Trifle::NotBuilt);
    }

    #[test]
    fn other_machines_are_named_by_lines_that_say_something() {
        let table = [
            ("", false),
            ("# none\n\n", false),
            ("ssh://builder x86_64-linux", true),
            ("# one\nssh://builder\n", true),
            (" ; ", false),
        ];
        for (text, expected) in table {
            assert_eq!(names_a_machine(text), expected, "{text:?}");
        }
    }
}
