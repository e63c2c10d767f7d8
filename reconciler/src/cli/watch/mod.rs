//! `nixus watch`: a deployment, followed on all hosts.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use clap::Args;
use futures_util::StreamExt as _;
use git2::{Oid, Repository};
use jiff::{SignedDuration, Timestamp};
use nixus_switcher::printable::printable;

use self::live_lines::Live;
use self::progress::Progress;
use super::arguments::{Host, parse_duration};
use super::exit_code::{CommandError, Exit, WrongInput};
use super::reports_from::{ReportsFrom, reports_of};
use crate::decide::commit_id::CommitId;
use crate::host::output;
use crate::host::process::{Invocation, in_words};
use crate::report::follow::{Follower, Reports};
use crate::{eprintln, println};

pub mod live_lines;
pub mod progress;

/// How often, and how long, busy hosts are asked by SSH.
const ASK: Duration = Duration::from_secs(5);
/// So many hosts are asked at once; each is a process.
const ASKED_AT_ONCE: usize = 16;

/// Follow a deployment on all hosts until each of them is done.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  nixus watch                       in a clone of the deploy repository: what was just pushed
  nixus watch 3f2c1a0 --reports ssh://git@git.example/reports.git
  nixus watch $GITHUB_SHA --forge https://github.com/fleet/deploy --hosts web1,db1

Exit code 0 only where every host kept the commit.")]
pub struct Watch {
    /// The commit [default: the HEAD of the clone in this folder]
    pub commit: Option<String>,
    /// Where reports are.
    #[command(flatten)]
    pub from: ReportsFrom,
    /// The hosts to wait for [default: those that have reported before]
    #[arg(long, value_delimiter = ',', value_name = "HOST,HOST")]
    pub hosts: Vec<String>,
    /// Maximum time to wait, for example 30m or 2h.
    #[arg(long, value_name = "TIME", value_parser = parse_duration, default_value = "1h")]
    pub timeout: SignedDuration,
    /// Ask busy hosts by SSH what they are doing, as root at their names, every 5 seconds.
    #[arg(long)]
    pub ssh: bool,
    /// Print one line of JSON for each report.
    #[arg(long)]
    pub json: bool,
}

impl Watch {
    /// Follows the deployment until every host is done.
    ///
    /// # Errors
    /// What was named is not what it was named as, or the reports cannot be read.
    pub async fn run(&self, host: &Host) -> Result<Exit, CommandError> {
        match follow(&reports_of(host, &self.from)?, self).await? {
            true => Ok(Exit::Done),
            false => Ok(Exit::Failed),
        }
    }
}

/// Follows a deployment; gives whether every host kept the commit.
async fn follow(reports: &Reports, wanted: &Watch) -> Result<bool, CommandError> {
    let timeout = wanted.timeout.unsigned_abs();
    let commit = commit(reports, wanted.commit.as_deref()).await?;
    let mut watch = Progress::new(&commit, &wanted.hosts);
    let mut follower = Follower::new(reports, &commit);
    if wanted.hosts.is_empty() {
        for host in follower.hosts().await? {
            watch.expect(&host);
        }
    }
    let begun = Instant::now();
    let mut live = Live::new();
    let mut asked = Asked::default();
    while !watch.is_over() && begun.elapsed() < timeout {
        let looked = follower.look().await;
        let now = Timestamp::now();
        let pause = follower.pause(looked.as_ref().err(), now);
        let news = match looked {
            Ok(said) => watch.take_where(said, &|id| contains(&commit, id)),
            Err(error) => {
                let Some(_) = pause else {
                    return Err(error.into());
                };
                live.end();
                eprintln!("nixus: {}", in_words(&error));
                Vec::new()
            }
        };
        if wanted.json {
            for report in &news {
                println!("{}", serde_json::to_string(report)?);
            }
        } else {
            live.show(&news, &watch, now);
        }
        if let Some(head) = follower.passed_by(now).await {
            watch.is_passed_by(&head);
        }
        if watch.is_over() || !output::is_heard() {
            break;
        }
        if wanted.ssh {
            live.end();
            asked.ask(&watch).await;
        }
        let left = timeout.saturating_sub(begun.elapsed());
        tokio::time::sleep(pause.unwrap_or_default().min(left)).await;
    }
    live.end();
    let summary = printable(&watch.summary());
    match wanted.json {
        true => eprintln!("{summary}"),
        false => println!("{summary}"),
    }
    Ok(watch.is_kept())
}

/// Whether another commit contains the one that is followed, where the clone in this folder knows both. One that it
/// does not know is newer than it, unless it knows only the newest.
fn contains(commit: &str, other: &str) -> Option<bool> {
    let repository = Repository::discover(".").ok()?;
    let of = |id: &str| Oid::from_str(id).ok();
    let (commit, other) = (of(commit)?, of(other)?);
    repository.find_commit(commit).ok()?;
    if repository.find_commit(other).is_err() {
        return (!repository.is_shallow()).then_some(true);
    }
    repository.graph_descendant_of(other, commit).ok()
}

/// The commit's whole id: as it was written, or as the clone in this folder knows it.
async fn commit(reports: &Reports, written: Option<&str>) -> Result<String, CommandError> {
    if let Some(id) = written.and_then(|text| CommitId::try_from(text.to_owned()).ok()) {
        return Ok(id.to_string());
    }
    let found = Repository::discover(".").and_then(|repository| {
        let object = repository.revparse_single(written.unwrap_or("HEAD"))?;
        Ok(object.peel_to_commit()?.id().to_string())
    });
    match (found, written) {
        (Ok(id), _) => Ok(id),
        (Err(_), None) => reports.head().await?.ok_or_else(|| {
            let problem = "name the commit: this folder is not a clone of the deploy repository";
            WrongInput(problem.to_owned()).into()
        }),
        (Err(_), Some(text)) => {
            let problem = format!(
                "{text:?} is not a commit that a clone in this folder knows: give all its digits"
            );
            Err(WrongInput(problem).into())
        }
    }
}

/// What busy hosts have answered by SSH.
#[derive(Default)]
struct Asked {
    last: Option<Instant>,
    said: BTreeMap<String, String>,
}

impl Asked {
    /// Asks every busy host what it is doing, some at once, and prints what is news.
    async fn ask(&mut self, watch: &Progress) {
        if self.last.is_some_and(|last| last.elapsed() < ASK) {
            return;
        }
        self.last = Some(Instant::now());
        let hosts: Vec<String> = watch.busy().map(|(host, _)| host.to_owned()).collect();
        let asking = hosts.into_iter().map(|host| async move {
            let answer = Invocation::new("ssh", ASK)
                .args(["-o", "BatchMode=yes", "-o", "ConnectTimeout=3", "--"])
                .arg(format!("root@{host}"))
                .arg("journalctl --unit=nixus-reconcile.service --output=cat --lines=1 --no-pager")
                .output()
                .await;
            let line = String::from_utf8_lossy(&answer.ok()?).trim().to_owned();
            Some((host, line)).filter(|(_, line)| !line.is_empty())
        });
        let mut answers = futures_util::stream::iter(asking).buffered(ASKED_AT_ONCE);
        while let Some(answer) = answers.next().await {
            let Some((host, said)) = answer else {
                continue;
            };
            if self.said.get(&host) != Some(&said) {
                println!("[{host}] {}", printable(&said));
                self.said.insert(host, said);
            }
        }
    }
}
