//! Plays a round: commits and faults, then a clean commit, and judges every host after each of the two.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;
use lab::fleet::Files;
use lab::story::Story;
use lab::{Host, Lab};

use super::commits::{Kind, common};
use super::faults::{Fault, Kind::Suspend};
use super::judge::{Observation, Promise, judge};
use super::observe::{Usual, journal, observe, wait_quiet};
use super::plan::{Duty, HOSTS, Plan};
use super::record::{After, Judgement, Record};
use super::strike::{Strike, strike};

/// How long hosts may take to be quiet after all that went wrong, the waits after failures included.
const QUIET: Duration = Duration::from_secs(300);
/// And with a clean commit.
const CLEAN: Duration = Duration::from_secs(200);
/// For so long, what is seen may be about to end.
const GRACE: Duration = Duration::from_secs(15);
const STEP: Duration = Duration::from_millis(500);
/// How long a boot and an adoption may take where processors are scarce.
const PATIENCE: Duration = Duration::from_secs(240);

/// A fleet in the storm.
pub struct Fleet {
    story: Story,
    usual: BTreeMap<String, Usual>,
    /// For each host the marks of systems that it must never keep.
    refused: BTreeMap<String, Vec<String>>,
}

impl Fleet {
    /// A new one, on which nothing has happened.
    ///
    /// # Errors
    /// When a host does not come to follow the repository.
    pub fn start() -> Result<Self> {
        let lab = Lab::of(&HOSTS.map(|(host, _)| host))
            .common(&common())
            .start()?;
        let story = Story::adopt(lab, PATIENCE)?;
        let mut usual = BTreeMap::new();
        for (host, _) in HOSTS {
            usual.insert(host.to_owned(), Usual::of(story.host(host)?)?);
        }
        Ok(Self {
            story,
            usual,
            refused: BTreeMap::new(),
        })
    }

    /// The fleet's lab.
    pub fn lab(&self) -> &Lab {
        self.story.lab()
    }

    /// Plays a round to its end.
    pub fn play(&mut self, plan: &Plan) -> Record {
        let begun = Instant::now();
        let mut record = Record {
            plan: plan.clone(),
            strikes: Vec::new(),
            judgements: Vec::new(),
            problem: None,
            seconds: 0.0,
        };
        for (host, _) in HOSTS {
            let refused = self.refused.entry(host.to_owned()).or_default();
            refused.extend(plan.refused(host));
        }
        let played = self
            .storm(plan, &mut record)
            .and_then(|()| self.clean(plan, &mut record));
        record.problem = played.err().map(|error| format!("{error:#}"));
        record.seconds = begun.elapsed().as_secs_f64();
        record
    }

    fn storm(&self, plan: &Plan, record: &mut Record) -> Result<()> {
        let pushed = AtomicBool::new(false);
        let begun = Instant::now();
        let (head, strikes) = thread::scope(|scope| {
            let striking: Vec<_> = plan
                .faults
                .iter()
                .map(|fault| scope.spawn(|| strike(self.lab(), fault, begun, &pushed)))
                .collect();
            let head = self.push(plan);
            pushed.store(true, Ordering::Release);
            let strikes: Vec<Strike> = striking
                .into_iter()
                .filter_map(|one| one.join().ok())
                .collect();
            (head, strikes)
        });
        record.strikes = strikes;
        self.mend(plan)?;
        let promise = |host: &str| (plan.duty(host), plan.disturbs(host));
        self.judge(&head?, After::Faults, QUIET, promise, record)
    }

    fn clean(&self, plan: &Plan, record: &mut Record) -> Result<()> {
        let mark = plan.last_mark();
        let files = HOSTS
            .iter()
            .map(|(host, number)| {
                self.lab()
                    .describe(host, &Kind::Plain.describe(&mark, *number))
            })
            .collect::<Result<_>>()?;
        let head = self.lab().operator().deploy(&files, "a clean commit")?;
        let promise = |_: &str| (Duty::Keep(mark.clone()), false);
        self.judge(&head, After::CleanCommit, CLEAN, promise, record)
    }

