//! A fleet that follows its CI: what is pushed is built once, and fetched by every host.

use anyhow::{Context as _, Result};
use nixus::decide::report::{Report, State};
use serde_json::Value;

use crate::caches::{self, Caches};
use crate::ci::Ci;
use crate::host::Host;
use crate::laboratory::Lab;
use crate::story::{PATIENCE, Story, status};

/// A story whose hosts take their systems from manifests, its CI and its caches.
#[derive(Debug)]
pub struct Pipeline {
    /// The fleet.
    pub story: Story,
    /// Its CI.
    pub ci: Ci,
    /// Its caches.
    pub caches: Caches,
}

impl Pipeline {
    /// Starts a lab with these hosts, which take their systems from manifests and the HTTP cache, and
    /// adopts them at the first commit once CI has built that. `more` is Nix for all hosts.
    ///
    /// # Errors
    /// When a host does not boot, or does not come to follow its CI.
    pub fn begin(hosts: &[&str], more: &str) -> Result<Self> {
        Self::over(hosts, &[caches::HTTP], more)
    }

    /// The same with other caches to be asked, in this order.
    ///
    /// # Errors
    /// Those of [`Pipeline::begin`].
    pub fn over(hosts: &[&str], substituters: &[&str], more: &str) -> Result<Self> {
        let common = caches::follow_manifests(substituters)?;
        let lab = Lab::of(hosts).common(&common).common(more).start()?;
        let ci = Ci::on(&lab)?;
        let caches = Caches::on(&lab)?;
        caches.serve()?;
        ci.publish(lab.first_commit(), &caches)?;
        Ok(Self {
            story: Story::adopt(lab, PATIENCE)?,
            ci,
            caches,
        })
    }

    /// A host by its name.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn host(&self, name: &str) -> Result<&Host> {
        self.story.host(name)
    }

    /// Changes one host's description and pushes; CI has not seen the commit yet.
    ///
    /// # Errors
    /// When there is no such host, or the push fails.
    pub fn commit(&self, host: &str, more: &str, message: &str) -> Result<String> {
        self.story.lab().deploy(host, more, message)
    }

    /// The same, and CI does all that it does.
    ///
    /// # Errors
    /// When a step fails.
    pub fn deploy(&self, host: &str, more: &str, message: &str) -> Result<String> {
        let commit = self.commit(host, more, message)?;
        self.ci.publish(&commit, &self.caches)?;
        Ok(commit)
    }

    /// Waits until a host has reported that it is in this state with a commit, in all these words.
    ///
    /// # Errors
    /// When it does not in time.
    pub fn says(&self, host: &str, commit: &str, state: State, words: &[&str]) -> Result<Report> {
        let mut found = None;
        let wanted = format!("says {words:?} of {commit}");
        self.host(host)?.wait_until(&wanted, PATIENCE, |_| {
            let reports = self.story.lab().operator().reports(host)?;
            found = reports.into_iter().rfind(|report| {
                report.commit.id == commit
                    && report.state == state
                    && words.iter().all(|word| report.text.contains(word))
            });
            Ok(found.is_some())
        })?;
        found.context("the report vanished")
    }

    /// Waits until a host waits for CI, and says so in these words.
    ///
    /// # Errors
    /// When it does not in time.
    pub fn waits_for_ci(&self, host: &str, commit: &str, words: &str) -> Result<()> {
        self.says(host, commit, State::Waiting, &["waits for CI", words])?;
        self.story.waits_for(host, "no-manifest")
    }

    /// Lets a host try at once what it would try later.
    ///
    /// # Errors
    /// When the host refuses.
    pub fn try_now(&self, host: &str) -> Result<()> {
        let host = self.host(host)?;
        if backoff(host)?.is_some() {
            host.must(["nixus", "retry"])?;
        }
        Ok(())
    }

    /// Sees that a host does not take what it was given for a commit: it says why in these words, tries
    /// again later, is as it was before, and blames no commit. Gives its report.
    ///
    /// # Errors
    /// With the first of these that is not so.
    pub fn refused(
        &self,
        host: &str,
        commit: &str,
        before: &str,
        words: &[&str],
    ) -> Result<Report> {
        self.try_now(host)?;
        let again = "not built yet, trying again: ";
        let all: Vec<&str> = [again].iter().chain(words).copied().collect();
        let report = self.says(host, commit, State::Waiting, &all)?;
        // The report comes first, and the reason of an earlier commit may still be there.
        let wanted = format!("tries {commit} again later for {words:?}");
        self.host(host)?.wait_until(&wanted, PATIENCE, |host| {
            let why = backoff(host)?.unwrap_or_default();
            Ok(words.iter().all(|word| why.contains(word)))
        })?;
        self.story.waits_for(host, "backing-off")?;
        self.story.at_rest(host, before)?;
        self.story.blames_no_commit(host)?;
        Ok(report)
    }
}

/// Why a host tries a commit again later.
fn backoff(host: &Host) -> Result<Option<String>> {
    let seen = status(host)?;
    let why = seen.pointer("/backoff/reason").and_then(Value::as_str);
    Ok(why.map(str::to_owned))
}
