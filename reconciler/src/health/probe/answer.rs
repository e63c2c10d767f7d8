//! The service behind the forced command: it looks at the caller, at the addresses that this host's
//! own configuration has for it, and nowhere else.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nixus_switcher::PhaseName;
use nixus_switcher::protocol::CheckOutcome;
use russh::keys::PrivateKey;
use thiserror::Error;
use tokio::time::timeout;

use super::budget;
use super::input;
use crate::activation::Switcher;
use crate::config::health::Peer;
use crate::config::{Config, ConfigError};
use crate::decide::plan::Head;
use crate::health::last_pass;
use crate::health::protocol::{
    Answer, Ask, Found, OperatorKey, Passed, ProtocolError, Request, VERSION,
};
use crate::health::sshd::{Place, Session, own_key};
use crate::health::{ssh, tcp};
use crate::host::files::Paths;
use crate::host::process::in_words;
use crate::source::Source;

/// A look at a caller may take this long.
const LOOK: Duration = Duration::from_secs(25);
/// A login to the caller may take this long.
const LOGIN: Duration = Duration::from_secs(10);
/// A port may take this long.
const PORT: Duration = Duration::from_secs(5);
/// The repository may take this long.
const LIST: Duration = Duration::from_secs(15);
/// The answer to a login is at most this long.
const HELLO: usize = 8192;

