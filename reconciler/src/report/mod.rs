//! Posts what waits in the outbox as commit statuses: the hands of [`crate::decide::outbox`], which decides.
//!
//! On a host this is a unit of its own, which a pass starts and does not wait for.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use nixus_switcher::PhaseName;
use nixus_switcher::state::disk::{Disk as _, Held, HostDisk};
use nixus_switcher::state::lock_file;
use thiserror::Error;

use crate::activation::Switcher;
use crate::config::Config;
use crate::config::statuses::Statuses;
use crate::decide::commit_id::CommitId;
use crate::decide::outbox::judgement::{Judged, Judgement};
use crate::decide::outbox::{Item, Next, Outbox};
use crate::decide::report::{Report, State};
use crate::decide::status::{Seal, Status, Word};
use crate::health::sshd::{SshError, own_key};
use crate::host::files::Paths;
use crate::host::process::in_words;
use crate::report::forge::answer::judge;
use crate::report::forge::http::{Client, HttpError};
use crate::report::outbox_file::OutboxFileError;
use crate::report::repository::{ReportsError, ReportsRepository};
use crate::report::signature::{SignError, Statement};

pub mod fleet;
pub mod follow;
pub mod forge;
pub mod outbox_file;
pub mod repository;
pub mod signature;

/// The unit that posts.
pub const UNIT: &str = "nixus-report.service";
/// So long the unit waits for a time that is named; for a later one, a pass starts it again.
const PATIENCE: Duration = Duration::from_secs(90);
/// How often it looks for something more urgent meanwhile.
const LOOK: Duration = Duration::from_secs(2);
/// So long the unit runs at most. It must not fail: a failed unit speaks against a generation.
const LONGEST: Duration = Duration::from_secs(10 * 60);
/// So many reports are looked at; older ones are settled with them.
const MOST: usize = 500;

