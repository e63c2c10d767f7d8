//! Asks a server for one ref, over SSH, in git's protocol 2 (gitprotocol-v2(5), `ls-refs`).
//!
//! `git ls-remote` gives the server no pattern: with `--heads` each branch costs 75 bytes in every
//! poll, and only git's own fetch asks for less. So the question is put here, to the same
//! `git-upload-pack`. Whatever is unusual (another scheme, a strange address, a server that does not
//! know the protocol, a refusal) is left to git.

use std::path::Path;

use super::{CommitId, Head};
use crate::config::Remote;
use crate::process::ProcessError;
use crate::ssh;

/// The exit code of ssh for its own failures, such as no connection (ssh(1)).
const NOT_CONNECTED: i32 = 255;

/// Where the ref `name` is; nothing where git itself has to ask.
///
/// # Errors
/// The server cannot be reached, or does not answer in time.
pub async fn ask(remote: &Remote, name: &str) -> Result<Option<Head>, ProcessError> {
    let Some(address) = Address::of(&remote.url) else {
        return Ok(None);
    };
    let mut ssh = ssh::invocation(remote)
        .args(["-o", "SendEnv=GIT_PROTOCOL"])
        .env("GIT_PROTOCOL", "version=2")
        .env("LC_ALL", "C");
    if let Some(port) = address.port {
        ssh = ssh.args(["-p", port]);
    }
    let asked = ssh
        .args(["--", address.host])
        // The remote shell's words, as git writes them; `Address` has nothing that needs more.
        .arg(format!("git-upload-pack '{}'", address.path))
        .input(question(name))
        .output()
        .await;
    match asked {
        Ok(answer) => Ok(head_in(&answer, name)),
        Err(error) if is_final(&error) => Err(error),
        Err(_) => Ok(None),
    }
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
        let is_host = host.split('@').count() <= 2
            && host
                .split('@')
                .all(|part| is_word(part, b"-._") && !part.starts_with('-'));
        let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok());
        // A path of the form /~user is relative to a home.
        let is_path = is_word(path, b"/-._+=,@") && Path::new(path).is_absolute();
        (is_host && is_port && is_path).then_some(Self { host, port, path })
    }
}

/// Put before the server has said anything: it saves a round trip, and a flush ends the session.
fn question(name: &str) -> Vec<u8> {
    let line = |text: &str| format!("{:04x}{text}\n", text.len() + 5);
    let lines = [
        line("command=ls-refs"),
        "0001".to_owned(),
        line(&format!("ref-prefix {name}")),
        "0000".to_owned(),
        "0000".to_owned(),
    ];
    lines.concat().into_bytes()
}

/// What a server said: its version and capabilities, a flush, the refs, a flush. Nothing where it
/// is anything else.
fn head_in(answer: &[u8], name: &str) -> Option<Head> {
    let mut packets = Packets(answer);
    if packets.next()? != Packet::Line(b"version 2") {
        return None;
    }
    while let Packet::Line(_) = packets.next()? {}
    let mut head = Head::Missing;
    while let Packet::Line(line) = packets.next()? {
        let line = std::str::from_utf8(line).ok()?;
        let (id, found) = line.split_once(' ')?;
        // A prefix also fits longer names.
        if found == name {
            head = Head::At(CommitId::try_from(id.to_owned()).ok()?);
        }
    }
    Some(head)
}

#[derive(Debug, PartialEq, Eq)]
enum Packet<'a> {
    Line(&'a [u8]),
    Flush,
}

/// The pkt-lines of an answer (gitprotocol-common(5)), until one is none or the answer ends.
struct Packets<'a>(&'a [u8]);

impl<'a> Iterator for Packets<'a> {
    type Item = Packet<'a>;

    fn next(&mut self) -> Option<Packet<'a>> {
        let (length, rest) = self.0.split_at_checked(4)?;
        if !length.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let length = usize::from_str_radix(std::str::from_utf8(length).ok()?, 16).ok()?;
        if length == 0 {
            self.0 = rest;
            return Some(Packet::Flush);
        }
        let (line, rest) = rest.split_at_checked(length.checked_sub(4)?)?;
        self.0 = rest;
        Some(Packet::Line(line.strip_suffix(b"\n").unwrap_or(line)))
    }
}

#[cfg(test)]
mod tests;
