//! What a test costs, and what its time was spent on.
//!
//! The thread of a test has a meter. Whatever the lab does for it notes what it waits for and the
//! processor time of the processes that it started; hosts add the waits of their own programs
//! ([`nixus_switcher::waits`]).

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use nixus_switcher::waits::{Kind, Line};

/// What the thread of a test waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// A lab to be made, and hosts to boot.
    Boot,
    /// A fixed time.
    Sleep,
    /// A command on a host, or of the operator.
    Command,
    /// Something to become true of a host.
    Host,
}

/// What was measured of one test.
#[derive(Debug, Clone, Default)]
pub struct Cost {
    /// When it began, in nanoseconds of CLOCK_BOOTTIME.
    pub begun: u64,
    /// When it ended, likewise.
    pub ended: u64,
    /// The processor time of all that it started, and of its own thread.
    pub processor: Duration,
    /// How many hosts were switched on or rebooted for it.
    pub boots: u32,
    /// What its thread waited for, from when to when.
    pub own: Vec<(Wait, u64, u64)>,
    /// What the programs on its hosts waited for.
    pub hosts: Vec<Line>,
}

thread_local! {
    static CURRENT: RefCell<Option<Rc<RefCell<Cost>>>> = const { RefCell::new(None) };
}

fn with(note: impl FnOnce(&mut Cost)) {
    CURRENT.with_borrow(|current| {
        if let Some(cost) = current {
            note(&mut cost.borrow_mut());
        }
    });
}

/// Runs a test on this thread and measures it.
pub fn measure<T>(test: impl FnOnce() -> T) -> (T, Cost) {
    let begun = now();
    let cost = Rc::new(RefCell::new(Cost {
        begun,
        ..Cost::default()
    }));
    let before = of_this_thread();
    CURRENT.set(Some(Rc::clone(&cost)));
    let result = test();
    CURRENT.set(None);
    let mut cost = cost.take();
    cost.ended = now();
    cost.processor += of_this_thread().saturating_sub(before);
    cost.hosts
        .retain(|line| line.ended > begun && line.begun < cost.ended);
    (result, cost)
}

/// A wait that lasts until this is dropped.
#[derive(Debug)]
#[must_use]
pub struct Waiting(Wait, u64);

/// Begins a wait of this thread.
pub fn wait(what: Wait) -> Waiting {
    Waiting(what, now())
}

impl Drop for Waiting {
    fn drop(&mut self) {
        with(|cost| cost.own.push((self.0, self.1, now())));
    }
}

/// Lets this thread sleep, for a test in which just this time must go by.
pub fn sleep(time: Duration) {
    let _waiting = wait(Wait::Sleep);
    std::thread::sleep(time);
}

/// Adds processor time of processes.
pub fn add_processor(time: Duration) {
    with(|cost| cost.processor += time);
}

/// Counts a host that is switched on or reboots.
pub fn add_boot() {
    with(|cost| cost.boots += 1);
}

/// Adds the waits of programs on hosts, as they wrote them.
pub fn add_waits(text: &str) {
    let lines = text
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    // Reports are sent beside a deployment, and nothing waits for them.
    let lines =
        lines.filter(|line: &Line| line.kind != Kind::Child || !line.what.contains("reports"));
    with(|cost| cost.hosts.extend(lines));
}

/// Nanoseconds of CLOCK_BOOTTIME, the clock of the hosts' waits.
pub fn now() -> u64 {
    of_clock(ClockId::CLOCK_BOOTTIME)
}

fn of_this_thread() -> Duration {
    Duration::from_nanos(of_clock(ClockId::CLOCK_THREAD_CPUTIME_ID))
}

fn of_clock(clock: ClockId) -> u64 {
    clock_gettime(clock).map_or(0, |time| {
        u64::try_from(Duration::from(time).as_nanos()).unwrap_or(u64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_and_processor_time_are_noted_for_the_test_that_runs_on_this_thread() {
        add_processor(Duration::from_secs(5));
        let ((), cost) = measure(|| {
            sleep(Duration::from_millis(2));
            add_processor(Duration::from_secs(1));
            add_boot();
            let line = |begun, ended| {
                format!(
                    r#"{{"process":1,"kind":"soak","what":"soak","begun":{begun},"ended":{ended}}}"#
                )
            };
            add_waits(&format!(
                "{}\nno line\n{}\n",
                line(1, 2),
                line(now(), now() + 5)
            ));
        });
        assert!(
            cost.processor >= Duration::from_secs(1) && cost.processor < Duration::from_secs(2)
        );
        assert!(matches!(cost.own.as_slice(), [(Wait::Sleep, from, to)] if from < to));
        assert_eq!((cost.boots, cost.hosts.len()), (1, 1));
    }
}
