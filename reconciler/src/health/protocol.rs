//! What peers say to each other: one line of JSON each way, bounded in every part.
//!
//! A caller says what it wants looked at, and never where: a peer connects only to the addresses that
//! its own configuration has for the caller.

use jiff::Timestamp;
use nixus_switcher::protocol::CheckOutcome;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::config::health::Operator;
use crate::decide::verdict::Lasts;
use crate::health::sshd::printable;
use crate::host::public_key::PublicKey;

/// The version of requests and answers.
pub const VERSION: u32 = 1;
/// The longest request or answer, in bytes.
pub const LIMIT: usize = 128 * 1024;
/// The most keys, ports or findings that are taken.
const MOST: usize = 64;

/// Why a request or an answer was not understood.
#[derive(Debug, Error)]
pub enum ProtocolError {
    /// It is too long.
    #[error("it is longer than {LIMIT} bytes")]
    TooLong,
    /// It is not what it should be.
    #[error("unexpected message")]
    Json(#[source] serde_json::Error),
    /// Another release wrote it.
    #[error("it has version {0}, and not {VERSION}")]
    Version(u32),
    /// It has too many parts.
    #[error("it has more than {MOST} keys, ports or findings")]
    TooMany,
}

/// What a caller wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// The version of this message.
    pub version: u32,
    /// What is asked.
    pub ask: Ask,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Ask {
    /// Whether somebody is there, and whether it is on trial itself.
    Hello,
    /// Whether the caller can be got into.
    Look {
        /// Whose keys its sshd must accept.
        operators: Vec<OperatorKey>,
        /// Which ports must be open beside sshd's.
        ports: Vec<u16>,
    },
    /// Whether the peer reaches the repository that it follows itself.
    Repository,
}

/// A key that must let its owner in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorKey {
    /// The account.
    pub user: String,
    /// The key.
    pub key: PublicKey,
}

impl From<&Operator> for OperatorKey {
    fn from(operator: &Operator) -> Self {
        Self {
            user: operator.user.clone(),
            key: operator.key.clone(),
        }
    }
}

impl Request {
    /// A request of this release.
    pub fn new(ask: Ask) -> Self {
        let version = VERSION;
        Self { version, ask }
    }

    /// As it is sent.
    ///
    /// # Errors
    /// The request is longer than a peer would read.
    pub fn to_line(&self) -> Result<Vec<u8>, ProtocolError> {
        line(self)
    }

    /// As it came in.
    ///
    /// # Errors
    /// It is not JSON of this shape, or of a version that is not known.
    pub fn from_line(bytes: &[u8]) -> Result<Self, ProtocolError> {
        let request: Self = parse(bytes)?;
        if request.version != VERSION {
            return Err(ProtocolError::Version(request.version));
        }
        match &request.ask {
            Ask::Look { operators, ports } if operators.len().max(ports.len()) > MOST => {
                Err(ProtocolError::TooMany)
            }
            _ => Ok(request),
        }
    }
}

/// A request as the forced command passes it on: with the caller that sshd has identified.
#[derive(Debug, Serialize, Deserialize)]
pub struct Passed {
    /// Who asks, by its name in this host's configuration.
    pub caller: String,
    /// What it asks.
    pub request: Request,
}

impl Passed {
    /// As it is passed on.
    ///
    /// # Errors
    /// It is longer than the other side would read.
    pub fn to_line(&self) -> Result<Vec<u8>, ProtocolError> {
        line(self)
    }

    /// As it came in.
    ///
    /// # Errors
    /// It is not JSON of this shape.
    pub fn from_line(bytes: &[u8]) -> Result<Self, ProtocolError> {
        parse(bytes)
    }
}

/// What a peer answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The version of this message.
    pub version: u32,
    /// The peer's own name.
    pub host: String,
    /// Whether it has an open deployment itself.
    pub on_trial: bool,
    /// Since when it makes no passes although some are due; nothing where they come, or of an earlier release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub passes_stopped: Option<Timestamp>,
    /// What it found.
    pub found: Vec<Found>,
}

/// One thing that a peer found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// What was found.
    pub outcome: CheckOutcome,
    /// In words.
    pub reason: String,
    /// How long it lasts, where this host found it itself.
    #[serde(skip)]
    pub lasts: Lasts,
}

impl Found {
    /// Something that was found.
    pub fn new(outcome: CheckOutcome, reason: impl Into<String>) -> Self {
        Self {
            outcome,
            reason: reason.into(),
            lasts: Lasts::Perhaps,
        }
    }

    /// The same, where it is known how long it lasts.
    pub fn lasting(self, lasts: Lasts) -> Self {
        Self { lasts, ..self }
    }
}

/// What several findings say together: the worst, and of those the words.
pub fn together(found: &[Found]) -> Found {
    let of = |outcome| found.iter().filter(move |one| one.outcome == outcome);
    let outcome = [CheckOutcome::Fail, CheckOutcome::Unknown]
        .into_iter()
        .find(|outcome| of(*outcome).next().is_some())
        .unwrap_or(CheckOutcome::Pass);
    if found.is_empty() {
        return Found::new(CheckOutcome::Unknown, "it found nothing");
    }
    let words: Vec<&str> = of(outcome).map(|one| one.reason.as_str()).collect();
    let lasts = if of(outcome).any(|one| one.lasts == Lasts::UntilACommit) {
        Lasts::UntilACommit
    } else if of(outcome).all(|one| one.lasts == Lasts::Briefly) {
        Lasts::Briefly
    } else {
        Lasts::Perhaps
    };
    Found::new(outcome, words.join(", ")).lasting(lasts)
}