/// Why nothing can be posted.
#[derive(Debug, Error)]
pub enum PostError {
    /// The reports could not be read.
    #[error("cannot read the reports")]
    Reports(#[source] ReportsError),
    /// The outbox could not be kept.
    #[error("the outbox is not usable")]
    Outbox(#[source] OutboxFileError),
    /// The forge could not be asked for reasons of this host.
    #[error("cannot ask the forge")]
    Client(#[source] HttpError),
    /// The lock could not be taken.
    #[error("cannot lock {}", path.display())]
    Lock {
        /// The lock.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Somebody holds the lock for longer than one who posts.
    #[error("statuses are not posted: {} is held for too long{}", path.display(), lock_file::in_brackets(holders))]
    Held {
        /// The lock.
        path: PathBuf,
        /// By whom, where that can be seen.
        holders: Vec<lock_file::Holder>,
    },
    /// The host's key cannot be read to sign with.
    #[error("cannot read the host's key to sign with")]
    Key(#[source] SshError),
    /// A status could not be signed.
    #[error(transparent)]
    Sign(#[from] SignError),
}

/// Signs what is said of a report, where that is wanted.
pub type Sealing<'a> = dyn FnMut(&Report, Word) -> Result<Option<Seal>, PostError> + 'a;

/// One host's reports on their way to a forge.
pub struct Post<'a> {
    /// The host's configuration.
    pub config: &'a Config,
    /// What of it is about statuses.
    pub statuses: &'a Statuses,
    /// Where everything is.
    pub paths: &'a Paths,
    /// Knows what is on trial.
    pub switcher: &'a Switcher,
}

impl Post<'_> {
    /// Whether something is to be posted within a short time.
    ///
    /// # Errors
    /// The reports or the outbox cannot be read.
    pub fn is_due(&self, now: Timestamp) -> Result<bool, PostError> {
        let outbox = outbox_file::load(self.paths).map_err(PostError::Outbox)?;
        // Whether it is signed is no matter here, and reading the key would be work for nothing.
        let waiting = self.waiting(&outbox, &mut |_, _| Ok(None))?;
        Ok(match outbox.next(&waiting, self.statuses.policy, now) {
            Next::Nothing => false,
            Next::Later(time) => wait(now, time) <= PATIENCE,
            Next::Post(_) | Next::Skip(_) => true,
        })
    }

    /// Posts what waits, until nothing does or the next is far away. With `once`, waits for nothing
    /// and asks the forge only once.
    ///
    /// # Errors
    /// The reports, the outbox or the host's key cannot be used. A forge that refuses is not an error:
    /// it is asked again later.
    pub async fn post(&self, once: bool) -> Result<(), PostError> {
        let Some(_lock) = self.lock()? else {
            return Ok(());
        };
        let begun = Instant::now();
        let forge = self.statuses.repository.kind.forge();
        let mut client = None;
        let mut outbox = outbox_file::load(self.paths).map_err(PostError::Outbox)?;
        loop {
            let waiting = self.waiting(&outbox, &mut |report, word| self.seal(report, word))?;
            let now = Timestamp::now();
            let item = match outbox.next(&waiting, self.statuses.policy, now) {
                Next::Nothing => return Ok(()),
                _ if begun.elapsed() > LONGEST => return Ok(()),
                Next::Later(time) if !once && wait(now, time) <= PATIENCE => {
                    // Meanwhile a deployment may end, and that does not wait.
                    tokio::time::sleep(wait(now, time).min(LOOK)).await;
                    continue;
                }
                Next::Later(_) => return Ok(()),
                Next::Skip(report) => {
                    outbox.skip(report);
                    outbox_file::save(self.paths, &outbox).map_err(PostError::Outbox)?;
                    continue;
                }
                Next::Post(item) => item,
            };
            let newest = waiting.last().map_or("", |one| one.report.as_str());
            let judged = match self.client(&mut client) {
                Ok(client) => {
                    let branch = &self.config.branch;
                    let request = forge.post(&self.statuses.repository, branch, &item.status);
                    match client.ask(request).await {
                        Ok(answer) => judge(forge, &answer, Some(&item.status), Timestamp::now()),
                        Err(error) => trouble(&error),
                    }
                }
                // Told in the status like everything else that keeps reports back.
                Err(error) => trouble(&error),
            };
            tell(&item, &judged.judgement);
            let now = Timestamp::now();
            let policy = self.statuses.policy;
            outbox.settle(&item, judged, policy, newest, now, fastrand::f64());
            outbox_file::save(self.paths, &outbox).map_err(PostError::Outbox)?;
            if once {
                return Ok(());
            }
        }
    }

    fn client<'b>(&self, client: &'b mut Option<Client>) -> Result<&'b Client, HttpError> {
        match client {
            Some(client) => Ok(client),
            None => {
                let forge = self.statuses.repository.kind.forge();
                Ok(client.insert(Client::new(forge, &self.statuses.reach)?))
            }
        }
    }

    /// What waits to be posted; `seal` signs where that is wanted.
    ///
    /// # Errors
    /// The reports cannot be read, or the host's key cannot sign.
    pub fn waiting(&self, outbox: &Outbox, seal: &mut Sealing<'_>) -> Result<Vec<Item>, PostError> {
        let reports = ReportsRepository::new(self.paths.reports());
        let host = &self.config.host;
        let settled = outbox.settled.as_deref();
        let mut found = reports
            .after(host, settled, MOST)
            .map_err(PostError::Reports)?;
        if found.is_empty() {
            // The trial of what is being activated makes no report of its own.
            let newest = reports.newest(host).map_err(PostError::Reports)?;
            found.extend(newest.filter(|(_, report)| self.has_moved_on(outbox, report)));
        }
        let forge = self.statuses.repository.kind.forge();
        let mut items = Vec::new();
        for (place, report) in found {
            if CommitId::try_from(report.commit.id.clone()).is_err() {
                continue;
            }
            let word = Word::of(&report, self.on_trial(&report));
            let seal = seal(&report, word)?;
            let link = self.statuses.link.as_deref();
            items.push(Item {
                report: place,
                status: Status::of(&report, word, link, seal.as_ref()),
                state: forge.state(word).to_owned(),
            });
        }
        Ok(items)
    }

    fn on_trial(&self, report: &Report) -> bool {
        if report.state != State::Activating {
            return false;
        }
        let open = self.switcher.open().ok().flatten();
        open.is_some_and(|open| {
            open.phase == PhaseName::OnTrial && Some(&open.deployment) == report.deployment.as_ref()
        })
    }

    fn has_moved_on(&self, outbox: &Outbox, report: &Report) -> bool {
        let posted = outbox.posted(&report.commit.id);
        posted.is_some_and(|posted| posted.word == Word::Activating) && self.on_trial(report)
    }

    fn seal(&self, report: &Report, word: Word) -> Result<Option<Seal>, PostError> {
        if !self.statuses.sign {
            return Ok(None);
        }
        let key = own_key(&self.config.health.ssh.host_key).map_err(PostError::Key)?;
        let statement = Statement {
            host: &report.host,
            commit: &report.commit.id,
            outcome: word,
            sequence: report.sequence,
            words: &Status::sentence(report, word, Some(report.sequence)),
        };
        Ok(Some(statement.sign(&key)?))
    }

    /// Nothing where somebody else posts already.
    fn lock(&self) -> Result<Option<Held>, PostError> {
        let path = self.paths.outbox_lock();
        let taken = std::fs::create_dir_all(&self.paths.run)
            .and_then(|()| HostDisk.lock(&path, Duration::ZERO));
        match taken {
            Ok(held) => Ok(Some(held)),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                match held_too_long(self.paths) {
                    Some(held) => Err(held),
                    None => Ok(None),
                }
            }
            Err(source) => Err(PostError::Lock { path, source }),
        }
    }
}

/// That somebody has held the lock for longer than one who posts does.
pub fn held_too_long(paths: &Paths) -> Option<PostError> {
    let path = paths.outbox_lock();
    let holders = lock_file::holders(&path);
    let long = holders.iter().any(|holder| holder.age > 2 * LONGEST);
    long.then_some(PostError::Held { path, holders })
}

fn wait(now: Timestamp, until: Timestamp) -> Duration {
    Duration::try_from(until.duration_since(now)).unwrap_or_default()
}

fn trouble(error: &HttpError) -> Judged {
    Judged {
        judgement: Judgement::Trouble {
            why: in_words(error),
            answered: false,
        },
        pause: None,
    }
}

fn tell(item: &Item, judgement: &Judgement) {
    let (commit, word) = (item.status.commit.as_str(), item.status.word);
    let short = commit.get(..7).unwrap_or(commit);
    match judgement {
        Judgement::Taken | Judgement::AlreadySo => {
            tracing::info!(commit, "posted on {short}: {}", item.status.description);
        }
        Judgement::Refused { why, .. } => {
            tracing::warn!(commit, "the forge refused {word} on {short}: {why}");
        }
        Judgement::Limited { why, .. } => {
            tracing::info!(commit, "the forge takes no more for now: {why}");
        }
        Judgement::Trouble { why, .. } => {
            tracing::warn!(commit, "{word} on {short} waits to be posted: {why}");
        }
    }
}

#[cfg(test)]
mod tests;
