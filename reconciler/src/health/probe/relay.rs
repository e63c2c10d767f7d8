//! The forced command of the account that answers peers: it reads one request, and passes it on to
//! the service that may use this host's key, with the name of the caller that sshd has identified by
//! its key. It can do nothing else, and nothing of the request reaches a command line.

use std::path::{Path, PathBuf};
use std::time::Duration;

use thiserror::Error;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::input;
use crate::health::protocol::{Answer, LIMIT, Passed, ProtocolError, Request};

/// Where the service is asked; only the account may.
pub const SOCKET: &str = "/run/nixus-probe.sock";
/// The service has this long to answer.
const ANSWER: Duration = Duration::from_secs(45);

/// Why a caller got no answer.
#[derive(Debug, Error)]
pub enum RelayError {
    /// Its request did not come.
    #[error("no request came")]
    Read(#[source] std::io::Error),
    /// Its request was not understood.
    #[error("the request is invalid")]
    Request(#[source] ProtocolError),
    /// The service did not take it.
    #[error("cannot pass the request on to {}", path.display())]
    Pass {
        /// Its socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The service refused it, or its answer was not understood.
    #[error("refused: {0}")]
    Refused(String),
}

/// Passes one request on; gives the line to answer with.
///
/// # Errors
/// The request does not come in time or is too long, or nobody answers at the socket.
pub async fn relay(caller: &str, socket: &Path) -> Result<Vec<u8>, RelayError> {
    let request = input::read().map_err(RelayError::Read)?;
    let request = Request::from_line(&request).map_err(RelayError::Request)?;
    let passed = Passed {
        caller: caller.to_owned(),
        request,
    };
    let line = passed.to_line().map_err(RelayError::Request)?;
    let answer = async {
        let mut service = UnixStream::connect(socket).await?;
        service.write_all(&line).await?;
        service.shutdown().await?;
        let mut said = Vec::new();
        let most = u64::try_from(LIMIT).unwrap_or(u64::MAX);
        service.take(most).read_to_end(&mut said).await?;
        Ok(said)
    };
    let answer = timeout(ANSWER, answer)
        .await
        .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
    let answer = answer.map_err(|source| RelayError::Pass {
        path: socket.to_owned(),
        source,
    })?;
    match Answer::from_line(&answer) {
        Ok(_) => Ok(answer),
        Err(_) => Err(RelayError::Refused(crate::health::sshd::printable(&answer))),
    }
}
