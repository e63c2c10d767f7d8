//! Whether the store still holds what Nix has put into it, by `nix store verify`: a power cut may
//! have cut files short that Nix calls valid (<https://github.com/NixOS/nix/issues/1218>).

use std::time::Duration;

use crate::machine::process::{Output, find, run};
use crate::machine::system::SystemError;
use crate::protocol::Toplevel;

/// How many damaged paths are named.
const NAMED: usize = 3;

/// How much is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// The toplevel itself.
    Alone,
    /// All that it refers to as well.
    Closure,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Soundness {
    /// All is as it was.
    Sound,
    /// This is not, in Nix's words.
    Damaged(String),
}

/// Compares files with the hashes that Nix keeps of them. Needs no network and no daemon.
///
/// # Errors
/// Nix cannot be run, or does not end within `limit`.
pub fn check(
    toplevel: &Toplevel,
    extent: Extent,
    limit: Duration,
) -> Result<Soundness, SystemError> {
    let failed = |how: String| SystemError::Command {
        what: "nix store verify".to_owned(),
        how,
    };
    let nix = find("nix").ok_or_else(|| failed("nix was not found".to_owned()))?;
    let path = toplevel.path().to_string_lossy();
    let mut args = vec![
        "--extra-experimental-features",
        "nix-command",
        "store",
        "verify",
        "--no-trust",
    ];
    if extent == Extent::Closure {
        args.push("--recursive");
    }
    args.extend(["--", &path]);
    judge(&run(&nix, &args, limit)?).map_err(failed)
}

/// 1 in the exit code stands for damage, 2 for distrust, 4 for paths that could not be looked at
/// (nix, src/nix/verify.md). A path that Nix does not know, or that is gone, is as good as damaged.
fn judge(output: &Output) -> Result<Soundness, String> {
    let said = || {
        let lines: Vec<&str> = output
            .stderr
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        lines
    };
    if output.code == 0 {
        return Ok(Soundness::Sound);
    }
    let damaged: Vec<&str> = said()
        .into_iter()
        .filter(|line| {
            [
                "was modified",
                "is not valid",
                "No such file",
                "does not exist",
            ]
            .iter()
            .any(|words| line.contains(words))
        })
        .collect();
    if damaged.is_empty() {
        let last = said()
            .last()
            .copied()
            .unwrap_or("it said nothing")
            .to_owned();
        return Err(format!("exit code {}: {last}", output.code));
    }
    let mut named = damaged[..damaged.len().min(NAMED)].join("; ");
    if damaged.len() > NAMED {
        named.push_str(&format!("; and {} more", damaged.len() - NAMED));
    }
    Ok(Soundness::Damaged(named))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nix_says_of_a_path_is_damage() {
        let modified = "path \'/nix/store/a\' was modified! expected hash \'x\', got \'y\'";
        let many = format!("{modified}\n").repeat(5);
        for (code, stderr, expected) in [
            (0, "", Ok(Soundness::Sound)),
            (1, modified, Ok(Soundness::Damaged(modified.to_owned()))),
            (
                1,
                "error: path \'/nix/store/a\' is not valid\n",
                Ok(Soundness::Damaged(
                    "error: path \'/nix/store/a\' is not valid".to_owned(),
                )),
            ),
            (
                1,
                &many,
                Ok(Soundness::Damaged(format!(
                    "{modified}; {modified}; {modified}; and 2 more"
                ))),
            ),
            (
                1,
                "warning: x\nerror: cannot open connection to the daemon\n",
                Err("exit code 1: error: cannot open connection to the daemon".to_owned()),
            ),
            (137, "", Err("exit code 137: it said nothing".to_owned())),
        ] {
            let output = Output {
                code,
                stdout: String::new(),
                stderr: stderr.to_owned(),
            };
            assert_eq!(judge(&output), expected, "{stderr}");
        }
    }
}
