//! What the checks say together: the pure fold from findings to a verdict.
//!
//! A generation is kept where all that counts has passed. What counts is less than what is checked:
//! nothing that was as bad before, no peer that did not see this host well before, nobody's word who
//! is on trial too. What does not count is kept as evidence all the same, with the reason.
//!
//! Where there are peers, somebody's word must count: a host that nobody saw afterwards may have locked
//! everybody out, as its peers on trial may have done with the same commit.

use jiff::Timestamp;
use nixus_switcher::protocol::{Before, CheckOutcome, CheckResult, FailedUnits};

use crate::config::health::{Check, Kind, Quorum};

pub mod before;
pub mod sightings;

use sightings::Heard;

/// The check that a pass of the new generation can do its work.
pub const REPOSITORY: &str = "repository";
/// The check that the repository's host accepts connections, made where a pass could not.
pub const REACH: &str = "reach";
/// The check that what starts passes starts one.
pub const PASS: &str = "pass";
/// The check that the own sshd lets operators in.
pub const SSH: &str = "ssh";
/// That the checks passed for long enough.
pub const SOAK: &str = "soak";
/// The check that peers get in.
pub const PEER: &str = "peer";
/// What a generation is kept in spite of: no peer could look at it.
pub const UNWITNESSED: &str = "unwitnessed";
/// What a generation has put right.
pub const REPAIRED: &str = "repaired";

/// How long what was found lasts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Lasts {
    /// It may well pass by itself.
    Briefly,
    /// Nobody knows.
    #[default]
    Perhaps,
    /// Only another commit changes it.
    UntilACommit,
}

/// What one check found, or what one peer did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The check's name.
    pub check: String,
    /// The peer that found it, where it was not this host.
    pub by: Option<String>,
    /// What was found.
    pub outcome: CheckOutcome,
    /// Why, in words that a person understands.
    pub reason: String,
    /// Whether the peer has an open deployment itself.
    pub on_trial: bool,
    /// Whether the peer has said anything.
    pub answered: bool,
    /// Since when the peer makes no passes, as it says.
    pub passes_stopped: Option<Timestamp>,
    /// How long it lasts.
    pub lasts: Lasts,
}

impl Finding {
    /// What this host found itself.
    pub fn new(check: &str, outcome: CheckOutcome, reason: impl Into<String>) -> Self {
        Self {
            check: check.to_owned(),
            by: None,
            outcome,
            reason: reason.into(),
            on_trial: false,
            answered: false,
            passes_stopped: None,
            lasts: Lasts::Perhaps,
        }
    }

    /// What came of asking the peer that found it.
    pub fn heard(&self) -> Option<Heard> {
        Some(Heard {
            peer: self.by.clone()?,
            answered: self.answered,
            passes_stopped: self.passes_stopped,
        })
    }

    /// What was so before a deployment; the word of a peer on trial is none then either.
    pub fn as_it_was(&self) -> CheckResult {
        CheckResult {
            outcome: weigh(self),
            ..self.told(None)
        }
    }

    /// The same check, had it passed.
    pub fn as_well(&self) -> CheckResult {
        CheckResult {
            outcome: CheckOutcome::Pass,
            ..self.told(None)
        }
    }

    /// The same as others are told, with why it does not count where it does not.
    fn told(&self, disregarded: Option<String>) -> CheckResult {
        CheckResult {
            by: self.by.clone(),
            disregarded,
            ..CheckResult::new(&self.check, self.outcome, &self.reason)
        }
    }
}

/// As it was told by another process of this host.
impl From<CheckResult> for Finding {
    fn from(told: CheckResult) -> Self {
        Self {
            check: told.check,
            by: told.by,
            outcome: told.outcome,
            reason: told.reason,
            on_trial: false,
            answered: false,
            passes_stopped: None,
            lasts: Lasts::Perhaps,
        }
    }
}

/// How one check is judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The check's name.
    pub check: String,
    /// Whether a generation is kept only if it passes.
    pub required: bool,
    /// How many peers must find all well, where it is for peers.
    pub quorum: Quorum,
}

