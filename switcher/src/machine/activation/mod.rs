//! Whether an activation succeeded: judged by all that is known of it. The exit code alone says too
//! little, since the code 4 of failed units takes the place of any other (`said`).

use crate::machine::system::Stopped;
use crate::machine::systemd::is_ours;
use crate::protocol::FailedUnits;

pub mod mark;
pub mod said;

use said::Said;

/// Units are failed; whether by this activation has to be found out.
pub const UNITS_FAILED: i32 = 4;
/// `switch-to-configuration` gave up, for instance because of a user's session that ended meanwhile.
const GAVE_UP: i32 = 1;

/// What is known of an activation that has ended by itself.
#[derive(Debug)]
pub struct Facts<'a> {
    /// Its exit code.
    pub code: i32,
    /// What it printed.
    pub said: &'a Said,
    /// Units that are failed and were not before.
    pub failed: &'a [String],
    /// Units that were failed before, and their jobs may fail again.
    pub failed_before: &'a [String],
    /// Units that ran before, and do not although they are wanted.
    pub stopped: &'a [Stopped],
    /// Whether the candidate is what runs now.
    pub runs: bool,
    /// What is done about failed units.
    pub policy: FailedUnits,
}

/// What follows from an activation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It succeeded; what is worth a line all the same.
    Succeeded(Vec<String>),
    /// Only users' sessions were in its way.
    OnlySessions,
    /// It failed.
    Failed {
        /// Units that are failed and were not before.
        units: Vec<String>,
        /// What else is wrong, each in words.
        findings: Vec<String>,
    },
}

/// Judges an activation.
pub fn judge(facts: &Facts<'_>) -> Verdict {
    let said = facts.said;
    let mut units = facts.failed.to_vec();
    // Ours are judged by the trial, which says more.
    let new_jobs = said
        .units
        .iter()
        .filter(|unit| !facts.failed_before.contains(unit) && !is_ours(unit));
    units.extend(new_jobs.cloned());
    units.sort();
    units.dedup();
    let of_units: Vec<String> = facts
        .stopped
        .iter()
        .filter(|stopped| !units.contains(&stopped.unit))
        .map(|stopped| format!("{} ran before: {}", stopped.unit, stopped.how))
        .chain(
            said.user_units
                .iter()
                .map(|unit| format!("user unit {unit} failed")),
        )
        .collect();
    let mut findings = Vec::new();
    if said.is_activation_failed() || !matches!(facts.code, 0 | GAVE_UP | UNITS_FAILED) {
        findings = said
            .snippets
            .iter()
            .map(|snippet| format!("activation script snippet {snippet}"))
            .collect();
        findings.extend(of_units);
        return Verdict::Failed { units, findings };
    }
    let system_is_well = units.is_empty() && of_units.is_empty();
    if said.sessions && system_is_well && facts.code != 0 && facts.runs {
        return Verdict::OnlySessions;
    }
    let unexplained = match facts.code {
        0 => !facts.runs,
        // Those that were failed before and are again, or ours.
        UNITS_FAILED => {
            let explained = !facts.failed_before.is_empty() || !said.units.is_empty();
            !facts.runs || (system_is_well && !explained)
        }
        _ => true,
    };
    let is_failed = facts.policy == FailedUnits::Revert && !system_is_well;
    if unexplained || is_failed {
        findings.extend(of_units);
        return Verdict::Failed { units, findings };
    }
    let failed = units.iter().map(|unit| format!("{unit} is newly failed"));
    Verdict::Succeeded(failed.chain(of_units).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts<'a>(code: i32, said: &'a Said) -> Facts<'a> {
        Facts {
            code,
            said,
            failed: &[],
            failed_before: &[],
            stopped: &[],
            runs: true,
            policy: FailedUnits::Revert,
        }
    }

    fn strings(all: &[&str]) -> Vec<String> {
        all.iter().map(|&one| one.to_owned()).collect()
    }

    fn failed(units: &[&str], findings: &[&str]) -> Verdict {
        Verdict::Failed {
            units: strings(units),
            findings: strings(findings),
        }
    }

    #[test]
    fn code_4_hides_no_failed_activation_script() {
        let said = Said::read(
            "Activation script snippet 'database' failed (1)\nFailed to run activate script\n",
        );
        let before = strings(&["mirror.service"]);
        let facts = Facts {
            failed_before: &before,
            // Whatever is said of failed units is not said of the activation script.
            policy: FailedUnits::Ignore,
            ..facts(4, &said)
        };
        assert_eq!(
            judge(&facts),
            failed(&[], &["activation script snippet database (1)"])
        );
    }

    #[test]
    fn code_4_is_success_only_where_all_that_failed_had_failed_before() {
        let quiet = Said::default();
        let before = strings(&["mirror.service"]);
        let again = Said::read("Failed to start mirror.service\n");
        let other = Said::read("Failed to start mirror.service\nFailed to reload shop.service\n");
        let ours = Said::read("Failed to start nixus-reconcile.timer\n");
        for (said, failed_before, expected) in [
            (&quiet, &before[..], Verdict::Succeeded(Vec::new())),
            (&again, &before[..], Verdict::Succeeded(Vec::new())),
            (&other, &before[..], failed(&["shop.service"], &[])),
            (&ours, &[][..], Verdict::Succeeded(Vec::new())),
            // Nothing explains it.
            (&quiet, &[][..], failed(&[], &[])),
        ] {
            let facts = Facts {
                failed_before,
                ..facts(4, said)
            };
            assert_eq!(judge(&facts), expected, "{said:?} {failed_before:?}");
        }
    }

    #[test]
    fn what_ran_before_and_does_not_any_more_is_a_failure() {
        let quiet = Said::default();
        let stopped = [Stopped {
            unit: "shop.service".to_owned(),
            how: "bad-setting".to_owned(),
        }];
        for (policy, expected) in [
            (
                FailedUnits::Revert,
                failed(&[], &["shop.service ran before: bad-setting"]),
            ),
            (
                FailedUnits::Ignore,
                Verdict::Succeeded(strings(&["shop.service ran before: bad-setting"])),
            ),
        ] {
            let facts = Facts {
                stopped: &stopped,
                policy,
                ..facts(0, &quiet)
            };
            assert_eq!(judge(&facts), expected);
        }
    }

    #[test]
    fn sessions_alone_are_no_failure_of_the_system() {
        let sessions = Said::read("warning: user activation for p4 failed\n");
        for code in [1, 4] {
            assert_eq!(judge(&facts(code, &sessions)), Verdict::OnlySessions);
        }
        let units = strings(&["shop.service"]);
        let with_unit = Facts {
            failed: &units,
            ..facts(4, &sessions)
        };
        assert_eq!(judge(&with_unit), failed(&["shop.service"], &[]));
        let of_user = Said::read(
            "Failed to restart user unit sync.service\nwarning: user activation for p4 failed\n",
        );
        assert_eq!(
            judge(&facts(4, &of_user)),
            failed(&[], &["user unit sync.service failed"])
        );
    }

    #[test]
    fn every_other_exit_is_a_failure() {
        let quiet = Said::default();
        for code in [1, 2, 3, 101, 137] {
            assert_eq!(judge(&facts(code, &quiet)), failed(&[], &[]), "{code}");
        }
        assert_eq!(judge(&facts(0, &quiet)), Verdict::Succeeded(Vec::new()));
        let elsewhere = Facts {
            runs: false,
            ..facts(0, &quiet)
        };
        assert_eq!(judge(&elsewhere), failed(&[], &[]));
    }
}
