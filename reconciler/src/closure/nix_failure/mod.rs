//! Whose fault a failure of Nix is: the commit's, or not for certain. Pure.
//!
//! Nix's structured log has no error codes, so the evidence is which of its own fixed sentences it
//! ends with, where it points to, and which derivation failed. Only what is positively an error of
//! evaluation or of a builder is the commit's fault; a failure that is not understood is not. The
//! sentences were recorded with Nix 2.26.3 (`recorded/`); those of 2.30 and later are in its
//! `src/libstore/build/derivation-building-goal.cc`.

use std::path::Path;

use crate::closure::nix_log::{NixError, NixLog};
use crate::host::files::read_start;

/// How much of a derivation is read, in bytes: its first output stands at the start.
const DERIVATION_START: usize = 4096;

/// What is to be done about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The commit is at fault: the same would come of it again.
    Commit,
    /// A builder failed by itself. The same is likely to come of it again, but not certain.
    Builder,
    /// It may work later.
    Transient,
}

/// A failure as it is judged and reported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Whose fault it is.
    pub class: Class,
    /// The lines that matter.
    pub told: String,
}

/// What kind of derivation failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Derivation {
    /// Its builder sees nothing but its inputs.
    Ordinary,
    /// Its output's hash is known before; its builder may use the network (a fixed-output
    /// derivation).
    Fetches,
    /// It could not be read.
    Unknown,
}

/// What Nix says where the network, a lock or the time is at fault.
const ENVIRONMENT: [&str; 22] = [
    "unable to download",
    "HTTP error",
    "Could not resolve host",
    "Couldn't resolve host",
    "Temporary failure in name resolution",
    "Failed to open archive",
    "Failed to fetch git repository",
    "cannot connect to",
    "timed out",
    "interrupted by the user",
    "unable to start any build",
    "cannot build on",
    "failed to start SSH connection",
    "SQLite database",
    "Resource temporarily unavailable",
    "Too many open files",
    "Connection refused",
    "Connection reset by peer",
    "Network is unreachable",
    "No route to host",
    "Broken pipe",
    "Device or resource busy",
];

/// What is said where disk or memory is at fault. It also counts in what a failed builder said
/// last: a builder that ran out of disk is not a broken builder.
const RESOURCES: [&str; 8] = [
    "No space left on device",
    "Disk quota exceeded",
    "Cannot allocate memory",
    "out of memory",
    "std::bad_alloc",
    "Input/output error",
    "Read-only file system",
    "Structure needs cleaning",
];

/// What leads to an error in its trace where something is fetched while it is evaluated.
const FETCHING: [&str; 6] = [
    "while fetching",
    "'fetchTree'",
    "'fetchFinalTree'",
    "'fetchGit'",
    "'fetchMercurial'",
    "'fetchClosure'",
];

/// Sentences of an evaluation that point to no place in an expression.
const EVALUATION: [&str; 10] = [
    "does not provide attribute",
    "in selection path",
    "to be a derivation or path",
    "requires lock file changes",
    "flake.nix' file",
    "flake.nix' does not exist",
    "lacks attribute 'outputs'",
    "evaluation aborted with the following error message",
    "infinite recursion encountered",
    "stack overflow",
];

/// Errors that only follow from another one.
const CONSEQUENCES: [&str; 4] = [
    "dependencies of derivation",
    "dependency failed",
    "dependencies failed",
    "build of",
];

/// Judges what Nix said before it failed. `kind` tells what kind of derivation is at a path.
pub fn explain(log: &NixLog, kind: impl Fn(&str) -> Derivation) -> Failure {
    let told = tell(log);
    let environment = log.errors().iter().any(of_the_environment);
    let class = match environment {
        false if log.errors().iter().any(of_the_commit) => Class::Commit,
        false if log.errors().iter().any(|error| of_a_builder(error, &kind)) => Class::Builder,
        // Nix's handler of a full stack prints without its log (src/libmain/stack.cc).
        false if log.plain().any(|line| line.starts_with(STACK_OVERFLOW)) => Class::Commit,
        _ => Class::Transient,
    };
    Failure { class, told }
}

const STACK_OVERFLOW: &str = "error: stack overflow";

fn of_the_environment(error: &NixError) -> bool {
    let has = |text: &str, signs: &[&str]| signs.iter().any(|sign| text.contains(sign));
    // A path that was collected meanwhile.
    let collected =
        error.text.starts_with("path '/nix/store/") && error.text.ends_with("is not valid");
    collected
        || has(&error.text, &ENVIRONMENT)
        || has(&error.text, &RESOURCES)
        || error.builder_said.iter().any(|line| has(line, &RESOURCES))
}

