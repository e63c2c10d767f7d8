//! Peers get in: each is asked to come back to this host over a new connection.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use nixus_switcher::protocol::{Before, CheckOutcome};
use russh::keys::PrivateKey;
use serde::Deserialize;

use crate::config::DEFAULT_PATH;
use crate::config::health::{Health, Peer};
use crate::decide::verdict::sightings::Heard;
use crate::decide::verdict::{Finding, PEER};
use crate::health::probe::{ProbeError, ask};
use crate::health::protocol::{Answer, Ask, OperatorKey, Request, together};
use crate::health::sshd::{SshError, own_key};
use crate::host::files::read_bounded;
use crate::host::process::in_words;
use crate::host::public_key::PublicKey;

/// How long a peer is listened to on trial whose word does not count.
const IDLE_TALK: Duration = Duration::from_secs(5);
/// The longest configuration of a candidate that is read, in bytes.
const LONGEST: u64 = 256 * 1024;

/// What each peer finds.
pub async fn all(
    health: &Health,
    ports: &[u16],
    limit: Duration,
    before: Option<&Before>,
) -> Vec<Finding> {
    let key = match own_key(&health.ssh.host_key) {
        Ok(key) => Arc::new(key),
        Err(error) => {
            let unknown = |peer| finding(peer, CheckOutcome::Unknown, in_words(&error));
            return health.peers.iter().map(unknown).collect();
        }
    };
    let request = Request::new(Ask::Look {
        operators: health.operators.iter().map(OperatorKey::from).collect(),
        ports: ports.to_vec(),
    });
    let has_changed = has_changed(&key, before);
    join_all(health.peers.iter().map(async |peer| {
        match ask(peer, &key, &request, time_for(peer, limit, before)).await {
            Ok(answer) => found(peer, &answer),
            Err(error) => not_asked(peer, &error, has_changed),
        }
    }))
    .await
}

/// A peer that did not find all well before does not count: it may not hold a trial up either. Where
/// none did, one must now, and each has its time.
fn time_for(peer: &Peer, limit: Duration, before: Option<&Before>) -> Duration {
    let saw_well = |of: &dyn Fn(&str) -> bool| {
        before.is_none_or(|before| {
            let mut checks = before.checks.iter();
            checks.any(|one| one.by.as_deref().is_some_and(of) && one.outcome == CheckOutcome::Pass)
        })
    };
    if saw_well(&|by| by == peer.name) || !saw_well(&|_| true) {
        limit
    } else {
        limit.min(IDLE_TALK)
    }
}

fn has_changed(key: &PrivateKey, before: Option<&Before>) -> bool {
    let old = before.and_then(|before| before.host_key.as_ref()?.parse().ok());
    old.is_some_and(|old: PublicKey| !old.is(key.public_key()))
}

fn finding(peer: &Peer, outcome: CheckOutcome, reason: String) -> Finding {
    Finding {
        by: Some(peer.name.clone()),
        ..Finding::new(PEER, outcome, reason)
    }
}

fn found(peer: &Peer, answer: &Answer) -> Finding {
    let found = together(&answer.found);
    Finding {
        on_trial: answer.on_trial,
        answered: true,
        passes_stopped: answer.passes_stopped,
        ..finding(peer, found.outcome, found.reason)
    }
}

/// Whoever cannot be asked says nothing; but a host that shows up with another key than before, and
/// is not let in with it, has changed the key by which it is known.
fn not_asked(peer: &Peer, error: &ProbeError, has_changed: bool) -> Finding {
    match error {
        ProbeError::Ssh(SshError::Login { .. }) if has_changed => {
            let reason = format!(
                "{}: this host's key has changed, and {} does not know the new one: name both for \
                 this host in an earlier commit",
                in_words(error),
                peer.name
            );
            finding(peer, CheckOutcome::Fail, reason)
        }
        _ => finding(peer, CheckOutcome::Unknown, in_words(error)),
    }
}

/// Who is there: what came of asking each peer within this time.
pub async fn present(health: &Health, limit: Duration) -> Vec<Heard> {
    let Ok(key) = own_key(&health.ssh.host_key) else {
        return Vec::new();
    };
    let key = Arc::new(key);
    let request = Request::new(Ask::Hello);
    join_all(health.peers.iter().map(async |peer| {
        let answer = ask(peer, &key, &request, limit).await;
        Heard {
            peer: peer.name.clone(),
            answered: answer.is_ok(),
            passes_stopped: answer.ok().and_then(|answer| answer.passes_stopped),
        }
    }))
    .await
}

/// The peers that a built system has, where it says.
pub fn of_candidate(toplevel: &Path) -> Option<Vec<String>> {
    /// Of a release that may be another: the least that must be understood.
    #[derive(Deserialize)]
    struct File {
        #[serde(default)]
        peers: Vec<Named>,
    }
    #[derive(Deserialize)]
    struct Named {
        name: String,
    }
    let path = toplevel.join(DEFAULT_PATH.trim_start_matches('/'));
    let text = read_bounded(&path, LONGEST).ok()?;
    let file: File = toml::from_str(&String::from_utf8(text).ok()?).ok()?;
    Some(file.peers.into_iter().map(|peer| peer.name).collect())
}

/// The peers that reach the repository which this host does not, and say so in this time.
pub async fn witnesses(health: &Health, limit: Duration) -> Vec<String> {
    let Ok(key) = own_key(&health.ssh.host_key) else {
        return Vec::new();
    };
    let key = Arc::new(key);
    let request = Request::new(Ask::Repository);
    let asked = join_all(health.peers.iter().map(async |peer| {
        let answer = ask(peer, &key, &request, limit).await.ok()?;
        let reaches = together(&answer.found).outcome == CheckOutcome::Pass;
        reaches.then(|| peer.name.clone())
    }))
    .await;
    asked.into_iter().flatten().collect()
}
