//! Tries one target for a time.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use nix::sys::resource::{Resource, setrlimit};
use nixus::fuzzing::Target;

use super::coverage::{New, Reached};
use super::mutation::Mutation;
use super::{corpus, coverage};

/// No input may take longer; the machine may be busy.
const LONGEST: Duration = Duration::from_secs(20);
/// Of the whole program. What asks for more ends it.
const MEMORY: u64 = 8 << 30;
/// What broke one target is shown so often; the rest is likely the same.
const MOST_BROKEN: usize = 3;
/// So long a broken input is shortened.
const SHORTENING: Duration = Duration::from_secs(2);

/// What a target's run was.
#[derive(Debug)]
pub struct Found {
    name: &'static str,
    /// So many inputs were tried.
    pub inputs: u64,
    slowest: (Duration, usize),
    corpus: usize,
    kept: usize,
    branches: Option<usize>,
    /// What broke it: a file, and why.
    pub broken: Vec<(PathBuf, String)>,
}

/// The heading of the table.
pub const HEADING: &str =
    "target                   inputs  slowest ms (its bytes)   corpus   kept  branches  broken";

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let branches = self
            .branches
            .map_or_else(|| "-".to_owned(), |count| count.to_string());
        let slowest = format!(
            "{:.1} ({})",
            self.slowest.0.as_secs_f64() * 1e3,
            self.slowest.1
        );
        write!(
            f,
            "{:<21} {:>9} {slowest:>23} {:>8} {:>6} {branches:>9} {:>7}",
            self.name,
            self.inputs,
            self.corpus,
            self.kept,
            self.broken.len()
        )
    }
}

/// What is wrong with a target, given this input.
pub fn problem(target: Target, input: &[u8]) -> Option<String> {
    match catch_unwind(AssertUnwindSafe(|| (target.run)(input))) {
        Ok(result) => result.err(),
        Err(panic) => {
            let words = panic.downcast_ref::<String>().cloned();
            let words =
                words.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Some(format!("it panics: {}", words.unwrap_or_default()))
        }
    }
}

/// Panics are shown with what caused them.
pub fn silence_panics() {
    std::panic::set_hook(Box::new(|_| ()));
}

/// What takes all memory ends the program and not the machine.
///
/// # Errors
/// The kernel does not take the limit.
pub fn limit_memory() -> Result<()> {
    setrlimit(Resource::RLIMIT_AS, MEMORY, MEMORY).context("cannot limit the memory")
}

/// Tries a target for a time.
///
/// # Errors
/// The corpus cannot be read or written.
pub fn campaign(target: Target, time: Duration, seed: u64) -> Result<Found> {
    let mut pool: Vec<Vec<u8>> = corpus::read(target.name)?
        .into_iter()
        .map(|(_, bytes)| bytes)
        .collect();
    let corpus = pool.len();
    let mut changes = Mutation::new(seed, target.name);
    let mut reached = coverage::is_there().then(Reached::default);
    let mut found = Found {
        name: target.name,
        inputs: 0,
        slowest: (Duration::ZERO, 0),
        corpus,
        kept: 0,
        branches: None,
        broken: Vec::new(),
    };
    let under_way = Arc::new(Mutex::new(Vec::new()));
    let (alive, watched) = channel::<()>();
    watch(target.name, Arc::clone(&under_way), watched);
    let begun = Instant::now();
    let mut index = 0;
    while begun.elapsed() < time || index < corpus {
        // First the corpus as it is.
        let input = match pool.get(index).filter(|_| index < corpus) {
            Some(input) => input.clone(),
            None => changes.next(&pool),
        };
        let is_changed = index >= corpus;
        index += 1;
        under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone_from(&input);
        let _ = alive.send(());
        let before = Instant::now();
        let problem = problem(target, &input);
        let took = before.elapsed();
        found.inputs += 1;
        if took > found.slowest.0 {
            found.slowest = (took, input.len());
        }
        let is_new = reached
            .as_mut()
            .is_some_and(|reached| reached.take() != New::Nothing);
        if let Some(why) = problem {
            let short = shortened(target, input);
            found
                .broken
                .push((corpus::add_broken(target.name, &short)?, why));
            if found.broken.len() >= MOST_BROKEN {
                break;
            }
        } else if is_new && is_changed {
            pool.push(input);
        }
    }
    found.branches = reached.map(|reached| reached.branches());
    if found.branches.is_some() {
        let (before, new) = pool.split_at_mut(corpus);
        found.kept = keep(target, before, new)?;
    }
    Ok(found)
}

/// Adds to the corpus what reaches a branch that nothing else in it reaches, the shortest first; how many those are.
fn keep(target: Target, before: &[Vec<u8>], new: &mut [Vec<u8>]) -> Result<usize> {
    let mut reached = Reached::default();
    let mut reaches_more = |input: &[u8]| {
        let is_broken = problem(target, input).is_some();
        reached.take() == New::Branch && !is_broken
    };
    for input in before {
        reaches_more(input);
    }
    new.sort_by_key(Vec::len);
    let mut kept = 0;
    for input in new {
        if reaches_more(input) && corpus::add(target.name, input)? {
            kept += 1;
        }
    }
    Ok(kept)
}

/// The same input without what does not matter.
fn shortened(target: Target, mut input: Vec<u8>) -> Vec<u8> {
    let begun = Instant::now();
    let mut size = input.len() / 2;
    while size > 0 && begun.elapsed() < SHORTENING {
        let mut at = 0;
        while at < input.len() && begun.elapsed() < SHORTENING {
            let mut shorter = input.clone();
            shorter.drain(at..(at + size).min(input.len()));
            match problem(target, &shorter) {
                Some(_) => input = shorter,
                None => at += size,
            }
        }
        size /= 2;
    }
    input
}

/// Ends the program where an input takes too long: nothing else can be done about it in one process.
fn watch(
    target: &'static str,
    under_way: Arc<Mutex<Vec<u8>>>,
    alive: std::sync::mpsc::Receiver<()>,
) {
    thread::spawn(move || {
        loop {
            match alive.recv_timeout(LONGEST) {
                Ok(()) => {}
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {
                    let input = under_way
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .clone();
                    let file = corpus::add_broken(target, &input);
                    eprintln!("{target} takes more than {} s: {file:?}", LONGEST.as_secs());
                    std::process::exit(1);
                }
            }
        }
    });
}
