//! `ls-refs` of git's protocol 2 (gitprotocol-v2(5)): the question where one ref is, and its answer. Pure.

use super::{CommitId, Head};

/// What has come of an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// Nothing unusual, but not all.
    More,
    /// All of it.
    Whole(Head),
    /// Something else: git itself has to ask.
    Strange,
}

/// It can be put before the server has said anything, which saves a round trip.
pub(crate) fn question(name: &str) -> Vec<u8> {
    let line = |text: &str| format!("{:04x}{text}\n", text.len() + 5);
    let lines = [
        line("command=ls-refs"),
        "0001".to_owned(),
        line(&format!("ref-prefix {name}")),
        FLUSH.to_owned(),
    ];
    lines.concat().into_bytes()
}

/// Ends a question, and in the place of one a session over SSH.
pub(super) const FLUSH: &str = "0000";

/// What a server says in a session of its own: its version and capabilities, a flush, and the refs.
pub(crate) fn in_session(answer: &[u8], name: &str) -> Read {
    let mut rest = answer;
    match packet(&mut rest) {
        Packet::Line(b"version 2") => {}
        Packet::More => return Read::More,
        _ => return Read::Strange,
    }
    loop {
        match packet(&mut rest) {
            Packet::Line(_) => {}
            Packet::Flush => return refs(rest, name),
            Packet::More => return Read::More,
            Packet::Strange => return Read::Strange,
        }
    }
}

/// What a server says to a single question: the refs, and a flush.
pub(crate) fn refs(answer: &[u8], name: &str) -> Read {
    let mut rest = answer;
    let mut head = Head::Missing;
    loop {
        let line = match packet(&mut rest) {
            Packet::Line(line) => std::str::from_utf8(line).ok(),
            Packet::Flush => return Read::Whole(head),
            Packet::More => return Read::More,
            Packet::Strange => return Read::Strange,
        };
        let parts = line.and_then(|line| line.split_once(' '));
        let Some((Ok(id), found)) =
            parts.map(|(id, found)| (CommitId::try_from(id.to_owned()), found))
        else {
            return Read::Strange;
        };
        // A prefix also fits longer names.
        if found == name {
            head = Head::At(id);
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Packet<'a> {
    Line(&'a [u8]),
    Flush,
    More,
    Strange,
}

/// Takes a pkt-line (gitprotocol-common(5)) off the front.
fn packet<'a>(from: &mut &'a [u8]) -> Packet<'a> {
    let digits = from.get(..4).unwrap_or(from);
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return Packet::Strange;
    }
    if digits.len() < 4 {
        return Packet::More;
    }
    let length = std::str::from_utf8(digits).ok();
    match length.and_then(|digits| usize::from_str_radix(digits, 16).ok()) {
        Some(0) => {
            *from = &from[4..];
            Packet::Flush
        }
        Some(length @ 4..) => match from.split_at_checked(length) {
            Some((line, rest)) => {
                *from = rest;
                let line = &line[4..];
                Packet::Line(line.strip_suffix(b"\n").unwrap_or(line))
            }
            None => Packet::More,
        },
        _ => Packet::Strange,
    }
}

#[cfg(test)]
mod tests;
