//! What every host last said, from the reports repository or from a forge: which of a commit's
//! statuses are a host's last word, and whether its key vouches for it. Pure but for the reading.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use jiff::Timestamp;
use nixus_switcher::printable::printable;
use nixus_switcher::protocol::{Commit, newest_version};
use serde::Serialize;

use crate::config::Config;
use crate::decide::report::{Report, State};
use crate::decide::status::{Read, Seal, host_of, read};
use crate::decide::verdict::sightings::Sign;
use crate::health::access::patterns::list_has;
use crate::host::public_key::PublicKey;
use crate::report::forge::read::{ReadError, Reader};
use crate::report::forge::{Given, Listed};
use crate::report::signature::{Signed, Statement};

/// So many commits are looked at, from a branch's head back.
const DEPTH: u32 = 10;

/// What one host said; the JSON of `nixus fleet` is a list of these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Told {
    /// What was said.
    #[serde(flatten)]
    pub report: Report,
    /// Whether the host's key vouches for it; nothing where that cannot be determined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signed: Option<bool>,
    /// What others have noticed of the host since it last said anything.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub noticed_by: Vec<NoticedBy>,
    /// It should have reported again by now. Always false on a forge, where there are no heartbeats.
    pub silent: bool,
    /// It does not run the head of the branch, and is not at work on it either.
    pub behind: bool,
}

impl Told {
    /// Whether somebody should look after the host.
    pub fn is_marked(&self) -> bool {
        self.silent || self.behind
    }
}

/// What another host has noticed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NoticedBy {
    /// The other host.
    pub by: String,
    /// What it is.
    pub what: Sign,
    /// Since when it is so.
    pub since: Timestamp,
}

impl From<Report> for Told {
    /// In the reports repository, the server lets each host write its own branch only.
    fn from(report: Report) -> Self {
        Self {
            report,
            signed: None,
            noticed_by: Vec::new(),
            silent: false,
            behind: false,
        }
    }
}

/// Marks hosts that are silent, and those that are behind the head: the one given, or the newest that any of them
/// has seen.
pub fn marked(mut all: Vec<Told>, head: Option<&str>, now: Timestamp) -> Vec<Told> {
    let newest = all.iter().max_by_key(|told| told.report.time);
    let seen = newest.map(|told| {
        let report = &told.report;
        let head = report.pulse.as_ref().and_then(|pulse| pulse.head.as_ref());
        head.map_or(report.commit.id.clone(), ToString::to_string)
    });
    let head = head.map(str::to_owned).or(seen);
    for told in &mut all {
        let report = &told.report;
        let ended_badly = matches!(report.state, State::Failure | State::Error);
        let elsewhere = head.as_ref().is_some_and(|head| report.commit.id != *head);
        told.silent = report.is_overdue(now);
        told.behind = elsewhere || ended_badly;
    }
    all
}

/// Puts beside each host's last word what others have noticed of it since: whoever makes no passes says so
/// nowhere else.
pub fn with_what_others_noticed(mut all: Vec<Told>) -> Vec<Told> {
    let noticed: Vec<(String, NoticedBy, Timestamp)> = all
        .iter()
        .flat_map(|told| {
            let report = &told.report;
            report.noticed.iter().map(|noticed| {
                let by = NoticedBy {
                    by: report.host.clone(),
                    what: noticed.what,
                    since: noticed.since,
                };
                (noticed.host.clone(), by, report.time)
            })
        })
        .collect();
    for told in &mut all {
        let of_it = noticed
            .iter()
            .filter(|(host, _, said)| *host == told.report.host && *said > told.report.time);
        told.noticed_by = of_it.map(|(_, by, _)| by.clone()).collect();
    }
    all
}

/// The public keys of hosts, by their names.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostKeys(BTreeMap<String, Vec<PublicKey>>);

impl HostKeys {
    /// Those that a host's configuration has of its peers.
    pub fn of(config: &Config) -> Self {
        let peers = config.health.peers.iter();
        Self(
            peers
                .map(|peer| (peer.name.clone(), peer.host_keys.clone()))
                .collect(),
        )
    }

    /// Those in a file in the format of known_hosts: names, and a key. What is `@revoked` for a name does not
    /// count for it, wherever that stands (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT). Other lines are left out.
    pub fn parse(text: &str) -> Self {
        let mut keys = BTreeMap::<String, Vec<PublicKey>>::new();
        let mut revoked = Vec::<(&str, PublicKey)>::new();
        for line in text.lines() {
            if let Some((names, key)) = revocation(line) {
                revoked.push((names, key));
                continue;
            }
            let Some((names, key)) = line.trim().split_once(char::is_whitespace) else {
                continue;
            };
            // Comments, markers and hashed names (sshd(8), SSH_KNOWN_HOSTS FILE FORMAT).
            let plain = !names.starts_with(['#', '@', '|']);
            if let (true, Ok(key)) = (plain, key.trim().parse::<PublicKey>()) {
                for name in names.split(',') {
                    keys.entry(name.to_owned()).or_default().push(key.clone());
                }
            }
        }
        for (name, keys) in &mut keys {
            keys.retain(|key| {
                // Whom a hashed name stands for is not known: it may be this host.
                let of_it = |names: &str| names.starts_with('|') || list_has(names, name);
                !revoked
                    .iter()
                    .any(|(names, one)| key.is(one.key()) && of_it(names))
            });
        }
        Self(keys)
    }

