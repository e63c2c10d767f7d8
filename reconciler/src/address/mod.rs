//! Which server a URL leads to: decided here alone, for git, forges, health checks and tokens.
//!
//! git, curl and libraries for HTTP disagree about strange URLs (`https://a?@b/x` leads to either, by who
//! reads it), and a token must not depend on that. So a URL is read by the WHATWG's rules (crate `url`), and
//! is refused where its authority does not stand there as those rules read it. Also read are git's own forms,
//! `user@host:path` and a path (git-fetch(1), "GIT URLS").

use std::fmt;
use std::net::Ipv6Addr;

use thiserror::Error;
use url::Url;

/// Why a text is not taken for an address. None of them repeats credentials.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AddressError {
    /// It carries a password, or what is sent in the place of one. It would be in process lists and logs.
    #[error("has {0} in it, which everyone on the host could see")]
    Credentials(&'static str),
    /// It is of none of the known forms, or its authority can be read in more than one way.
    #[error("{0}")]
    Strange(&'static str),
    /// What stands before `://` is none of the schemes that are known here.
    #[error("has an unknown scheme")]
    Scheme,
}

/// How a server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// `ssh://`, and `user@host:path`.
    Ssh,
    /// `https://`.
    Https,
    /// `http://`.
    Http,
    /// `file://`, and a path.
    File,
}

impl Scheme {
    fn word(self) -> &'static str {
        match self {
            Self::Ssh => "ssh",
            Self::Https => "https",
            Self::Http => "http",
            Self::File => "file",
        }
    }

    fn usual_port(self) -> Option<u16> {
        match self {
            Self::Ssh => Some(22),
            Self::Https => Some(443),
            Self::Http => Some(80),
            Self::File => None,
        }
    }
}

/// A server: two URLs of one server are equal here, however they are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    scheme: Scheme,
    host: String,
    port: Option<u16>,
}

impl Server {
    /// Its name, in lower case; an IPv6 address without brackets. Empty for this machine's own files.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Its port, the usual one of its scheme unless another is named.
    pub fn port(&self) -> Option<u16> {
        self.port.or(self.scheme.usual_port())
    }

    /// Its name as it stands in a URL.
    pub fn name(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        }
    }

    /// The same, with a port that is not the usual one.
    pub fn authority(&self) -> String {
        match self.port {
            None => self.name(),
            Some(port) => format!("{}:{port}", self.name()),
        }
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme.word(), self.authority())
    }
}

/// A URL, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    server: Server,
    user: Option<String>,
    path: String,
}

impl Address {
    /// Reads a URL, or one of git's own forms.
    ///
    /// # Errors
    /// It is none, it carries credentials, or what its server is depends on who reads it.
    pub fn parse(text: &str) -> Result<Self, AddressError> {
        // First, so that no other sentence shows them.
        if let Some(what) = credentials_in(text) {
            return Err(AddressError::Credentials(what));
        }
        Self::with_any_user(text)
    }

    /// The server that a program asks the credentials of, who puts the user's name into the URL.
    ///
    /// # Errors
    /// It is none, or what its server is depends on who reads it.
    pub fn server_of_question(text: &str) -> Result<Server, AddressError> {
        Ok(Self::with_any_user(text)?.server)
    }

    fn with_any_user(text: &str) -> Result<Self, AddressError> {
        if text
            .chars()
            .any(|letter| letter.is_control() || letter.is_whitespace())
        {
            return Err(AddressError::Strange(
                "has blanks or control characters in it",
            ));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return short_form(text);
        };
        let scheme = match scheme {
            "ssh" => Scheme::Ssh,
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            "file" => Scheme::File,
            _ => return Err(AddressError::Scheme),
        };
        // Where the authority ends is what readers disagree about most.
        let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        if !path.is_empty() && !path.starts_with('/') {
            return Err(AddressError::Strange(
                "has no / after the name of its server",
            ));
        }
        if scheme == Scheme::File {
            let path = path.to_owned();
            return match authority.is_empty() && path.len() > 1 {
                true => Ok(Self::local(path)),
                false => Err(AddressError::Strange(
                    "names no file of this machine: it begins with file:///",
                )),
            };
        }
        let (user, server) = server(scheme, text, authority)?;
        Ok(Self {
            server,
            user,
            path: path.to_owned(),
        })
    }

    fn local(path: String) -> Self {
        let server = Server {
            scheme: Scheme::File,
            host: String::new(),
            port: None,
        };
        Self {
            server,
            user: None,
            path,
        }
    }

    /// How its server is spoken to.
    pub fn scheme(&self) -> Scheme {
        self.server.scheme
    }

    /// The server.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The user's name, for SSH.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The path as it is written, with a query where there is one; with its first slash, but for
    /// `host:path` and a relative path.
    pub fn path(&self) -> &str {
        &self.path
    }
}