/// Why a request was refused.
#[derive(Debug, Error)]
pub enum AnswerError {
    /// It did not come, or not as it should.
    #[error("no request came")]
    Read(#[source] std::io::Error),
    /// It was not understood.
    #[error("the request is invalid")]
    Request(#[source] ProtocolError),
    /// The configuration does not say who the peers are.
    #[error("this host cannot determine its peers")]
    Config(#[source] ConfigError),
    /// It came from nobody that this host knows.
    #[error("{0:?} is not a peer of this host")]
    Stranger(String),
    /// It came too often.
    #[error("{0} asks too often")]
    TooOften(String),
    /// As many of its requests are being answered as may be at the same time.
    #[error("{0} asks too much at the same time")]
    TooMany(String),
    /// How often it came could not be determined.
    #[error("cannot count the requests of {caller}")]
    Count {
        /// The caller.
        caller: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The answer could not be written.
    #[error("cannot write the answer")]
    Write(#[source] ProtocolError),
}

/// Takes one request from standard input; gives the line to answer with.
///
/// # Errors
/// The request is not valid, its caller is not a peer of this host or asks too often, or the
/// configuration cannot be used.
pub async fn answer(
    config: Result<Config, ConfigError>,
    paths: &Paths,
    switcher: &Switcher,
) -> Result<Vec<u8>, AnswerError> {
    let request = input::read().map_err(AnswerError::Read)?;
    let Passed { caller, request } = Passed::from_line(&request).map_err(AnswerError::Request)?;
    let config = config.map_err(AnswerError::Config)?;
    let peers = &config.health.peers;
    let Some(peer) = peers.iter().find(|peer| peer.name == caller) else {
        return Err(AnswerError::Stranger(crate::health::sshd::printable(
            caller.as_bytes(),
        )));
    };
    let count = |source| AnswerError::Count {
        caller: caller.clone(),
        source,
    };
    let Some(_slot) = budget::slot(&paths.probes(), &peer.name).map_err(count)? else {
        return Err(AnswerError::TooMany(caller));
    };
    match budget::take(&paths.probes(), &peer.name) {
        Ok(true) => {}
        Ok(false) => return Err(AnswerError::TooOften(caller)),
        Err(source) => return Err(count(source)),
    }
    let found = match &request.ask {
        Ask::Hello => Vec::new(),
        Ask::Look { operators, ports } => {
            look(peer, &config.health.ssh.host_key, operators, ports).await
        }
        Ask::Repository => vec![repository(&config, paths).await],
    };
    let answer = Answer {
        version: VERSION,
        host: config.host.clone(),
        on_trial: is_on_trial(switcher),
        passes_stopped: last_pass::of_host(&config, paths).await,
        found,
    };
    for found in &answer.found {
        tracing::info!("{caller}: {:?}: {}", found.outcome, found.reason);
    }
    answer.to_line().map_err(AnswerError::Write)
}

/// One that is stuck does not come off by itself, and is as it will be.
fn is_on_trial(switcher: &Switcher) -> bool {
    let open = switcher.open().ok().flatten();
    open.is_some_and(|open| open.phase != PhaseName::Stuck)
}

/// Looks at each address of the caller until one has all that it should.
async fn look(peer: &Peer, key: &Path, operators: &[OperatorKey], ports: &[u16]) -> Vec<Found> {
    let key = match own_key(key) {
        Ok(key) => Arc::new(key),
        Err(error) => return vec![Found::new(CheckOutcome::Unknown, in_words(&error))],
    };
    let mut best = Vec::new();
    let looked = timeout(LOOK, async {
        for address in &peer.addresses {
            let found = look_at(peer, address, &key, operators, ports).await;
            let passes = |found: &[Found]| {
                let pass = found.iter().filter(|one| one.outcome == CheckOutcome::Pass);
                pass.count()
            };
            let is_all = passes(&found) == found.len();
            if best.is_empty() || passes(&found) > passes(&best) {
                best = found;
            }
            if is_all {
                return;
            }
        }
    });
    if looked.await.is_err() && best.is_empty() {
        let reason = format!("{} does not answer within {} s", peer.name, LOOK.as_secs());
        best.push(Found::new(CheckOutcome::Unknown, reason));
    }
    best
}

async fn look_at(
    peer: &Peer,
    address: &str,
    key: &Arc<PrivateKey>,
    operators: &[OperatorKey],
    ports: &[u16],
) -> Vec<Found> {
    let at = Place {
        address,
        port: peer.port,
        from_loopback: false,
    };
    let look = ssh::look(&at, &peer.host_keys, operators).await;
    let mut found = look.in_words(|_| true);
    // Whoever shows no key, or a wrong one, is not spoken to any further.
    if !look.is_spoken_to() {
        return found;
    }
    found.push(login(&at, peer, key).await);
    for port in ports {
        found.push(tcp::open(address, *port, PORT).await);
    }
    found
}

/// A real login: account, PAM, shell and forced command of the caller all have their part in it.
async fn login(at: &Place<'_>, peer: &Peer, key: &Arc<PrivateKey>) -> Found {
    let attempt = async {
        let failed = |error: ProtocolError| Found::new(CheckOutcome::Fail, in_words(&error));
        let hello = Request::new(Ask::Hello).to_line().map_err(failed)?;
        let session = Session::begin(at, &peer.host_keys).await;
        let session = session.map_err(|error| ssh::failed(&error))?;
        let said = session.say(&peer.user, key, &hello, HELLO).await;
        let said = said.map_err(|error| ssh::failed(&error))?;
        let answer = Answer::from_line(&said).map_err(failed)?;
        if answer.host != peer.name {
            let reason = format!("it says that it is {}, not {}", answer.host, peer.name);
            return Err(Found::new(CheckOutcome::Fail, reason));
        }
        Ok(Found::new(CheckOutcome::Pass, "login ok"))
    };
    match timeout(LOGIN, attempt).await {
        Ok(found) => found.unwrap_or_else(|found| found),
        // A starved machine is as slow as one whose logins hang.
        Err(_) => {
            let reason = format!("a login takes more than {} s", LOGIN.as_secs());
            Found::new(CheckOutcome::Unknown, reason)
        }
    }
}

/// Whether this host reaches the repository that it follows itself.
async fn repository(config: &Config, paths: &Paths) -> Found {
    let source = Source::of(config, paths).any_will_do();
    match timeout(LIST, source.list()).await {
        Ok(Ok(Head::At(_))) => Found::new(CheckOutcome::Pass, "reaches the repository"),
        Ok(Ok(_)) => Found::new(CheckOutcome::Fail, "the repository has no such branch"),
        Ok(Err(error)) => Found::new(CheckOutcome::Fail, in_words(&error)),
        Err(_) => Found::new(CheckOutcome::Fail, "the repository does not answer"),
    }
}
