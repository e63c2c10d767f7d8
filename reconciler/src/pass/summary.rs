//! What everybody on a host may know of it: a file of its own, since all else that is kept is root's alone.
//!
//! It has nothing of the deploy repository in it but a commit's id, and no reasons in others' words.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::decide::age::age;
use crate::decide::plan::Reason;
use crate::host::files::{Paths, read_bounded, write_with_mode};

/// The longest file that is read, in bytes.
const LONGEST: u64 = 16 * 1024;

/// The JSON of `nixus status --json` for those who may not read the rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// The version of this format.
    pub version: u32,
    /// The host.
    pub host: String,
    /// The id of the commit that it is on.
    pub commit: Option<String>,
    /// The generation of it.
    pub generation: Option<u64>,
    /// When the last pass ended.
    pub pass_ended: Timestamp,
    /// What it waits for, in one word (`waits_for.reason` of the whole status).
    pub waits_for: String,
    /// Always true: the rest is root's.
    pub needs_root: bool,
}

impl Summary {
    /// What is said at the end of a pass.
    pub fn new(
        host: &str,
        commit: Option<String>,
        generation: Option<u64>,
        reason: &Reason,
    ) -> Self {
        Self {
            version: 1,
            host: host.to_owned(),
            commit,
            generation,
            pass_ended: Timestamp::now(),
            waits_for: reason.word().to_owned(),
            needs_root: true,
        }
    }

    /// Writes it where everybody can read it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, paths: &Paths) -> io::Result<()> {
        write_with_mode(&paths.summary, &serde_json::to_vec(self)?, 0o644)
    }

    /// Reads what the last pass of this boot has left.
    ///
    /// # Errors
    /// There is none, or it is of another release.
    pub fn read(path: &Path) -> io::Result<Self> {
        let text = read_bounded(path, LONGEST)?;
        let summary: Self = serde_json::from_slice(&text)?;
        match summary.version {
            1 => Ok(summary),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

impl Summary {
    /// The lines for people.
    pub fn text(&self, now: Timestamp) -> String {
        let mut text = String::new();
        // A string takes all that is written.
        let _ = self.write_lines(&mut text, now);
        text
    }

    fn write_lines(&self, f: &mut impl fmt::Write, now: Timestamp) -> fmt::Result {
        let mut line = |name: &str, value: String| writeln!(f, "{name:<14}{value}");
        line("host", self.host.clone())?;
        let generation = self
            .generation
            .map_or(String::new(), |number| format!(" (generation {number})"));
        line(
            "commit",
            match &self.commit {
                Some(commit) => format!("{}{generation}", commit.get(..7).unwrap_or(commit)),
                None => "none confirmed yet".to_owned(),
            },
        )?;
        let ended = age(self.pass_ended, now);
        line(
            "waiting",
            format!("{} (pass ended {ended} ago)", self.waits_for),
        )?;
        line(
            "",
            "a summary: deployments, reasons, checks and reports need root, `sudo nixus status`"
                .to_owned(),
        )
    }
}

/// Whether this process may see no more than that.
pub fn is_all(paths: &Paths) -> bool {
    fs::read_dir(&paths.state).is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_summary_is_readable_for_all_and_has_nobody_elses_words() {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths {
            summary: folder.path().join("nixus-status.json"),
            ..Paths::default()
        };
        let reason = Reason::BackingOff {
            until: Timestamp::UNIX_EPOCH,
            why: "https://git.example/secret.git: SECRET".to_owned(),
        };
        let commit = Some("a".repeat(40));
        let summary = Summary::new("web1", commit, Some(3), &reason);
        summary.write(&paths).unwrap();
        let mode = fs::metadata(&paths.summary).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o644);
        assert_eq!(Summary::read(&paths.summary).unwrap(), summary);
        let shown = summary.text(summary.pass_ended);
        let text = format!("{shown}{}", serde_json::to_string(&summary).unwrap());
        assert!(
            !text.contains("SECRET") && text.contains("backing-off"),
            "{text}"
        );
        assert!(shown.contains("aaaaaaa (generation 3)"));
        fs::write(&paths.summary, "{}").unwrap();
        assert!(Summary::read(&paths.summary).is_err());
    }
}
