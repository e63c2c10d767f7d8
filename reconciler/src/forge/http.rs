//! Requests to a forge over HTTPS: with the system's authorities and perhaps one more, through a
//! proxy where there is one, bounded in time and size.

use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;

use nixus_switcher::waits::{self, Kind as Wait};
use thiserror::Error;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use super::answer::Answer;
use super::token::{Token, TokenError, TokenSource};
use super::{Forge, Request};
use crate::https::without_passwords;
use crate::state::read_bounded;

/// The longest answer that is read, in bytes: a page of statuses is far shorter.
const LONGEST_ANSWER: u64 = 4 * 1024 * 1024;
/// The longest file of authorities, in bytes.
const LONGEST_AUTHORITIES: u64 = 1024 * 1024;

/// How a forge is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// The token; nothing where only what is public is read.
    pub token: Option<TokenSource>,
    /// Authorities that are accepted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// The proxy, where it is not the one of the environment.
    pub proxy: Option<String>,
    /// The longest that one request may take.
    pub timeout: Duration,
}

/// Why a forge could not be asked.
#[derive(Debug, Error)]
pub enum HttpError {
    /// There is no token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The file of authorities could not be used.
    #[error("cannot read the certificate authorities in {}", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The proxy cannot be used.
    #[error("{proxy:?} is not a proxy")]
    Proxy {
        /// The proxy.
        proxy: String,
        /// Why.
        #[source]
        source: Box<ureq::Error>,
    },
    /// There was no answer.
    #[error("no answer from {url}")]
    NoAnswer {
        /// What was asked.
        url: String,
        /// Why.
        #[source]
        source: Box<ureq::Error>,
    },
    /// The answer ended before it was whole.
    #[error("the answer from {url} is not whole")]
    Cut {
        /// What was asked.
        url: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The request's thread was lost.
    #[error("the request to {url} was lost")]
    Lost {
        /// What was asked.
        url: String,
        /// Why.
        #[source]
        source: tokio::task::JoinError,
    },
}

/// A connection to one forge.
#[derive(Debug, Clone)]
pub struct Client {
    agent: ureq::Agent,
    forge: &'static dyn Forge,
    token: Option<Token>,
}

impl Client {
    /// Reads the token and the authorities.
    pub fn new(forge: &'static dyn Forge, reach: &Reach) -> Result<Self, HttpError> {
        let token = reach.token.as_ref().map(TokenSource::read).transpose()?;
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&authorities(reach)?))
            .build();
        let mut settings = ureq::Agent::config_builder()
            .timeout_global(Some(reach.timeout))
            .http_status_as_error(false)
            // A redirect could lead the token to another server.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(concat!("nixus/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls);
        if let Some(proxy) = &reach.proxy {
            let proxy = ureq::Proxy::new(proxy).map_err(|source| HttpError::Proxy {
                proxy: without_passwords(proxy),
                source: Box::new(source),
            })?;
            settings = settings.proxy(Some(proxy));
        }
        Ok(Self {
            agent: settings.build().into(),
            forge,
            token,
        })
    }

    /// Asks once, and gives whatever answer there is.
    pub async fn ask(&self, request: Request) -> Result<Answer, HttpError> {
        let _wait = waits::begin(Wait::Network, || request.url.clone());
        let (client, url) = (self.clone(), request.url.clone());
        tokio::task::spawn_blocking(move || client.ask_now(&request))
            .await
            .map_err(|source| HttpError::Lost { url, source })?
    }

    fn ask_now(&self, request: &Request) -> Result<Answer, HttpError> {
        let token = self.token.as_ref();
        let headers = self.forge.headers(token.map_or("", Token::reveal));
        // Without a token, the headers that carry it are left out.
        let headers = headers.into_iter().filter(|(name, _)| {
            token.is_some() || !["Authorization", "PRIVATE-TOKEN"].contains(name)
        });
        let url = &request.url;
        let answered = match &request.body {
            None => {
                let asked = headers.fold(self.agent.get(url), |asked, (name, value)| {
                    asked.header(name, value)
                });
                asked.call()
            }
            Some(body) => {
                let asked = headers.fold(self.agent.post(url), |asked, (name, value)| {
                    asked.header(name, value)
                });
                asked
                    .header("Content-Type", "application/json")
                    .send(body.to_string().as_bytes())
            }
        };
        let mut answer = answered.map_err(|source| HttpError::NoAnswer {
            url: url.clone(),
            source: Box::new(source),
        })?;
        let headers = answer.headers().iter().filter_map(|(name, value)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        });
        let headers = headers.collect();
        let mut body = Vec::new();
        answer
            .body_mut()
            .as_reader()
            .take(LONGEST_ANSWER)
            .read_to_end(&mut body)
            .map_err(|source| HttpError::Cut {
                url: url.clone(),
                source,
            })?;
        Ok(Answer {
            status: answer.status().as_u16(),
            headers,
            body,
        })
    }
}

/// The system's authorities and those of the file.
fn authorities(reach: &Reach) -> Result<Vec<Certificate<'static>>, HttpError> {
    // A store with one broken entry is still one; none at all shows when a server is to be believed.
    let system = rustls_native_certs::load_native_certs().certs;
    let mut all: Vec<_> = system
        .iter()
        .map(|one| Certificate::from_der(one.as_ref()).to_owned())
        .collect();
    let Some(path) = &reach.ca_file else {
        return Ok(all);
    };
    let wrong = |source| HttpError::Authorities {
        path: path.clone(),
        source,
    };
    let text = read_bounded(path, LONGEST_AUTHORITIES).map_err(wrong)?;
    let before = all.len();
    for item in parse_pem(&text) {
        if let Ok(PemItem::Certificate(one)) = item {
            all.push(one);
        }
    }
    if all.len() == before {
        return Err(wrong(std::io::Error::other("it has no certificate in it")));
    }
    Ok(all)
}
