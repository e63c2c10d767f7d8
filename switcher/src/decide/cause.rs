//! Causes in words.

use std::fmt;

use crate::protocol::{Cause, CheckResult};

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAToplevel { missing } => {
                write!(f, "not a NixOS system: {}", missing.join(", "))
            }
            Self::NoVerification => f.write_str(
                "the new generation has no nixus-verify.service of its own and could never take \
                 another commit",
            ),
            Self::Busy => f.write_str("somebody else is switching this host"),
            Self::NotReady { reason } => write!(f, "not ready: {reason}"),
            Self::StoreDamaged { what } => write!(f, "damaged in the store: {what}"),
            Self::ActivationFailed {
                exit_code,
                units,
                findings,
            } => {
                f.write_str("activation failed")?;
                // It ended well, and what it left is not.
                if *exit_code != 0 {
                    write!(f, " with exit code {exit_code}")?;
                }
                if !units.is_empty() {
                    write!(f, ", failed units: {}", units.join(", "))?;
                }
                findings.iter().try_for_each(|one| write!(f, ", {one}"))
            }
            Self::ActivationTimedOut { seconds, waits_for } => {
                write!(f, "activation did not end within {seconds} s")?;
                match waits_for.is_empty() {
                    true => Ok(()),
                    false => write!(f, ", waiting for {}", waits_for.join(", ")),
                }
            }
            Self::RebootNeeded { changes } => {
                f.write_str("the new generation needs a reboot")?;
                match changes.is_empty() {
                    true => Ok(()),
                    false => write!(f, ": {}", changes.join(", ")),
                }
            }
            Self::ChecksRefused { said } => write!(f, "refused, nothing was changed: {said}"),
            Self::VerificationFailed { checks } => f.write_str(&list(checks)),
            Self::VerificationInconclusive { checks } => {
                write!(f, "inconclusive: {}", list(checks))
            }
            Self::NotConfirmed { seconds } => {
                write!(
                    f,
                    "the new generation did not prove itself within {seconds} s"
                )
            }
            Self::CommitFailed { reason } => write!(f, "could not be made permanent: {reason}"),
            Self::Crashed => f.write_str("the machine stopped during the deployment"),
            Self::SwitcherDied => f.write_str("the switcher died"),
            Self::StateNotWritten { reason } => write!(f, "state could not be written: {reason}"),
            Self::Operator => f.write_str("an operator asked for it"),
        }
    }
}

fn list(checks: &[CheckResult]) -> String {
    checks
        .iter()
        .map(|check| match &check.by {
            Some(peer) => format!("{} {peer}: {}", check.check, check.reason),
            None => format!("{}: {}", check.check, check.reason),
        })
        .collect::<Vec<_>>()
        .join("; ")
}
