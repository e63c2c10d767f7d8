//! A pass that outlives its limit, or whoever else keeps passes out: nothing is deployed meanwhile, so it is
//! an error wherever somebody looks.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use nixus_switcher::state::lock_file::{self, Holder};

use crate::decide::plan::Reason;
use crate::health::last_pass::{LastPass, booted, last_pass};
use crate::host::files::Paths;

/// What is said of a pass that has come to its limit.
pub fn of_own(since: Timestamp, limit: Duration) -> Reason {
    Reason::PassOverdue {
        since,
        why: format!("a pass was ended after {} s", limit.as_secs()),
    }
}

/// Whether passes are kept out for longer than one may take.
pub fn of_lock(paths: &Paths, limit: Duration) -> Option<Reason> {
    let holders = lock_file::holders(&paths.pass_lock());
    if holders.is_empty() {
        return None;
    }
    of_holders(paths, limit, &holders)
}

/// The same, where the lock is known to be held; by whom cannot always be seen.
pub fn of_holders(paths: &Paths, limit: Duration, holders: &[Holder]) -> Option<Reason> {
    let now = Timestamp::now();
    let last = last_pass(paths);
    decide(now, last.as_ref(), booted(now), limit, holders)
}

fn decide(
    now: Timestamp,
    last: Option<&LastPass>,
    booted: Option<Timestamp>,
    limit: Duration,
    holders: &[Holder],
) -> Option<Reason> {
    let began = holders.iter().map(|holder| holder.age).max();
    let began = began.and_then(|age| now.checked_sub(SignedDuration::try_from(age).ok()?).ok());
    // The lock was free when the last pass ended, whenever its holder began.
    let since = last.map(|last| last.time).into_iter().chain(began).max();
    let since = since.or(booted)?;
    let held = Duration::try_from(now.duration_since(since)).ok()?;
    (held > limit).then(|| Reason::PassOverdue {
        since,
        why: format!(
            "passes are kept out for longer than the {} s that one may take{}",
            limit.as_secs(),
            lock_file::in_brackets(holders)
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passes_are_kept_out_once_the_limit_of_one_is_over() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let check = |ended: Option<i64>, began: Option<u64>, expected: Option<i64>| {
            let last = ended.map(|second| LastPass {
                time: at(second),
                waits_for: Reason::NoBranch,
            });
            let holders: Vec<_> = began
                .map(|second| Holder {
                    pid: 7,
                    uid: 65534,
                    name: "flock".to_owned(),
                    age: Duration::from_secs(10_000 - second),
                })
                .into_iter()
                .collect();
            let limit = Duration::from_secs(100);
            let found = decide(at(10_000), last.as_ref(), Some(at(500)), limit, &holders);
            let since = found.as_ref().map(|reason| match reason {
                Reason::PassOverdue { since, .. } => since.as_second(),
                other => panic!("{other}"),
            });
            assert_eq!(since, expected);
            if let Some(found) = found {
                let named = found.to_string().contains("process 7 (flock, user 65534)");
                assert_eq!(named, began.is_some(), "{found}");
            }
        };
        check(Some(9_900), Some(9_000), None);
        check(Some(9_000), Some(9_900), None);
        check(Some(9_000), Some(9_899), Some(9_899));
        // Its holder began long before it took the lock.
        check(Some(9_899), Some(600), Some(9_899));
        check(Some(9_900), None, None);
        check(Some(9_000), None, Some(9_000));
        // No pass since the boot.
        check(None, Some(9_899), Some(9_899));
        check(None, None, Some(500));
    }
}
