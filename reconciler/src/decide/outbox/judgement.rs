//! What a forge's answer means for a status.

use jiff::Timestamp;

/// What is to be done about a status after an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judgement {
    /// It stands on the commit.
    Taken,
    /// It stood there already.
    AlreadySo,
    /// It was refused.
    Refused {
        /// The forge's words.
        why: String,
        /// Another try would be refused too, whoever makes it.
        for_good: bool,
    },
    /// Too much was asked; the time is the one that the forge named.
    Limited {
        /// Nothing is to be asked before it.
        until: Option<Timestamp>,
        /// The forge's words.
        why: String,
    },
    /// The forge is in trouble, or was not reached.
    Trouble {
        /// Why.
        why: String,
        /// It was reached, and said so itself.
        answered: bool,
    },
}

/// A judgement, and a time before which nothing more is to be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// About the status.
    pub judgement: Judgement,
    /// The limit was reached with this request.
    pub pause: Option<Timestamp>,
}
