//! Asking a peer: a login with this host's own SSH host key, one request, one bounded answer.
//!
//! The peer's side is in [`relay`] and [`answer`]: sshd there runs the one as a forced command for an
//! account that can do nothing else, and it passes the request to the other, which may use that
//! host's key.

use std::sync::Arc;
use std::time::Duration;

use russh::keys::PrivateKey;
use thiserror::Error;
use tokio::time::timeout;

use crate::config::health::Peer;
use crate::health::protocol::{Answer, LIMIT, ProtocolError, Request};
use crate::health::sshd::{Place, Session, SshError};

pub mod answer;
mod budget;
mod input;
pub mod relay;

/// Why a peer gave no answer.
#[derive(Debug, Error)]
pub enum ProbeError {
    /// Its sshd could not be used.
    #[error(transparent)]
    Ssh(#[from] SshError),
    /// The configuration names no address of it.
    #[error("it has no address")]
    NoAddress,
    /// It took too long.
    #[error("no answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// Its answer was not understood.
    #[error("sent an invalid response")]
    Answer(#[source] ProtocolError),
    /// The request could not be written.
    #[error("cannot write the request")]
    Request(#[source] ProtocolError),
}

/// Asks one peer, at the first of its addresses that answers.
///
/// # Errors
/// The peer cannot be reached, does not let this host in, or its answer is late or not valid.
pub async fn ask(
    peer: &Peer,
    key: &Arc<PrivateKey>,
    request: &Request,
    limit: Duration,
) -> Result<Answer, ProbeError> {
    let asked = timeout(limit, async {
        let input = request.to_line().map_err(ProbeError::Request)?;
        let session = reach(peer).await?;
        let said = session.say(&peer.user, key, &input, LIMIT).await?;
        Answer::from_line(&said).map_err(ProbeError::Answer)
    });
    asked.await.unwrap_or(Err(ProbeError::TimedOut(limit)))
}

async fn reach(peer: &Peer) -> Result<Session, ProbeError> {
    let mut last = ProbeError::NoAddress;
    for address in &peer.addresses {
        let at = Place {
            address,
            port: peer.port,
            from_loopback: false,
        };
        match Session::begin(&at, &peer.host_keys).await {
            Ok(session) => return Ok(session),
            Err(error) => last = error.into(),
        }
    }
    Err(last)
}
