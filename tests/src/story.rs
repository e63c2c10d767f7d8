//! A fleet that follows its deploy repository, and what a deployment must leave behind.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use nixus::report::{Report, State};
use serde_json::Value;

use crate::{Host, Lab};

/// How long a deployment may take here, all time-outs of a failing one included, and two waits after
/// failures with their chance (22 s and 45 s at most).
pub const PATIENCE: Duration = Duration::from_secs(180);

/// A lab whose hosts were adopted.
#[derive(Debug)]
pub struct Story {
    lab: Lab,
    patience: Duration,
}

impl Story {
    /// Starts a lab with these hosts, adopts them at the first commit, and waits until all of them
    /// are on it.
    ///
    /// # Errors
    /// When a host does not boot or does not come to follow the repository.
    pub fn begin(hosts: &[&str]) -> Result<Self> {
        Self::adopt(Lab::start(hosts)?, PATIENCE)
    }

    /// The same over a lab that has begun, with another time that each wait may take.
    ///
    /// # Errors
    /// Those of [`Story::begin`].
    pub fn adopt(lab: Lab, patience: Duration) -> Result<Self> {
        let story = Self { lab, patience };
        let hosts: Vec<&String> = story.lab.members().keys().collect();
        for host in &hosts {
            story.lab.host(host)?.must(["nixus", "adopt"])?;
        }
        for host in &hosts {
            story.kept(host, story.lab.first_commit())?;
        }
        Ok(story)
    }

    /// A story over a lab as it is, whose hosts nobody has adopted.
    pub fn over(lab: Lab) -> Self {
        Self {
            lab,
            patience: PATIENCE,
        }
    }

    /// The lab.
    pub fn lab(&self) -> &Lab {
        &self.lab
    }

