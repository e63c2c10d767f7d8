//! How a host's commit statuses are on their way, for `nixus status`.

use std::fmt;

use anstyle::Style;
use jiff::Timestamp;
use serde::Serialize;

use super::text::{BAD, BUSY, PLAIN};
use crate::activation::Switcher;
use crate::config::Config;
use crate::decide::age::age;
use crate::decide::outbox::{Next, Outbox};
use crate::decide::status::Word;
use crate::host::files::Paths;
use crate::host::process::in_words;
use crate::report::outbox_file;
use crate::report::{Post, held_too_long};

/// How commit statuses are on their way.
#[derive(Debug, Serialize)]
pub struct StatusesView {
    /// The forge and the repository.
    pub on: String,
    /// How many reports wait to be posted.
    pub waiting: usize,
    /// What was posted last.
    pub last: Option<Last>,
    /// What keeps the next one back.
    pub held_back: Option<HeldBack>,
    /// What the forge has refused.
    pub refused: Vec<Refused>,
}

/// A status that stands on a commit.
#[derive(Debug, Serialize)]
pub struct Last {
    /// The commit.
    pub commit: String,
    /// What it says.
    pub description: String,
    /// Since when.
    pub time: Timestamp,
}

/// Why nothing is posted now.
#[derive(Debug, Serialize)]
pub struct HeldBack {
    /// Nothing is posted before.
    pub until: Timestamp,
    /// Whether the forge named that time.
    pub named_by_forge: bool,
    /// Why.
    pub why: String,
}

/// A status that the forge refused.
#[derive(Debug, Serialize)]
pub struct Refused {
    /// The commit.
    pub commit: String,
    /// The first word of the status.
    pub word: Word,
    /// The forge's words.
    pub why: String,
    /// When it is tried again, if ever.
    pub again: Option<Timestamp>,
}

/// Gathers the view; nothing where this host posts none, or it cannot be determined.
pub fn view(config: &Config, paths: &Paths, switcher: &Switcher) -> Option<StatusesView> {
    let statuses = config.statuses.as_ref()?;
    let outbox = outbox_file::load(paths).ok()?;
    let post = Post {
        config,
        statuses,
        paths,
        switcher,
    };
    let waiting = post.waiting(&outbox, &mut |_, _| Ok(None)).ok()?;
    let now = Timestamp::now();
    // What says nothing new does not wait.
    let waiting = waiting.iter().filter(|one| {
        let next = outbox.next(std::slice::from_ref(one), statuses.policy, now);
        !matches!(next, Next::Skip(_))
    });
    let waiting = waiting.count();
    let repository = &statuses.repository;
    let on = format!("{} on {}", repository.path, repository.kind.word());
    let mut view = of(&outbox, waiting, on, now);
    if let Some(held) = held_too_long(paths) {
        view.held_back = Some(HeldBack {
            until: now,
            named_by_forge: false,
            why: in_words(&held),
        });
    }
    Some(view)
}

/// The view of an outbox.
pub fn of(outbox: &Outbox, waiting: usize, on: String, now: Timestamp) -> StatusesView {
    let held = outbox.held.iter().map(|held| Refused {
        commit: held.item.status.commit.clone(),
        word: held.item.status.word,
        why: held.why.clone(),
        again: Some(held.until),
    });
    let given_up = outbox.given_up.iter().map(|one| Refused {
        commit: one.commit.clone(),
        word: one.word,
        why: one.why.clone(),
        again: None,
    });
    let wait = outbox.wait.as_ref().filter(|wait| wait.until > now);
    StatusesView {
        on,
        waiting,
        last: outbox.posted.last().map(|posted| Last {
            commit: posted.commit.clone(),
            description: posted.description.clone(),
            time: posted.time,
        }),
        held_back: wait.map(|wait| HeldBack {
            until: wait.until,
            named_by_forge: wait.named,
            why: wait.why.clone(),
        }),
        refused: given_up.chain(held).collect(),
    }
}

/// How many refused statuses people are shown; the last ones.
const SHOWN: usize = 3;

impl StatusesView {
    /// The lines for people.
    pub(super) fn lines(&self, now: Timestamp) -> Vec<(Style, String)> {
        let mut lines = Vec::new();
        let short = |id: &str| id.get(..7).unwrap_or(id).to_owned();
        let last = self.last.as_ref().map_or_else(
            || "nothing posted yet".to_owned(),
            |last| {
                let commit = short(&last.commit);
                format!(
                    "last {commit}: {} ({} ago)",
                    last.description,
                    age(last.time, now)
                )
            },
        );
        lines.push((PLAIN, format!("{}, {last}", self.on)));
        match (&self.held_back, self.waiting) {
            (Some(held), _) => lines.push((
                BUSY,
                format!(
                    "{} until {:.0}: {}",
                    Count(self.waiting),
                    held.until,
                    held.why
                ),
            )),
            (None, 0) => {}
            (None, _) => lines.push((BUSY, Count(self.waiting).to_string())),
        }
        for refused in self.refused.iter().rev().take(SHOWN) {
            let again = refused.again.map_or_else(
                || "not tried again".to_owned(),
                |time| format!("tried again at {time:.0}"),
            );
            let commit = short(&refused.commit);
            lines.push((
                BAD,
                format!(
                    "{} of {commit} refused, {again}: {}",
                    refused.word, refused.why
                ),
            ));
        }
        lines
    }
}

struct Count(usize);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("one waits to be posted"),
            number => write!(f, "{number} wait to be posted"),
        }
    }
}
