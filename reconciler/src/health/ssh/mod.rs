//! What somebody who comes from outside finds at a host's sshd; and the own sshd, looked at so.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use nixus_switcher::protocol::{Before, CheckOutcome};
use tokio::time::timeout;

use super::{access, accounts};
use crate::config::health::{Health, Operator};
use crate::decide::verdict::{Finding, Lasts, SSH};
use crate::health::protocol::{Found, OperatorKey, together};
use crate::health::sshd::{Answer, Place, Session, SshError, own_key};
use crate::health::units;
use crate::host::process::in_words;
use crate::host::public_key::PublicKey;

/// What was found at one address.
#[derive(Debug)]
pub struct Look {
    /// Its host key, or why it did not show it.
    pub host: Found,
    /// What it says of each key that it was asked about.
    pub keys: Vec<(OperatorKey, Answer)>,
    /// Why it was not asked about the others.
    pub trouble: Vec<Found>,
    /// Why no session began there.
    error: Option<SshError>,
}

impl Look {
    /// In words, with what it says of these keys.
    pub fn in_words(&self, of: impl Fn(&OperatorKey) -> bool) -> Vec<Found> {
        let asked = self.keys.iter().filter(|(key, _)| of(key));
        let keys = asked.map(|(key, answer)| {
            let name = format!("{} key {}", key.user, key.key.fingerprint());
            match answer {
                Answer::Accepted => Found::new(CheckOutcome::Pass, format!("{name} accepted")),
                Answer::Refused => Found::new(CheckOutcome::Fail, format!("{name} refused")),
            }
        });
        let host = std::iter::once(self.host.clone());
        host.chain(keys)
            .chain(self.trouble.iter().cloned())
            .collect()
    }

    /// Whether it has shown the right host key.
    pub fn is_spoken_to(&self) -> bool {
        self.host.outcome == CheckOutcome::Pass
    }

    /// Whether nobody listens there.
    fn is_refused(&self) -> bool {
        self.error.as_ref().is_some_and(SshError::is_refused)
    }

    /// Whether it took the connection, and had nothing to say.
    fn is_silent(&self) -> bool {
        self.error.as_ref().is_some_and(SshError::is_silent)
    }

    /// Whether it had no time for us.
    fn is_turned_away(&self) -> bool {
        if self.is_silent() {
            return false;
        }
        let mut all = std::iter::once(&self.host).chain(&self.trouble);
        all.any(|one| one.outcome == CheckOutcome::Unknown)
    }

    fn refuses(&self, operator: &Operator) -> bool {
        let mut keys = self.keys.iter();
        keys.any(|(key, answer)| *key == OperatorKey::from(operator) && *answer == Answer::Refused)
    }

    fn accepts(&self, key: &OperatorKey) -> bool {
        let mut keys = self.keys.iter();
        keys.any(|(asked, answer)| asked == key && *answer == Answer::Accepted)
    }
}

/// Looks at the sshd at one address: its host key, and whether it accepts these keys.
pub async fn look(at: &Place<'_>, host_keys: &[PublicKey], keys: &[OperatorKey]) -> Look {
    let mut look = Look {
        host: Found::new(CheckOutcome::Pass, "ssh host key ok"),
        keys: Vec::new(),
        trouble: Vec::new(),
        error: None,
    };
    let first = match Session::begin(at, host_keys).await {
        Ok(session) => session,
        Err(error) => {
            look.host = failed(&error);
            look.error = Some(error);
            return look;
        }
    };
    let mut users: BTreeMap<&str, Vec<&OperatorKey>> = BTreeMap::new();
    for key in keys {
        users.entry(&key.user).or_default().push(key);
    }
    let mut session = Some(first);
    // A connection is for one account: sshd ends it when another is named (RFC 4252, section 5).
    for keys in users.values() {
        ask(at, host_keys, keys, session.take(), &mut look).await;
    }
    if let Some(unused) = session {
        unused.end().await;
    }
    look
}

/// A server that had no time for us says nothing of its configuration.
pub fn failed(error: &SshError) -> Found {
    let outcome = if error.is_turned_away() || error.is_silent() {
        CheckOutcome::Unknown
    } else {
        CheckOutcome::Fail
    };
    Found::new(outcome, in_words(error))
}