/// User and server of a URL whose authority is this text.
fn server(
    scheme: Scheme,
    text: &str,
    authority: &str,
) -> Result<(Option<String>, Server), AddressError> {
    const STRANGE: AddressError =
        AddressError::Strange("has a server's name that can be read in more than one way");
    let url = Url::parse(text).map_err(|_| STRANGE)?;
    let usual = scheme.usual_port();
    let understood = url.authority().to_ascii_lowercase();
    let written = authority.to_ascii_lowercase();
    let with_port = usual.map(|port| format!("{understood}:{port}"));
    if written != understood && Some(&written) != with_port.as_ref() {
        return Err(STRANGE);
    }
    let host = url.host_str().unwrap_or_default().to_ascii_lowercase();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let is_host = match bare {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        // One that begins with - is an option to ssh.
        None => !host.is_empty() && !host.starts_with(['-', '.']) && host.bytes().all(plain),
    };
    let is_user = |user: &str| {
        !user.starts_with('-')
            && user
                .bytes()
                .all(|byte| plain(byte) || b"~+%".contains(&byte))
    };
    let named = authority.contains('@');
    if !is_host
        || !is_user(url.username())
        || (named && url.username().is_empty())
        || url.port() == Some(0)
    {
        return Err(STRANGE);
    }
    let server = Server {
        scheme,
        host: bare.unwrap_or(&host).to_owned(),
        port: url.port().filter(|port| Some(*port) != usual),
    };
    Ok((named.then(|| url.username().to_owned()), server))
}

/// `user@host:path`, or a path: what has a slash before any colon is one (git-fetch(1)).
fn short_form(text: &str) -> Result<Address, AddressError> {
    let slash = text.find('/').unwrap_or(text.len());
    // As git has it, whatever stands in brackets (connect.c, url_is_local_not_ssh).
    let Some(first) = text.find(':').filter(|colon| *colon < slash) else {
        return match text.is_empty() || text.starts_with('-') {
            true => Err(AddressError::Strange("is neither a URL nor a path")),
            false => Ok(Address::local(text.to_owned())),
        };
    };
    // Brackets are those of an address only where the host begins.
    let host = text.find("@[").map_or(0, |at| at + 1);
    let colon = match text[host..].find("]:") {
        Some(bracket) if text[host..].starts_with('[') => host + bracket + 1,
        _ => first,
    };
    let (host, path) = (&text[..colon], &text[colon + 1..]);
    // With two colons it names a program of git's to run.
    if path.is_empty() || path.starts_with(':') {
        return Err(AddressError::Strange("is neither a URL nor user@host:path"));
    }
    let url = format!("ssh://{host}/");
    let (user, server) = server(Scheme::Ssh, &url, host)?;
    if server.port.is_some() {
        return Err(AddressError::Strange("is neither a URL nor user@host:path"));
    }
    let path = path.to_owned();
    Ok(Address { server, user, path })
}

/// What kind of credentials a URL carries. The name of a user is one where it may be a token: everywhere but
/// for SSH.
pub fn credentials_in(text: &str) -> Option<&'static str> {
    let mut what = None;
    rewritten(text, &mut |_, user_info| {
        what.get_or_insert(match user_info.contains(':') {
            true => "a password",
            false => "a user's name or a token",
        });
    });
    what
}

/// A text with the credentials of all URLs in it left out.
pub fn without_credentials(text: &str) -> String {
    rewritten(text, &mut |_, _| ())
}

/// Leaves the credentials of all URLs out of a text, and shows each of them.
fn rewritten(text: &str, show: &mut dyn FnMut(&str, &str)) -> String {
    let mut told = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        told.push_str(before);
        told.push_str("://");
        rest = after;
        let Some(user_info) = user_info(after) else {
            continue;
        };
        // With a transport before it too, as flakes have it (git+ssh).
        match user_info.split_once(':') {
            Some((user, _)) if before.ends_with("ssh") => {
                show(before, user_info);
                told.push_str(user);
                told.push_str(":***");
            }
            None if before.ends_with("ssh") => told.push_str(user_info),
            _ => {
                show(before, user_info);
                told.push_str("***");
            }
        }
        rest = &after[user_info.len()..];
    }
    told.push_str(rest);
    told
}

/// What stands before the server's name in a URL, where something does. In doubt it is longer: what a
/// reader might take for a password is one.
fn user_info(after: &str) -> Option<&str> {
    let end = |stops: &[char]| {
        let stop = |letter: char| letter.is_whitespace() || stops.contains(&letter);
        after.find(stop).unwrap_or(after.len())
    };
    let authority = &after[..end(&['/', '\'', '"', '?', '#', '\\'])];
    if let Some((user_info, _)) = authority.rsplit_once('@') {
        return Some(user_info);
    }
    // A password with a slash in it: what follows the colon is not a port.
    let (_, port) = authority.rsplit_once(':')?;
    let is_port = port.bytes().all(|byte| byte.is_ascii_digit());
    if is_port || authority.ends_with(']') {
        return None;
    }
    let (user_info, _) = after[..end(&['\'', '"'])].rsplit_once('@')?;
    Some(user_info)
}

#[cfg(test)]
mod tests;
