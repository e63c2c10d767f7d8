//! What the end of a deployment that was not confirmed says about the candidate.

use nixus_switcher::protocol::Cause;

/// What an ending that kept nothing says about the candidate.
pub enum Judgement {
    /// The candidate failed and is not tried again.
    Failed,
    /// The machine, the switcher or the activation was stopped; it says nothing about the candidate.
    Interrupted,
    /// The host was not ready; it may be later.
    NotReady,
    /// The trial was inconclusive; another may.
    Inconclusive,
    /// It cannot take over in place from the system that runs.
    RebootNeeded,
}

/// Judges the cause of such an ending.
pub fn judge(cause: Option<&Cause>) -> Judgement {
    match cause {
        Some(
            Cause::Crashed
            | Cause::SwitcherDied
            // SIGKILL, of which the switcher knows nothing: the kernel's, where memory ran out.
            | Cause::ActivationFailed { exit_code: 137, .. },
        ) => Judgement::Interrupted,
        Some(
            Cause::Busy
            | Cause::NotReady { .. }
            | Cause::StoreDamaged { .. }
            | Cause::StateNotWritten { .. },
        ) => Judgement::NotReady,
        Some(Cause::VerificationInconclusive { .. }) => Judgement::Inconclusive,
        Some(Cause::RebootNeeded { .. }) => Judgement::RebootNeeded,
        None
        | Some(
            Cause::NotAToplevel { .. }
            | Cause::NoVerification
            | Cause::ChecksRefused { .. }
            | Cause::ActivationFailed { .. }
            | Cause::ActivationTimedOut { .. }
            | Cause::VerificationFailed { .. }
            | Cause::NotConfirmed { .. }
            | Cause::CommitFailed { .. }
            | Cause::Operator,
        ) => Judgement::Failed,
    }
}
