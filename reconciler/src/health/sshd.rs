//! Another host's sshd, or the own one: which key it shows, which keys it lets in, and a login.
//!
//! Whether a key is accepted is asked without its private half (RFC 4252, section 7): the server says
//! that it would take a signature, and gets none. All of this is bounded by the caller's time.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nixus_switcher::printable;
use nixus_switcher::waits::{self, Kind};
use russh::ChannelMsg;
use russh::client::{self, AuthResult, Handle};
use russh::keys::agent::AgentIdentity;
use russh::keys::{
    Algorithm, PrivateKey, PrivateKeyWithHashAlg, PublicKeyOrCertificate, load_secret_key,
};
use thiserror::Error;
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::timeout;

use crate::host::public_key::PublicKey;

/// How long a server may take to accept a connection, and then to show its key.
const CONNECT: Duration = Duration::from_secs(5);

/// Why a server could not be spoken to.
#[derive(Debug, Error)]
pub enum SshError {
    /// Nobody accepts connections there.
    #[error("{place} does not accept connections")]
    Connect {
        /// Where.
        place: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Nothing comes back from there: a firewall drops what is sent, or nobody has the address.
    #[error("{place} does not answer within {} s", limit.as_secs())]
    NoAnswer {
        /// Where.
        place: String,
        /// How long it had.
        limit: Duration,
    },
    /// The server ended the connection before it said anything about itself: it may be too busy, or
    /// take this address for an attacker's (sshd_config(5), MaxStartups and PerSourcePenalties).
    #[error("{place} ended the connection before any key exchange")]
    TurnedAway {
        /// Where.
        place: String,
    },
    /// It accepted the connection and said nothing more in time: it may be starved, or hang.
    #[error("{place} accepts connections and shows no host key within {} s", limit.as_secs())]
    Silent {
        /// Where.
        place: String,
        /// How long it had.
        limit: Duration,
    },
    /// It showed a key that nobody told us of.
    #[error("{place} presented host key {found}, which is not in the configuration")]
    HostKey {
        /// Where.
        place: String,
        /// The key's fingerprint.
        found: String,
    },
    /// It does not speak SSH as it should.
    #[error("{place} does not speak SSH as it should")]
    Protocol {
        /// Where.
        place: String,
        /// Why.
        #[source]
        source: russh::Error,
    },
    /// It ended the connection.
    #[error("{place} ended the connection")]
    Lost {
        /// Where.
        place: String,
    },
    /// It did not let us in.
    #[error("{place} does not let {user} in with this host's key {key}")]
    Login {
        /// Where.
        place: String,
        /// The account.
        user: String,
        /// The key's fingerprint.
        key: String,
    },
    /// It let us in, and then did not do what it is there for.
    #[error("{place} let {user} in, but {problem}")]
    Session {
        /// Where.
        place: String,
        /// The account.
        user: String,
        /// What went wrong.
        problem: String,
    },
    /// The own host key could not be read.
    #[error("cannot read the host key {}", path.display())]
    OwnKey {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: russh::keys::Error,
    },
    /// The own host key cannot be used to log in.
    #[error("the host key {} is of a kind that cannot log in here: use ed25519 or ecdsa", path.display())]
    OwnKeyKind {
        /// The file.
        path: PathBuf,
    },
}

impl SshError {
    /// Whether it says nothing about the server's configuration: it had no time for us.
    pub fn is_turned_away(&self) -> bool {
        matches!(self, Self::TurnedAway { .. })
    }

    /// Whether it was reached and had nothing to say in time: that is so of a good server on a starved
    /// machine, and of one that hangs.
    pub fn is_silent(&self) -> bool {
        matches!(self, Self::Silent { .. })
    }

    /// Whether nobody listens there.
    pub fn is_refused(&self) -> bool {
        matches!(self, Self::Connect { source, .. } if source.kind() == ErrorKind::ConnectionRefused)
    }
}

/// Where a server is.
#[derive(Debug, Clone)]
pub struct Place<'a> {
    /// Its address.
    pub address: &'a str,
    /// Its port.
    pub port: u16,
    /// Whether to come from the loopback address: only to an own address.
    pub from_loopback: bool,
}

impl Place<'_> {
    /// In words.
    pub fn in_words(&self) -> String {
        format!("{} port {}", self.address, self.port)
    }
}

/// This host's own key, by which its peers know it.
///
/// # Errors
/// The key cannot be read, or is of a kind that cannot log in here.
pub fn own_key(path: &Path) -> Result<PrivateKey, SshError> {
    let key = load_secret_key(path, None).map_err(|source| SshError::OwnKey {
        path: path.to_owned(),
        source,
    })?;
    match key.algorithm() {
        Algorithm::Ed25519 | Algorithm::Ecdsa { .. } => Ok(key),
        _ => Err(SshError::OwnKeyKind {
            path: path.to_owned(),
        }),
    }
}

