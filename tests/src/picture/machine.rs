//! What runs on a host, and how it is connected.

use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::host::Host;

/// Units come and go on the way to a state at rest: so long they may take.
const LOOKS: u32 = 50;
const PAUSE: Duration = Duration::from_millis(100);
/// What is asked of a host. Units that belong to whoever asks, and to passes, are not part of it.
const QUESTIONS: &str = "hostname
systemctl list-units --all --plain --no-legend --full --type=service,socket,timer,mount,path,target
ip -o -batch - <<'END'
address show
route show table all
rule show
-6 rule show
END
nft --stateless list ruleset";

/// The lines of units that say nothing of what a test has changed.
const PASSING: [&str; 12] = [
    "deployment-deadline-",
    "nixus-reconcile",
    "nixus-report",
    "nixus-verify",
    "nixus-recover",
    "nixus-probe@",
    "nixus-expire-",
    "nixus-switch-",
    "user@",
    "session-",
    "sshd@",
    // Active on NixOS after each switch, and not after a boot.
    "sysinit-reactivation.target",
];

/// What there is, as lines.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Machine {
    mounts: Vec<String>,
    answers: Vec<String>,
}

/// Where something is mounted, and what kind of file system; the kernel's numbers are others after each
/// boot (proc_pid_mountinfo(5)).
fn mount(line: &str) -> Option<String> {
    let (before, after) = line.split_once(" - ")?;
    let point = before.split(' ').nth(4)?;
    let kind = after.split(' ').next()?;
    // Of units that start and end.
    (!point.starts_with("/run/credentials/")).then(|| format!("{point} {kind}"))
}

/// Whether a line of the answers is about something that lasts: units that do not run are not part of a
/// state, nor are those that have done something once.
fn is_lasting(line: &str) -> bool {
    let words: Vec<&str> = line.split(' ').collect();
    match words.as_slice() {
        [
            unit,
            "loaded" | "not-found" | "masked" | "bad-setting" | "error",
            active,
            sub,
            ..,
        ] => {
            (*active == "failed" || (*active == "active" && *sub != "exited"))
                && !PASSING.iter().any(|start| unit.starts_with(start))
        }
        _ => true,
    }
}

impl Machine {
    /// As soon as each address is one that is used (ip-address(8): not tentative any more).
    pub(super) fn at_rest(host: &Host) -> Result<Self> {
        for _ in 0..LOOKS {
            let now = Self::of(host)?;
            if !now.answers.iter().any(|line| line.contains(" tentative ")) {
                return Ok(now);
            }
            std::thread::sleep(PAUSE);
        }
        bail!("{} has an address that is not used", host.name)
    }

    fn of(host: &Host) -> Result<Self> {
        let path = format!("/proc/{}/mountinfo", host.leader()?);
        let mounts = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
        let mut mounts: Vec<String> = mounts.lines().filter_map(mount).collect();
        mounts.sort();
        let said = host.must(["sh", "-c", QUESTIONS])?;
        let mut answers: Vec<String> = said
            .lines()
            .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
            .filter(|line| is_lasting(line))
            .collect();
        answers.sort();
        Ok(Self { mounts, answers })
    }

    /// Waits a moment for a host to be as it was; its journal begins anew.
    pub(super) fn restore(&self, host: &Host) -> Result<()> {
        let quiet = "systemctl reset-failed; journalctl --quiet --rotate --vacuum-size=1";
        host.must(["sh", "-c", quiet])?;
        let mut now = Self::of(host)?;
        for _ in 0..LOOKS {
            if now == *self {
                return Ok(());
            }
            std::thread::sleep(PAUSE);
            now = Self::of(host)?;
        }
        let difference = |before: &[String], now: &[String]| {
            let gone = before
                .iter()
                .filter(|line| !now.contains(line))
                .map(|line| format!("- {line}"));
            let new = now
                .iter()
                .filter(|line| !before.contains(line))
                .map(|line| format!("+ {line}"));
            gone.chain(new).take(6).collect::<Vec<_>>().join("; ")
        };
        ensure!(
            now == *self,
            "{} {}",
            difference(&self.mounts, &now.mounts),
            difference(&self.answers, &now.answers)
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_boot_numbers_anew_is_no_part_of_a_mount() {
        let line = "42 30 0:27 / /run/lock rw,nosuid shared:7 master:1 - tmpfs tmpfs rw,size=5120k";
        assert_eq!(mount(line).as_deref(), Some("/run/lock tmpfs"));
        let line = "42 30 0:27 / /run/credentials/x.service rw - ramfs ramfs rw";
        assert_eq!(mount(line), None);
    }

    #[test]
    fn units_that_run_or_failed_are_a_state_and_others_are_not() {
        for (line, expected) in [
            ("sshd.service loaded active running SSH Daemon", true),
            ("shop.service loaded failed failed shop.service", true),
            ("ldconfig.service loaded active exited Rebuild", false),
            ("x.service not-found inactive dead x.service", false),
            ("nixus-expire-1.timer loaded active waiting x", false),
            ("1: lo inet 127.0.0.1/8 scope host lo", true),
        ] {
            assert_eq!(is_lasting(line), expected, "{line}");
        }
    }
}