fn of_a_builder(error: &NixError, kind: impl Fn(&str) -> Derivation) -> bool {
    let failed = failed_builder(&error.text).filter(|_| !is_consequence(error));
    failed.is_some_and(|derivation| kind(derivation) == Derivation::Ordinary)
}

fn of_the_commit(error: &NixError) -> bool {
    if is_consequence(error) || failed_builder(&error.text).is_some() {
        return false;
    }
    // Whatever else is said of a derivation or a store path that could not be made is not an error of
    // evaluation, wherever in one it came up.
    if error.text.contains(".drv") {
        return false;
    }
    if EVALUATION.iter().any(|sign| error.text.contains(sign)) {
        return true;
    }
    let fetching = FETCHING.iter().any(|sign| error.trace.contains(sign));
    let points = error.position.is_some() || points_into_an_expression(&error.trace);
    points && !fetching && !is_of_the_system(&error.text)
}

/// The derivation whose builder ended by itself, with a failure.
fn failed_builder(text: &str) -> Option<&str> {
    let code = text
        .split("failed with exit code ")
        .nth(1)
        .and_then(|rest| {
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            digits.parse::<u8>().ok()
        });
    // A shell whose child was killed ends with 128 and the signal, of which there are 64 (signal(7)): nobody
    // knows who killed it. Programs such as sshd and perl end with 255 by themselves.
    let by_itself = code.is_some_and(|code| !(129..=192).contains(&code));
    let no_output = text.contains("failed to produce output path");
    if !text.contains("builder") || !(by_itself || no_output) {
        return None;
    }
    text.split('\'').find(|part| part.ends_with(".drv"))
}

fn is_consequence(error: &NixError) -> bool {
    CONSEQUENCES.iter().any(|sign| error.text.contains(sign))
}

/// Whether a trace has a line such as `at /nix/store/…-source/flake.nix:1:22:`.
fn points_into_an_expression(trace: &str) -> bool {
    place_in(trace).is_some()
}

fn place_in(trace: &str) -> Option<&str> {
    trace
        .lines()
        .filter_map(|line| line.trim().strip_prefix("at "))
        .filter_map(|place| place.strip_suffix(':'))
        .rfind(|place| {
            let mut parts = place.rsplitn(3, ':');
            let number = |part: Option<&str>| part.is_some_and(|part| part.parse::<u64>().is_ok());
            number(parts.next()) && number(parts.next()) && parts.next().is_some()
        })
}

/// Whether an error ends with what the system said of a call that failed (`SysError`).
fn is_of_the_system(text: &str) -> bool {
    const ENDS: [&str; 4] = [
        ": No such file or directory",
        ": Permission denied",
        ": Operation not permitted",
        ": File exists",
    ];
    ENDS.iter().any(|end| text.ends_with(end)) || text.contains("failed with exit code")
}

/// The first error that does not follow from another, where it is, and what its builder said last.
fn tell(log: &NixLog) -> String {
    let errors = log.errors();
    let first = errors
        .iter()
        .find(|error| !is_consequence(error))
        .or(errors.first());
    let Some(error) = first else {
        return log.plain().collect::<Vec<_>>().join("\n");
    };
    let mut lines = vec![format!("error: {}", error.text)];
    let place = error.position.as_deref().or(place_in(&error.trace));
    if let Some(place) = place {
        lines.push(format!("at {place}"));
    }
    if !error.builder_said.is_empty() {
        lines.push(format!("last {} log lines:", error.builder_said.len()));
        lines.extend(error.builder_said.iter().map(|line| format!("> {line}")));
    }
    lines.join("\n")
}

/// Reads what kind of derivation is at a path of the store.
pub fn read_kind(path: &str) -> Derivation {
    read_start(Path::new(path), DERIVATION_START)
        .map_or(Derivation::Unknown, |start| kind_of(&start))
}

/// A derivation is a term of ATerm: `Derive([("out","/nix/store/…","sha256","<hash>")],…`. Algorithm
/// and hash are empty unless the output is fixed; only the algorithm is there where the output is
/// addressed by what comes out.
fn kind_of(start: &[u8]) -> Derivation {
    let text = String::from_utf8_lossy(start);
    let Some(outputs) = text
        .find("Derive(")
        .or_else(|| text.find("DrvWithVersion("))
        .and_then(|begin| text[begin..].split_once("[(\""))
        .and_then(|(_, rest)| rest.split_once(']'))
        .map(|(outputs, _)| outputs)
    else {
        return Derivation::Unknown;
    };
    let first: Vec<_> = outputs.split("\",\"").take(4).collect();
    match first.as_slice() {
        [_, _, _, hash] if hash.starts_with('"') => Derivation::Ordinary,
        [_, _, _, _] => Derivation::Fetches,
        _ => Derivation::Unknown,
    }
}

#[cfg(test)]
mod tests;