/// What a server says about a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It would let its owner in.
    Accepted,
    /// It would not.
    Refused,
}

/// A connection to a server that has shown the right host key.
pub struct Session {
    handle: Handle<Seen>,
    place: String,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

impl Session {
    /// A new connection, up to and including the server's proof that it has one of these keys. The
    /// server has five seconds to accept it, and as long again to show its key.
    ///
    /// # Errors
    /// Nobody listens there, the server ends the connection or is silent, or it shows another key.
    pub async fn begin(at: &Place<'_>, host_keys: &[PublicKey]) -> Result<Self, SshError> {
        let place = at.in_words();
        let _wait = waits::begin(Kind::Network, || format!("ssh to {place}"));
        let connect = |source| SshError::Connect {
            place: place.clone(),
            source,
        };
        let stream = timeout(CONNECT, async {
            if at.from_loopback {
                from_loopback(at).await
            } else {
                TcpStream::connect((at.address, at.port)).await
            }
        });
        let stream = stream.await.map_err(|_| SshError::NoAnswer {
            place: place.clone(),
            limit: CONNECT,
        })?;
        let stream = stream.map_err(connect)?;
        stream.set_nodelay(true).map_err(connect)?;
        let seen = Seen {
            known: host_keys.to_vec(),
            other: Arc::default(),
        };
        let other = Arc::clone(&seen.other);
        let exchange = client::connect_stream(Arc::new(settings(host_keys)), stream, seen);
        let handle = timeout(CONNECT, exchange)
            .await
            .map_err(|_| SshError::Silent {
                place: place.clone(),
                limit: CONNECT,
            })?
            .map_err(|source| {
                let place = place.clone();
                let shown = other.lock().ok().and_then(|mut shown| shown.take());
                match (shown, source) {
                    (Some(found), _) => SshError::HostKey { place, found },
                    // A server that has no such key at all.
                    (None, russh::Error::NoCommonAlgo { theirs, .. }) => SshError::HostKey {
                        place,
                        found: format!("of another kind ({})", shown_few(&theirs)),
                    },
                    (None, source) if is_end(&source) => SshError::TurnedAway { place },
                    (None, source) => SshError::Protocol { place, source },
                }
            })?;
        Ok(Self { handle, place })
    }

    /// Whether the server would let the owner of a key into an account.
    ///
    /// # Errors
    /// The server ends the connection.
    pub async fn asks(&mut self, user: &str, key: &PublicKey) -> Result<Answer, SshError> {
        let _wait = waits::begin(Kind::Network, || format!("{user}'s key at {}", self.place));
        let asked = self
            .handle
            .authenticate_publickey_with(user, key.key().clone(), key.hash(), &mut NoSignature)
            .await;
        match asked {
            Err(NotSigned::Asked) => Ok(Answer::Accepted),
            // Where nothing is offered any more, the connection is over.
            Ok(AuthResult::Failure {
                remaining_methods, ..
            }) if !remaining_methods.is_empty() => Ok(Answer::Refused),
            _ => Err(SshError::Lost {
                place: self.place.clone(),
            }),
        }
    }

    /// Logs in with a private key, gives the server's own command some input, and takes at most
    /// `limit` bytes of its answer.
    ///
    /// # Errors
    /// The server refuses the key, runs no command, or the command fails or says more than `limit`.
    pub async fn say(
        mut self,
        user: &str,
        key: &Arc<PrivateKey>,
        input: &[u8],
        limit: usize,
    ) -> Result<Vec<u8>, SshError> {
        let _wait = waits::begin(Kind::Network, || format!("{user} at {}", self.place));
        let signing = PrivateKeyWithHashAlg::new(Arc::clone(key), None);
        let answer = self.handle.authenticate_publickey(user, signing).await;
        match answer {
            Ok(answer) if answer.success() => {}
            Ok(AuthResult::Failure {
                remaining_methods, ..
            }) if !remaining_methods.is_empty() => {
                return Err(SshError::Login {
                    place: self.place,
                    user: user.to_owned(),
                    key: PublicKey::from(key.public_key().clone()).fingerprint(),
                });
            }
            // PAM ends the connection of an account that it does not let in.
            _ => {
                return Err(SshError::Session {
                    place: self.place,
                    user: user.to_owned(),
                    problem: "ended the connection then".to_owned(),
                });
            }
        }
        match self.exchange(input, limit).await {
            Ok(Ok(said)) => Ok(said),
            Ok(Err(problem)) => Err(self.failed(user, problem)),
            Err(error) => Err(self.failed(user, error.to_string())),
        }
    }

    fn failed(&self, user: &str, problem: String) -> SshError {
        SshError::Session {
            place: self.place.clone(),
            user: user.to_owned(),
            problem,
        }
    }

