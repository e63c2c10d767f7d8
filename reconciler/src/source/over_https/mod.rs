//! Asks a server for one ref over HTTPS, in one request (gitprotocol-http(5), gitprotocol-v2(5)).
//!
//! git would ask for the server's capabilities first, and starts three programs for it. A server that does not
//! answer in version 2 is left to git, and so are all refusals, since git says best what is wrong: but for
//! those after which asking again would only take as long, or cost the server as much, once more.

use std::path::Path;

use base64ct::{Base64, Encoding};
use git2::Config;
use nixus_switcher::waits::{self, Kind};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, USER_AGENT};
use reqwest::{StatusCode, Url};
use thiserror::Error;

use super::ls_refs::{self, Read};
use super::{Head, SourceError};
use crate::config::Remote;
use crate::host::http::{self, Authorities, ClientError, RequestError, Via};
use crate::source::askpass;

/// The longest answer that is read, in bytes: of the branch, and of those whose names begin with its name.
const LONGEST: usize = 1024 * 1024;

/// Some servers answer only clients that say they are git.
const AGENT: &str = concat!("git/2.0 (nixus/", env!("CARGO_PKG_VERSION"), ")");

const QUESTION: &str = "application/x-git-upload-pack-request";
const ANSWER: &str = "application/x-git-upload-pack-result";

/// Why a server could not be asked over HTTPS.
#[derive(Debug, Error)]
pub enum AskError {
    /// What requests need could not be set up.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The token could not be read.
    #[error("cannot read the token")]
    Token(#[source] std::io::Error),
    /// There was no whole answer.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The server answers nobody for now.
    #[error("the server answers with {status}")]
    Busy {
        /// The status of HTTP.
        status: StatusCode,
    },
}

/// Where the ref `name` is; nothing where git itself has to ask.
///
/// # Errors
/// The server cannot be reached, does not answer in time, or wants to be left alone.
pub(super) async fn ask(remote: &Remote, name: &str) -> Result<Option<Head>, SourceError> {
    let Some(url) = service(&remote.url).filter(|_| !git_is_configured()) else {
        return Ok(None);
    };
    let _wait = waits::begin(Kind::Network, || format!("git ls-refs {}", remote.url));
    request(remote, url, name)
        .await
        .map_err(|source| SourceError::Ask {
            url: remote.url.clone(),
            source,
        })
}

async fn request(remote: &Remote, url: Url, name: &str) -> Result<Option<Head>, AskError> {
    // What git takes as well (git-config(1), `http.sslCAInfo`).
    let environment = std::env::var_os("GIT_SSL_CAINFO");
    let authorities = match (&remote.authorities, environment) {
        (Authorities::System, Some(file)) => Authorities::Pinned(file.into()),
        (configured, _) => configured.clone(),
    };
    let client = http::client(Some(&authorities), Via::Environment, remote.timeout)?;
    let mut asked = client
        .post(url)
        .header(USER_AGENT, AGENT)
        .header("Git-Protocol", "version=2")
        .header(CONTENT_TYPE, QUESTION)
        .header(ACCEPT, ANSWER)
        .body(ls_refs::question(name));
    if let Some(file) = &remote.token_file {
        asked = asked.header(AUTHORIZATION, credentials(file).map_err(AskError::Token)?);
    }
    let answer = match asked.send().await.map_err(RequestError::from) {
        Ok(answer) => answer,
        Err(error) if error.is_final() => return Err(error.into()),
        Err(_) => return Ok(None),
    };
    match answer.status() {
        StatusCode::OK => {}
        status @ (StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) => {
            return Err(AskError::Busy { status });
        }
        _ => return Ok(None),
    }
    if answer
        .headers()
        .get(CONTENT_TYPE)
        .is_none_or(|kind| kind != ANSWER)
    {
        return Ok(None);
    }
    match http::body(answer, LONGEST).await {
        Ok(bytes) => Ok(match ls_refs::refs(&bytes, name) {
            Read::Whole(head) => Some(head),
            Read::More | Read::Strange => None,
        }),
        Err(error) if error.is_final() => Err(error.into()),
        Err(_) => Ok(None),
    }
}

fn credentials(file: &Path) -> std::io::Result<HeaderValue> {
    let token = askpass::token(file)?;
    let pair = format!("{}:{token}", askpass::USER);
    let mut value =
        HeaderValue::try_from(format!("Basic {}", Base64::encode_string(pair.as_bytes())))
            .map_err(std::io::Error::other)?;
    value.set_sensitive(true);
    Ok(value)
}

/// Where a repository is asked; nothing where its URL is not of the plainest kind, which all programs
/// understand alike.
fn service(url: &str) -> Option<Url> {
    let rest = url.strip_prefix("https://")?;
    let (authority, path) = rest.split_at(rest.find('/')?);
    let of = |text: &str, more: &[u8]| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || more.contains(&byte);
        !text.is_empty() && text.bytes().all(plain)
    };
    let steps = path.split('/').any(|part| part == "." || part == "..");
    if !of(authority, b"-.:[]") || !of(path, b"/-._~+") || steps {
        return None;
    }
    Url::parse(&format!("{}/git-upload-pack", url.trim_end_matches('/'))).ok()
}

/// Whether this machine's configuration of git, or the environment, says how git speaks HTTP.
fn git_is_configured() -> bool {
    const BEGINNINGS: [&str; 4] = ["GIT_SSL_", "GIT_HTTP_", "GIT_PROXY_", "GIT_CONFIG"];
    let by_environment = std::env::vars_os().any(|(name, _)| {
        let name = name.as_encoded_bytes();
        name != b"GIT_SSL_CAINFO"
            && BEGINNINGS
                .iter()
                .any(|start| name.starts_with(start.as_bytes()))
    });
    by_environment || Config::open_default().map_or(true, |config| says_how(&config))
}

fn says_how(config: &Config) -> bool {
    let Ok(mut entries) = config.entries(None) else {
        return true;
    };
    while let Some(entry) = entries.next() {
        let Ok(name) = entry.and_then(|entry| entry.name().map(str::to_ascii_lowercase)) else {
            return true;
        };
        if ["http.", "url."]
            .iter()
            .any(|start| name.starts_with(start))
        {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests;
