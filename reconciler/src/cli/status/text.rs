//! The status for people. Colours are always in it: whoever prints it takes them away where they
//! are not wanted.

use std::fmt;

use anstyle::{AnsiColor, Style};
use nixus_switcher::printable::printable_lines;

use super::Status;
use crate::decide::age::age;
use crate::decide::plan::Reason;
use crate::decide::report::name;
use crate::decide::verdict::sightings::Noticed;
use crate::host::systemd::{PASS_TIMER, PASS_UNIT};

/// How many quarantined entries people are shown; the last ones.
const SHOWN_QUARANTINED: usize = 3;

const GOOD: Style = AnsiColor::Green.on_default();
pub(super) const BUSY: Style = AnsiColor::Yellow.on_default();
pub(super) const BAD: Style = AnsiColor::Red.on_default();
pub(super) const PLAIN: Style = Style::new();
const NAME: Style = Style::new().bold();

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &str, style: Style, value: String| {
            // Reasons are in it that git servers, forges, peers and programs gave.
            let value = printable_lines(&value);
            writeln!(f, "{NAME}{name:<14}{NAME:#}{style}{value}{style:#}")
        };
        line("host", PLAIN, self.host.clone())?;
        let generation = self
            .generation
            .map_or(String::new(), |number| format!(" (generation {number})"));
        line("running", PLAIN, format!("{}{generation}", self.running))?;
        match &self.kept {
            Some(kept) => {
                let text = format!("{}, since {:.0}", name(&kept.commit), kept.since);
                line("commit", PLAIN, text)?;
            }
            None => line("commit", BUSY, "none confirmed yet".to_owned())?,
        }
        let (style, boot) = boot(self);
        line("boot", style, boot)?;
        if let Some(open) = &self.open {
            let short = open.commit.id.get(..7).unwrap_or_default();
            let until = open
                .until
                .map_or(String::new(), |until| format!(", until {until:.0}"));
            let nobody = match open.abandoned {
                true => ", but nobody works on it",
                false => "",
            };
            let text = format!(
                "deployment {} of commit {short} {:?}: {}{until}{nobody}",
                open.deployment, open.commit.subject, open.phase
            );
            line("open", BUSY, text)?;
        }
        match &self.last_pass {
            Some(pass) => {
                let text = format!(
                    "{} (pass ended {} ago)",
                    pass.waits_for,
                    age(pass.time, self.now)
                );
                line("waiting", style_of(&pass.waits_for), text)?;
            }
            None => line("waiting", BUSY, waiting(self))?,
        }
        if let Some(since) = self.passes_stopped {
            let text = format!(
                "none since {since:.0} ({}), although they are due: see `systemctl status {PASS_TIMER} {PASS_UNIT}`",
                age(since, self.now)
            );
            line("passes", BAD, text)?;
        }
        if let Some(overdue) = &self.pass_overdue {
            line("passes", BAD, overdue.to_string())?;
        }
        for Noticed { host, what, since } in &self.noticed {
            let text = format!(
                "{host} {what}, since {since:.0} ({})",
                age(*since, self.now)
            );
            line("peers", BUSY, text)?;
        }
        let next_pass = self
            .next_pass
            .map_or(String::new(), |time| format!(" (next pass {time:.0})"));
        line("next", PLAIN, format!("{}{next_pass}", self.next))?;
        if let Some(suspension) = &self.suspended {
            let reason = Reason::Suspended {
                until: suspension.until,
                why: suspension.why.clone(),
            };
            line("suspended", BUSY, reason.to_string())?;
        }
        if let Some(failure) = &self.last_failure {
            let commit = failure.commit.as_deref().and_then(|id| id.get(..7));
            let commit = commit.map_or(String::new(), |short| format!("{short}: "));
            let text = first_line(&failure.text);
            let text = format!("{commit}{text} ({} ago)", age(failure.time, self.now));
            line("last failure", PLAIN, text)?;
        }
        for entry in self.quarantine.iter().rev().take(SHOWN_QUARANTINED) {
            let text = format!("{}: {}", entry.commit.short(), first_line(&entry.reason));
            match entry.needs_reboot {
                true => line("needs reboot", BUSY, text)?,
                false => line("quarantined", BAD, text)?,
            }
        }
        if self.reports_unsent == Some(true) {
            line("reports", BUSY, "some wait to be sent".to_owned())?;
        }
        for (style, text) in self
            .statuses
            .iter()
            .flat_map(|statuses| statuses.lines(self.now))
        {
            line("statuses", style, text)?;
        }
        if let Some(damage) = &self.damage {
            line(
                "damaged",
                BAD,
                format!("{} {}", damage.file, damage.problem),
            )?;
        }
        if let Some(why) = &self.journal_damage {
            line("damaged", BAD, why.clone())?;
        }
        for damage in &self.history_damage {
            line("left out", BUSY, format!("of the history: {damage}"))?;
        }
        for path in &self.set_aside {
            line("set aside", BUSY, path.display().to_string())?;
        }
        Ok(())
    }
}

/// What is waited for where no pass has noted it: the ledger may know.
fn waiting(status: &Status) -> String {
    match &status.backoff {
        Some(backoff) if status.now < backoff.until => Reason::BackingOff {
            until: backoff.until,
            why: backoff.reason.clone(),
        }
        .to_string(),
        _ => "no pass has run since this boot".to_owned(),
    }
}

fn boot(status: &Status) -> (Style, String) {
    let boot = &status.boot;
    if boot.other_picked {
        let text = "an older generation than the default was picked in the boot menu";
        return (BUSY, text.to_owned());
    }
    if boot.on_trial {
        return (BUSY, "on trial: the first boot of what runs".to_owned());
    }
    if let Some(why) = &boot.told_nothing {
        let text = format!("not boot-proven: its first boot could not be judged: {why}");
        return (BUSY, text);
    }
    if boot.proven && boot.booted.as_ref() == Some(&status.running) {
        return (GOOD, "boot-proven: what runs is what was booted".to_owned());
    }
    if boot.proven {
        return (GOOD, "boot-proven: what runs was booted before".to_owned());
    }
    let how_far = boot
        .unproven
        .filter(|unproven| unproven.commits > 0)
        .map_or(String::new(), |unproven| format!("; {unproven}"));
    (
        BUSY,
        format!("not boot-proven: what runs was activated in place{how_far}"),
    )
}

fn style_of(reason: &Reason) -> Style {
    match reason {
        Reason::UpToDate { .. } => GOOD,
        Reason::Stuck { .. }
        | Reason::Quarantined { .. }
        | Reason::Inconclusive { .. }
        | Reason::HistoryRewritten { .. }
        | Reason::Drifted { .. }
        | Reason::BootPinned { .. }
        | Reason::StateDamaged { .. }
        | Reason::PassOverdue { .. }
        | Reason::JournalDamaged { .. } => BAD,
        _ => BUSY,
    }
}

/// The first line of a text.
pub fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
