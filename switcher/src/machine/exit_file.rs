//! How a run of `switch-to-configuration` ended, told through a file: the connection to systemd may
//! not outlive an activation that restarts D-Bus or systemd itself.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

use crate::state::bounded::read_bounded;

/// What systemd tells an `ExecStopPost=` program (systemd.exec(5), `$SERVICE_RESULT`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exit {
    /// `success`, `exit-code`, `signal`, …
    pub result: String,
    /// `exited`, `killed` or `dumped`.
    pub code: String,
    /// A number, or the name of a signal without `SIG`.
    pub status: String,
}

impl Exit {
    /// From the environment that systemd gives to `ExecStopPost=`.
    pub fn from_environment() -> Self {
        let get = |name| std::env::var(name).unwrap_or_default();
        Self {
            result: get("SERVICE_RESULT"),
            code: get("EXIT_CODE"),
            status: get("EXIT_STATUS"),
        }
    }

    /// The exit code, or 128 plus the signal; 255 where systemd told neither.
    pub fn as_code(&self) -> i32 {
        self.status
            .parse()
            .ok()
            .or_else(|| {
                let signal: Signal = format!("SIG{}", self.status).parse().ok()?;
                Some(128 + signal as i32)
            })
            .unwrap_or(255)
    }

    /// Writes it where the switcher looks for it. It need not survive a reboot.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        crate::machine::fault::around(format_args!("record-exit"), || {
            let new = path.with_extension("new");
            fs::write(&new, serde_json::to_vec(self)?)?;
            fs::rename(&new, path)
        })
    }

    /// Reads it, once it is there.
    ///
    /// # Errors
    /// The file is there and cannot be read, or is not such a file.
    pub fn read(path: &Path) -> io::Result<Option<Self>> {
        match read_bounded(path, 4096) {
            Ok(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Which part of a unit's file systemd could not put into effect, where a unit ended for that. It
/// then ended before its program began, with one of these codes (systemd.exec(5), "Process Exit
/// Codes"). Left out are those that a full disk or want of memory can cause.
pub fn refused_by_systemd(result: &str, status: &str) -> Option<&'static str> {
    const CODES: [(&str, &str); 9] = [
        ("200", "CHDIR"),
        ("203", "EXEC"),
        ("210", "CHROOT"),
        ("216", "GROUP"),
        ("217", "USER"),
        ("225", "NETWORK"),
        ("226", "NAMESPACE"),
        ("228", "SECCOMP"),
        ("243", "CREDENTIALS"),
    ];
    let (_, name) = CODES.iter().find(|(code, _)| *code == status)?;
    (result == "exit-code").then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_units_file_asks_for_in_vain_is_refused_by_systemd() {
        for (result, status, expected) in [
            ("exit-code", "243", Some("CREDENTIALS")),
            ("exit-code", "226", Some("NAMESPACE")),
            // STATE_DIRECTORY: a full disk does it too.
            ("exit-code", "238", None),
            ("exit-code", "1", None),
            ("success", "0", None),
            ("signal", "9", None),
            ("timeout", "203", None),
        ] {
            assert_eq!(refused_by_systemd(result, status), expected, "{status}");
        }
    }

    #[test]
    fn every_end_of_a_unit_has_one_code() {
        for (code, status, expected) in [
            ("exited", "0", 0),
            ("exited", "11", 11),
            ("killed", "KILL", 137),
            ("killed", "TERM", 143),
            ("dumped", "ABRT", 134),
            ("", "", 255),
        ] {
            let exit = Exit {
                result: String::new(),
                code: code.to_owned(),
                status: status.to_owned(),
            };
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("x.exit");
            assert_eq!(Exit::read(&path).unwrap(), None);
            exit.write(&path).unwrap();
            let read = Exit::read(&path).unwrap().unwrap();
            assert_eq!((read.as_code(), read), (expected, exit));
        }
    }
}
