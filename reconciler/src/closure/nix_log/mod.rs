//! What Nix says while it works: its `--log-format internal-json`, read into events.
//!
//! Lines begin with `@nix ` and hold one JSON object; the numbers of activities and results are
//! those of nix's `src/libutil/logging.hh`. Whatever else is printed is a plain line. Everything is
//! bounded: a builder may print what it likes.

use std::collections::BTreeMap;
use std::collections::VecDeque;

use nixus_switcher::printable::is_printable;
use serde::Deserialize;
use serde_json::Value;

/// The longest line that is read, in bytes; the rest of it is dropped.
const MAX_LINE: usize = 1024 * 1024;
/// How many errors are kept: the first ones, the others follow from them.
const MAX_ERRORS: usize = 16;
/// How much of an error or of a line is kept, in characters.
const MAX_TEXT: usize = 8 * 1024;
/// How much of a builder's line is kept, in characters.
const MAX_BUILDER_LINE: usize = 300;
/// How many last lines of a builder, and plain lines, are kept.
const KEPT_LINES: usize = 10;
/// How many activities are followed at once.
const MAX_ACTIVITIES: usize = 512;

const COPY_PATH: u64 = 100;
const FILE_TRANSFER: u64 = 101;
const BUILDS: u64 = 104;
const BUILD: u64 = 105;

const BUILD_LOG_LINE: u64 = 101;
const PROGRESS: u64 = 105;
const SET_EXPECTED: u64 = 106;

/// How far a build is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Derivations that are built.
    pub done: u64,
    /// Derivations that are being built.
    pub running: u64,
    /// Derivations that are still to be built.
    pub to_do: u64,
    /// Bytes that were fetched.
    pub bytes_fetched: u64,
    /// Bytes that are to be fetched in all, as far as is known.
    pub bytes_expected: u64,
}

impl Progress {
    /// Whether there was anything to build or to fetch.
    pub fn is_any(&self) -> bool {
        *self != Self::default()
    }
}

/// One error of Nix itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NixError {
    /// Its own sentence, without trace and colours.
    pub text: String,
    /// The same with the trace that led to it.
    pub trace: String,
    /// The place in an expression, where Nix names it as the place of this error.
    pub position: Option<String>,
    /// The last lines of the builder that it is about.
    pub builder_said: Vec<String>,
}

#[derive(Deserialize)]
#[serde(tag = "action", rename_all = "lowercase")]
enum Line {
    Start {
        id: u64,
        #[serde(rename = "type")]
        kind: u64,
        #[serde(default)]
        fields: Vec<Value>,
    },
    Stop {
        id: u64,
    },
    Result {
        id: u64,
        #[serde(rename = "type")]
        kind: u64,
        #[serde(default)]
        fields: Vec<Value>,
    },
    Msg {
        level: u64,
        msg: String,
        raw_msg: Option<String>,
        file: Option<String>,
        line: Option<u64>,
        column: Option<u64>,
    },
    #[serde(other)]
    Other,
}

#[derive(Debug, Default)]
struct Activity {
    kind: u64,
    derivation: Option<String>,
    said: VecDeque<String>,
    done: u64,
    expected: u64,
    running: u64,
    /// What this activity expects of others, by their kind.
    expects_transfer: u64,
}

/// All that is kept of what one run of Nix said.
#[derive(Debug, Default)]
pub struct NixLog {
    partial: Vec<u8>,
    too_long: bool,
    activities: BTreeMap<u64, Activity>,
    built: u64,
    fetched: u64,
    errors: Vec<NixError>,
    warnings: VecDeque<String>,
    plain: VecDeque<String>,
}

