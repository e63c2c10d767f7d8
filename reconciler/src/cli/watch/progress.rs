//! A deployment followed over all hosts: what is news, who is still busy, and how it ended. Pure.

use std::collections::BTreeMap;

use crate::decide::report::{Report, State};

/// One deployment.
#[derive(Debug)]
pub struct Progress {
    commit: String,
    hosts: BTreeMap<String, Seen>,
    fixed: bool,
}

#[derive(Debug, Default)]
struct Seen {
    last: Option<Report>,
    end: Option<End>,
}

/// How a host ended with the commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// It is on it.
    Kept,
    /// It is not.
    NotKept,
    /// It went on to another commit before.
    Overtaken(String),
    /// It never saw the commit as the head: it is on its way to another one that contains it.
    PassedBy(String),
}

/// Whether a commit contains the one that is followed; nothing where that cannot be determined.
pub type Contains<'a> = &'a dyn Fn(&str) -> Option<bool>;

impl Progress {
    /// Follows a commit. Where no hosts are named, those count that are heard of.
    pub fn new(commit: &str, hosts: &[String]) -> Self {
        let own = hosts.iter().map(|host| (host.clone(), Seen::default()));
        Self {
            commit: commit.to_owned(),
            hosts: own.collect(),
            fixed: !hosts.is_empty(),
        }
    }

    /// A host that is to report, too.
    pub fn expect(&mut self, host: &str) {
        if !self.fixed {
            self.hosts.entry(host.to_owned()).or_default();
        }
    }

    /// The branch is at another commit that contains this one: a host that has not begun with it by now never
    /// will.
    pub fn is_passed_by(&mut self, head: &str) {
        let short = head.get(..7).unwrap_or(head);
        for seen in self.hosts.values_mut() {
            if seen.last.is_none() && seen.end.is_none() {
                seen.end = Some(End::PassedBy(short.to_owned()));
            }
        }
    }

    /// Takes what hosts have said since, oldest first; gives what is news, in that order.
    pub fn take(&mut self, said: Vec<Report>) -> Vec<Report> {
        self.take_where(said, &|_| None)
    }

    /// The same, where it may be known of other commits whether they contain this one.
    pub fn take_where(&mut self, said: Vec<Report>, contains: Contains<'_>) -> Vec<Report> {
        let mut news = Vec::new();
        for report in said {
            if self.fixed && !self.hosts.contains_key(&report.host) {
                continue;
            }
            let ours = report.commit.id == self.commit;
            let known = self.hosts.get(&report.host);
            if !ours {
                // What a host did before this commit is no matter; after it, it went on.
                let begun = known.is_some_and(|seen| seen.last.is_some() && seen.end.is_none());
                let silent = known.is_some_and(|seen| seen.last.is_none() && seen.end.is_none());
                if silent && contains(&report.commit.id) == Some(true) {
                    if let Some(seen) = self.hosts.get_mut(&report.host) {
                        seen.end = Some(End::PassedBy(report.commit.short().to_owned()));
                        news.push(report);
                    }
                    continue;
                }
                if begun && let Some(seen) = self.hosts.get_mut(&report.host) {
                    seen.end = Some(End::Overtaken(report.commit.short().to_owned()));
                    seen.last = Some(report.clone());
                    news.push(report);
                }
                continue;
            }
            let seen = self.hosts.entry(report.host.clone()).or_default();
            if seen
                .last
                .as_ref()
                .is_some_and(|last| last.says_the_same(&report))
            {
                continue;
            }
            seen.end = match report.state {
                State::Success => Some(End::Kept),
                State::Failure | State::Error => Some(End::NotKept),
                State::Waiting | State::Building | State::Activating => None,
            };
            seen.last = Some(report.clone());
            news.push(report);
        }
        news
    }

    /// Hosts that are not done, each with what it last said of this commit.
    pub fn busy(&self) -> impl Iterator<Item = (&str, Option<&Report>)> {
        let busy = self.hosts.iter().filter(|(_, seen)| seen.end.is_none());
        busy.map(|(host, seen)| (host.as_str(), seen.last.as_ref()))
    }

    /// Whether all hosts are done; nobody is not an answer.
    pub fn is_over(&self) -> bool {
        !self.hosts.is_empty() && self.busy().next().is_none()
    }

    /// Whether all hosts kept the commit.
    pub fn is_kept(&self) -> bool {
        self.is_over() && self.hosts.values().all(|seen| seen.end == Some(End::Kept))
    }

