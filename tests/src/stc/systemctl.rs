//! The running systemd, by way of `systemctl`.

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

/// The active state of each loaded unit.
///
/// # Errors
/// When systemd does not answer.
pub fn units() -> Result<BTreeMap<String, String>> {
    let output = Command::new("systemctl")
        .args([
            "list-units",
            "--all",
            "--full",
            "--plain",
            "--no-legend",
            "--no-pager",
        ])
        .output()
        .context("cannot run systemctl list-units")?;
    ensure!(
        output.status.success(),
        "systemctl list-units ended with {}",
        output.status
    );
    Ok(parse_units(&String::from_utf8_lossy(&output.stdout)))
}

fn parse_units(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let unit = words.next()?;
            let state = words.nth(1)?;
            Some((unit.to_owned(), state.to_owned()))
        })
        .collect()
}

/// Runs one verb on some units, in one transaction; true if all went well.
///
/// # Errors
/// When `systemctl` cannot be started.
pub fn units_verb<'a>(verb: &str, units: impl IntoIterator<Item = &'a String>) -> Result<bool> {
    let units: Vec<&String> = units.into_iter().collect();
    if units.is_empty() {
        return Ok(true);
    }
    let output = Command::new("systemctl")
        .args([verb, "--"])
        .args(units)
        .stdin(Stdio::null())
        .stdout(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot run systemctl {verb}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    eprint!("{said}");
    for unit in said.lines().filter_map(failed_job) {
        eprintln!("Failed to {verb} {unit}");
    }
    Ok(output.status.success())
}

/// The unit of a job that systemctl says has failed; nixpkgs' program has its own words for it.
fn failed_job(line: &str) -> Option<&str> {
    let rest = line
        .strip_prefix("Job for ")
        .or_else(|| line.strip_prefix("A dependency job for "))?;
    let (unit, rest) = rest.split_once(' ')?;
    rest.contains("fail").then_some(unit)
}

/// Runs a verb that is about no unit, such as `daemon-reload`.
///
/// # Errors
/// When it fails.
pub fn verb(verb: &str) -> Result<()> {
    let status = Command::new("systemctl")
        .arg(verb)
        .status()
        .with_context(|| format!("cannot run systemctl {verb}"))?;
    ensure!(status.success(), "systemctl {verb} ended with {status}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_that_failed_is_named() {
        let table = [
            (
                "Job for sshd.service failed because the control process exited with error code.",
                Some("sshd.service"),
            ),
            (
                "A dependency job for shop.service failed. See 'journalctl -xe' for details.",
                Some("shop.service"),
            ),
            ("Job for shop.service canceled.", None),
            ("See \"systemctl status sshd.service\" for details.", None),
        ];
        for (line, expected) in table {
            assert_eq!(failed_job(line), expected, "{line}");
        }
    }

    #[test]
    fn the_table_of_systemctl_is_read() {
        let units = parse_units(
            "-.mount    loaded active mounted Root Mount\nx.service not-found inactive dead x.service\n",
        );
        assert_eq!(units.get("-.mount").map(String::as_str), Some("active"));
        assert_eq!(units.get("x.service").map(String::as_str), Some("inactive"));
    }
}
