//! Requests to a forge over HTTPS: with the system's authorities and perhaps one more, through a
//! proxy where there is one, bounded in time and size.

use nixus_switcher::waits::{self, Kind as Wait};
use reqwest::header::{HeaderValue, InvalidHeaderValue};
use thiserror::Error;

use super::answer::Answer;
use super::token::{Token, TokenError};
use super::{Forge, Request};
use crate::config::forge::{Reach, TokenSource};
use crate::host::http::{self, ClientError, RequestError, Via};

/// The longest answer that is read, in bytes: a page of statuses is far shorter.
const LONGEST_ANSWER: usize = 4 * 1024 * 1024;

/// Why a forge could not be asked.
#[derive(Debug, Error)]
pub enum HttpError {
    /// There is no token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The token is not one that a request can have with it.
    #[error("the token is not one of a forge: it has other characters than HTTP takes")]
    Header(#[source] InvalidHeaderValue),
    /// Something that requests need could not be set up.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// There was no answer.
    #[error("no answer from {url}")]
    NoAnswer {
        /// What was asked.
        url: String,
        /// Why.
        #[source]
        source: RequestError,
    },
    /// The answer ended before it was whole.
    #[error("the answer from {url} is not whole")]
    Cut {
        /// What was asked.
        url: String,
        /// Why.
        #[source]
        source: RequestError,
    },
}

/// A connection to one forge.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    forge: &'static dyn Forge,
    token: Option<Token>,
}

impl Client {
    /// Reads the token and the authorities.
    ///
    /// # Errors
    /// One of them cannot be used, or the proxy.
    pub fn new(forge: &'static dyn Forge, reach: &Reach) -> Result<Self, HttpError> {
        let token = reach.token.as_ref().map(TokenSource::read).transpose()?;
        let via = reach.proxy.as_deref().map_or(Via::Environment, Via::Proxy);
        Ok(Self {
            http: http::client(Some(&reach.authorities), via, reach.timeout)?,
            forge,
            token,
        })
    }

    /// Asks once, and gives whatever answer there is.
    ///
    /// # Errors
    /// There is no whole answer in time.
    pub async fn ask(&self, request: Request) -> Result<Answer, HttpError> {
        let _wait = waits::begin(Wait::Network, || request.url.clone());
        let url = &request.url;
        let mut asked = match &request.body {
            None => self.http.get(url),
            Some(body) => self
                .http
                .post(url)
                .header("Content-Type", "application/json")
                .body(body.to_string()),
        };
        let token = self.token.as_ref();
        for (name, value) in self.forge.headers(token.map_or("", Token::reveal)) {
            let secret = SECRET.contains(&name);
            if secret && token.is_none() {
                continue;
            }
            let mut value = HeaderValue::try_from(value).map_err(HttpError::Header)?;
            value.set_sensitive(secret);
            asked = asked.header(name, value);
        }
        let answer = asked.send().await.map_err(|error| HttpError::NoAnswer {
            url: url.clone(),
            source: error.into(),
        })?;
        let status = answer.status().as_u16();
        let headers = answer.headers().iter().filter_map(|(name, value)| {
            Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
        });
        let headers = headers.collect();
        let body = http::body(answer, LONGEST_ANSWER)
            .await
            .map_err(|source| HttpError::Cut {
                url: url.clone(),
                source,
            })?;
        Ok(Answer {
            status,
            headers,
            body,
        })
    }
}

/// The headers that carry the token.
const SECRET: [&str; 2] = ["Authorization", "PRIVATE-TOKEN"];