    /// A host by its name.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn host(&self, name: &str) -> Result<&Host> {
        self.lab.host(name)
    }

    /// Waits for a host's report on a commit that is in one of these states.
    ///
    /// # Errors
    /// When none comes in time, with what the host says about itself.
    pub fn report(&self, host: &str, commit: &str, states: &[State]) -> Result<Report> {
        let mut found = None;
        let words: Vec<_> = states.iter().map(|state| state.word()).collect();
        let wanted = format!("reports {} on {commit}", words.join(" or "));
        self.host(host)?.wait_until(&wanted, self.patience, |_| {
            found = self
                .lab
                .operator()
                .reports(host)?
                .into_iter()
                .rfind(|report| report.commit.id == commit && states.contains(&report.state));
            Ok(found.is_some())
        })?;
        found.context("the report vanished")
    }

    /// Waits until a host has ended with a commit, one way or the other.
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn ended(&self, host: &str, commit: &str) -> Result<Report> {
        self.report(
            host,
            commit,
            &[State::Success, State::Failure, State::Error],
        )
    }

    /// Sees that a host keeps a commit: it says so, runs it, would boot it, and plans nothing more.
    ///
    /// # Errors
    /// With the first of these that is not so.
    pub fn kept(&self, host: &str, commit: &str) -> Result<Report> {
        let report = self.ended(host, commit)?;
        ensure!(
            report.state == State::Success,
            "{host} did not keep {commit}: {}",
            report.text
        );
        let toplevel = report.toplevel.as_ref().context("it names no toplevel")?;
        self.at_rest(host, &toplevel.to_string())?;
        self.waits_for(host, "up-to-date")?;
        Ok(report)
    }

    /// The same of a commit that did not end well at once: whatever was reported of it before, the
    /// host keeps it in the end.
    ///
    /// # Errors
    /// With the first of these that is not so.
    pub fn kept_at_last(&self, host: &str, commit: &str) -> Result<Report> {
        self.report(host, commit, &[State::Success])?;
        self.kept(host, commit)
    }

    /// Sees that nothing that a host met so far was taken for a commit's fault.
    ///
    /// # Errors
    /// When something is quarantined.
    pub fn blames_no_commit(&self, host: &str) -> Result<()> {
        let seen = status(self.host(host)?)?;
        ensure!(
            seen.pointer("/quarantine") == Some(&Value::Array(Vec::new())),
            "{host} blames a commit: {seen}"
        );
        Ok(())
    }

    /// Sees that a host went back, or never left: it says why in these words, runs and would boot
    /// what it ran before, and does not try again.
    ///
    /// # Errors
    /// With the first of these that is not so.
    pub fn went_back(&self, host: &str, commit: &str, before: &str, words: &str) -> Result<Report> {
        let report = self.ended(host, commit)?;
        ensure!(
            matches!(report.state, State::Failure | State::Error),
            "{host} kept {commit}"
        );
        ensure!(
            report.text.contains(words),
            "{host} says {:?}, and not {words:?}",
            report.text
        );
        self.at_rest(host, before)?;
        self.waits_for(host, "quarantined")?;
        self.tries_no_more(host)?;
        Ok(report)
    }

    /// Sees that exactly this toplevel runs, is the profile and is what the next boot starts, and
    /// that no watchdog or deployment is left over.
    ///
    /// # Errors
    /// With the first of these that is not so.
    pub fn at_rest(&self, host: &str, toplevel: &str) -> Result<()> {
        let host = self.host(host)?;
        host.wait_until("has no open deployment", self.patience, |host| {
            Ok(switcher_status(host)?.pointer("/open") == Some(&Value::Null))
        })?;
        let profile = host.must(["readlink", "-f", "/nix/var/nix/profiles/system"])?;
        for (what, found) in [
            ("runs", host.current_system()?),
            ("has as its profile", profile.trim().to_owned()),
            ("boots", host.boot_default()?),
        ] {
            ensure!(
                found == toplevel,
                "{} {what} {found} instead of {toplevel}\n{}",
                host.name,
                host.portrait()
            );
        }
        let left = host.must([
            "systemctl",
            "list-units",
            "--all",
            "--plain",
            "--no-legend",
            "nixus-expire-*.timer",
        ])?;
        ensure!(left.trim().is_empty(), "watchdogs are left: {left}");
        Ok(())
    }

    /// Waits until a host's passes end for this reason.
    ///
    /// # Errors
    /// When they do not in time.
    pub fn waits_for(&self, host: &str, reason: &str) -> Result<()> {
        let wanted = format!("waits: {reason}");
        self.host(host)?.wait_until(&wanted, self.patience, |host| {
            Ok(status(host)?.pointer("/last_pass/waits_for/reason")
                == Some(&Value::String(reason.to_owned())))
        })
    }

    /// Sees that three more passes ask the switcher for nothing.
    ///
    /// # Errors
    /// When one does.
    pub fn tries_no_more(&self, host: &str) -> Result<()> {
        let host = self.host(host)?;
        let before = deployments(host)?;
        for _ in 0..3 {
            host.must(["systemctl", "start", "nixus-reconcile.service"])?;
        }
        let after = deployments(host)?;
        ensure!(
            before == after,
            "{} deployments became {} although nothing changed",
            before.len(),
            after.len()
        );
        Ok(())
    }
}

/// What `nixus status --json` says.
///
/// # Errors
/// When it fails or is no JSON.
pub fn status(host: &Host) -> Result<Value> {
    json(host, &["nixus", "status", "--json"])
}

/// What `nixus-switcher status --json` says.
///
/// # Errors
/// When it fails or is no JSON.
pub fn switcher_status(host: &Host) -> Result<Value> {
    json(
        host,
        &[
            "/run/current-system/sw/bin/nixus-switcher",
            "status",
            "--json",
        ],
    )
}

/// The names of the switcher's records of ended deployments.
///
/// # Errors
/// When they cannot be listed.
pub fn deployments(host: &Host) -> Result<Vec<String>> {
    // The folder is made with the first record.
    let path = "/var/lib/nixus/switcher/history/*.json";
    let listed = host.must(["find", "/var/lib/nixus", "-path", path])?;
    Ok(listed.lines().map(str::to_owned).collect())
}

fn json(host: &Host, arguments: &[&str]) -> Result<Value> {
    let output = host.exec(arguments)?;
    if !output.ok() {
        bail!("{}: {}", arguments.join(" "), output.stderr.trim());
    }
    serde_json::from_str(&output.stdout)
        .with_context(|| format!("{} printed no JSON: {}", arguments.join(" "), output.stdout))
}