impl Answer {
    /// As it is sent.
    ///
    /// # Errors
    /// The answer is longer than a peer would read.
    pub fn to_line(&self) -> Result<Vec<u8>, ProtocolError> {
        line(self)
    }

    /// As it came in; its words are those of another host.
    ///
    /// # Errors
    /// It is not JSON of this shape, or of a version that is not known.
    pub fn from_line(bytes: &[u8]) -> Result<Self, ProtocolError> {
        let mut answer: Self = parse(bytes)?;
        if answer.version != VERSION {
            return Err(ProtocolError::Version(answer.version));
        }
        if answer.found.len() > MOST {
            return Err(ProtocolError::TooMany);
        }
        for found in &mut answer.found {
            found.reason = printable(found.reason.as_bytes());
        }
        answer.host = printable(answer.host.as_bytes());
        Ok(answer)
    }
}

fn line(value: &impl Serialize) -> Result<Vec<u8>, ProtocolError> {
    let mut line = serde_json::to_vec(value).map_err(ProtocolError::Json)?;
    line.push(b'\n');
    if line.len() > LIMIT {
        return Err(ProtocolError::TooLong);
    }
    Ok(line)
}

fn parse<T: for<'a> Deserialize<'a>>(bytes: &[u8]) -> Result<T, ProtocolError> {
    if bytes.len() > LIMIT {
        return Err(ProtocolError::TooLong);
    }
    serde_json::from_slice(bytes).map_err(ProtocolError::Json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_and_answers_are_read_as_they_are_written() {
        let request = Request::new(Ask::Look {
            operators: Vec::new(),
            ports: vec![8080],
        });
        let text = request.to_line().unwrap();
        assert_eq!(
            String::from_utf8_lossy(&text),
            "{\"version\":1,\"ask\":{\"what\":\"look\",\"operators\":[],\"ports\":[8080]}}\n"
        );
        assert_eq!(Request::from_line(&text).unwrap(), request);
        let answer = Answer {
            version: VERSION,
            host: "db1".into(),
            on_trial: true,
            passes_stopped: Some(Timestamp::UNIX_EPOCH),
            found: vec![Found::new(CheckOutcome::Pass, "ssh host key ok")],
        };
        assert_eq!(
            Answer::from_line(&answer.to_line().unwrap()).unwrap(),
            answer
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let many = format!(
            r#"{{"version":1,"ask":{{"what":"look","operators":[],"ports":[{}1]}}}}"#,
            "1,".repeat(MOST)
        );
        for (text, words) in [
            ("", "unexpected message"),
            ("{}", "unexpected message"),
            (
                r#"{"version":1,"ask":{"what":"shell"}}"#,
                "unexpected message",
            ),
            (
                r#"{"version":1,"ask":{"what":"hello"},"to":"10.0.0.1"}"#,
                "unexpected message",
            ),
            (r#"{"version":9,"ask":{"what":"hello"}}"#, "version 9"),
            (
                r#"{"version":1,"ask":{"what":"look","operators":[{"user":"a","key":"no"}],"ports":[]}}"#,
                "unexpected message",
            ),
            (&many, "more than"),
            (&" ".repeat(LIMIT + 1), "longer than"),
        ] {
            let said = Request::from_line(text.as_bytes()).unwrap_err().to_string();
            assert!(said.contains(words), "{text:.80}: {said}");
        }
    }

    #[test]
    fn a_peers_words_are_shortened_and_can_do_nothing_to_a_terminal() {
        let found = Found::new(
            CheckOutcome::Fail,
            format!("\u{1b}[2J\n{}", "x".repeat(1000)),
        );
        let answer = Answer {
            version: VERSION,
            host: "db1\n".into(),
            on_trial: false,
            passes_stopped: None,
            found: vec![found],
        };
        let read = Answer::from_line(&answer.to_line().unwrap()).unwrap();
        assert_eq!(read.host, "db1");
        let reason = &read.found[0].reason;
        assert!(
            reason.len() <= 200 && !reason.contains(['\n', '\u{1b}']),
            "{reason}"
        );
    }

    #[test]
    fn the_worst_finding_speaks_for_all() {
        use CheckOutcome::{Fail, Pass, Unknown};
        let check = |outcomes: &[CheckOutcome], expected: CheckOutcome, words: &str| {
            let found: Vec<_> = outcomes
                .iter()
                .zip(["a", "b", "c"])
                .map(|(outcome, word)| Found::new(*outcome, word))
                .collect();
            assert_eq!(together(&found), Found::new(expected, words));
        };
        check(&[], Unknown, "it found nothing");
        check(&[Pass, Pass], Pass, "a, b");
        check(&[Pass, Unknown, Pass], Unknown, "b");
        check(&[Fail, Unknown, Fail], Fail, "a, c");
    }
}
