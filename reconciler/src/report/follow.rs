//! Where the reports of a fleet are read again and again, and at what pace.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use thiserror::Error;

use crate::config::Remote;
use crate::decide::report::Report;
use crate::report::fleet::{self, HostKeys, Told};
use crate::report::forge::Listed;
use crate::report::forge::read::{ReadError, Reader, Seen};
use crate::report::repository::{ReportsError, ReportsRepository};

/// The pause between two looks at a git server of one's own.
const REPOSITORY: Duration = Duration::from_secs(2);
/// The pause between two looks at a forge: 720 requests an hour, of the 5000 that GitHub gives.
const FORGE: Duration = Duration::from_secs(5);
/// The pause between two looks at where the branch is.
const HEAD: SignedDuration = SignedDuration::from_secs(30);
/// A commit is looked for among so many of the branch.
const HISTORY: u32 = 50;
/// The longest pause while a forge or a server does not answer.
const LONGEST: Duration = Duration::from_secs(60);

/// Why reports could not be read.
#[derive(Debug, Error)]
pub enum FollowError {
    /// From the reports repository.
    #[error(transparent)]
    Reports(#[from] ReportsError),
    /// From the forge.
    #[error(transparent)]
    Forge(#[from] ReadError),
}

/// Where the reports of a fleet are.
#[derive(Debug)]
pub enum Reports {
    /// In a repository for nothing else.
    Repository {
        /// Where it is.
        remote: Remote,
        /// The local copy of it.
        local: ReportsRepository,
    },
    /// On a forge, as commit statuses.
    Forge {
        /// The connection.
        reader: Reader,
        /// The branch that hosts follow.
        branch: String,
        /// The hosts' keys.
        keys: HostKeys,
    },
}

impl Reports {
    /// The last word of each host.
    ///
    /// # Errors
    /// The reports repository or the forge cannot be read.
    pub async fn fleet(&self) -> Result<Vec<Told>, FollowError> {
        match self {
            Self::Repository { remote, local } => {
                local.fetch_all(remote).await?;
                let told = local.latest()?.into_iter().map(Told::from).collect();
                Ok(fleet::with_what_others_noticed(told))
            }
            Self::Forge {
                reader,
                branch,
                keys,
            } => Ok(fleet::from_forge(reader, branch, keys).await?),
        }
    }

    /// The commit that the branch is at, where the forge knows it.
    ///
    /// # Errors
    /// The forge cannot be asked.
    pub async fn head(&self) -> Result<Option<String>, FollowError> {
        match self {
            Self::Repository { .. } => Ok(None),
            Self::Forge { reader, branch, .. } => {
                let commits = reader.commits(branch, 1).await?;
                Ok(commits.into_iter().next().map(|commit| commit.id))
            }
        }
    }

    /// How long to wait until the next look.
    pub fn pause(&self) -> Duration {
        match self {
            Self::Repository { .. } => REPOSITORY,
            Self::Forge { .. } => FORGE,
        }
    }
}

/// One commit's reports, read again and again.
#[derive(Debug)]
pub struct Follower<'a> {
    reports: &'a Reports,
    commit: Listed,
    /// The newest report of each host, where reports have a repository.
    seen: BTreeMap<String, String>,
    /// The statuses, where they are on a forge.
    read: Seen,
    /// The highest number that each host has signed.
    numbers: BTreeMap<String, u64>,
    /// When the forge was last asked where the branch is.
    head_asked: Option<Timestamp>,
    failures: u32,
}

impl<'a> Follower<'a> {
    /// Follows this commit.
    pub fn new(reports: &'a Reports, commit: &str) -> Self {
        Self {
            reports,
            commit: Listed {
                id: commit.to_owned(),
                subject: String::new(),
            },
            seen: BTreeMap::new(),
            read: Seen::default(),
            numbers: BTreeMap::new(),
            head_asked: None,
            failures: 0,
        }
    }

    /// The hosts that have reported on this commit's ancestors, and so are to report on it.
    ///
    /// # Errors
    /// The reports repository or the forge cannot be read.
    pub async fn hosts(&self) -> Result<Vec<String>, FollowError> {
        let told = match self.reports {
            Reports::Repository { .. } => self.reports.fleet().await?,
            Reports::Forge { reader, keys, .. } => {
                fleet::from_forge(reader, &self.commit.id, keys).await?
            }
        };
        Ok(told.into_iter().map(|told| told.report.host).collect())
    }

    /// What was said since the last look, oldest first.
    ///
    /// # Errors
    /// The reports repository or the forge cannot be read.
    pub async fn look(&mut self) -> Result<Vec<Report>, FollowError> {
        let looked = self.look_once().await;
        match &looked {
            Ok(_) => self.failures = 0,
            Err(_) => self.failures = self.failures.saturating_add(1),
        }
        looked
    }

