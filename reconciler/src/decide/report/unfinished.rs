//! No commit is left as `building` or `activating` once nobody works on it: pure.
//!
//! Two moments matter: a host speaks of another commit, and a pass ends. What it said last is then said again,
//! as a wait. A deployment that is open goes on by itself, and says how it ended.

use super::{Report, Reporter, State, name};
use crate::decide::plan::Reason;

impl State {
    /// Whether somebody works on the commit right now.
    pub fn is_under_way(self) -> bool {
        matches!(self, Self::Building | Self::Activating)
    }

    /// Whether the host is done with the commit.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Success | Self::Failure | Self::Error)
    }
}

/// What is said of the commit that this host spoke of last, before it says `next`.
pub fn before(reporter: Reporter<'_>, last: &Report, next: &Report, open: bool) -> Option<Report> {
    let left = last.state.is_under_way() && last.commit.id != next.commit.id && !open;
    left.then(|| {
        let text = format!(
            "{}: not finished, this host went on to {}",
            name(&last.commit),
            next.commit.short()
        );
        reporter.report(&last.commit, State::Waiting, text)
    })
}

/// What is said of the commit that this host spoke of last, where a pass ends with this wait.
pub fn at_the_end(
    reporter: Reporter<'_>,
    last: &Report,
    reason: &Reason,
    open: bool,
) -> Option<Report> {
    let left = last.state.is_under_way() && !open;
    left.then(|| reporter.waits(&last.commit, reason))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;
    use nixus_switcher::protocol::Commit;
    use proptest::prelude::*;

    use super::*;
    use crate::decide::commit_id::CommitId;

    fn commit(number: u8) -> Commit {
        Commit {
            id: format!("{number:040x}"),
            subject: "s".to_owned(),
        }
    }

    /// What happens to a host, in an order that nobody chose.
    #[derive(Debug, Clone)]
    enum Step {
        /// A pass says that it builds a commit.
        Builds(u8),
        /// A pass hands a commit to the switcher; a deployment is open from then on.
        Activates(u8),
        /// It ends, and a pass says how.
        Ends(State),
        /// A pass says that a commit waits, or how it ended without a deployment.
        Says(u8, State),
        /// A pass ends.
        PassEnds,
        /// A pass is killed, by a power cut.
        Killed,
    }

    fn step() -> impl Strategy<Value = Step> {
        let ended = prop_oneof![
            Just(State::Success),
            Just(State::Failure),
            Just(State::Error)
        ];
        prop_oneof![
            (0..4_u8).prop_map(Step::Builds),
            (0..4_u8).prop_map(Step::Activates),
            ended.clone().prop_map(Step::Ends),
            (0..4_u8, prop_oneof![ended, Just(State::Waiting)])
                .prop_map(|(one, state)| Step::Says(one, state)),
            Just(Step::PassEnds),
            Just(Step::Killed),
        ]
    }

    proptest! {
        #[test]
        fn no_commit_is_left_under_way_once_no_pass_and_no_deployment_is_open(
            steps in proptest::collection::vec(step(), 0..40)
        ) {
            let reporter = Reporter { host: "web1", now: Timestamp::UNIX_EPOCH };
            let mut said: Vec<Report> = Vec::new();
            let mut open: Option<u8> = None;
            let say = |said: &mut Vec<Report>, number: u8, state: State, open: bool| {
                let next = reporter.report(&commit(number), state, String::new());
                let left = said.last().and_then(|last| before(reporter, last, &next, open));
                said.extend(left);
                said.push(next);
            };
            for step in steps {
                match step {
                    Step::Builds(number) if open.is_none() => say(&mut said, number, State::Building, false),
                    Step::Activates(number) if open.is_none() => {
                        say(&mut said, number, State::Activating, false);
                        open = Some(number);
                    }
                    Step::Ends(state) => {
                        if let Some(number) = open.take() {
                            say(&mut said, number, state, false);
                        }
                    }
                    Step::Says(number, state) if open.is_none() => say(&mut said, number, state, false),
                    Step::PassEnds => {
                        let commit = CommitId::try_from(commit(9).id).unwrap();
                        let reason = Reason::UpToDate { commit };
                        let left = said.last().and_then(|last| at_the_end(reporter, last, &reason, open.is_some()));
                        said.extend(left);
                        let mut last = BTreeMap::new();
                        for report in &said {
                            last.insert(report.commit.id.clone(), report.state);
                        }
                        for (id, state) in last {
                            let is_open = open.is_some_and(|number| commit_id(number) == id);
                            prop_assert!(!state.is_under_way() || is_open, "{id} {state:?}");
                        }
                    }
                    _ => {}
                }
            }
        }
    }

    fn commit_id(number: u8) -> String {
        commit(number).id
    }
}
