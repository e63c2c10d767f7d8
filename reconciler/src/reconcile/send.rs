//! Reports on their way out of the host. Nothing that a pass decides waits for them.

use jiff::Timestamp;

use super::Pass;
use crate::post::{Post, UNIT};
use crate::process::in_words;
use crate::reports_repository::ReportsRepository;
use crate::systemd;

impl Pass<'_> {
    /// Begins to send what was kept.
    pub(super) fn begin_to_send(&mut self) {
        if self.sending.is_empty()
            && let Some(remote) = self.config.reports.clone()
        {
            let reports = ReportsRepository::new(self.paths.reports());
            let host = self.config.host.clone();
            self.sending
                .spawn(async move { reports.send(&host, &remote).await });
        }
        if self.starting.is_empty() && self.config.statuses.is_some() {
            self.starting.spawn(systemd::start(UNIT));
        }
    }

    /// Sends what is still unsent; a failure changes nothing, the next pass tries again.
    pub(super) async fn send_what_waits(&mut self) {
        self.post_statuses().await;
        while self.sending.join_next().await.is_some() {}
        let Some(remote) = &self.config.reports else {
            return;
        };
        let reports = ReportsRepository::new(self.paths.reports());
        let sent = match reports.unsent(&self.config.host) {
            Ok(false) => Ok(()),
            Ok(true) => reports.send(&self.config.host, remote).await,
            Err(error) => Err(error),
        };
        if let Err(error) = sent {
            tracing::warn!("reports wait to be sent: {}", in_words(&error));
        }
    }

    /// Has the unit post what is due. A host without that unit posts one status in each pass, which
    /// waits for the forge no longer than one request may take.
    async fn post_statuses(&mut self) {
        while self.starting.join_next().await.is_some() {}
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