/// Asks about all keys of one account over one connection, and over another only where sshd has ended
/// it after too many that it refused (sshd_config(5), MaxAuthTries).
async fn ask(
    at: &Place<'_>,
    host_keys: &[PublicKey],
    keys: &[&OperatorKey],
    first: Option<Session>,
    look: &mut Look,
) {
    let mut session = first;
    let mut rest = keys;
    while let Some((key, others)) = rest.split_first() {
        let fresh = session.is_none();
        let mut open = match session.take() {
            Some(session) => session,
            None => match Session::begin(at, host_keys).await {
                Ok(session) => session,
                Err(error) => return look.trouble.push(failed(&error)),
            },
        };
        match open.asks(&key.user, &key.key).await {
            Ok(answer) => look.keys.push(((*key).clone(), answer)),
            // The answers before it may have been the last that this connection gave.
            Err(_) if !fresh && rest.len() < keys.len() => continue,
            Err(error) => {
                let unknown = Found::new(CheckOutcome::Unknown, in_words(&error));
                return look.trouble.push(unknown);
            }
        }
        session = Some(open);
        rest = others;
    }
    if let Some(session) = session {
        session.end().await;
    }
}

/// What the own sshd is judged by.
#[derive(Debug, Clone, Copy)]
pub enum Bar<'a> {
    /// It works as it is configured.
    AsConfigured,
    /// The same, and it keeps nobody out who was let in before.
    Candidate(Option<&'a Before>),
}

impl Bar<'_> {
    /// What it means that sshd accepts connections and is too slow. A candidate may do so on a starved machine
    /// and be good: it is not kept, and not blamed. Before a deployment it is a fault, which a commit may mend.
    fn of_slow(self) -> CheckOutcome {
        match self {
            Self::AsConfigured => CheckOutcome::Fail,
            Self::Candidate(_) => CheckOutcome::Unknown,
        }
    }
}

/// Looks at the own sshd, over the own addresses, for at most this time.
pub async fn own(health: &Health, bar: Bar<'_>, limit: Duration) -> Finding {
    let mut found = Vec::new();
    let looked = timeout(limit, own_parts(health, bar, &mut found)).await;
    let late = looked.is_err();
    if late {
        let reason = format!("timed out after {} s", limit.as_secs());
        found.push(Found::new(bar.of_slow(), reason));
    }
    let found = together(&found);
    Finding {
        lasts: if late { Lasts::Briefly } else { found.lasts },
        ..Finding::new(SSH, found.outcome, found.reason)
    }
}

/// What was found is in `all` as soon as it is known: time may be up at any moment.
async fn own_parts(health: &Health, bar: Bar<'_>, all: &mut Vec<Found>) {
    let fail = |reason: String| Found::new(CheckOutcome::Fail, reason);
    if health.operators.is_empty() && matches!(bar, Bar::Candidate(_)) {
        let found = Found::new(
            CheckOutcome::Fail,
            "no operator's key is configured: name those who must be able to get in as [[operators]]",
        );
        return all.push(found.lasting(Lasts::UntilACommit));
    }
    let host_keys = match host_keys(health) {
        Ok(keys) => keys,
        Err(error) => return all.push(fail(in_words(&error))),
    };
    let addresses = match own_addresses(health) {
        Ok(addresses) if addresses.is_empty() => {
            return all.push(fail("this host has no address".to_owned()));
        }
        Ok(addresses) => addresses,
        Err(error) => {
            let reason = format!("cannot list this host's addresses: {error}");
            return all.push(fail(reason));
        }
    };
    let keys: Vec<OperatorKey> = health.operators.iter().map(OperatorKey::from).collect();
    let old = match bar {
        Bar::Candidate(Some(before)) => earlier(before),
        _ => Vec::new(),
    };
    let mut asked = keys.clone();
    asked.extend(old.iter().filter(|key| !keys.contains(key)).cloned());
    let port = health.ssh.port;
    let mut looked = None;
    let mut refused = true;
    for address in &addresses {
        let at = Place {
            address,
            port,
            from_loopback: false,
        };
        // Each key once, at the first address that answers.
        let keys = if looked.is_none() {
            asked.as_slice()
        } else {
            &[]
        };
        let mut look = look(&at, &host_keys, keys).await;
        if look.is_turned_away() {
            // sshd may take the own address for an attacker's; the loopback address is exempt.
            let at = Place {
                from_loopback: true,
                ..at
            };
            let again = self::look(&at, &host_keys, keys).await;
            if !again.is_turned_away() {
                look = again;
            }
        }
        refused &= look.is_refused();
        if !look.is_spoken_to() {
            if look.is_silent() {
                look.host.outcome = bar.of_slow();
            }
            all.push(look.host);
        } else if looked.is_none() {
            looked = Some(look);
            // What nobody has promised need not answer.
            if health.ssh.addresses.is_empty() {
                all.clear();
                break;
            }
        }
    }
    let Some(look) = looked else {
        if refused && matches!(bar, Bar::Candidate(_)) && units::nobody_starts_sshd().await {
            let reason = "nothing that is wanted starts sshd";
            all.push(Found::new(CheckOutcome::Fail, reason).lasting(Lasts::UntilACommit));
        }
        return;
    };
    // Of the keys before, one is enough.
    all.extend(look.in_words(|key| keys.contains(key)));
    if !old.is_empty() && !old.iter().any(|key| look.accepts(key)) {
        all.push(Found::new(
            CheckOutcome::Fail,
            "none of the operators' keys before is accepted any more: add the new keys in one commit, \
             and remove the old ones in a later one",
        ));
    }
    all.extend(accounts::locked(&health.operators));
    if let Bar::Candidate(before) = bar {
        all.extend(behind_the_door(health, before, &look).await);
    }
}

