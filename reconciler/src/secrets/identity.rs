//! Private keys that open files: a host's SSH host keys, an operator's SSH or age keys.

use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::str::FromStr as _;

use thiserror::Error;

use super::memory;
use super::passphrase::Ask;

/// The longest file with private keys; RSA with 16384 bits needs less than 16 KiB.
const LONGEST: u64 = 64 * 1024;
/// More than anybody needs, also while keys are rotated.
const MOST: usize = 32;

/// Why a file gives no key.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// It could not be read.
    #[error("cannot read the private key {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// There is nothing in it that can be used.
    #[error("{} {problem}", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A key needs a passphrase, and nobody can be asked.
    #[error("the private key {} has a passphrase, and a host cannot type it", path.display())]
    Passphrase {
        /// The file.
        path: PathBuf,
    },
    /// No file gave a key.
    #[error("there is no private key to open secrets with{}", told(failures))]
    None {
        /// What was wrong with each file.
        failures: Vec<IdentityError>,
    },
}

fn told(failures: &[IdentityError]) -> String {
    let words: Vec<String> = failures
        .iter()
        .map(|failure| crate::host::process::in_words(failure))
        .collect();
    match words.is_empty() {
        true => String::new(),
        false => format!(": {}", words.join("; ")),
    }
}

/// Some private keys, tried in this order.
#[derive(Default)]
pub struct Identities {
    keys: Vec<Box<dyn age::Identity + Send + Sync>>,
}

impl std::fmt::Debug for Identities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} private keys", self.keys.len())
    }
}

/// Who uses the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum User {
    /// A program without anybody to ask.
    Host,
    /// A person at a terminal.
    Operator,
}

impl Identities {
    /// The keys of those files that give one, and what was wrong with the others.
    ///
    /// # Errors
    /// No file gives a key.
    pub fn read(
        paths: &[PathBuf],
        user: User,
    ) -> Result<(Self, Vec<IdentityError>), IdentityError> {
        let mut identities = Self::default();
        let mut failures = Vec::new();
        for path in paths.iter().take(MOST) {
            match keys_in(path, user) {
                Ok(keys) => identities.keys.extend(keys),
                Err(failure) => failures.push(failure),
            }
        }
        if identities.keys.is_empty() {
            return Err(IdentityError::None { failures });
        }
        Ok((identities, failures))
    }

    pub(super) fn for_age(&self) -> impl Iterator<Item = &dyn age::Identity> {
        self.keys.iter().map(|key| &**key as &dyn age::Identity)
    }
}

type Key = Box<dyn age::Identity + Send + Sync>;

fn keys_in(path: &Path, user: User) -> Result<Vec<Key>, IdentityError> {
    let bytes = memory::read(path, LONGEST).map_err(|source| IdentityError::Read {
        path: path.to_owned(),
        source,
    })?;
    let no_key = |problem: &str| IdentityError::NoKey {
        path: path.to_owned(),
        problem: problem.to_owned(),
    };
    let text = std::str::from_utf8(&bytes).map_err(|_| no_key("is not text"))?;
    if text.trim_start().starts_with("-----BEGIN") {
        return Ok(vec![ssh_key(text, path, user)?]);
    }
    let mut keys: Vec<Key> = Vec::new();
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let key = age::x25519::Identity::from_str(line)
            .map_err(|_| no_key("has a line that is not an AGE-SECRET-KEY-1…"))?;
        keys.push(Box::new(key));
    }
    match keys.is_empty() {
        true => Err(no_key("has no private key in it")),
        false => Ok(keys),
    }
}

fn ssh_key(text: &str, path: &Path, user: User) -> Result<Key, IdentityError> {
    let no_key = |problem: String| IdentityError::NoKey {
        path: path.to_owned(),
        problem,
    };
    let name = path.display().to_string();
    let key =
        age::ssh::Identity::from_buffer(BufReader::new(text.trim_start().as_bytes()), Some(name))
            .map_err(|_| no_key("is not a private key of OpenSSH".to_owned()))?;
    match (key, user) {
        (age::ssh::Identity::Unencrypted(key), _) => Ok(Box::new(age::ssh::Identity::from(key))),
        (key @ age::ssh::Identity::Encrypted(_), User::Operator) => {
            Ok(Box::new(key.with_callbacks(Ask)))
        }
        (age::ssh::Identity::Encrypted(_), User::Host) => Err(IdentityError::Passphrase {
            path: path.to_owned(),
        }),
        (age::ssh::Identity::Unsupported(_), _) => Err(no_key(
            "is of a kind that cannot open secrets: only ssh-ed25519 and ssh-rsa keys can"
                .to_owned(),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_without_a_usable_key_are_named_and_one_good_one_is_enough() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let good = write("age", &super::super::ciphertext::tests::age_key().1);
        let bad = [
            (folder.path().join("none"), "cannot read the private key"),
            (write("empty", ""), "has no private key in it"),
            (
                write("text", "hello\n"),
                "has a line that is not an AGE-SECRET-KEY-1…",
            ),
            (
                write("pem", "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n"),
                "is not a private key of OpenSSH",
            ),
            (write("long", &"#\n".repeat(64 * 1024)), "file too large"),
        ];
        for (path, words) in &bad {
            let said = Identities::read(std::slice::from_ref(path), User::Host);
            let said = said.unwrap_err().to_string();
            assert!(said.contains(words), "{said}");
            let both = [path.clone(), good.clone()];
            let (_, failures) = Identities::read(&both, User::Host).unwrap();
            assert_eq!(failures.len(), 1);
        }
        assert!(Identities::read(&[], User::Host).is_err());
    }
}