    /// Pushes the commits of a round; gives the last one.
    fn push(&self, plan: &Plan) -> Result<String> {
        let mut head = None;
        for (index, commit) in plan.commits.iter().enumerate() {
            thread::sleep(Duration::from_millis(commit.after));
            let mark = plan.mark(index);
            let mut files = Files::from([("README.md".to_owned(), format!("{mark}\n"))]);
            for (host, number) in HOSTS {
                match commit.hosts.get(host) {
                    None | Some(Kind::Unchanged) => {}
                    Some(kind) => {
                        let more = kind.describe(&mark, number);
                        files.extend([self.lab().describe(host, &more)?]);
                    }
                }
            }
            head = Some(self.lab().operator().deploy(&files, &mark)?);
        }
        head.context("the plan has no commit")
    }

    /// Ends whatever may be left of the faults.
    fn mend(&self, plan: &Plan) -> Result<()> {
        self.lab().relieve_disk()?;
        let server = self.story.host("git")?;
        if !server.powered() {
            server.start()?;
        }
        for (host, _) in HOSTS {
            let host = self.story.host(host)?;
            let begun = Instant::now();
            let held = |fault: &Fault| fault.kind == Suspend && fault.host == host.name;
            let held = plan.faults.iter().any(held);
            while !stands(host, held) {
                if !host.powered() {
                    // It may have come on by itself meanwhile.
                    let _ = host.power_on();
                }
                if begun.elapsed() > PATIENCE {
                    bail!("{} does not come back\n{}", host.name, host.portrait());
                }
                thread::sleep(STEP);
            }
        }
        Ok(())
    }

    fn judge(
        &self,
        head: &str,
        after: After,
        limit: Duration,
        promise: impl Fn(&str) -> (Duty, bool),
        record: &mut Record,
    ) -> Result<()> {
        let since = Timestamp::now();
        let mut promises = Vec::new();
        for (host, _) in HOSTS {
            let (duty, disturbed) = promise(host);
            let refused = self.refused.get(host).cloned().unwrap_or_default();
            let promise = Promise {
                head: head.to_owned(),
                duty,
                disturbed,
                refused,
            };
            promises.push((self.story.host(host)?, promise));
        }
        let judged: Vec<Judgement> = thread::scope(|scope| {
            let judging: Vec<_> = promises
                .iter()
                .map(|(host, promise)| {
                    scope.spawn(|| self.judge_one(host, promise, after, since, limit))
                })
                .collect();
            judging
                .into_iter()
                .filter_map(|one| one.join().ok())
                .collect()
        });
        record.judgements.extend(judged);
        Ok(())
    }

    fn judge_one(
        &self,
        host: &Host,
        promise: &Promise,
        after: After,
        since: Timestamp,
        limit: Duration,
    ) -> Judgement {
        let begun = Instant::now();
        let unquiet = wait_quiet(host, &promise.head, since, limit);
        let seconds = begun.elapsed().as_secs_f64();
        let looked = Instant::now();
        loop {
            let seen: Observation = match self.usual.get(&host.name) {
                Some(usual) => observe(self.lab(), host, usual, &promise.head, unquiet.clone()),
                None => Observation::default(),
            };
            let violations = judge(promise, &seen);
            if violations.is_empty() || unquiet.is_some() || looked.elapsed() > GRACE {
                let journal = match violations.is_empty() {
                    true => String::new(),
                    false => journal(host),
                };
                return Judgement {
                    journal,
                    host: host.name.clone(),
                    after,
                    seconds,
                    seen,
                    violations,
                };
            }
            thread::sleep(STEP);
        }
    }
}

/// Plugs a host in and lets it go on where an operator held it; whether it is there to do so.
fn stands(host: &Host, held: bool) -> bool {
    host.plug().is_ok()
        && host.settled()
        && (!held || host.exec(["nixus", "resume"]).is_ok_and(|said| said.ok()))
}
