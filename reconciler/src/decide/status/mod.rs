//! A report as a commit status: pure.
//!
//! A description is one word for machines, a sentence for people, and where it is signed a sequence
//! number and the signature. It has at most 140 characters, GitHub's limit
//! (docs.github.com/en/rest/commits/statuses); the other forges take more.

use std::fmt;
use std::str::FromStr;

use nixus_switcher::printable::printable;
use serde::{Deserialize, Serialize};

use crate::config::is_host_name;
use crate::decide::report::{Report, State, name};

/// The longest description, in characters.
pub const LONGEST: usize = 140;
/// What stands before a host's name in its context.
const PREFIX: &str = "nixus/";
/// An ed25519 signature in base64url without padding.
const SIGNATURE: usize = 86;

/// The first word of a status: what a host does about a commit, or how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Word {
    /// It waits; the text says why.
    Waiting,
    /// The toplevel is being built.
    Building,
    /// It is being activated.
    Activating,
    /// It is on trial.
    Verifying,
    /// The host is on this commit.
    Success,
    /// The new system failed, and the host went back.
    Failure,
    /// The commit could not be built, or is refused, or the host cannot go on.
    Error,
}

impl Word {
    /// All words, in the order of a deployment.
    pub const ALL: [Self; 7] = [
        Self::Waiting,
        Self::Building,
        Self::Activating,
        Self::Verifying,
        Self::Success,
        Self::Failure,
        Self::Error,
    ];

    /// What a report comes to; `on_trial` where the switcher has its deployment on trial now.
    pub fn of(report: &Report, on_trial: bool) -> Self {
        match report.state {
            State::Waiting => Self::Waiting,
            State::Building => Self::Building,
            State::Activating if on_trial || report.verified => Self::Verifying,
            State::Activating => Self::Activating,
            State::Success => Self::Success,
            State::Failure => Self::Failure,
            State::Error => Self::Error,
        }
    }

    /// The word itself.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Building => "building",
            Self::Activating => "activating",
            Self::Verifying => "verifying",
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Error => "error",
        }
    }

    /// Whether the host is done with the commit.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Success | Self::Failure | Self::Error)
    }

    /// The state that a report with this word has.
    pub fn state(self) -> State {
        match self {
            Self::Waiting => State::Waiting,
            Self::Building => State::Building,
            Self::Activating | Self::Verifying => State::Activating,
            Self::Success => State::Success,
            Self::Failure => State::Failure,
            Self::Error => State::Error,
        }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Word {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let known = Self::ALL.into_iter().find(|word| word.as_str() == text);
        known.ok_or(())
    }
}

/// One status, as every forge is given it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The commit's id.
    pub commit: String,
    /// `nixus/` and the host.
    pub context: String,
    /// What the host does.
    pub word: Word,
    /// The word and the sentence.
    pub description: String,
    /// Where there is more to read.
    pub link: Option<String>,
}

/// The context of a host's statuses.
pub fn context(host: &str) -> String {
    format!("{PREFIX}{host}")
}

/// The host that a context belongs to.
pub fn host_of(context: &str) -> Option<&str> {
    context
        .strip_prefix(PREFIX)
        .filter(|host| is_host_name(host))
}

impl Status {
    /// The sentence of a report's status, as short as it has to be beside the signature with this number.
    pub fn sentence(report: &Report, word: Word, sealed: Option<u64>) -> String {
        // The commit's own page need not be told which commit it is about.
        let text = report.text.strip_prefix(&name(&report.commit));
        let text = text.map_or(report.text.as_str(), |rest| rest.trim_start_matches(": "));
        // The word is said once, at the beginning.
        let said = [word, Self::before(word)];
        let rest = said
            .iter()
            .find_map(|word| text.strip_prefix(word.as_str()));
        let text = rest.map_or(text, |rest| rest.trim_start_matches([',', ':', ' ']));
        let text = printable(text);
        let end = sealed.map_or(0, |sequence| format!(" #{sequence} ").len() + SIGNATURE);
        let room = LONGEST.saturating_sub(word.as_str().len() + 1 + end);
        shorten(text.trim(), room).trim_end().to_owned()
    }

    /// The status for a report. `seal` is what signs it: sequence number and signature.
    pub fn of(report: &Report, word: Word, link: Option<&str>, seal: Option<&Seal>) -> Self {
        let text = Self::sentence(report, word, seal.map(|seal| seal.sequence));
        let end = seal.map_or(String::new(), |seal| {
            format!(" #{} {}", seal.sequence, seal.signature)
        });
        let said = format!("{word} {text}");
        Self {
            commit: report.commit.id.clone(),
            context: context(&report.host),
            word,
            description: format!("{}{end}", said.trim_end()),
            link: link.map(|link| {
                let deployment = report.deployment.as_ref().map_or("", |id| id.as_str());
                link.replace("{host}", &report.host)
                    .replace("{commit}", &report.commit.id)
                    .replace("{deployment}", deployment)
            }),
        }
    }
}

impl Status {
    /// The word that a report has which a trial makes another status of.
    fn before(word: Word) -> Word {
        match word {
            Word::Verifying => Word::Activating,
            other => other,
        }
    }
}

/// What vouches for a status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    /// Rises with every report of a host.
    pub sequence: u64,
    /// The signature, in base64url.
    pub signature: String,
}

/// A description that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// Its first word.
    pub word: Word,
    /// The sentence.
    pub text: String,
    /// What vouches for it.
    pub seal: Option<Seal>,
}

/// Understands a description; nothing where it is not one of ours.
pub fn read(description: &str) -> Option<Read> {
    let (word, rest) = description.split_once(' ').unwrap_or((description, ""));
    let word = word.parse().ok()?;
    let seal = sealed(rest);
    let text = match &seal {
        Some((text, _)) => text,
        None => rest,
    };
    Some(Read {
        word,
        text: text.to_owned(),
        seal: seal.map(|(_, seal)| seal),
    })
}

fn sealed(rest: &str) -> Option<(&str, Seal)> {
    let (before, signature) = rest.rsplit_once(' ')?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if signature.len() != SIGNATURE || !signature.bytes().all(plain) {
        return None;
    }
    let (text, number) = before.rsplit_once(' ').unwrap_or(("", before));
    let sequence = number.strip_prefix('#')?.parse().ok()?;
    let signature = signature.to_owned();
    Some((
        text,
        Seal {
            sequence,
            signature,
        },
    ))
}

/// At most so many characters: what is too much is taken out of the middle, since a reason begins
/// with what failed and ends with why.
pub fn shorten(text: &str, most: usize) -> String {
    let count = text.chars().count();
    if count <= most {
        return text.to_owned();
    }
    let Some(kept) = most.checked_sub(1) else {
        return String::new();
    };
    let head = kept.div_ceil(2);
    let tail = kept - head;
    text.chars()
        .take(head)
        .chain(['…'])
        .chain(text.chars().skip(count - tail))
        .collect()
}

#[cfg(test)]
mod tests;
