//! What happens at a point, and that a watchdog would settle what it leaves.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lab::Host;
use lab::story::switcher_status;
use serde_json::Value;

use super::{PATIENCE, STEP, is_over, said};

/// How long systemd may take to start again what was killed at boot, and that to come to an end.
const GOES_ON: Duration = Duration::from_secs(20);

/// Kills the process that stopped at a fault point.
pub fn kill_stopped(host: &Host) -> Result<()> {
    let listed = host.must(["pgrep", "--full", "/bin/nixus-switcher "])?;
    let mut killed = 0;
    for pid in listed.lines() {
        let status = host.exec(["cat", &format!("/proc/{pid}/stat")])?.stdout;
        let stopped = status
            .rsplit_once(") ")
            .is_some_and(|(_, rest)| rest.starts_with('T'));
        if stopped {
            host.must(["kill", "-KILL", pid])?;
            killed += 1;
        }
    }
    ensure!(killed == 1, "{killed} switchers were stopped");
    Ok(())
}

/// Kills the switcher, its runs of `switch-to-configuration`, verifications, passes and watchdogs
/// that have fired.
pub fn kill_all(host: &Host) -> Result<()> {
    host.kill_units("nixus-*.service").map(drop)
}

/// Sees that a watchdog is armed for a deployment that was left open, and lets each one fire now
/// instead of at its time. One whose phase never became durable has to do nothing.
pub fn settle(host: &Host) -> Result<()> {
    // What is killed releases its lock a moment later.
    thread::sleep(STEP);
    let open = switcher_status(host)?.pointer("/open") != Some(&Value::Null);
    let watchdogs = watchdogs(host)?;
    ensure!(
        !open || !watchdogs.is_empty(),
        "a deployment is open, and no watchdog is armed\n{}",
        host.portrait()
    );
    for watchdog in watchdogs {
        let service = watchdog.replace(".timer", ".service");
        // It is gone where another one has settled everything meanwhile.
        host.exec(["systemctl", "start", "--", &service])?;
        host.wait_until("has a watchdog that has ended", PATIENCE, |host| {
            let state = host.exec(["systemctl", "is-active", "--", &service])?;
            Ok(!matches!(state.stdout.trim(), "active" | "activating"))
        })?;
        // It has had its say, earlier than systemd knows.
        host.exec(["systemctl", "stop", "--", &watchdog])?;
    }
    Ok(())
}

/// Lets a watchdog fire where nobody else goes on; it may reboot the host.
pub fn settle_at_boot(host: &Host) -> Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < GOES_ON {
        // What was killed after its last record drops its watchdogs when it is started again.
        if said(host).is_some_and(|status| is_over(&status, true))
            && watchdogs(host).is_ok_and(|left| left.is_empty())
        {
            return Ok(());
        }
        thread::sleep(STEP);
    }
    let watchdogs = watchdogs(host);
    let open = said(host).is_some_and(|status| status.open.is_some());
    match watchdogs {
        Ok(watchdogs) => {
            ensure!(
                !open || !watchdogs.is_empty(),
                "a first boot is on trial, and no watchdog is armed\n{}",
                host.portrait()
            );
            for watchdog in watchdogs {
                let service = watchdog.replace(".timer", ".service");
                // It may be gone by now, and so may the host.
                let _ = host.exec(["systemctl", "start", "--no-block", "--", &service]);
            }
        }
        // It is rebooting already.
        Err(_) if !open => {}
        Err(error) => return Err(error),
    }
    Ok(())
}

/// The timers of the switcher's watchdogs that are armed.
fn watchdogs(host: &Host) -> Result<Vec<String>> {
    host.active_units("nixus-expire-*.timer")
}
