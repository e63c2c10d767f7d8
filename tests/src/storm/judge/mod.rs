//! What of a host that is quiet breaks a promise: observations in, violations out. It knows no host, file or clock.

use serde::{Deserialize, Serialize};

use super::plan::Duty;

/// No host of the storm needs more for its state, in KiB and files.
const MOST_STATE: (u64, u64) = (64 * 1024, 4_000);

/// What was seen of a host from outside.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observation {
    /// Why it is not quiet after all the time that it was given.
    pub unquiet: Option<String>,
    /// Why the operator does not get in with the operator's key.
    pub shut: Option<String>,
    /// Systems: what runs, what the next boot starts, where the profile is, and what was booted.
    pub runs: String,
    pub boots: String,
    pub profile: String,
    pub booted: String,
    /// The mark of what runs.
    pub mark: String,
    /// Units that have failed.
    pub failed: Vec<String>,
    /// Units that ran before anything happened, and do not now.
    pub gone: Vec<String>,
    /// What `nixus status` says, as far as it can be compared.
    pub status: Status,
    /// What the host has reported of the head: the state of its last report.
    pub reported: Option<String>,
    /// Deployments that have ended without a report of it.
    pub unreported: Vec<String>,
    /// Units, mounts and files that nobody left there on purpose.
    pub units: Vec<String>,
    pub mounts: Vec<String>,
    pub files: Vec<String>,
    /// The size of `/var/lib/nixus`, in KiB and files.
    pub state: (u64, u64),
}

/// What `nixus status` says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Why it says nothing.
    pub silent: Option<String>,
    pub running: String,
    pub booted: String,
    /// The system that is kept, and the commit that it came with.
    pub kept: String,
    pub commit: String,
    /// What the last pass ended for, and the commit that this is about.
    pub waits: String,
    pub about: String,
    /// The phase of the open deployment.
    pub open: Option<String>,
    /// Reports wait to be sent.
    pub unsent: bool,
    /// What it says to be damaged, set aside, stopped or held.
    pub complaints: Vec<String>,
}

/// What a host is held to.
#[derive(Debug, Clone)]
pub struct Promise {
    /// The head of the branch.
    pub head: String,
    pub duty: Duty,
    /// Whether a trial of a good commit may have told nothing.
    pub disturbed: bool,
    /// The marks of systems that must never be kept.
    pub refused: Vec<String>,
}

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// Which, for tables.
    pub what: String,
    pub expected: String,
    pub seen: String,
}

/// Judges a host.
pub fn judge(promise: &Promise, seen: &Observation) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut broken = |what: &str, expected: &str, seen: String| {
        found.push(Violation {
            what: what.to_owned(),
            expected: expected.to_owned(),
            seen,
        });
    };
    if let Some(why) = &seen.shut {
        broken(
            "reachable",
            "the operator's key opens the host",
            why.clone(),
        );
    }
    if seen.status.waits == "stuck" || seen.status.open.as_deref() == Some("stuck") {
        broken("stuck", "no host is stuck", seen.status.waits.clone());
    }
    if let Some(why) = &seen.unquiet {
        broken("quiet", "the host comes to rest", why.clone());
        // What is under way contradicts itself.
        return found;
    }
    if promise.refused.contains(&seen.mark) {
        broken("bad", "no bad commit is kept", seen.mark.clone());
    }
    for (what, system) in [("boot", &seen.boots), ("profile", &seen.profile)] {
        if *system != seen.runs {
            let expected = format!("its default is what runs, {}", seen.runs);
            broken(what, &expected, system.clone());
        }
    }
    if let Duty::Keep(mark) = &promise.duty
        && seen.mark != *mark
        && !(promise.disturbed && seen.status.waits == "inconclusive")
    {
        let instead = format!("{:?}: {}", seen.mark, seen.status.waits);
        broken("good", &format!("it keeps {mark}"), instead);
    }
    let lists = [
        ("failed", "no unit has failed", &seen.failed),
        ("gone", "what ran on every host runs", &seen.gone),
        ("reports", "each deployment is reported", &seen.unreported),
        ("units", "no unit is left over", &seen.units),
        ("mounts", "no mount is left over", &seen.mounts),
        ("files", "no file is left over", &seen.files),
    ];
    for (what, expected, list) in lists {
        if !list.is_empty() {
            broken(what, expected, list.join(" "));
        }
    }
    let (size, count) = seen.state;
    if size > MOST_STATE.0 || count > MOST_STATE.1 {
        let least = format!("at most {} KiB and {} files", MOST_STATE.0, MOST_STATE.1);
        broken("growth", &least, format!("{size} KiB and {count} files"));
    }
    for problem in contradictions(promise, seen) {
        broken("status", "it says what is so", problem);
    }
    found
}

/// What `nixus status` and the reports say that is not so.
fn contradictions(promise: &Promise, seen: &Observation) -> Vec<String> {
    let status = &seen.status;
    if let Some(why) = &status.silent {
        return vec![format!("nothing: {why}")];
    }
    let mut found = status.complaints.clone();
    for (what, said, is) in [
        ("runs", &status.running, &seen.runs),
        ("was booted", &status.booted, &seen.booted),
        ("is kept", &status.kept, &seen.runs),
    ] {
        if said != is {
            found.push(format!("{said:?} {what}, but it is {is}"));
        }
    }
    if let Some(phase) = &status.open {
        found.push(format!("a deployment is open: {phase}"));
    }
    if status.about != promise.head {
        found.push(format!("it is about {:?}, not the head", status.about));
    }
    let is_on_it = status.waits == "up-to-date";
    if is_on_it && status.commit != promise.head {
        found.push(format!("up to date, but on {:?}", status.commit));
    }
    if status.unsent {
        found.push("reports wait to be sent".to_owned());
    }
    let reported = seen.reported.as_deref().unwrap_or("nothing");
    if is_on_it != (reported == "success") {
        found.push(format!("{}, but {reported} is reported", status.waits));
    }
    found
}

#[cfg(test)]
mod tests;
