//! What `switch-to-configuration` prints, read: the exit code of the later part of its work hides that of
//! an earlier one.
//!
//! The words are those of nixpkgs' switch-to-configuration-ng (pkgs/by-name/sw/switch-to-configuration-ng/
//! src/main.rs) and of the activation scripts (nixos/modules/system/activation/activation-script.nix).

/// What one run has said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Said {
    /// The activation script ended with a failure.
    pub activate_failed: bool,
    /// The snippets of it that failed, with their exit codes: `database (1)`.
    pub snippets: Vec<String>,
    /// Units of the system that are failed, or of which a job failed.
    pub units: Vec<String>,
    /// Units of users of which a job failed.
    pub user_units: Vec<String>,
    /// Something about users' sessions failed, such as one that ended meanwhile.
    pub sessions: bool,
}

const JOBS: [&str; 4] = ["start", "stop", "restart", "reload"];
/// What is said where a session comes or goes during the walk over logind's users.
const SESSIONS: [&str; 7] = [
    "Failed to get GID for ",
    "Failed to get runtime directory for ",
    "Failed to spawn user activation for ",
    "Failed to run user activation for ",
    "Failed to restart nixos-activation.service",
    "Unable to list users with logind",
    "warning: user activation for ",
];

impl Said {
    /// Reads the text of one run.
    pub fn read(text: &str) -> Self {
        let mut said = Self::default();
        for line in text.lines().map(str::trim) {
            said.take(line);
        }
        for units in [&mut said.units, &mut said.user_units, &mut said.snippets] {
            units.sort();
            units.dedup();
        }
        said
    }

    fn take(&mut self, line: &str) {
        // An error with its causes is printed as `Error: …`, the causes numbered below it.
        let bare = line.strip_prefix("Error: ").unwrap_or(line);
        if SESSIONS.iter().any(|words| bare.starts_with(words)) {
            self.sessions = true;
        } else if let Some(snippet) = snippet(line) {
            self.snippets.push(snippet);
        } else if line == "Failed to run activate script" {
            self.activate_failed = true;
        } else if let Some(units) = line.strip_prefix("warning: the following units failed: ") {
            self.units.extend(units.split(", ").map(str::to_owned));
        } else if let Some((is_users, unit)) = failed_job(line) {
            match is_users {
                true => self.user_units.push(unit),
                false => self.units.push(unit),
            }
        }
    }

    /// Whether the activation script failed, by its own words or by those of who ran it.
    pub fn is_activation_failed(&self) -> bool {
        self.activate_failed || !self.snippets.is_empty()
    }
}

/// `Activation script snippet 'database' failed (1)`.
fn snippet(line: &str) -> Option<String> {
    let rest = line.strip_prefix("Activation script snippet '")?;
    let (name, code) = rest.split_once("' failed ")?;
    Some(format!("{name} {code}"))
}

/// `Failed to start shop.service`, with or without a reason after it.
fn failed_job(line: &str) -> Option<(bool, String)> {
    let rest = line.strip_prefix("Failed to ")?;
    let (job, rest) = rest.split_once(' ')?;
    if !JOBS.contains(&job) {
        return None;
    }
    let (is_users, rest) = match rest.strip_prefix("user unit ") {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let unit = rest.split([' ', ':']).next()?;
    unit.contains('.').then(|| (is_users, unit.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Said) {
        assert_eq!(Said::read(text), expected, "{text}");
    }

    #[test]
    fn each_failure_is_read_whatever_hides_it() {
        check(
            "activating the configuration...\nsetting up /etc...\nrestarting the following units: a.service\n",
            Said::default(),
        );
        check(
            "Activation script snippet 'database' failed (1)\nFailed to run activate script\nwarning: the following units failed: mirror.service\n",
            Said {
                activate_failed: true,
                snippets: vec!["database (1)".to_owned()],
                units: vec!["mirror.service".to_owned()],
                ..Said::default()
            },
        );
        check(
            "Failed to start shop.service: Unit shop.service has a bad unit file setting.\nFailed to restart sysinit-reactivation.target\nFailed to start shop.service\n",
            Said {
                units: vec![
                    "shop.service".to_owned(),
                    "sysinit-reactivation.target".to_owned(),
                ],
                ..Said::default()
            },
        );
        check(
            "reloading user units for p4...\nFailed to restart user unit sync.service\nwarning: user activation for p4 failed\n",
            Said {
                user_units: vec!["sync.service".to_owned()],
                sessions: true,
                ..Said::default()
            },
        );
    }

    #[test]
    fn sessions_that_come_and_go_are_told_from_the_system() {
        for line in [
            "Error: Failed to get runtime directory for p4",
            "Failed to get GID for p4",
            "Unable to list users with logind: Did not receive a reply",
            "warning: user activation for p4 failed",
        ] {
            check(
                line,
                Said {
                    sessions: true,
                    ..Said::default()
                },
            );
        }
    }
}
