//! Whether a built system's secrets can be opened here, before anything is changed: asked of its own
//! `nixus-secrets`.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nixus_switcher::protocol::Toplevel;
use serde::Deserialize;
use thiserror::Error;

use super::cli::{NOT_ALL, WRONG};
use super::description::{IN_TOPLEVEL, LONGEST};
use crate::host::files::read_bounded;
use crate::host::process::{Invocation, ProcessError};
use crate::host::store_path;

/// How long all secrets may take to be opened.
const LIMIT: Duration = Duration::from_secs(60);
/// What is kept of what the program says, in bytes: reports have a limit as well.
const SAID: usize = 1500;

/// Why it is not known, or known, that a system's secrets cannot be opened.
#[derive(Debug, Error)]
pub enum CandidateError {
    /// Its description could not be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its description names no program.
    #[error("{} names no program of the store that opens it", path.display())]
    Program {
        /// The file.
        path: PathBuf,
    },
    /// This host cannot open all of them, which is the commit's fault.
    #[error("this host cannot open all its secrets: {said}")]
    Closed {
        /// What its program says.
        said: String,
    },
    /// Its program did not tell.
    #[error("cannot determine whether this host can open its secrets")]
    Run(#[source] ProcessError),
}

impl CandidateError {
    /// Whether the commit itself is at fault: trying it again would end the same.
    pub fn is_of_the_commit(&self) -> bool {
        match self {
            Self::Program { .. } | Self::Closed { .. } => true,
            Self::Read { .. } | Self::Run(_) => false,
        }
    }
}

/// All that has to be understood of the description here; the rest may be of another release.
#[derive(Deserialize)]
struct Program {
    program: PathBuf,
}

/// Has a built system open its secrets to nowhere. A system without secrets has nothing to open.
///
/// # Errors
/// It cannot open them all, or it cannot be determined.
pub async fn check(toplevel: &Toplevel) -> Result<(), CandidateError> {
    check_at(toplevel.path(), Path::new("/nix/store")).await
}

async fn check_at(toplevel: &Path, store: &Path) -> Result<(), CandidateError> {
    let path = toplevel.join(IN_TOPLEVEL);
    let text = match read_bounded(&path, LONGEST) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // A link whose target is lost is not the same as none.
            match std::fs::symlink_metadata(&path) {
                Ok(_) => {
                    return Err(CandidateError::Read {
                        path,
                        source: error,
                    });
                }
                Err(_) => return Ok(()),
            }
        }
        Err(source) => return Err(CandidateError::Read { path, source }),
    };
    let program = serde_json::from_slice::<Program>(&text).ok();
    let program = program.filter(|one| store_path::leads_into(&one.program, store));
    let Some(Program { program }) = program else {
        return Err(CandidateError::Program { path });
    };
    let run = Invocation::new(program, LIMIT).arg("check").arg(&path);
    match run.output().await {
        Ok(_) => Ok(()),
        Err(ProcessError::Failed { status, stderr, .. })
            if [NOT_ALL, WRONG]
                .map(i32::from)
                .map(Some)
                .contains(&status.code()) =>
        {
            Err(CandidateError::Closed {
                said: essence(&stderr),
            })
        }
        Err(error) => Err(CandidateError::Run(error)),
    }
}

fn essence(stderr: &str) -> String {
    let lines: Vec<&str> = stderr
        .lines()
        .filter_map(|line| line.strip_prefix("nixus-secrets: "))
        .filter(|line| !line.starts_with("warning: "))
        .collect();
    let words = match lines.is_empty() {
        true => stderr.trim().to_owned(),
        false => lines.join("; "),
    };
    words.chars().take(SAID).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// Checks a system whose program does what the script says.
    fn check(script: Option<&str>) -> Result<(), CandidateError> {
        let folder = tempfile::tempdir().unwrap();
        let etc = folder.path().join("etc/nixus");
        std::fs::create_dir_all(&etc).unwrap();
        if let Some(script) = script {
            let program = folder.path().join("program");
            std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
            let mode = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(&program, mode).unwrap();
            let text = format!("{{\"version\": 7, \"program\": {program:?}}}");
            std::fs::write(etc.join("secrets.json"), text).unwrap();
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(check_at(folder.path(), folder.path()))
    }

    #[test]
    fn a_systems_own_program_tells_whether_its_secrets_open() {
        let table = [
            (None, None),
            (Some("exit 0"), None),
            (
                Some(
                    "echo 'nixus-secrets: warning: x' >&2; echo 'nixus-secrets: cannot open secret a: it is damaged' >&2; exit 1",
                ),
                Some((
                    true,
                    "this host cannot open all its secrets: cannot open secret a: it is damaged",
                )),
            ),
            (Some("echo wrong >&2; exit 2"), Some((true, "wrong"))),
            (Some("exit 3"), Some((false, "cannot determine whether"))),
            (
                Some("kill -ABRT $$"),
                Some((false, "cannot determine whether")),
            ),
        ];
        for (script, expected) in table {
            let said = check(script).err();
            let said = said.map(|error| (error.is_of_the_commit(), error.to_string()));
            match (said, expected) {
                (None, None) => {}
                (Some((fault, said)), Some((expected, words))) => {
                    assert_eq!(fault, expected, "{said}");
                    assert!(said.contains(words), "{said}");
                }
                (said, expected) => panic!("{said:?} {expected:?}"),
            }
        }
    }

    #[test]
    fn a_program_from_elsewhere_is_not_run() {
        let folder = tempfile::tempdir().unwrap();
        let etc = folder.path().join("etc/nixus");
        std::fs::create_dir_all(&etc).unwrap();
        std::fs::write(etc.join("secrets.json"), r#"{"program": "/bin/true"}"#).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let said = runtime.block_on(check_at(folder.path(), Path::new("/nix/store")));
        assert!(matches!(said, Err(CandidateError::Program { .. })));
    }
}
