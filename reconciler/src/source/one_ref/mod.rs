//! Asks a server for one ref, in git's protocol 2.
//!
//! `git ls-remote` gives the server no pattern: with `--heads` each branch costs 75 bytes in every
//! poll, and only git's own fetch asks for less; over HTTPS, three programs are started for it. So the
//! question is put here: over SSH to the same `git-upload-pack`, over HTTPS in one request. Whatever is
//! unusual (another scheme, a strange address, a server that does not know the protocol, a refusal) is
//! left to git.

use std::path::Path;

use super::ls_refs::{self, FLUSH, Read};
use super::{Head, SourceError, address, list_failed, over_https};
use crate::config::Remote;
use crate::host::process::{Invocation, ProcessError};
use crate::source::ssh;

/// The exit code of ssh for its own failures, such as no connection (ssh(1)).
const NOT_CONNECTED: i32 = 255;

/// Where the ref `name` is; nothing where git itself has to ask.
///
/// # Errors
/// The server cannot be reached, or does not answer in time.
pub async fn ask(remote: &Remote, name: &str) -> Result<Option<Head>, SourceError> {
    if remote.url.starts_with("https://") {
        return over_https::ask(remote, name).await;
    }
    let Some(address) = Address::of(&remote.url) else {
        return Ok(None);
    };
    match over_ssh(remote, &address, name).await {
        Ok(Read::Whole(head)) => Ok(Some(head)),
        Ok(_) => Ok(None),
        Err(error) if is_final(&error) => Err(list_failed(remote, error)),
        Err(_) => Ok(None),
    }
}

async fn over_ssh(
    remote: &Remote,
    address: &Address<'_>,
    name: &str,
) -> Result<Read, ProcessError> {
    let question = ls_refs::question(name);
    let read = |answer: &[u8]| ls_refs::in_session(answer, name);
    let Some(shared) = ssh::shared::of(remote) else {
        // A flush in the place of a second question ends the session.
        let all = [&question, FLUSH.as_bytes()].concat();
        let answer = upload_pack(ssh::invocation(remote), address).input(all);
        return Ok(read(&answer.output().await?));
    };
    let session = upload_pack(shared.first(), address).input(question);
    let (answer, session) = session
        .converse(|answer| read(answer) != Read::More)
        .await?;
    let answer = read(&answer);
    if let (Read::Whole(_), Some(session)) = (&answer, session) {
        // The server waits for another question, and the connection is there for others meanwhile.
        ssh::shared::hold(session.ends_with(FLUSH.into()));
    }
    Ok(answer)
}

fn upload_pack(ssh: Invocation, address: &Address<'_>) -> Invocation {
    let port = address.port.map(|port| ["-p", port]);
    ssh.args(["-o", "SendEnv=GIT_PROTOCOL"])
        .env("GIT_PROTOCOL", "version=2")
        .env("LC_ALL", "C")
        .args(port.into_iter().flatten())
        .args(["--", address.host])
        // The remote shell's words, as git writes them; `Address` has nothing that needs more.
        .arg(format!("git-upload-pack '{}'", address.path))
}

/// Whether asking again by git would only take as long once more.
fn is_final(error: &ProcessError) -> bool {
    match error {
        ProcessError::TimedOut { .. } => true,
        ProcessError::Failed { status, .. } => status.code() == Some(NOT_CONNECTED),
        _ => false,
    }
}

/// The parts of a plain `ssh://` URL.
#[derive(Debug, PartialEq, Eq)]
struct Address<'a> {
    /// With the user, if there is one.
    host: &'a str,
    port: Option<&'a str>,
    path: &'a str,
}

impl<'a> Address<'a> {
    /// Nothing where something would have to be decoded or quoted.
    fn of(url: &'a str) -> Option<Self> {
        let parsed = address::Address::parse(url).ok()?;
        // ssh takes an IPv6 address without its brackets, and git a port that is none as a part of the name.
        if parsed.server().host().contains(':')
            || parsed.user().is_some_and(|user| user.contains('%'))
        {
            return None;
        }
        let rest = url.strip_prefix("ssh://")?;
        let (authority, path) = rest.split_at(rest.find('/')?);
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        };
        let is_word = |text: &str, more: &[u8]| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || more.contains(&byte);
            !text.is_empty() && text.bytes().all(plain)
        };
        // A path of the form /~user is relative to a home.
        let is_path = is_word(path, b"/-._+=,@") && Path::new(path).is_absolute();
        is_path.then_some(Self { host, port, path })
    }
}

#[cfg(test)]
mod tests;
