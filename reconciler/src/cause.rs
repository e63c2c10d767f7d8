//! What the end of a deployment that was not confirmed says about the candidate.

use nixus_switcher::protocol::Cause;

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
