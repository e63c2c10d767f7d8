//! Reports on their way out of the host. Nothing that a pass decides waits for them.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use nixus_switcher::protocol::Commit;
use tokio::task::JoinSet;

use super::{Head, Pass, heartbeat};
use crate::closure::nix_log::Progress;
use crate::config::Config;
use crate::decide::report::{Report, Reporter};
use crate::host::files::Paths;
use crate::host::process::in_words;
use crate::host::systemd::{self, SystemdError};
use crate::report::repository::{ReportsError, ReportsRepository};
use crate::report::{Post, UNIT};
use crate::source::packing;

/// What is on its way while a pass does other things.
#[derive(Default)]
pub(super) struct Sending {
    /// Whether no report waits. A pass with nothing to say opens their repository once.
    pub all_sent: bool,
    pushing: JoinSet<Result<(), ReportsError>>,
    starting: JoinSet<Result<(), SystemdError>>,
}

impl Sending {
    /// Begins to push reports, and to start the unit that posts statuses.
    pub fn begin(&mut self, config: &Config, paths: &Paths) {
        self.all_sent = false;
        if self.pushing.is_empty()
            && let Some(remote) = config.reports.clone()
        {
            let reports = ReportsRepository::new(paths.reports());
            let host = config.host.clone();
            self.pushing
                .spawn(async move { reports.send(&host, &remote).await });
        }
        if self.starting.is_empty() && config.statuses.is_some() {
            self.starting.spawn(systemd::start(UNIT));
        }
    }

    pub(super) async fn started(&mut self) {
        while self.starting.join_next().await.is_some() {}
    }

    pub(super) async fn end(&mut self) {
        while self.pushing.join_next().await.is_some() {}
    }
}

/// Tells how far a build is, now and then, to those who follow it from elsewhere.
pub(super) struct Telling<'a> {
    pub config: &'a Config,
    pub paths: &'a Paths,
    pub commit: &'a Commit,
    pub sending: &'a mut Sending,
    pub last: Instant,
}

/// The least time between two reports of a build.
const PROGRESS: Duration = Duration::from_secs(30);

impl Telling<'_> {
    /// Takes the newest state, and reports it if it is time. A failure is not a reason to stop a build.
    pub fn tell(&mut self, progress: Progress) {
        if self.config.reports.is_none() || !progress.is_any() || self.last.elapsed() < PROGRESS {
            return;
        }
        self.last = Instant::now();
        let reporter = Reporter {
            host: &self.config.host,
            now: Timestamp::now(),
        };
        let report = Report {
            pulse: heartbeat::pulse(self.config, &Head::Unknown, None),
            ..reporter.building_still(self.commit, &progress.to_string())
        };
        match ReportsRepository::new(self.paths.reports()).keep(&report) {
            Ok(()) => self.sending.begin(self.config, self.paths),
            Err(error) => tracing::warn!("{}", in_words(&error)),
        }
    }
}

impl Pass<'_> {
    /// Begins to send what was kept.
    pub(super) fn begin_to_send(&mut self) {
        self.sending.begin(self.config, self.paths);
    }

    /// Sends what is still unsent; a failure changes nothing, the next pass tries again.
    pub(super) async fn send_what_waits(&mut self) {
        self.post_statuses().await;
        self.sending.end().await;
        if self.sending.all_sent {
            return;
        }
        let Some(remote) = &self.config.reports else {
            return;
        };
        let reports = ReportsRepository::new(self.paths.reports());
        let sent = match reports.unsent(&self.config.host) {
            Ok(false) => Ok(()),
            Ok(true) => reports.send(&self.config.host, remote).await,
            Err(error) => Err(error),
        };
        match sent {
            Ok(()) => packing::pack(&self.paths.reports()).await,
            Err(error) => tracing::warn!("reports wait to be sent: {}", in_words(&error)),
        }
    }

    /// Has the unit post what is due. A host without that unit posts one status in each pass, which
    /// waits for the forge no longer than one request may take.
    async fn post_statuses(&mut self) {
        self.sending.started().await;
        let Some(statuses) = &self.config.statuses else {
            return;
        };
        let post = Post {
            config: self.config,
            statuses,
            paths: self.paths,
            switcher: self.switcher,
        };
        let posted = match post.is_due(Timestamp::now()) {
            Ok(false) => Ok(()),
            Ok(true) => match systemd::start(UNIT).await {
                Ok(()) => Ok(()),
                Err(_) => post.post(true).await,
            },
            Err(error) => Err(error),
        };
        if let Err(error) = posted {
            tracing::warn!("statuses wait to be posted: {}", in_words(&error));
        }
    }
}
