//! What Nixus' programs wait for that is not their own work: children, syncs, the soak.
//!
//! Where the environment variable `NIXUS_WAITS` names a file, each wait is one JSON object on a line
//! of it, written when the wait is over; else nothing is written. All times are nanoseconds of
//! CLOCK_BOOTTIME, so that the waits of several programs can be laid side by side: what no wait
//! covers is their own time. `systemctl set-environment NIXUS_WAITS=/run/nixus/waits` switches it on
//! for all of a host's units.

use std::env;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::OnceLock;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// Names the file.
pub const VARIABLE: &str = "NIXUS_WAITS";
/// The longest description of a wait that is kept, in characters: git's subcommand comes after its settings.
const LONGEST: usize = 2000;

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The end of another program.
    Child,
    /// Data to reach the disk.
    Sync,
    /// The time that checks have to go on passing.
    Soak,
    /// The timer of the generation on trial to start its pass.
    Timer,
    /// Another host, or a service, that is spoken to without another program.
    Network,
}

/// One wait, as a line of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// Who waited: its process id.
    pub process: u32,
    /// For what kind of thing.
    pub kind: Kind,
    /// For what, for people.
    pub what: String,
    /// Since when, in nanoseconds of CLOCK_BOOTTIME.
    pub begun: u64,
    /// Until when, likewise.
    pub ended: u64,
}

/// A wait that lasts until this is dropped.
#[derive(Debug)]
pub struct Wait(Option<(Line, &'static File)>);

/// Begins a wait; `what` is asked for only where somebody wants to know.
pub fn begin(kind: Kind, what: impl FnOnce() -> String) -> Wait {
    static FILE: OnceLock<Option<File>> = OnceLock::new();
    let file = FILE.get_or_init(|| {
        let path = env::var_os(VARIABLE)?;
        let mut options = OpenOptions::new();
        options.create(true).append(true).mode(0o600);
        // Nobody may be kept from their work by a file that is only for the curious.
        options.open(path).ok()
    });
    Wait(file.as_ref().map(|file| {
        let line = Line {
            process: std::process::id(),
            kind,
            what: what().chars().take(LONGEST).collect(),
            begun: now(),
            ended: 0,
        };
        (line, file)
    }))
}

impl Drop for Wait {
    fn drop(&mut self) {
        if let Some((mut line, mut file)) = self.0.take() {
            line.ended = now();
            if let Ok(mut text) = serde_json::to_vec(&line) {
                text.push(b'\n');
                // One write, so that lines of several programs do not mix.
                let _ = file.write_all(&text);
            }
        }
    }
}

fn now() -> u64 {
    clock_gettime(ClockId::CLOCK_BOOTTIME).map_or(0, |time| {
        u64::try_from(Duration::from(time).as_nanos()).unwrap_or(u64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_who_waited_for_what_from_when_to_when() {
        let line = Line {
            process: 7,
            kind: Kind::Child,
            what: "nix build".to_owned(),
            begun: 1,
            ended: 2,
        };
        let text = serde_json::to_string(&line).unwrap();
        assert_eq!(
            text,
            r#"{"process":7,"kind":"child","what":"nix build","begun":1,"ended":2}"#
        );
        assert_eq!(serde_json::from_str::<Line>(&text).unwrap(), line);
    }
}
