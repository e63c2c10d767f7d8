//! The HTTP client of everything here that speaks HTTP itself: forges, pages that are checked, and the poll
//! of a repository over HTTPS.
//!
//! No redirect is followed: it could lead a token to another server, and a check is of what it names. Whoever
//! asks says how long one request may take in all, and how much of the answer is read. A client is made where
//! one is needed, and never by a pass that asks nothing over HTTP: to read the certificate store takes longer
//! than the rest of such a pass.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use base64ct::{Base64, Encoding as _};
use nixus_switcher::state::journal::checksum;
use reqwest::redirect::Policy;
use reqwest::{NoProxy, Proxy, Response, Url};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;

use crate::address::without_credentials;
use crate::host::files::{read_bounded, write_atomically};

/// The longest file of authorities, in bytes.
const LONGEST_AUTHORITIES: u64 = 1024 * 1024;

/// Which certificate authorities are accepted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Authorities {
    /// Those of the system: of the environment's `SSL_CERT_FILE` and `SSL_CERT_DIR`, or where OpenSSL has them.
    #[default]
    System,
    /// Those of a file, in addition to the system's.
    Extra(PathBuf),
    /// Those of a file alone.
    Pinned(PathBuf),
}

/// What a request goes through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via<'a> {
    /// Nothing: straight to the server.
    Nothing,
    /// What `https_proxy`, `http_proxy`, `all_proxy` and `no_proxy` of the environment say.
    Environment,
    /// This proxy, but for the servers that `no_proxy` of the environment has.
    Proxy(&'a str),
}

/// Why there is no client.
#[derive(Debug, Error)]
pub enum ClientError {
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
        source: RequestError,
    },
    /// The library for TLS refuses its settings.
    #[error("TLS cannot be set up")]
    Tls(#[source] rustls::Error),
    /// The client could not be made.
    #[error("the HTTP client cannot be set up")]
    Setup(#[source] RequestError),
}

/// Why a request has no whole answer: by its innermost cause, without the URL, which may be a secret.
#[derive(Debug, Error)]
#[error("{}", cause(.0))]
pub struct RequestError(reqwest::Error);

impl RequestError {
    /// Whether another program that asks the same would only take as long once more: the time was over, or
    /// nobody is there. Certificates are left out: another program may say better what is wrong with them.
    pub fn is_final(&self) -> bool {
        self.0.is_timeout() || (self.0.is_connect() && !is_of_tls(&self.0))
    }
}

/// An I/O error has what it is made of not as its source, but in it.
fn is_of_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    let inner = error.downcast_ref::<std::io::Error>();
    let inner = inner.and_then(std::io::Error::get_ref);
    error.is::<rustls::Error>()
        || inner.is_some_and(|inner| is_of_tls(inner))
        || error.source().is_some_and(is_of_tls)
}

impl From<reqwest::Error> for RequestError {
    fn from(error: reqwest::Error) -> Self {
        Self(error.without_url())
    }
}

fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut innermost: &dyn std::error::Error = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    without_credentials(&innermost.to_string())
}

/// A client with these limits. It keeps connections for as long as it lives. Without authorities, nothing is asked
/// over TLS.
///
/// # Errors
/// The authorities cannot be read, or the proxy is none.
pub fn client(
    authorities: Option<&Authorities>,
    via: Via<'_>,
    limit: Duration,
) -> Result<reqwest::Client, ClientError> {
    let builder = reqwest::Client::builder()
        .tls_backend_preconfigured(tls(authorities)?)
        .redirect(Policy::none())
        .referer(false)
        .timeout(limit)
        .user_agent(concat!("nixus/", env!("CARGO_PKG_VERSION")));
    let builder = match via {
        Via::Nothing => builder.no_proxy(),
        Via::Environment => builder,
        Via::Proxy(text) => {
            let proxy = Proxy::all(text).map_err(|source| ClientError::Proxy {
                proxy: without_credentials(text),
                source: source.into(),
            })?;
            builder.proxy(proxy.no_proxy(NoProxy::from_env()))
        }
    };
    let built = builder.build();
    built.map_err(|error| ClientError::Setup(error.into()))
}

/// The first bytes of an answer's body, at most so many: what comes after them is not waited for.
///
/// # Errors
/// The answer ends before it is whole, or not in time.
pub async fn body(mut answer: Response, limit: usize) -> Result<Vec<u8>, RequestError> {
    let mut bytes = Vec::new();
    while bytes.len() < limit
        && let Some(chunk) = answer.chunk().await?
    {
        let fits = chunk.len().min(limit - bytes.len());
        bytes.extend_from_slice(&chunk[..fits]);
    }
    Ok(bytes)
}

/// Whether a text is a URL of a proxy that a client can use.
pub fn is_proxy(text: &str) -> bool {
    let url = text
        .contains("://")
        .then(|| Url::parse(text).ok())
        .flatten();
    url.is_some_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// By name, and not from the process: what else uses TLS here cannot change it.
fn tls(authorities: Option<&Authorities>) -> Result<ClientConfig, ClientError> {
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()
        .map_err(ClientError::Tls)?;
    let mut roots = RootCertStore::empty();
    if let Some(Authorities::System | Authorities::Extra(_)) = authorities {
        // A store with one broken entry is still one; none at all shows when a server is to be believed.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    }
    if let Some(Authorities::Extra(path) | Authorities::Pinned(path)) = authorities {
        add(&mut roots, path).map_err(|source| ClientError::Authorities {
            path: path.clone(),
            source,
        })?;
    }
    Ok(builder.with_root_certificates(roots).with_no_client_auth())
}

/// A file with the system's authorities and those of another one, for programs that take one file alone. It is
/// made anew where either has changed.
///
/// # Errors
/// The file cannot be read, or the joined one cannot be written below `folder`.
pub fn joined(extra: &Path, folder: &Path) -> std::io::Result<PathBuf> {
    let mut text = String::new();
    for certificate in rustls_native_certs::load_native_certs().certs {
        text.push_str(&pem(&certificate));
    }
    text.push_str(&String::from_utf8_lossy(&read_bounded(
        extra,
        LONGEST_AUTHORITIES,
    )?));
    let name = format!("authorities-{}.pem", checksum(text.as_bytes()));
    let path = folder.join(name);
    if !read_bounded(&path, 2 * LONGEST_AUTHORITIES).is_ok_and(|there| there == text.as_bytes()) {
        write_atomically(&path, text.as_bytes())?;
    }
    Ok(path)
}

/// RFC 7468.
fn pem(certificate: &[u8]) -> String {
    let encoded = Base64::encode_string(certificate);
    let mut text = "-----BEGIN CERTIFICATE-----\n".to_owned();
    let mut rest = encoded.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(64));
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    text + "-----END CERTIFICATE-----\n"
}

fn add(roots: &mut RootCertStore, path: &Path) -> std::io::Result<()> {
    let text = read_bounded(path, LONGEST_AUTHORITIES)?;
    // A certificate in an indented text is one to OpenSSL and GnuTLS.
    let lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let text = lines.collect::<Vec<_>>().join(&b'\n');
    let found = CertificateDer::pem_slice_iter(&text).filter_map(Result::ok);
    match roots.add_parsable_certificates(found) {
        (0, _) => Err(std::io::Error::other("it has no certificate in it")),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