    async fn look_once(&mut self) -> Result<Vec<Report>, FollowError> {
        match self.reports {
            Reports::Repository { remote, local } => {
                local.fetch_all(remote).await?;
                Ok(local.news(&mut self.seen)?)
            }
            Reports::Forge { reader, keys, .. } => {
                let given = reader.news(&self.commit.id, &mut self.read).await?;
                let said = given.iter().rev();
                let said = said.filter_map(|one| fleet::told(one, &self.commit, keys));
                // What a host has not said itself is not followed.
                let said = said.filter(|(_, told)| told.signed != Some(false));
                let said = said.map(|(_, told)| told);
                Ok(said
                    .filter_map(|told| follows(&mut self.numbers, told))
                    .collect())
            }
        }
    }

    /// Where the branch is now, if it is at another commit that contains this one. A forge is asked for that now
    /// and then; a failure is none.
    pub async fn passed_by(&mut self, now: Timestamp) -> Option<String> {
        let Reports::Forge { reader, branch, .. } = self.reports else {
            return None;
        };
        let due = self
            .head_asked
            .is_none_or(|asked| now.duration_since(asked) >= HEAD);
        if !due {
            return None;
        }
        self.head_asked = Some(now);
        let listed = reader.commits(branch, HISTORY).await.ok()?;
        let place = listed.iter().position(|one| one.id == self.commit.id)?;
        // At the head itself, it is waited for.
        let head = listed.into_iter().next()?;
        (place > 0).then_some(head.id)
    }

