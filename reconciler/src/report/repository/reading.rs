//! What a local repository of reports says: of one host, of all, and what is new.

use std::collections::BTreeMap;

use git2::{Oid, Repository, Sort};

use super::{HOSTS, ReportsError, ReportsRepository, host_of, local_ref, report_in, tip};
use crate::decide::report::Report;

/// At most so many hosts are shown from one repository.
const MAX_HOSTS: usize = 20_000;
/// At most so many reports of one host are news at once.
const MAX_NEWS: usize = 100;

/// Whether a commit is in the history of a tip. One that is not any more is of a branch that was written anew.
fn leads_to(repository: &Repository, id: Oid, tip: Oid) -> bool {
    id == tip || repository.graph_descendant_of(tip, id).unwrap_or(false)
}

impl ReportsRepository {
    /// The last report of each host, by the hosts' names. A branch without a readable report is
    /// left out: whoever wrote it is not a Nixus that this release knows.
    ///
    /// # Errors
    /// The repository cannot be read.
    pub fn latest(&self) -> Result<Vec<Report>, ReportsError> {
        let repository = self.open()?;
        let read = || -> Result<Vec<Report>, git2::Error> {
            let mut reports = Vec::new();
            for name in repository
                .references_glob(&format!("{HOSTS}*"))?
                .names()
                .take(MAX_HOSTS)
            {
                let Ok(name) = name else { continue };
                let Some(host) = host_of(name) else { continue };
                let Some(id) = tip(&repository, name)? else {
                    continue;
                };
                reports.extend(report_in(&repository, id, host));
            }
            Ok(reports)
        };
        let mut reports = read().map_err(|source| self.local("read reports", source))?;
        reports.sort_by(|one, other| one.host.cmp(&other.host));
        Ok(reports)
    }

    /// The reports of one host, newest first, at most `limit`, without heartbeats.
    ///
    /// # Errors
    /// The repository cannot be read.
    pub fn history(&self, host: &str, limit: usize) -> Result<Vec<Report>, ReportsError> {
        let repository = self.open()?;
        let read = || -> Result<Vec<Report>, git2::Error> {
            let Some(tip) = tip(&repository, &local_ref(host))? else {
                return Ok(Vec::new());
            };
            let mut walk = repository.revwalk()?;
            walk.set_sorting(Sort::TOPOLOGICAL)?;
            walk.push(tip)?;
            walk.filter_map(|id| id.map(|id| report_in(&repository, id, host)).transpose())
                .filter(|report| !report.as_ref().is_ok_and(Report::is_heartbeat))
                .take(limit)
                .collect()
        };
        read().map_err(|source| self.local("read reports", source))
    }

    /// What this host reported last, with its place in the history.
    ///
    /// # Errors
    /// The repository cannot be read.
    pub fn newest(&self, host: &str) -> Result<Option<(String, Report)>, ReportsError> {
        Ok(self.after(host, None, 1)?.pop())
    }

    /// The last report on each commit that this host has kept after a place in its history, with
    /// their own places; the oldest first. Only the very last where the place is not known.
    ///
    /// # Errors
    /// The repository cannot be read.
    pub fn after(
        &self,
        host: &str,
        place: Option<&str>,
        limit: usize,
    ) -> Result<Vec<(String, Report)>, ReportsError> {
        let repository = self.open()?;
        let read = || -> Result<Vec<(String, Report)>, git2::Error> {
            let Some(tip) = tip(&repository, &local_ref(host))? else {
                return Ok(Vec::new());
            };
            let known = place
                .and_then(|place| Oid::from_str(place).ok())
                .filter(|id| leads_to(&repository, *id, tip));
            let mut walk = repository.revwalk()?;
            walk.set_sorting(Sort::TOPOLOGICAL)?;
            walk.push(tip)?;
            let limit = match known {
                Some(id) => {
                    walk.hide(id)?;
                    limit
                }
                None => 1,
            };
            let mut found: Vec<(String, Report)> = Vec::new();
            let news = walk
                .map(|id| id.map(|id| (id, report_in(&repository, id, host))))
                // A heartbeat is not news.
                .filter(|read| {
                    let report = read.as_ref().ok().and_then(|(_, report)| report.as_ref());
                    !report.is_some_and(Report::is_heartbeat)
                });
            for read in news.take(limit) {
                let (id, Some(report)) = read? else {
                    continue;
                };
                if !found
                    .iter()
                    .any(|(_, one)| one.commit.id == report.commit.id)
                {
                    found.push((id.to_string(), report));
                }
            }
            found.reverse();
            Ok(found)
        };
        read().map_err(|source| self.local("read reports", source))
    }

    /// What all hosts have said since `seen`, which is brought up to date: the oldest of each host
    /// first. Of a host that was not seen before, what it said last, and of the same commit before.
    ///
    /// # Errors
    /// The repository cannot be read.
    pub fn news(&self, seen: &mut BTreeMap<String, String>) -> Result<Vec<Report>, ReportsError> {
        let repository = self.open()?;
        let mut read = || -> Result<Vec<Report>, git2::Error> {
            let mut news = Vec::new();
            let mut names = repository.references_glob(&format!("{HOSTS}*"))?;
            for name in names.names().take(MAX_HOSTS) {
                let Ok(name) = name else { continue };
                let Some(host) = host_of(name) else { continue };
                let Some(tip) = tip(&repository, name)? else {
                    continue;
                };
                let before = seen.insert(name.to_owned(), tip.to_string());
                if before.as_ref() == Some(&tip.to_string()) {
                    continue;
                }
                let before = before.and_then(|before| Oid::from_str(&before).ok());
                let known = before.filter(|id| leads_to(&repository, *id, tip));
                let mut walk = repository.revwalk()?;
                walk.set_sorting(Sort::TOPOLOGICAL)?;
                walk.push(tip)?;
                if let Some(id) = known {
                    walk.hide(id)?;
                }
                let mut own: Vec<Report> = Vec::new();
                for id in walk.take(MAX_NEWS) {
                    let Some(report) = report_in(&repository, id?, host) else {
                        continue;
                    };
                    let another = |last: &Report| last.commit.id != report.commit.id;
                    if known.is_none() && own.last().is_some_and(another) {
                        break;
                    }
                    if report.is_heartbeat() {
                        continue;
                    }
                    own.push(report);
                }
                news.extend(own.into_iter().rev());
            }
            Ok(news)
        };
        let mut news = read().map_err(|source| self.local("read reports", source))?;
        news.sort_by_key(|report| report.time);
        Ok(news)
    }

    /// The last report of a host that is kept here, be it a heartbeat.
    ///
    /// # Errors
    /// The repository cannot be read.
    pub fn last(&self, host: &str) -> Result<Option<Report>, ReportsError> {
        let repository = self.open()?;
        let read = || {
            let tip = tip(&repository, &local_ref(host))?;
            Ok(tip.and_then(|tip| report_in(&repository, tip, host)))
        };
        read().map_err(|source| self.local("read reports", source))
    }
}
