//! A deploy repository to begin with: the template, with what its owner says of the fleet in it.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use thiserror::Error;

use crate::address::{Address, AddressError};
use crate::host::public_key::PublicKey;

/// A file of the template.
#[derive(Debug, Clone, Copy)]
pub struct File {
    /// Where it is, below the repository's root.
    pub path: &'static str,
    /// What is in it.
    pub text: &'static str,
    /// Whether it is a program.
    pub program: bool,
}

macro_rules! file {
    ($path:literal, $program:literal) => {
        File {
            path: $path,
            text: include_str!(concat!(
                env!("CARGO_MANIFEST_DIR"),
                "/../deploy-repo-template/",
                $path
            )),
            program: $program,
        }
    };
}

/// The whole template.
pub const TEMPLATE: [File; 18] = [
    file!(".forgejo/workflows/fleet.yml", false),
    file!(".github/workflows/fleet.yml", false),
    file!(".gitlab-ci.yml", false),
    file!("README.md", false),
    file!("ci/build", true),
    file!("ci/keep-reason", true),
    file!("ci/publish", true),
    file!("ci/watch", true),
    file!("common.nix", false),
    file!("flake.nix", false),
    file!("fleet.nix", false),
    file!("git-server/nixus-git-shell", true),
    file!("git-server/update", true),
    file!("hosts/db1.nix", false),
    file!("hosts/web1.nix", false),
    file!("publish/.forgejo/workflows/publish.yml", false),
    file!("publish/.gitlab-ci.yml", false),
    file!("users.nix", false),
];

/// What stands in the template for what only its owner knows.
const REPOSITORY: &str = "ssh://git@git.example.org/srv/git/deploy.git";
const REPORTS: &str = "ssh://git@git.example.org/srv/git/reports.git";
const NIXUS: &str = "git+ssh://git@git.example.org/srv/git/nixus.git";
const SERVER_KEY: &str = "git.example.org ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAReplaceThisWithTheHostKeyOfYourGitServer00";
const OPERATOR_KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAReplaceThisWithThePublicKeyOfAnOperator000 operator";

/// What is known of the fleet; what is not stays as it is in the template.
#[derive(Debug, Clone, Default)]
pub struct Answers {
    /// The deploy repository's URL.
    pub repository: Option<String>,
    /// The git server's host key.
    pub server_key: Option<String>,
    /// An operator's public key.
    pub operator_key: Option<String>,
    /// The flake of Nixus.
    pub nixus: Option<String>,
}

/// Why there is no repository.
#[derive(Debug, Error)]
pub enum InitError {
    /// Something is there already. Nothing was written.
    #[error("{} is there already, and nothing is overwritten: choose an empty folder", path.display())]
    Exists {
        /// What is there.
        path: PathBuf,
    },
    /// An answer is none.
    #[error("{what}: {problem}")]
    Answer {
        /// What was asked for.
        what: &'static str,
        /// What is wrong, and what is right.
        problem: String,
    },
    /// A file cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl InitError {
    /// Whether the one who asked has to ask for something else.
    pub fn is_wrong_input(&self) -> bool {
        matches!(self, Self::Exists { .. } | Self::Answer { .. })
    }
}

/// Writes the template into a folder, which is made if need be; gives the placeholders that are left,
/// each with its file.
///
/// # Errors
/// Something is there already, an answer is not valid, or a file cannot be written.
pub fn init(folder: &Path, answers: &Answers) -> Result<Vec<(&'static str, String)>, InitError> {
    let replaced = replacements(answers)?;
    for file in &TEMPLATE {
        in_the_way(folder, Path::new(file.path))?;
    }
    let mut left = Vec::new();
    for file in &TEMPLATE {
        let mut text = file.text.to_owned();
        if file.path.ends_with(".nix") {
            for (from, to) in &replaced {
                text = text.replace(from, to);
            }
            for placeholder in [REPOSITORY, NIXUS, SERVER_KEY, OPERATOR_KEY] {
                if text.contains(placeholder) {
                    left.push((file.path, placeholder.to_owned()));
                }
            }
        }
        write(&folder.join(file.path), &text, file.program)?;
    }
    Ok(left)
}

