//! Why a deployment did not end with a confirmed generation: what that says, and in words.

use nixus_switcher::protocol::{Cause, CheckResult};

/// What an ending that kept nothing says about the candidate.
pub enum Judgement {
    /// The candidate failed and is not tried again.
    Failed,
    /// The machine or the switcher stopped; it says nothing about the candidate.
    Interrupted,
    /// Nothing was found out; it may work later.
    Inconclusive,
}

/// Judges the cause of such an ending.
pub fn judge(cause: Option<&Cause>) -> Judgement {
    match cause {
        Some(Cause::Crashed | Cause::SwitcherDied) => Judgement::Interrupted,
        Some(
            Cause::Busy
            | Cause::NotReady { .. }
            | Cause::StateNotWritten { .. }
            | Cause::VerificationInconclusive { .. },
        ) => Judgement::Inconclusive,
        None
        | Some(
            Cause::NotAToplevel { .. }
            | Cause::NoVerification
            | Cause::ActivationFailed { .. }
            | Cause::ActivationTimedOut { .. }
            | Cause::RebootNeeded
            | Cause::VerificationFailed { .. }
            | Cause::NotConfirmed { .. }
            | Cause::CommitFailed { .. }
            | Cause::Operator,
        ) => Judgement::Failed,
    }
}

/// Why a deployment did not end with a confirmed generation, in words.
pub fn explain(cause: Option<&Cause>) -> String {
    let checks = |checks: &[CheckResult]| {
        let reasons: Vec<_> = checks
            .iter()
            .map(|check| format!("{}: {}", check.check, check.reason))
            .collect();
        reasons.join("; ")
    };
    match cause {
        None => "unknown cause".to_owned(),
        Some(Cause::NotAToplevel { missing }) => {
            format!("not a NixOS system: {} missing", missing.join(", "))
        }
        Some(Cause::NoVerification) => {
            "the new generation has no nixus-verify.service and could never take another commit"
                .to_owned()
        }
        Some(Cause::Busy) => "somebody else is switching this host".to_owned(),
        Some(Cause::NotReady { reason }) => format!("not ready for an activation: {reason}"),
        Some(Cause::ActivationFailed { exit_code, units }) if units.is_empty() => {
            format!("activation failed with exit code {exit_code}")
        }
        Some(Cause::ActivationFailed { exit_code, units }) => format!(
            "activation failed with exit code {exit_code}, failed units: {}",
            units.join(", ")
        ),
        Some(Cause::ActivationTimedOut { seconds }) => {
            format!("activation did not end within {seconds} s")
        }
        Some(Cause::RebootNeeded) => "the new generation needs a reboot".to_owned(),
        Some(Cause::VerificationFailed { checks: failed }) => checks(failed),
        Some(Cause::VerificationInconclusive { checks: unknown }) => {
            format!("inconclusive: {}", checks(unknown))
        }
        Some(Cause::NotConfirmed { seconds }) => {
            format!("the new generation did not prove itself within {seconds} s")
        }
        Some(Cause::CommitFailed { reason }) => reason.clone(),
        Some(Cause::Crashed) => "the machine stopped during the deployment".to_owned(),
        Some(Cause::SwitcherDied) => "the switcher died during the deployment".to_owned(),
        Some(Cause::StateNotWritten { reason }) => format!("state not written: {reason}"),
        Some(Cause::Operator) => "an operator asked for it".to_owned(),
    }
}
