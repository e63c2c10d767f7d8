//! Labs that are used by one test after the other.
//!
//! A lab is made for the first test that wants one of its kind. When the test has passed, the lab is
//! brought back to what it was at the beginning (`picture.rs`) and waits for the next test; one
//! that cannot be brought back, or whose test failed, ends.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result};

use crate::laboratory::{Builder, Lab};
use crate::meter::{self, Wait};
use crate::picture::Picture;

/// Whether labs are kept at all: where one test runs, or none, nobody would take them.
static OPEN: AtomicBool = AtomicBool::new(false);
static IDLE: Mutex<BTreeMap<String, Vec<Kept>>> = Mutex::new(BTreeMap::new());
static MADE: AtomicU32 = AtomicU32::new(0);
static TAKEN: AtomicU32 = AtomicU32::new(0);
static ENDED: AtomicU32 = AtomicU32::new(0);

thread_local! {
    /// What the test of this thread is done with.
    static DONE: RefCell<Vec<Kept>> = const { RefCell::new(Vec::new()) };
}

/// A lab, and what it was at the beginning.
#[derive(Debug)]
struct Kept {
    kind: String,
    lab: Lab,
    picture: Picture,
}

/// A lab that goes back to where it came from when this is dropped.
#[derive(Debug)]
pub struct Leased {
    // Only dropping takes it away.
    lab: Option<Lab>,
    /// Where it goes then; a lab of one's own just ends.
    back: Option<(String, Picture)>,
}

impl Deref for Leased {
    type Target = Lab;

    #[expect(clippy::unreachable, reason = "only dropping takes the lab away")]
    fn deref(&self) -> &Lab {
        self.lab.as_ref().unwrap_or_else(|| unreachable!())
    }
}

impl From<Lab> for Leased {
    fn from(lab: Lab) -> Self {
        Self {
            lab: Some(lab),
            back: None,
        }
    }
}

impl Drop for Leased {
    fn drop(&mut self) {
        if let (Some(lab), Some((kind, picture))) = (self.lab.take(), self.back.take()) {
            let kept = Kept { kind, lab, picture };
            DONE.with_borrow_mut(|done| done.push(kept));
        }
    }
}

/// A lab of this kind: an idle one, or a new one that `begin` brings to its beginning. Nobody may do to it
/// what a switch to its first system would not undo.
///
/// # Errors
/// When a new one cannot be made.
pub fn lease(plan: Builder, begin: impl FnOnce(Leased) -> Result<Leased>) -> Result<Leased> {
    let _waiting = meter::wait(Wait::Boot);
    if !OPEN.load(Ordering::Relaxed) {
        return begin(plan.start()?.into());
    }
    let kind = format!("{plan:?}");
    let idle = idle().get_mut(&kind).and_then(Vec::pop);
    let kept = match idle {
        Some(kept) => {
            TAKEN.fetch_add(1, Ordering::Relaxed);
            kept
        }
        None => {
            MADE.fetch_add(1, Ordering::Relaxed);
            let mut leased = begin(plan.start()?.into())?;
            let picture = Picture::of(&leased)?;
            let lab = leased.lab.take().context("the lab is gone")?;
            Kept { kind, lab, picture }
        }
    };
    kept.picture.go_on(&kept.lab)?;
    Ok(Leased {
        lab: Some(kept.lab),
        back: Some((kept.kind, kept.picture)),
    })
}

fn idle() -> std::sync::MutexGuard<'static, BTreeMap<String, Vec<Kept>>> {
    IDLE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps labs from now on.
pub fn open() {
    OPEN.store(true, Ordering::Relaxed);
}

/// Takes back what the test of this thread had, once it has ended.
pub fn settle(passed: bool) {
    for mut kept in DONE.take() {
        let restored = match passed {
            true => kept.picture.restore(&kept.lab),
            false => continue,
        };
        kept.lab.count();
        match restored {
            Ok(()) => idle().entry(kept.kind.clone()).or_default().push(kept),
            Err(error) => {
                ENDED.fetch_add(1, Ordering::Relaxed);
                let test = std::thread::current();
                let test = test.name().unwrap_or_default();
                eprintln!("lab: {test} leaves a lab of its own behind: {error:#}");
            }
        }
    }
}

/// Ends all idle labs, and says how often they were used.
pub fn close() -> String {
    OPEN.store(false, Ordering::Relaxed);
    drop(std::mem::take(&mut *idle()));
    format!(
        "{} labs were made for {} tests, and {} of them could not be brought back.",
        MADE.load(Ordering::Relaxed),
        MADE.load(Ordering::Relaxed) + TAKEN.load(Ordering::Relaxed),
        ENDED.load(Ordering::Relaxed)
    )
}