    async fn exchange(
        &self,
        input: &[u8],
        limit: usize,
    ) -> Result<Result<Vec<u8>, String>, russh::Error> {
        let mut channel = self.handle.channel_open_session().await?;
        // The forced command runs whatever is asked for here.
        channel.exec(true, "nixus probe").await?;
        channel.data(input).await?;
        channel.eof().await?;
        let mut said = Vec::new();
        let mut complaint = Vec::new();
        let mut code = None;
        while let Some(message) = channel.wait().await {
            match message {
                ChannelMsg::Data { data } => said.extend_from_slice(&data),
                ChannelMsg::ExtendedData { data, .. } if complaint.len() < 2000 => {
                    complaint.extend_from_slice(&data);
                }
                ChannelMsg::ExitStatus { exit_status } => code = Some(exit_status),
                ChannelMsg::ExitSignal { .. } => code = Some(128),
                ChannelMsg::Failure => return Ok(Err("it runs no command".to_owned())),
                _ => {}
            }
            if said.len() > limit {
                return Ok(Err(format!("it said more than {limit} bytes")));
            }
        }
        match code {
            Some(0) => Ok(Ok(said)),
            Some(code) => {
                let complaint = printable(&complaint);
                Ok(Err(format!("its command ended with {code}: {complaint}")))
            }
            None => Ok(Err("the connection ended".to_owned())),
        }
    }

    /// Says goodbye; the server is not waited for.
    pub async fn end(self) {
        let _ = self
            .handle
            .disconnect(russh::Disconnect::ByApplication, "", "")
            .await;
    }
}

/// A connection to an own address that comes from the loopback address.
async fn from_loopback(at: &Place<'_>) -> std::io::Result<TcpStream> {
    let mut last = ErrorKind::AddrNotAvailable.into();
    for address in lookup_host((at.address, at.port)).await? {
        let (socket, loopback) = match address {
            SocketAddr::V4(_) => (TcpSocket::new_v4()?, IpAddr::V4(Ipv4Addr::LOCALHOST)),
            SocketAddr::V6(_) => (TcpSocket::new_v6()?, IpAddr::V6(Ipv6Addr::LOCALHOST)),
        };
        socket.bind((loopback, 0).into())?;
        match socket.connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The start of a text from elsewhere, in one line.
pub fn printable(bytes: &[u8]) -> String {
    let text = printable::printable(&String::from_utf8_lossy(bytes));
    let text: String = text.chars().take(200).collect();
    text.trim().to_owned()
}

fn shown_few(names: &[String]) -> String {
    let names: Vec<&str> = names.iter().take(5).map(String::as_str).collect();
    printable(names.join(", ").as_bytes())
}

fn is_end(error: &russh::Error) -> bool {
    match error {
        russh::Error::HUP | russh::Error::Disconnect => true,
        russh::Error::IO(error) => matches!(
            error.kind(),
            ErrorKind::UnexpectedEof
                | ErrorKind::ConnectionReset
                | ErrorKind::ConnectionAborted
                | ErrorKind::BrokenPipe
        ),
        _ => false,
    }
}

/// Only host keys of the kinds that are known are asked for: a server shows one.
fn settings(host_keys: &[PublicKey]) -> client::Config {
    let mut kinds: Vec<Algorithm> = Vec::new();
    for key in host_keys {
        let kind = key.key().algorithm();
        if !kinds.contains(&kind) {
            kinds.push(kind);
        }
    }
    let mut settings = client::Config::default();
    settings.preferred.key = kinds.into();
    settings
}

/// Accepts the host keys that are known, and remembers another.
struct Seen {
    known: Vec<PublicKey>,
    other: Arc<std::sync::Mutex<Option<String>>>,
}

impl client::Handler for Seen {
    type Error = russh::Error;

    async fn check_server_key(
        &mut self,
        shown: &PublicKeyOrCertificate,
    ) -> Result<bool, russh::Error> {
        // Certificates are not asked for.
        let PublicKeyOrCertificate::PublicKey { key, .. } = shown else {
            return Ok(false);
        };
        let known = self.known.iter().any(|one| one.is(key));
        if !known && let Ok(mut other) = self.other.lock() {
            *other = Some(PublicKey::from(key.clone()).fingerprint());
        }
        Ok(known)
    }
}

/// Signs nothing: that it is asked to is the answer.
struct NoSignature;

enum NotSigned {
    Asked,
    Lost,
}

impl From<russh::SendError> for NotSigned {
    fn from(_: russh::SendError) -> Self {
        Self::Lost
    }
}

impl russh::Signer for NoSignature {
    type Error = NotSigned;

    async fn auth_sign(
        &mut self,
        _: &AgentIdentity,
        _: Option<russh::keys::HashAlg>,
        _: Vec<u8>,
    ) -> Result<Vec<u8>, NotSigned> {
        Err(NotSigned::Asked)
    }
}
