//! A fleet that follows its deploy repository, and what a deployment must leave behind.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use nixus::decide::report::{Report, State};
use serde_json::Value;

use crate::pool::{self, Leased};
use crate::{Host, Lab};

/// How long a deployment may take here, all time-outs of a failing one included, and two waits after
/// failures with their chance (22 s and 45 s at most).
pub const PATIENCE: Duration = Duration::from_secs(180);

/// One that was left would be there for minutes.
const SOON: Duration = Duration::from_secs(10);

/// A lab whose hosts were adopted.
#[derive(Debug)]
pub struct Story {
    lab: Leased,
    patience: Duration,
}

impl Story {
    /// A lab with these hosts, all on the first commit, that goes to another test afterwards: see
    /// [`pool::lease`].
    ///
    /// # Errors
    /// When a host does not boot or does not come to follow the repository.
    pub fn begin(hosts: &[&str]) -> Result<Self> {
        let lab = pool::lease(Lab::of(hosts), |lab| Ok(Self::adopt(lab, PATIENCE)?.lab))?;
        Ok(Self {
            lab,
            patience: PATIENCE,
        })
    }

    /// The same with a lab that nobody else uses, before or after.
    ///
    /// # Errors
    /// Those of [`Story::begin`].
    pub fn alone(hosts: &[&str]) -> Result<Self> {
        Self::adopt(Lab::start(hosts)?, PATIENCE)
    }

    /// The same over a lab that has begun, with another time that each wait may take.
    ///
    /// # Errors
    /// Those of [`Story::begin`].
    pub fn adopt(lab: impl Into<Leased>, patience: Duration) -> Result<Self> {
        let lab = lab.into();
        let story = Self { lab, patience };
        let hosts: Vec<&String> = story.lab.members().keys().collect();
        for host in &hosts {
            story.host(host)?.must(["nixus", "adopt"])?;
        }
        for host in &hosts {
            story.kept(host, story.lab.first_commit())?;
        }
        drop(hosts);
        Ok(story)
    }

    /// A story over a lab as it is, whose hosts nobody has adopted.
    pub fn over(lab: Lab) -> Self {
        Self {
            lab: lab.into(),
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
        for (what, found) in [
            ("runs", host.current_system()?),
            ("has as its profile", host.profile()?),
            ("boots", host.boot_default()?),
        ] {
            ensure!(
                found == toplevel,
                "{} {what} {found} instead of {toplevel}\n{}",
                host.name,
                host.portrait()
            );
        }
        // It is taken down after the deployment was noted as ended. A transient unit has its file for as
        // long as it is loaded (systemd.unit(5)).
        host.wait_until("has no watchdog", SOON, |host| {
            let inside = host.inside()?;
            let folder = "/run/systemd/transient";
            // It is made for the first one of a boot.
            Ok(
                !inside.exists(folder)
                    || !inside.list(folder)?.iter().any(|unit| is_watchdog(unit)),
            )
        })?;
        Ok(())
    }

    /// Waits until a host's passes end for this reason.
    ///
    /// # Errors
    /// When they do not in time.
    pub fn waits_for(&self, host: &str, reason: &str) -> Result<()> {
        let wanted = format!("waits: {reason}");
        let reason = Value::String(reason.to_owned());
        self.host(host)?.wait_until(&wanted, self.patience, |host| {
            // The file first, which takes no program to read: what is looked for is what people are shown.
            let noted = host.peek("/run/nixus/last-pass.json").unwrap_or_default();
            let noted: Value = serde_json::from_str(&noted).unwrap_or_default();
            Ok(noted.pointer("/waits_for/reason") == Some(&reason)
                && status(host)?.pointer("/last_pass/waits_for/reason") == Some(&reason))
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

fn is_watchdog(unit: &str) -> bool {
    let kinds = ["nixus-expire-", "deployment-deadline-"];
    kinds.iter().any(|kind| unit.starts_with(kind)) && unit.ends_with(".timer")
}

/// What `nixus status --json` says.
///
/// # Errors
/// When it fails or is not JSON.
pub fn status(host: &Host) -> Result<Value> {
    json(host, &["nixus", "status", "--json"])
}

/// What `nixus-switcher status --json` says.
///
/// # Errors
/// When it fails or is not JSON.
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
    let folder = "/var/lib/nixus/switcher/history";
    let inside = host.inside()?;
    // It is made with the first record.
    if !inside.exists(folder) {
        return Ok(Vec::new());
    }
    let mut names = inside.list(folder)?;
    names.retain(|name| name.ends_with(".json"));
    names.sort();
    Ok(names
        .iter()
        .map(|name| format!("{folder}/{name}"))
        .collect())
}

/// What a command shows that also says by its exit code, 1, whether somebody is needed.
///
/// # Errors
/// When it ends in any other way, or shows nothing.
pub fn shown(host: &Host, arguments: &[&str]) -> Result<String> {
    let output = host.exec(arguments)?;
    if !matches!(output.code, Some(0 | 1)) || output.stdout.is_empty() {
        bail!("{}: {}", arguments.join(" "), output.stderr.trim());
    }
    Ok(output.stdout)
}

fn json(host: &Host, arguments: &[&str]) -> Result<Value> {
    let output = host.exec(arguments)?;
    // That an operator is needed is not a failure to say so.
    if !matches!(output.code, Some(0 | 1)) || output.stdout.is_empty() {
        bail!("{}: {}", arguments.join(" "), output.stderr.trim());
    }
    serde_json::from_str(&output.stdout)
        .with_context(|| format!("{} printed no JSON: {}", arguments.join(" "), output.stdout))
}