/// The rules of a configuration's checks. A check without a rule is required.
pub fn rules(checks: &[Check], failed_units: FailedUnits) -> Vec<Rule> {
    let ignored = |check: &Check| {
        matches!(check.kind, Kind::Units { .. }) && failed_units == FailedUnits::Ignore
    };
    checks
        .iter()
        .map(|check| Rule {
            check: check.name.clone(),
            required: check.required && !ignored(check),
            quorum: match check.kind {
                Kind::Peer { quorum, .. } => quorum,
                _ => Quorum::Any,
            },
        })
        .collect()
}

/// What all findings say together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Whether to keep the generation.
    pub outcome: CheckOutcome,
    /// Every finding, and whether it counted.
    pub checks: Vec<CheckResult>,
    /// It failed, and nothing but another commit can change that.
    pub for_good: bool,
}

/// Judges what was found by what was so before; `before` is empty where nobody has looked. A host that
/// cannot take the next commit, or does not let operators in, is never kept, and neither is one with
/// peers that none of them has seen, unless all are lost.
pub fn judge(before: &Before, after: &[Finding], rules: &[Rule]) -> Verdict {
    let lost = before.lost.as_deref();
    fold(&before.checks, lost, after, rules, &[REPOSITORY, SSH])
}

/// The same for an operator's own rollback, which has only to be no worse than what was so before.
pub fn judge_rollback(before: &Before, after: &[Finding], rules: &[Rule]) -> Verdict {
    fold(&before.checks, None, after, rules, &[])
}

/// The verdict where the checks in `must` count whatever was so before, and where somebody's word must
/// count unless all are `lost`; without that list, it need not.
fn fold(
    before: &[CheckResult],
    lost: Option<&[String]>,
    after: &[Finding],
    rules: &[Rule],
    must: &[&str],
) -> Verdict {
    let mut checks = Vec::new();
    let mut counted = Vec::new();
    let mut for_good = false;
    let rule = |check: &str| rules.iter().find(|rule| rule.check == check);
    for finding in after.iter().filter(|finding| finding.by.is_none()) {
        let why = if rule(&finding.check).is_some_and(|rule| !rule.required) {
            Some("it is only wanted".to_owned())
        } else if must.contains(&finding.check.as_str()) {
            None
        } else {
            as_bad_before(before, finding)
        };
        let counts = why.is_none();
        let mut told = finding.told(why);
        if counts
            && finding.check == SSH
            && found_before(before, finding) == Some(CheckOutcome::Fail)
        {
            // The commit has not shut the door, nor has it opened it: it is not kept, and not blamed.
            if finding.outcome == CheckOutcome::Fail {
                told.outcome = CheckOutcome::Unknown;
                told.reason.push_str("; it failed before, too");
            }
            if finding.outcome == CheckOutcome::Pass {
                checks.push(aside(REPAIRED, "ssh did not let in before"));
            }
        }
        if counts {
            for_good |= told.outcome == CheckOutcome::Fail && finding.lasts == Lasts::UntilACommit;
            counted.push(told.outcome);
        }
        checks.push(told);
    }
    let peers: Vec<&Finding> = after.iter().filter(|one| one.by.is_some()).collect();
    let rule = rule(PEER);
    let required = rule.is_none_or(|rule| rule.required);
    let quorum = rule.map_or(Quorum::Any, |rule| rule.quorum);
    let (outcome, told) = peers_say(before, lost, &peers, quorum, required);
    checks.extend(told);
    // Who is not a peer of the candidate's any more has no word.
    let had_peers = before.iter().any(|one| one.by.is_some());
    if outcome.is_none() && required && lost.is_some() && (had_peers || !peers.is_empty()) {
        checks.push(aside(UNWITNESSED, "no peer was there to look at it"));
    }
    counted.extend(outcome);
    let outcome = together(&counted);
    Verdict {
        outcome,
        checks,
        for_good: for_good && outcome == CheckOutcome::Fail,
    }
}

/// What belongs to a verdict and decides nothing.
fn aside(name: &str, words: &str) -> CheckResult {
    CheckResult {
        disregarded: Some("it is only said".to_owned()),
        ..CheckResult::new(name, CheckOutcome::Pass, words)
    }
}