/// The file itself, or something that is not a folder where one is needed.
fn in_the_way(folder: &Path, file: &Path) -> Result<(), InitError> {
    for part in file.ancestors().filter(|part| !part.as_os_str().is_empty()) {
        let path = folder.join(part);
        // A dangling link is something too.
        let there = path.symlink_metadata().is_ok();
        if there && (part == file || !path.is_dir()) {
            return Err(InitError::Exists { path });
        }
    }
    Ok(())
}

fn write(path: &Path, text: &str, program: bool) -> Result<(), InitError> {
    let failed = |source| InitError::Write {
        path: path.to_owned(),
        source,
    };
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    OpenOptions::new()
        .write(true)
        // Somebody may have been quicker.
        .create_new(true)
        .mode(if program { 0o777 } else { 0o666 })
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(failed)
}

fn replacements(answers: &Answers) -> Result<Vec<(&'static str, String)>, InitError> {
    let mut replaced = Vec::new();
    // Before the repository's own URL, of which it is not a part.
    if let Some(nixus) = &answers.nixus {
        replaced.push((NIXUS, plain("the flake of Nixus", nixus)?));
    }
    if let Some(url) = &answers.repository {
        let url = plain("the deploy repository", url)?;
        let wrong = |problem: &str| InitError::Answer {
            what: "the deploy repository",
            problem: format!("{url:?} {problem}"),
        };
        let parsed = Address::parse(&url);
        if let Err(why @ AddressError::Credentials(_)) = &parsed {
            return Err(InitError::Answer {
                what: "the deploy repository",
                problem: format!("the URL {why}"),
            });
        }
        if !["ssh://", "https://"]
            .iter()
            .any(|one| url.starts_with(one))
        {
            return Err(wrong(
                "is not a URL with ssh:// or https://, such as ssh://git@git.example.org/srv/git/deploy.git",
            ));
        }
        if let Err(why) = parsed {
            return Err(wrong(&why.to_string()));
        }
        replaced.push((
            REPORTS,
            beside(&url, "reports.git").ok_or_else(|| wrong("names no repository"))?,
        ));
        replaced.push((REPOSITORY, url));
    }
    if let Some(key) = &answers.server_key {
        let what = "the git server's host key";
        let wrong = |problem| InitError::Answer { what, problem };
        let key = plain(what, key)?;
        PublicKey::of_host(&key).map_err(wrong)?;
        let url = answers.repository.as_deref().unwrap_or(REPOSITORY);
        let server = known_as(url).ok_or_else(|| wrong(format!("{url:?} names no server")))?;
        replaced.push((SERVER_KEY, format!("{server} {key}")));
    }
    if let Some(key) = &answers.operator_key {
        let what = "the operator's public key";
        let key = plain(what, key)?;
        key.parse::<PublicKey>()
            .map_err(|problem| InitError::Answer { what, problem })?;
        replaced.push((OPERATOR_KEY, key));
    }
    Ok(replaced)
}

/// The answer becomes a part of a string of Nix's, and must not end it.
fn plain(what: &'static str, answer: &str) -> Result<String, InitError> {
    let answer = answer.trim();
    let problem = if answer.contains("PRIVATE KEY") {
        // It is not shown again.
        "that is a private key: give the public one, whose file ends with .pub".to_owned()
    } else if answer.chars().any(char::is_control) {
        "that is more than one line".to_owned()
    } else if answer.is_empty() || answer.contains("''") || answer.contains(['"', '\\', '$']) {
        format!("{answer:?} is empty, or has quotes or the like in it")
    } else {
        return Ok(answer.to_owned());
    };
    Err(InitError::Answer { what, problem })
}

/// Another repository in the same folder.
fn beside(url: &str, name: &str) -> Option<String> {
    let (folder, last) = url.rsplit_once('/')?;
    (!last.is_empty() && folder.contains("://") && !folder.ends_with(":/"))
        .then(|| format!("{folder}/{name}"))
}

/// The name of a URL's server as it stands in known_hosts (sshd(8)).
fn known_as(url: &str) -> Option<String> {
    let address = Address::parse(url).ok()?;
    let server = address.server();
    Some(match server.port()? {
        22 => server.host().to_owned(),
        port => format!("[{}]:{port}", server.host()),
    })
}

#[cfg(test)]
mod tests;