impl NixLog {
    /// Takes the next bytes of standard error, cut anywhere.
    pub fn hear(&mut self, mut bytes: &[u8]) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.collect(&bytes[..end]);
            self.end_line();
            bytes = &bytes[end + 1..];
        }
        self.collect(bytes);
    }

    /// The stream has ended: a last line without its end counts as well.
    pub fn finish(&mut self) {
        if !self.partial.is_empty() {
            self.end_line();
        }
    }

    /// How far Nix is.
    pub fn progress(&self) -> Progress {
        let of = |kind| self.activities.values().filter(move |one| one.kind == kind);
        let sum = |values: &mut dyn Iterator<Item = u64>| values.fold(0, u64::saturating_add);
        let done = sum(&mut of(BUILDS).map(|one| one.done));
        let running = sum(&mut of(BUILDS).map(|one| one.running));
        let expected = sum(&mut of(BUILDS).map(|one| one.expected));
        let fetched = sum(&mut of(FILE_TRANSFER).map(|one| one.done));
        let bytes_fetched = self.fetched.saturating_add(fetched);
        let under_way = sum(&mut of(FILE_TRANSFER).map(|one| one.expected.max(one.done)));
        let announced = sum(&mut self.activities.values().map(|one| one.expects_transfer));
        Progress {
            done: self.built.saturating_add(done),
            running,
            to_do: expected.saturating_sub(done.saturating_add(running)),
            bytes_fetched,
            bytes_expected: announced.max(self.fetched.saturating_add(under_way)),
        }
    }

    /// The errors of Nix itself, the first one first.
    pub fn errors(&self) -> &[NixError] {
        &self.errors
    }

    /// The last warnings.
    pub fn warnings(&self) -> impl Iterator<Item = &str> {
        self.warnings.iter().map(String::as_str)
    }

    /// The last lines that are not part of the structured log.
    pub fn plain(&self) -> impl Iterator<Item = &str> {
        self.plain.iter().map(String::as_str)
    }

    fn collect(&mut self, bytes: &[u8]) {
        let room = MAX_LINE.saturating_sub(self.partial.len());
        self.too_long |= bytes.len() > room;
        self.partial
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn end_line(&mut self) {
        let bytes = std::mem::take(&mut self.partial);
        let cut = std::mem::take(&mut self.too_long);
        let text = String::from_utf8_lossy(&bytes);
        match text.strip_prefix("@nix ") {
            // What was cut is not JSON any more, and too long to be shown.
            Some(_) if cut => {}
            Some(json) => {
                if let Ok(line) = serde_json::from_str(json) {
                    self.take(line);
                }
            }
            None => push(&mut self.plain, clean(&text, MAX_BUILDER_LINE)),
        }
    }

    fn take(&mut self, line: Line) {
        match line {
            Line::Start { id, kind, fields } => {
                if self.activities.len() < MAX_ACTIVITIES && matches!(kind, 100..=108) {
                    let derivation = fields.first().and_then(Value::as_str);
                    let activity = Activity {
                        kind,
                        derivation: derivation.map(|path| clean(path, MAX_BUILDER_LINE)),
                        ..Activity::default()
                    };
                    self.activities.insert(id, activity);
                }
            }
            Line::Stop { id } => {
                if let Some(ended) = self.activities.remove(&id) {
                    match ended.kind {
                        BUILDS => self.built = self.built.saturating_add(ended.done),
                        FILE_TRANSFER => self.fetched = self.fetched.saturating_add(ended.done),
                        _ => {}
                    }
                }
            }
            Line::Result { id, kind, fields } => self.result(id, kind, &fields),
            Line::Msg {
                level: 0,
                msg,
                raw_msg,
                file,
                line,
                column,
            } => {
                let trace = clean(&msg, MAX_TEXT);
                let text = raw_msg.map_or_else(
                    || trace.trim_start_matches("error:").trim().to_owned(),
                    |raw| clean(&raw, MAX_TEXT),
                );
                self.error(NixError {
                    text,
                    trace,
                    position: file.map(|file| position(&file, line, column)),
                    builder_said: Vec::new(),
                });
            }
            Line::Msg { level: 1, msg, .. } => {
                let text = clean(&msg, MAX_BUILDER_LINE);
                let text = text.trim_start_matches("warning:").trim();
                push(&mut self.warnings, text.to_owned());
            }
            Line::Msg { .. } | Line::Other => {}
        }
    }

    fn result(&mut self, id: u64, kind: u64, fields: &[Value]) {
        let Some(activity) = self.activities.get_mut(&id) else {
            return;
        };
        let number = |index: usize| fields.get(index).and_then(Value::as_u64).unwrap_or(0);
        match kind {
            BUILD_LOG_LINE if activity.kind == BUILD => {
                let line = fields.first().and_then(Value::as_str).unwrap_or_default();
                push(&mut activity.said, clean(line, MAX_BUILDER_LINE));
            }
            PROGRESS if matches!(activity.kind, COPY_PATH | FILE_TRANSFER | BUILDS) => {
                activity.done = number(0);
                activity.expected = number(1);
                activity.running = number(2);
            }
            SET_EXPECTED if number(0) == FILE_TRANSFER => activity.expects_transfer = number(1),
            _ => {}
        }
    }

    fn error(&mut self, mut error: NixError) {
        if self.errors.len() >= MAX_ERRORS {
            return;
        }
        // The message comes before the builder's activity stops.
        let about = self.activities.values().find(|one| {
            one.kind == BUILD
                && one
                    .derivation
                    .as_ref()
                    .is_some_and(|path| error.text.contains(path.as_str()))
        });
        if let Some(activity) = about {
            error.builder_said = activity.said.iter().cloned().collect();
        }
        self.errors.push(error);
    }
}

fn push(lines: &mut VecDeque<String>, line: String) {
    if line.trim().is_empty() {
        return;
    }
    if lines.len() == KEPT_LINES {
        lines.pop_front();
    }
    lines.push_back(line);
}

fn position(file: &str, line: Option<u64>, column: Option<u64>) -> String {
    let file = clean(file, MAX_BUILDER_LINE);
    match (line, column) {
        // Nix 2.26 puts line and column into the file already.
        (Some(line), Some(column)) if !file.ends_with(&format!(":{line}:{column}")) => {
            format!("{file}:{line}:{column}")
        }
        _ => file,
    }
}

/// A text without colours and control characters, cut to a length; a line's end stays.
fn clean(text: &str, limit: usize) -> String {
    let mut cleaned = String::new();
    let mut letters = text.chars();
    let mut count = 0;
    while let Some(letter) = letters.next() {
        if count == limit {
            break;
        }
        if letter == '\u{1b}' {
            // ECMA-48: a control sequence is `[`, parameters, and a final byte from @ to ~.
            if letters.next() == Some('[') {
                let _ = letters.find(|letter| ('@'..='~').contains(letter));
            }
        } else if letter == '\t' {
            cleaned.push(' ');
            count += 1;
        } else if letter == '\n' || is_printable(letter) {
            cleaned.push(letter);
            count += 1;
        }
    }
    cleaned
}

#[cfg(test)]
mod tests;