    /// How it ended, in a sentence.
    pub fn summary(&self) -> String {
        let short = self.commit.get(..7).unwrap_or(&self.commit);
        let count = |wanted: fn(&End) -> bool| {
            let ends = self.hosts.values().filter_map(|seen| seen.end.as_ref());
            ends.filter(|end| wanted(end)).count()
        };
        let kept = count(|end| *end == End::Kept);
        let mut parts = vec![format!(
            "{kept} of {} hosts kept commit {short}",
            self.hosts.len()
        )];
        let not = |wanted: fn(&End) -> bool, words: &str| {
            let names: Vec<&str> = self
                .hosts
                .iter()
                .filter(|(_, seen)| seen.end.as_ref().is_some_and(wanted))
                .map(|(host, _)| host.as_str())
                .collect();
            (!names.is_empty()).then(|| format!("{words}: {}", names.join(", ")))
        };
        parts.extend(not(|end| *end == End::NotKept, "did not"));
        parts.extend(not(
            |end| matches!(end, End::Overtaken(_)),
            "went on to another",
        ));
        let mut passed: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (host, seen) in &self.hosts {
            if let Some(End::PassedBy(by)) = &seen.end {
                passed.entry(by).or_default().push(host);
            }
        }
        parts.extend(
            passed
                .iter()
                .map(|(by, hosts)| format!("overtaken by {by}: {}", hosts.join(", "))),
        );
        let silent: Vec<&str> = self.busy().map(|(host, _)| host).collect();
        if !silent.is_empty() {
            parts.push(format!("not done: {}", silent.join(", ")));
        }
        parts.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(host: &str, commit: &str, state: State, text: &str) -> Report {
        serde_json::from_value(serde_json::json!({
            "version": 1, "host": host, "commit": { "id": commit.repeat(40), "subject": "s" },
            "state": state, "text": text, "generation": null, "toplevel": null,
            "time": "2026-11-26T04:00:00Z",
        }))
        .unwrap()
    }

    fn follow(hosts: &[&str], said: &[(&str, &str, State)]) -> (Progress, Vec<String>) {
        let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
        let mut watch = Progress::new(&"a".repeat(40), &hosts);
        let mut lines = Vec::new();
        for (host, commit, state) in said {
            let news = watch.take(vec![report(host, commit, *state, state.word())]);
            lines.extend(news.iter().map(Report::line));
        }
        (watch, lines)
    }

    use State::{Activating, Building, Error, Failure, Success, Waiting};

    #[test]
    fn it_is_over_when_every_host_is_done_and_good_when_all_kept_it() {
        type Said<'a> = &'a [(&'a str, &'a str, State)];
        let table: [(&[&str], Said<'_>, bool, bool, &str); 7] = [
            (&[], &[], false, false, "0 of 0 hosts kept commit aaaaaaa"),
            (
                &["db1", "web1"],
                &[("web1", "a", Success)],
                false,
                false,
                "1 of 2 hosts kept commit aaaaaaa; not done: db1",
            ),
            (
                &["db1", "web1"],
                &[
                    ("web1", "a", Success),
                    ("db1", "a", Building),
                    ("db1", "a", Success),
                ],
                true,
                true,
                "2 of 2 hosts kept commit aaaaaaa",
            ),
            (
                &["db1", "web1"],
                &[("web1", "a", Failure), ("db1", "a", Success)],
                true,
                false,
                "1 of 2 hosts kept commit aaaaaaa; did not: web1",
            ),
            (
                &["web1"],
                &[("web1", "a", Waiting), ("web1", "a", Error)],
                true,
                false,
                "0 of 1 hosts kept commit aaaaaaa; did not: web1",
            ),
            // A host that tries once more is busy again.
            (
                &["web1"],
                &[("web1", "a", Failure), ("web1", "a", Activating)],
                false,
                false,
                "0 of 1 hosts kept commit aaaaaaa; not done: web1",
            ),
            (
                &["web1"],
                &[
                    ("web1", "b", Success),
                    ("web1", "a", Building),
                    ("web1", "c", Building),
                ],
                true,
                false,
                "0 of 1 hosts kept commit aaaaaaa; went on to another: web1",
            ),
        ];
        for (hosts, said, over, kept, summary) in table {
            let (watch, _) = follow(hosts, said);
            assert_eq!((watch.is_over(), watch.is_kept()), (over, kept), "{said:?}");
            assert_eq!(watch.summary(), summary);
        }
    }

    #[test]
    fn a_commit_that_no_host_saw_as_the_head_is_not_waited_for() {
        let hosts = ["db1".to_owned(), "web1".to_owned()];
        // The forge says where the branch is.
        let mut watch = Progress::new(&"a".repeat(40), &hosts);
        watch.take(vec![report("web1", "a", Building, "building")]);
        watch.is_passed_by(&"b".repeat(40));
        // Who has begun with it is waited for.
        assert!(!watch.is_over());
        watch.take(vec![report("web1", "a", Success, "done")]);
        assert!(watch.is_over() && !watch.is_kept());
        assert_eq!(
            watch.summary(),
            "1 of 2 hosts kept commit aaaaaaa; overtaken by bbbbbbb: db1"
        );
        // It begins all the same: it had seen the branch before.
        watch.take(vec![report("db1", "a", Success, "done")]);
        assert!(watch.is_kept(), "{}", watch.summary());

        // Reports of other commits say so where a clone knows their history.
        let contains = |id: &str| match &id[..1] {
            "b" => Some(true),
            "0" => Some(false),
            _ => None,
        };
        let mut watch = Progress::new(&"a".repeat(40), &hosts);
        let before = vec![
            report("web1", "0", Success, "done"),
            report("db1", "c", Success, "done"),
        ];
        assert!(watch.take_where(before, &contains).is_empty());
        let both = vec![
            report("web1", "b", Building, "building"),
            report("db1", "b", Success, "done"),
        ];
        assert_eq!(watch.take_where(both, &contains).len(), 2);
        assert!(watch.is_over());
        assert_eq!(
            watch.summary(),
            "0 of 2 hosts kept commit aaaaaaa; overtaken by bbbbbbb: db1, web1"
        );
    }

    #[test]
    fn only_news_is_told_once_and_of_the_hosts_asked_for() {
        let said = [
            ("web1", "a", Building),
            ("web1", "a", Building),
            ("other", "a", Failure),
            ("web1", "a", Success),
            ("web1", "b", Building),
        ];
        let (watch, lines) = follow(&["web1"], &said);
        assert_eq!(lines, ["[web1] building", "[web1] success"]);
        // What it does after it was done is another deployment's.
        assert!(watch.is_kept());
    }

    #[test]
    fn without_names_all_count_that_are_heard_of() {
        let (mut watch, _) = follow(&[], &[("web1", "a", Success)]);
        assert!(watch.is_kept());
        watch.expect("db1");
        assert!(!watch.is_over());
    }
}