/// One failure fails, one unknown makes unknown, and no evidence is never a pass.
fn together(outcomes: &[CheckOutcome]) -> CheckOutcome {
    if outcomes.contains(&CheckOutcome::Fail) {
        CheckOutcome::Fail
    } else if outcomes.contains(&CheckOutcome::Unknown) || outcomes.is_empty() {
        CheckOutcome::Unknown
    } else {
        CheckOutcome::Pass
    }
}

fn found_before(before: &[CheckResult], finding: &Finding) -> Option<CheckOutcome> {
    before
        .iter()
        .find(|one| one.check == finding.check && one.by == finding.by)
        .map(|one| one.outcome)
}

fn as_bad_before(before: &[CheckResult], finding: &Finding) -> Option<String> {
    use CheckOutcome::{Fail, Pass, Unknown};
    match (found_before(before, finding)?, finding.outcome) {
        (_, Pass) => None,
        (Fail, _) => Some("it failed before, too".to_owned()),
        (Unknown, Unknown) => Some("it could not be found out before either".to_owned()),
        _ => None,
    }
}

/// What the peers that count say together, if any does; and each of them. Where none saw this host well
/// before and one is not `lost`, one must now.
fn peers_say(
    before: &[CheckResult],
    lost: Option<&[String]>,
    peers: &[&Finding],
    quorum: Quorum,
    required: bool,
) -> (Option<CheckOutcome>, Vec<CheckResult>) {
    use CheckOutcome::{Fail, Pass, Unknown};
    let saw_well = |finding: &&&Finding| found_before(before, finding) == Some(Pass);
    let any_saw_well = peers.iter().any(|one| saw_well(&one));
    let is_awaited = |finding: &&Finding| {
        found_before(before, finding).is_some()
            && lost.is_some_and(|lost| !finding.by.as_ref().is_some_and(|by| lost.contains(by)))
    };
    let one_must = required && !any_saw_well && peers.iter().any(is_awaited);
    let one_does = lost.is_some() && peers.iter().any(|one| one.outcome == Pass);
    let counts = |finding: &&&Finding| {
        saw_well(finding) || (!any_saw_well && lost.is_some() && finding.outcome == Pass)
    };
    let (pass, fail, count) = {
        let counting: Vec<_> = peers.iter().filter(saw_well).collect();
        let of = |outcome| counting.iter().filter(|one| weigh(one) == outcome).count();
        (of(Pass), of(Fail), counting.len())
    };
    let needed = quorum.of(count);
    let outcome = if needed == 0 {
        match (one_does, one_must) {
            (true, _) => Some(Pass),
            (false, true) => Some(Unknown),
            (false, false) => None,
        }
    } else if pass >= needed {
        Some(Pass)
    } else if count - fail < needed {
        Some(Fail)
    } else {
        Some(Unknown)
    };
    let told = peers
        .iter()
        .map(|finding| {
            let why = if !required {
                Some("it is only wanted".to_owned())
            } else if one_must && outcome == Some(Unknown) {
                // One of them had to get in.
                None
            } else if !counts(&finding) {
                Some("it did not see this host well before".to_owned())
            } else if outcome == Some(Pass) && finding.outcome != Pass {
                Some("enough others get in".to_owned())
            } else {
                None
            };
            let mut told = finding.told(why);
            if finding.outcome == Fail && finding.on_trial {
                told.outcome = weigh(finding);
                told.reason.push_str("; it is on trial itself");
            } else if finding.outcome == Fail && one_must && outcome == Some(Unknown) {
                told.outcome = Unknown;
                told.reason
                    .push_str("; so it was before, and somebody must see this host well");
            }
            told
        })
        .collect();
    (outcome.filter(|_| required), told)
}

/// The word of a peer that is on trial is as good as none where it is against this host.
fn weigh(finding: &Finding) -> CheckOutcome {
    match finding.outcome {
        CheckOutcome::Fail if finding.on_trial => CheckOutcome::Unknown,
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests;
