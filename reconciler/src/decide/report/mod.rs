//! What a host says about a commit: pure data and its sentences.

use jiff::Timestamp;
use nixus_switcher::printable::{printable, printable_lines};
use nixus_switcher::protocol::{
    Cause, CheckOutcome, Commit, DeploymentId, Ending, Evidence, Outcome, Toplevel, newest_version,
};
use serde::{Deserialize, Serialize};

use crate::decide::commit_id::CommitId;
use crate::decide::ledger::shorten;
use crate::decide::plan::Reason;
use crate::decide::verdict::sightings::Noticed;
use crate::decide::verdict::{REPAIRED, UNWITNESSED};

/// What a host is doing about a commit, or how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// The host knows the commit and waits for something.
    Waiting,
    /// Its toplevel is being built.
    Building,
    /// Its toplevel is being activated and then on trial.
    Activating,
    /// The host is on this commit.
    Success,
    /// The new system failed, and the host went back.
    Failure,
    /// The commit could not be built, or is refused.
    Error,
}

impl State {
    /// The word for machines and tables.
    pub fn word(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Building => "building",
            Self::Activating => "activating",
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Error => "error",
        }
    }
}

/// One report: a host, a commit, a state and a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The version of this format.
    pub version: u32,
    /// The host.
    pub host: String,
    /// The commit that the report is about.
    pub commit: Commit,
    /// What the host does about it.
    pub state: State,
    /// The sentence for people.
    pub text: String,
    /// The generation that the host is on after this.
    pub generation: Option<u64>,
    /// The toplevel that the report is about, where there is one.
    pub toplevel: Option<Toplevel>,
    /// The deployment that it is about, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<DeploymentId>,
    /// When it was made.
    pub time: Timestamp,
    /// Rises with every report of the host; 0 where an earlier release made it.
    #[serde(default, skip_serializing_if = "is_none")]
    pub sequence: u64,
    /// Peers that the host has noticed something of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub noticed: Vec<Noticed>,
    /// When to expect the next one, and what this one repeats; nothing where an earlier release made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pulse: Option<Pulse>,
    /// Its deployment is on trial, and these are first findings.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub verified: bool,
}

/// What tells a host that is well and has nothing to report from one that is gone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pulse {
    /// Another report is due within so many seconds.
    pub within: u64,
    /// The newest head of the branch that the host has seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<CommitId>,
    /// Since when all is as it is; only in a heartbeat, which says once more what was said then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes fields by reference"
)]
fn is_none(number: &u64) -> bool {
    *number == 0
}

impl Report {
    /// Whether a second report says nothing new after this one.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let essence = |report: &Self| {
            (
                report.host.clone(),
                report.commit.id.clone(),
                report.state,
                report.text.clone(),
                report.toplevel.clone(),
                report.deployment.clone(),
                report.noticed.clone(),
            )
        };
        essence(self) == essence(other)
    }

    /// Whether it only says once more what was said before.
    pub fn is_heartbeat(&self) -> bool {
        self.since() != self.time
    }

    /// Since when all is as it says.
    pub fn since(&self) -> Timestamp {
        let pulse = self.pulse.as_ref();
        pulse.and_then(|pulse| pulse.since).unwrap_or(self.time)
    }

    /// Whether the host should have reported again by now.
    pub fn is_overdue(&self, now: Timestamp) -> bool {
        self.pulse.as_ref().is_some_and(|pulse| {
            let within = i64::try_from(pulse.within).unwrap_or(i64::MAX);
            now.as_second().saturating_sub(self.time.as_second()) > within
        })
    }

    /// The line that an operator sees for this report.
    pub fn line(&self) -> String {
        format!("[{}] {}", self.host, self.text)
    }
}

/// What a host knows of a deployment beside what the switcher reports.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Beside {
    /// The commits that a return to the boot-proven system has undone, newest first.
    pub undone: Vec<Commit>,
    /// How far back the boot-proven system is, where what runs is not boot-proven.
    pub unproven: Option<Unproven>,
}

/// How far back the boot-proven system is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Unproven {
    /// How many commits were kept since.
    pub commits: usize,
    /// Its generation, where it has one.
    pub generation: Option<u64>,
}