    /// Whether no host is known at all. One whose keys are all revoked is known, and nothing of it is believed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names of the hosts.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

/// Names and key of a line that takes a key back.
fn revocation(line: &str) -> Option<(&str, PublicKey)> {
    let rest = line.trim().strip_prefix("@revoked")?;
    let (names, key) = rest
        .strip_prefix(char::is_whitespace)?
        .trim_start()
        .split_once(char::is_whitespace)?;
    Some((names, key.trim().parse().ok()?))
}

/// The last word of each host on one commit. Where a host's key is known, its own statuses count,
/// and of those the one with the highest number, in whatever order they were posted: an old one that
/// is posted again is not news.
pub fn last_words(given: &[Given], commit: &Listed, keys: &HostKeys) -> Vec<Told> {
    let mut last = BTreeMap::<&str, (Rank, Told)>::new();
    for one in given {
        let Some((host, told)) = told(one, commit, keys) else {
            continue;
        };
        let signed = told.signed == Some(true);
        let rank = Rank {
            signed,
            sequence: if signed { told.report.sequence } else { 0 },
            time: told.report.time,
        };
        match last.get(host) {
            // The newest is the first in the list.
            Some((before, _)) if *before >= rank => {}
            _ => {
                last.insert(host, (rank, told));
            }
        }
    }
    last.into_values().map(|(_, told)| told).collect()
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    signed: bool,
    sequence: u64,
    time: Timestamp,
}

/// One status as a report; nothing where it is not one of ours.
pub fn told<'a>(given: &'a Given, commit: &Listed, keys: &HostKeys) -> Option<(&'a str, Told)> {
    let host = host_of(&given.context)?;
    let Read { word, text, seal } = read(&given.description)?;
    let time = given.time.parse().unwrap_or(Timestamp::UNIX_EPOCH);
    let by_host = keys.0.get(host).map(|keys| {
        let statement = |seal: &Seal| {
            let statement = Statement {
                host,
                commit: &commit.id,
                outcome: word,
                sequence: seal.sequence,
                words: &text,
            };
            statement.signed(&seal.signature, keys)
        };
        seal.as_ref().map_or(Signed::Not, statement)
    });
    let signed = by_host.map(|signed| signed != Signed::Not);
    let text = match (text.as_str(), by_host) {
        // Anybody may have put words beside such a signature.
        ("", _) | (_, Some(Signed::WithoutWords)) => word.as_str().to_owned(),
        _ => printable(&text),
    };
    // The time that the host has signed: what is posted again later is no newer for that.
    let said = seal.as_ref().filter(|_| signed == Some(true));
    let said = said.and_then(|seal| i64::try_from(seal.sequence).ok());
    let said = said.and_then(|second| Timestamp::from_second(second).ok());
    let time = said.map_or(time, |said| said.min(time));
    let report = Report {
        version: newest_version(),
        host: host.to_owned(),
        commit: Commit {
            id: commit.id.clone(),
            subject: printable(&commit.subject),
        },
        state: word.state(),
        text,
        generation: None,
        toplevel: None,
        deployment: None,
        time,
        sequence: seal.map_or(0, |seal| seal.sequence),
        noticed: Vec::new(),
        pulse: None,
        verified: word == crate::decide::status::Word::Verifying,
    };
    let noticed_by = Vec::new();
    Some((
        host,
        Told {
            report,
            signed,
            noticed_by,
            silent: false,
            behind: false,
        },
    ))
}

/// The last word of each host, from a branch's head back to the commits that hosts are still on.
///
/// # Errors
/// The forge cannot be asked, refuses, or answers something else than the list that was asked for.
pub async fn from_forge(
    reader: &Reader,
    branch: &str,
    keys: &HostKeys,
) -> Result<Vec<Told>, ReadError> {
    let mut all = BTreeMap::<String, Told>::new();
    for commit in reader.commits(branch, DEPTH).await? {
        let given = reader.statuses(&commit.id).await?;
        let mut news = false;
        for told in last_words(&given, &commit, keys) {
            let host = told.report.host.clone();
            if let Entry::Vacant(free) = all.entry(host) {
                news = true;
                free.insert(told);
            }
        }
        // Nobody is behind this commit that was not seen before it.
        if !news && !all.is_empty() {
            break;
        }
    }
    Ok(all.into_values().collect())
}

#[cfg(test)]
mod tests;