/// What an operator meets after the key was accepted, where that can be determined.
pub async fn access(health: &Health) -> Option<access::Looked> {
    let addresses = own_addresses(health).unwrap_or_default();
    let at = addresses.first().map_or("127.0.0.1", String::as_str);
    match access::look(health, at).await {
        Ok(looked) => Some(looked),
        Err(error) => {
            tracing::info!("cannot determine what operators meet: {}", in_words(&error));
            None
        }
    }
}

/// What is worse than before behind the door, and which keys nothing but a commit brings back.
async fn behind_the_door(health: &Health, before: Option<&Before>, look: &Look) -> Vec<Found> {
    let before = before.and_then(|before| before.access.as_ref());
    let Some(now) = access(health).await else {
        let reason =
            "what an operator meets after the key was accepted can no longer be determined";
        return before
            .map(|_| Found::new(CheckOutcome::Unknown, reason))
            .into_iter()
            .collect();
    };
    let mut all = before.map_or_else(Vec::new, |before| access::worse(before, &now.access));
    let keyless = now.keyless.iter().find(|operator| look.refuses(operator));
    all.extend(keyless.map(|operator| {
        let key = operator.key.fingerprint();
        let reason = format!("{} key {key} is in no file of keys", operator.user);
        Found::new(CheckOutcome::Fail, reason).lasting(Lasts::UntilACommit)
    }));
    all
}

/// The operators before, as far as this release understands them.
fn earlier(before: &Before) -> Vec<OperatorKey> {
    let keys = before.operators.iter().filter_map(|line| {
        let (user, key) = line.split_once(' ')?;
        let key = key.parse().ok()?;
        let user = user.to_owned();
        Some(OperatorKey { user, key })
    });
    keys.collect()
}

/// An operator as it is handed on to the next generation.
pub fn as_line(operator: &Operator) -> String {
    format!("{} {}", operator.user, operator.key)
}

/// The keys that the own sshd may show.
fn host_keys(health: &Health) -> Result<Vec<PublicKey>, SshError> {
    if health.ssh.host_keys.is_empty() {
        return public_half(&health.ssh.host_key).map(|key| vec![key]);
    }
    Ok(health.ssh.host_keys.clone())
}

/// The public half of the own host key.
///
/// # Errors
/// The key cannot be read, or is of a kind that cannot log in here.
pub fn public_half(path: &Path) -> Result<PublicKey, SshError> {
    Ok(own_key(path)?.public_key().clone().into())
}

/// The configured addresses; else those that the host has, but for those that only it can use.
fn own_addresses(health: &Health) -> std::io::Result<Vec<String>> {
    if !health.ssh.addresses.is_empty() {
        return Ok(health.ssh.addresses.clone());
    }
    let addresses = nix::ifaddrs::getifaddrs().map_err(std::io::Error::from)?;
    Ok(addresses
        .filter_map(|interface| {
            let address = interface.address?;
            if let Some(v4) = address.as_sockaddr_in() {
                let ip = v4.ip();
                return (!ip.is_loopback() && !ip.is_link_local()).then(|| ip.to_string());
            }
            let ip = address.as_sockaddr_in6()?.ip();
            (!ip.is_loopback() && !ip.is_unicast_link_local()).then(|| ip.to_string())
        })
        .collect())
}

#[cfg(test)]
mod tests;