impl std::fmt::Display for Unproven {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.generation {
            Some(number) => write!(
                f,
                "a first boot that fails goes back to generation {number}"
            )?,
            None => f.write_str("a first boot that fails goes back to the boot-proven system")?,
        }
        let plural = if self.commits == 1 { "" } else { "s" };
        write!(f, " and undoes {} commit{plural}", self.commits)
    }
}

/// Makes the reports of one host.
#[derive(Debug, Clone, Copy)]
pub struct Reporter<'a> {
    /// The host.
    pub host: &'a str,
    /// The time of the reports.
    pub now: Timestamp,
}

impl Reporter<'_> {
    fn report(self, commit: &Commit, state: State, text: String) -> Report {
        Report {
            version: newest_version(),
            host: self.host.to_owned(),
            commit: Commit {
                subject: printable(&commit.subject),
                ..commit.clone()
            },
            state,
            text: shorten(&printable_lines(&text)),
            generation: None,
            toplevel: None,
            deployment: None,
            time: self.now,
            sequence: 0,
            noticed: Vec::new(),
            pulse: None,
            verified: false,
        }
    }

    /// Nothing has changed since the last report.
    pub fn heartbeat(self, last: &Report) -> Report {
        let pulse = Pulse {
            within: 0,
            head: None,
            since: Some(last.since()),
        };
        Report {
            time: self.now,
            sequence: 0,
            pulse: Some(pulse),
            ..last.clone()
        }
    }

    /// A commit is being built.
    pub fn building(self, commit: &Commit) -> Report {
        let text = format!("{}: building", name(commit));
        self.report(commit, State::Building, text)
    }

    /// What CI built of a commit is being fetched.
    pub fn fetching(self, commit: &Commit) -> Report {
        let text = format!("{}: fetching", name(commit));
        self.report(commit, State::Building, text)
    }

    /// How far the build of a commit is.
    pub fn building_still(self, commit: &Commit, progress: &str) -> Report {
        let text = format!("{}: building: {progress}", name(commit));
        self.report(commit, State::Building, text)
    }

    /// The host does not take a commit up yet.
    pub fn waits(self, commit: &Commit, reason: &Reason) -> Report {
        let text = format!("{}: {reason}", name(commit));
        self.report(commit, State::Waiting, text)
    }

    /// The host cannot go on from this commit, as its state is damaged.
    pub fn damaged(self, commit: &Commit, reason: &Reason) -> Report {
        let text = format!("an operator is needed: {reason}");
        self.report(commit, State::Error, text)
    }

    /// A built commit was handed to the switcher.
    pub fn activating(
        self,
        commit: &Commit,
        toplevel: &Toplevel,
        deployment: &DeploymentId,
        seconds: u64,
    ) -> Report {
        let text = format!(
            "{}: activating, confirmation due within {seconds} s",
            name(commit)
        );
        Report {
            toplevel: Some(toplevel.clone()),
            deployment: Some(deployment.clone()),
            ..self.report(commit, State::Activating, text)
        }
    }

    /// An operator goes back to a generation from before.
    pub fn rolling_back(
        self,
        generation: u64,
        commit: &Commit,
        toplevel: &Toplevel,
        deployment: &DeploymentId,
        why: &str,
    ) -> Report {
        let text = format!("going back to generation {generation}: {why}");
        Report {
            toplevel: Some(toplevel.clone()),
            deployment: Some(deployment.clone()),
            ..self.report(commit, State::Activating, text)
        }
    }

    /// The host runs this commit's toplevel already.
    pub fn unchanged(
        self,
        commit: &Commit,
        toplevel: &Toplevel,
        generation: Option<u64>,
    ) -> Report {
        let text = format!(
            "{}: nothing to activate, this host's system is unchanged{}",
            name(commit),
            generation.map_or(String::new(), |number| format!(" (generation {number})"))
        );
        Report {
            generation,
            toplevel: Some(toplevel.clone()),
            ..self.report(commit, State::Success, text)
        }
    }

    /// A commit could not be built.
    pub fn not_built(self, commit: &Commit, why: &str) -> Report {
        let text = format!("{}: not built: {why}", name(commit));
        self.report(commit, State::Error, text)
    }

    /// This host cannot open a commit's secrets.
    pub fn not_opened(self, commit: &Commit, why: &str) -> Report {
        let text = format!("{}: refused, nothing was changed: {why}", name(commit));
        self.report(commit, State::Error, text)
    }

    /// A commit could not be built, but perhaps will be later.
    pub fn not_built_yet(self, commit: &Commit, why: &str) -> Report {
        let text = format!("{}: not built yet, trying again: {why}", name(commit));
        self.report(commit, State::Waiting, text)
    }

    /// An operator's hook holds a commit back.
    pub fn held_back(self, commit: &Commit, why: &str) -> Report {
        let text = format!("{}: not activated yet, trying again: {why}", name(commit));
        self.report(commit, State::Waiting, text)
    }

    /// A hook failed after a deployment of which this was said.
    pub fn hook_failed(self, said: &Report, why: &str) -> Report {
        let text = format!(
            "{}; a hook after it failed, which changes nothing: {why}",
            said.text
        );
        Report {
            text: shorten(&text),
            time: self.now,
            sequence: 0,
            noticed: Vec::new(),
            pulse: None,
            ..said.clone()
        }
    }

    /// A head could not be fetched so far. Nothing is known of it but its id.
    pub fn not_fetched_yet(self, head: &CommitId, why: &str) -> Report {
        let commit = Commit {
            id: head.to_string(),
            subject: String::new(),
        };
        let text = format!(
            "commit {}: not fetched yet, trying again: {why}",
            head.short()
        );
        self.report(&commit, State::Waiting, text)
    }

    /// The trials of a commit told nothing, and what is known in addition to them speaks against it.
    pub fn gave_up(self, commit: &Commit, why: &str) -> Report {
        let text = format!("{}: not tried again: {why}", name(commit));
        self.report(commit, State::Failure, text)
    }

    /// A commit makes the system that failed here before, for another commit or for this one.
    pub fn failed_before(self, commit: &Commit, failed: &CommitId, why: &str) -> Report {
        let text = match failed.as_str() == commit.id {
            true => format!(
                "{}: failed here and is not tried again: {why}",
                name(commit)
            ),
            false => format!(
                "{}: the same system as {}, which failed here and is not tried again: {why}",
                name(commit),
                failed.short()
            ),
        };
        self.report(commit, State::Failure, text)
    }

    /// A head was refused.
    pub fn refused(self, commit: &Commit, accepted: &CommitId) -> Report {
        let text = format!(
            "{}: refused, it does not descend from {}, which this host accepted",
            name(commit),
            accepted.short()
        );
        self.report(commit, State::Error, text)
    }

    /// Peers have found the new system well: what they say of it.
    pub fn verified(self, outcome: &Outcome) -> Option<Report> {
        let checks = &outcome.evidence.as_ref()?.checks;
        let mut said: Vec<(&str, Vec<&str>)> = Vec::new();
        for check in checks {
            if let (Some(peer), CheckOutcome::Pass, None) =
                (&check.by, check.outcome, &check.disregarded)
            {
                match said.iter_mut().find(|(words, _)| *words == check.reason) {
                    Some((_, peers)) => peers.push(peer),
                    None => said.push((&check.reason, vec![peer])),
                }
            }
        }
        let said: Vec<String> = said
            .into_iter()
            .map(|(words, peers)| format!("verified by {}: {words}", peers.join(", ")))
            .collect();
        (!said.is_empty()).then(|| Report {
            toplevel: Some(outcome.new.toplevel.clone()),
            deployment: Some(outcome.deployment.clone()),
            verified: true,
            ..self.report(&outcome.commit, State::Activating, said.join("; "))
        })
    }

    /// The switcher ended a deployment.
    pub fn ended(self, outcome: &Outcome) -> Report {
        self.ended_beside(outcome, &Beside::default())
    }

    /// The same, with what the host knows in addition to that.
    pub fn ended_beside(self, outcome: &Outcome, beside: &Beside) -> Report {
        let why = || {
            outcome
                .cause
                .as_ref()
                .map_or_else(String::new, ToString::to_string)
        };
        let old = outcome.old.generation.map_or_else(
            || "the system before".to_owned(),
            |number| format!("generation {number}"),
        );
        let no_network = outcome.cause.as_ref().is_some_and(Cause::is_no_network);
        let undone = || match beside.undone.as_slice() {
            [] => String::new(),
            commits => {
                let named: Vec<String> = commits.iter().map(name).collect();
                format!(" (undone: {})", named.join(", "))
            }
        };
        let seconds = outcome.ended.saturating_sub(outcome.started);
        let (state, text, generation) = match (outcome.ending, &outcome.left_alone) {
            (Ending::Confirmed, _) if outcome.boot_trial => (
                State::Success,
                format!(
                    "Booted and found healthy: the system is boot-proven{}",
                    outcome
                        .new
                        .generation
                        .map_or(String::new(), |number| format!(" (generation {number})"))
                ),
                outcome.new.generation,
            ),
            (Ending::Reverted, _) if outcome.boot_trial && no_network => (
                State::Waiting,
                format!(
                    "had no network at its first boot, tried again once there is one: rebooted into {old}, \
                     which is boot-proven{}: {}",
                    undone(),
                    why()
                ),
                outcome.old.generation,
            ),
            (Ending::Reverted, _) if outcome.boot_trial => (
                State::Failure,
                format!(
                    "Failed at its first boot! Rebooted into {old}, which is boot-proven{}: {}",
                    undone(),
                    why()
                ),
                outcome.old.generation,
            ),
            (Ending::Confirmed, _) => (
                State::Success,
                format!(
                    "Successfully activated new system! ({}{seconds} s{}){}",
                    outcome
                        .new
                        .generation
                        .map_or(String::new(), |number| format!("generation {number}, ")),
                    outcome.evidence.as_ref().map_or(String::new(), said_aside),
                    // With one commit it is what came before.
                    beside
                        .unproven
                        .filter(|unproven| unproven.commits > 1)
                        .map_or(String::new(), |unproven| format!("; {unproven}"))
                ),
                outcome.new.generation,
            ),
            (Ending::Reverted, Some(other)) => (
                State::Failure,
                format!(
                    "Failed to activate new system! {other} runs, to which somebody else \
                     switched meanwhile: {}",
                    why()
                ),
                None,
            ),
            (Ending::Reverted, None) => (
                State::Failure,
                format!(
                    "Failed to activate new system! Rolled back to {old}: {}",
                    why()
                ),
                outcome.old.generation,
            ),
            (Ending::Refused, _) => (
                State::Failure,
                format!("refused before anything was changed: {}", why()),
                outcome.old.generation,
            ),
            (Ending::Stuck, _) => (
                State::Failure,
                format!(
                    "stuck, an operator is needed: could not go back to {old} after: {}",
                    why()
                ),
                None,
            ),
        };
        let text = match outcome.not_running.as_slice() {
            [] => text,
            units => format!("{text}; ran before, and do not now: {}", units.join(", ")),
        };
        Report {
            generation,
            toplevel: Some(outcome.new.toplevel.clone()),
            deployment: Some(outcome.deployment.clone()),
            ..self.report(&outcome.commit, state, text)
        }
    }
}

/// What is to be known of a generation that was kept: who confirmed it, that nobody looked at it, and
/// what it put right.
fn said_aside(evidence: &Evidence) -> String {
    let noted = |name: &str| {
        let check = evidence.checks.iter().find(|one| one.check == name)?;
        Some(format!(", {name}: {}", check.reason))
    };
    let by = evidence.confirmed_by().map(|who| format!(", {who}"));
    let all = [by, noted(UNWITNESSED), noted(REPAIRED)];
    all.into_iter().flatten().collect()
}

/// A commit as people name it.
pub fn name(commit: &Commit) -> String {
    format!("commit {} \"{}\"", commit.short(), commit.subject)
}

pub mod unfinished;

#[cfg(test)]
mod tests;
