//! Named places at which a test stops the switcher: before and after each watchdog, journal write,
//! effect, and note of how a run of `switch-to-configuration` ended.
//!
//! They do nothing unless the crate is built with the feature `fault-points`, which no shipped
//! program has. Then a place whose name is in `TRIGGER` stops its own process there, once, and
//! whoever asked for it kills what it likes, or cuts the power. The files are in `/run`, so that a
//! test that looks for a missing sync does not sync the disk itself.

use std::fmt::Arguments;

/// Runs `act`, between the places `before-<what>` and `after-<what>`.
pub fn around<T>(what: Arguments<'_>, act: impl FnOnce() -> T) -> T {
    reach("before", what);
    let done = act();
    reach("after", what);
    done
}

#[cfg(not(feature = "fault-points"))]
fn reach(_: &str, _: Arguments<'_>) {}

#[cfg(feature = "fault-points")]
pub use points::{PASSED, REACHED, TRIGGER, listen, name};

#[cfg(feature = "fault-points")]
use points::reach;

#[cfg(feature = "fault-points")]
mod points {
    use std::fmt::Arguments;
    use std::fs::{self, OpenOptions};
    use std::io::Write as _;
    use std::path::Path;
    use std::sync::atomic::{AtomicBool, Ordering};

    use nix::sys::signal::{Signal, raise};

    use crate::state::bounded::read_bounded;

    /// The name of the place at which to stop.
    pub const TRIGGER: &str = "/run/nixus/fault";
    /// The name of the place at which a process has stopped.
    pub const REACHED: &str = "/run/nixus/fault-reached";
    /// Where it is there, each place that is passed adds its name.
    pub const PASSED: &str = "/run/nixus/faults-passed";

    /// The name of a place, in lower case with dashes.
    pub fn name(when: &str, what: Arguments<'_>) -> String {
        let mut name = when.to_owned();
        for part in what
            .to_string()
            .split(|c: char| !c.is_ascii_alphanumeric())
            .filter(|part| !part.is_empty())
        {
            for (at, c) in part.char_indices() {
                if at == 0 || c.is_ascii_uppercase() {
                    name.push('-');
                }
                name.push(c.to_ascii_lowercase());
            }
        }
        name
    }

    /// Whether this process may be stopped.
    static LISTENS: AtomicBool = AtomicBool::new(false);

    /// Lets this process be stopped at its places from now on: a simulation, which passes millions of them,
    /// never is.
    pub fn listen() {
        LISTENS.store(true, Ordering::Relaxed);
    }

    pub(super) fn reach(when: &str, what: Arguments<'_>) {
        if !LISTENS.load(Ordering::Relaxed) {
            return;
        }
        let name = name(when, what);
        if let Ok(mut passed) = OpenOptions::new().append(true).open(PASSED) {
            let _ = passed.write_all(format!("{name}\n").as_bytes());
        }
        let asked = read_bounded(Path::new(TRIGGER), 256).unwrap_or_default();
        if String::from_utf8_lossy(&asked).trim() == name {
            stop(&name);
        }
    }

    /// What cannot be done here is seen by the test, which waits for it in vain.
    fn stop(name: &str) {
        let _ = fs::remove_file(TRIGGER);
        // The console of a machine shows it without anybody asking the machine; at once only where
        // the line has an end.
        let _ = fs::write("/dev/kmsg", format!("<0>fault point {name} is reached\n"));
        let _ = fs::write(REACHED, name);
        let _ = raise(Signal::SIGSTOP);
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn places_have_names_that_can_be_typed() {
            for (what, expected) in [
                (format_args!("arm-{}", "on-trial"), "before-arm-on-trial"),
                (format_args!("SetProfile"), "before-set-profile"),
                (format_args!("Restore(System)"), "before-restore-system"),
            ] {
                assert_eq!(name("before", what), expected);
            }
        }
    }
}
