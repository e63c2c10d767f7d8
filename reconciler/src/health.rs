//! What the checks say together: the pure fold from results to a verdict.

use nixus_switcher::protocol::{CheckOutcome, CheckResult};

/// Makes one check's result.
pub fn result(check: &str, outcome: CheckOutcome, reason: impl Into<String>) -> CheckResult {
    CheckResult {
        check: check.to_owned(),
        outcome,
        reason: reason.into(),
    }
}

/// One failure fails, one unknown makes unknown, and no evidence is never a pass.
pub fn verdict(checks: &[CheckResult]) -> CheckOutcome {
    let any = |outcome| checks.iter().any(|check| check.outcome == outcome);
    if any(CheckOutcome::Fail) {
        CheckOutcome::Fail
    } else if any(CheckOutcome::Unknown) || checks.is_empty() {
        CheckOutcome::Unknown
    } else {
        CheckOutcome::Pass
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use CheckOutcome::{Fail, Pass, Unknown};
    use proptest::prelude::*;

    fn of(outcomes: &[CheckOutcome]) -> CheckOutcome {
        let checks: Vec<_> = outcomes
            .iter()
            .map(|outcome| result("check", *outcome, ""))
            .collect();
        verdict(&checks)
    }

    #[test]
    fn no_evidence_is_never_a_pass() {
        assert_eq!(of(&[]), Unknown);
        assert_eq!(of(&[Pass, Unknown]), Unknown);
        assert_eq!(of(&[Pass, Unknown, Fail]), Fail);
        assert_eq!(of(&[Pass, Pass]), Pass);
    }

    proptest! {
        #[test]
        fn one_more_pass_never_makes_a_verdict_worse(
            outcomes in prop::collection::vec(prop::sample::select(vec![Pass, Fail, Unknown]), 1..6)
        ) {
            let mut more = outcomes.clone();
            more.push(Pass);
            prop_assert_eq!(of(&outcomes), of(&more));
        }
    }
}