    /// How long to wait until the next look: longer while there is no answer, and never less than the
    /// forge has named. Nothing where another look is of no use.
    pub fn pause(&self, error: Option<&FollowError>, now: Timestamp) -> Option<Duration> {
        let usual = self.reports.pause();
        let Some(error) = error else {
            return Some(usual);
        };
        let longer = usual * 2_u32.saturating_pow(self.failures.min(6));
        let longer = longer.min(LONGEST);
        match error {
            FollowError::Forge(error) => {
                let named = error.passes()?;
                let named =
                    named.and_then(|time| Duration::try_from(time.duration_since(now)).ok());
                Some(longer.max(named.unwrap_or_default()))
            }
            FollowError::Reports(ReportsError::Remote { .. }) => Some(longer),
            FollowError::Reports(_) => None,
        }
    }
}

/// What a host has said after all that was seen of it, by its own signed numbers: an old status that is posted
/// again is not news.
fn follows(numbers: &mut BTreeMap<String, u64>, told: Told) -> Option<Report> {
    let report = told.report;
    if told.signed == Some(true) {
        let number = numbers.entry(report.host.clone()).or_insert(0);
        if report.sequence < *number {
            return None;
        }
        *number = report.sequence;
    }
    Some(report)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::forge::Kind;
    use crate::decide::report::State;
    use crate::decide::status::{Status, Word};
    use crate::host::testing::run;
    use crate::report::forge::contract::Stage;
    use crate::report::forge::contract::rules::SHA;

    fn on(stage: &Stage) -> Reports {
        Reports::Forge {
            reader: Reader {
                client: stage.client(),
                repository: stage.repository.clone(),
            },
            branch: "main".to_owned(),
            keys: HostKeys::default(),
        }
    }

    fn say(stage: &Stage, host: &str, word: Word) {
        let report: Report = serde_json::from_value(serde_json::json!({
            "version": 1, "host": host, "commit": { "id": SHA, "subject": "s" },
            "state": word.state(), "text": "because", "generation": null, "toplevel": null,
            "time": "2026-11-26T04:00:00Z",
        }))
        .unwrap();
        let status = Status::of(&report, word, None, None);
        let state = stage.kind.forge().state(word);
        stage.server.with(|rules| rules.keep(&status, state));
    }

    #[test]
    fn a_forge_is_followed_with_one_request_for_each_look() {
        for kind in [Kind::GitHub, Kind::GitLab, Kind::Gitea, Kind::Bitbucket] {
            let stage = Stage::new(kind);
            let reports = on(&stage);
            for number in 0..120 {
                say(&stage, &format!("web{number}"), Word::Building);
            }
            stage.server.with(|rules| rules.clock += 1);
            say(&stage, "last", Word::Building);
            let mut follower = Follower::new(&reports, SHA);
            assert_eq!(run(follower.look()).unwrap().len(), 121, "{kind:?}");
            let before = stage.server.count();
            stage.server.with(|rules| rules.clock += 1);
            say(&stage, "db1", Word::Building);
            stage.server.with(|rules| rules.clock += 1);
            say(&stage, "db1", Word::Success);
            let news = run(follower.look()).unwrap();
            assert_eq!(news.len(), 2, "{kind:?}");
            assert_eq!(news[1].state, State::Success);
            assert!(run(follower.look()).unwrap().is_empty());
            assert_eq!(stage.server.count() - before, 2, "{kind:?}");
            assert_eq!(run(follower.hosts()).unwrap().len(), 122, "{kind:?}");
            assert_eq!(run(reports.head()).unwrap().as_deref(), Some(SHA));
        }
    }

    #[test]
    fn what_is_posted_in_the_second_of_the_newest_is_seen_too() {
        for kind in [Kind::GitHub, Kind::GitLab, Kind::Gitea, Kind::Bitbucket] {
            let stage = Stage::new(kind);
            let reports = on(&stage);
            let mut follower = Follower::new(&reports, SHA);
            // More than a page in one second, and some of them after a look.
            for number in 0..70 {
                say(&stage, &format!("web{number}"), Word::Building);
            }
            assert_eq!(run(follower.look()).unwrap().len(), 70, "{kind:?}");
            say(&stage, "db1", Word::Success);
            say(&stage, "db2", Word::Success);
            let news = run(follower.look()).unwrap();
            let mut hosts: Vec<_> = news.iter().map(|report| report.host.as_str()).collect();
            hosts.sort_unstable();
            assert_eq!(hosts, ["db1", "db2"], "{kind:?}");
            assert!(run(follower.look()).unwrap().is_empty(), "{kind:?}");
        }
    }

    #[test]
    fn a_forge_that_gives_more_than_was_asked_for_is_read_no_further() {
        for kind in [Kind::GitHub, Kind::GitLab, Kind::Gitea, Kind::Bitbucket] {
            let stage = Stage::new(kind);
            let Reports::Forge { reader, .. } = on(&stage) else {
                unreachable!("it is a forge");
            };
            let size = kind.forge().page_size();
            for number in 0..size {
                say(&stage, &format!("web{number}"), Word::Building);
            }
            stage.server.with(|rules| rules.unbounded = true);
            assert_eq!(
                run(reader.commits("main", 10)).unwrap().len(),
                10,
                "{kind:?}"
            );
            for number in 0..size {
                say(&stage, &format!("db{number}"), Word::Building);
            }
            let before = stage.server.count();
            let given = run(reader.statuses(SHA)).unwrap();
            // A page is full with what was asked for; the next one is asked for, and is empty.
            assert_eq!(
                (given.len(), stage.server.count() - before),
                (size, 2),
                "{kind:?}"
            );
        }
    }

    #[test]
    fn an_old_word_of_a_host_that_is_posted_again_is_no_news() {
        let told = |sequence: u64, signed| Told {
            report: serde_json::from_value(serde_json::json!({
                "version": 1, "host": "web1", "commit": { "id": SHA, "subject": "s" },
                "state": "success", "text": "because", "generation": null, "toplevel": null,
                "time": "2026-11-26T04:00:00Z", "sequence": sequence,
            }))
            .unwrap(),
            signed,
            noticed_by: Vec::new(),
            silent: false,
            behind: false,
        };
        let mut numbers = BTreeMap::new();
        let mut said = |sequence, signed| follows(&mut numbers, told(sequence, signed)).is_some();
        assert!(said(5, Some(true)));
        assert!(said(9, Some(true)));
        // "success #5" after "failure #9".
        assert!(!said(5, Some(true)));
        assert!(said(9, Some(true)));
        assert!(said(10, Some(true)));
        // Where no key is known, numbers mean nothing.
        assert!(said(1, None));
    }

    #[test]
    fn the_pause_is_never_shorter_than_the_forge_has_named() {
        let stage = Stage::new(Kind::GitHub);
        let reports = on(&stage);
        let now = Timestamp::UNIX_EPOCH;
        let mut follower = Follower::new(&reports, SHA);
        assert_eq!(follower.pause(None, now), Some(FORGE));
        let limited = |seconds: Option<i64>| {
            let until = seconds.map(|seconds| Timestamp::from_second(seconds).unwrap());
            let why = String::new();
            FollowError::Forge(ReadError::Limited { until, why })
        };
        let pause = follower.pause(Some(&limited(Some(900))), now);
        assert_eq!(pause, Some(Duration::from_secs(900)));
        follower.failures = 3;
        let pause = follower.pause(Some(&limited(None)), now);
        assert_eq!(pause, Some(Duration::from_secs(40)));
        follower.failures = 30;
        assert_eq!(follower.pause(Some(&limited(None)), now), Some(LONGEST));
        // What the forge refuses is not asked again.
        let refused = FollowError::Forge(ReadError::Refused {
            url: String::new(),
            why: String::new(),
        });
        assert_eq!(follower.pause(Some(&refused), now), None);
    }
}
