//! Public keys that a file can be encrypted to.

use std::fmt;
use std::str::FromStr;

use age::ssh::ParseRecipientKeyError;
use base64ct::{Base64Unpadded, Encoding as _};
use russh::keys::HashAlg;

use crate::host::public_key::PublicKey;

/// The longest line that is read as a key, in bytes; RSA with 16384 bits needs less than 3000.
const LONGEST: usize = 8192;

/// One public key, without its comment.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Recipient(String);

/// What the header of a file says about a recipient.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// Which SSH key it is: the kind, and the start of its digest.
    Ssh(String),
    /// One of age's own keys. Which one is not told, on purpose.
    X25519,
    /// Something else, which no recipient of ours is.
    Other(String),
}

/// Why a text is not a recipient.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecipientError {
    /// A key that age does not encrypt to, and that may stand among others for other purposes.
    #[error(
        "{kind} keys cannot be encrypted to: only ssh-ed25519, ssh-rsa (2048 bits and more) and age1… keys can"
    )]
    Unusable {
        /// The kind.
        kind: String,
    },
    /// It is not a public key at all.
    #[error("{shown:?} is not a public key such as \"ssh-ed25519 AAAA… name\" or \"age1…\"")]
    NoKey {
        /// Its start.
        shown: String,
    },
}

impl Recipient {
    /// What a file that is encrypted to this key says about it.
    pub fn mark(&self) -> Mark {
        match (self.0.split_once(' '), self.0.parse::<PublicKey>()) {
            (Some((kind, _)), Ok(key)) => Mark::Ssh(format!("{kind} {}", tag(&key))),
            _ => Mark::X25519,
        }
    }

    pub(super) fn for_age(&self) -> Result<Box<dyn age::Recipient>, RecipientError> {
        parse(&self.0).map(|(_, recipient)| recipient)
    }
}

/// As in the stanzas of SSH keys: the first four bytes of what `ssh-keygen -l` shows (age's README, "SSH
/// keys"; rage's `ssh_tag`).
fn tag(key: &PublicKey) -> String {
    let digest = key.key().fingerprint(HashAlg::Sha256);
    Base64Unpadded::encode_string(digest.as_bytes().get(..4).unwrap_or_default())
}

impl FromStr for Recipient {
    type Err = RecipientError;

    fn from_str(text: &str) -> Result<Self, RecipientError> {
        parse(text).map(|(plain, _)| Self(plain))
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn parse(text: &str) -> Result<(String, Box<dyn age::Recipient>), RecipientError> {
    let text = text.trim();
    let no_key = || RecipientError::NoKey {
        shown: text.chars().take(60).collect(),
    };
    if text.len() > LONGEST || text.contains(['\n', '\r', '\0']) {
        return Err(no_key());
    }
    let kind = text.split_whitespace().next().unwrap_or_default();
    let unusable = |kind: &str| RecipientError::Unusable {
        kind: kind.to_owned(),
    };
    // Newer kinds of age's own keys say so in their prefix: age1pq1…, age1tag1…
    let foreign = text
        .strip_prefix("age1")
        .and_then(|rest| rest.split_once('1'));
    if let Some((name, _)) = foreign {
        return Err(unusable(&format!("age1{name}")));
    }
    if text.starts_with("age1") {
        let key: age::x25519::Recipient = text.parse().map_err(|_| no_key())?;
        return Ok((key.to_string(), Box::new(key)));
    }
    if kind == "ssh-rsa" && has_zero(text) {
        return Err(no_key());
    }
    match text.parse::<age::ssh::Recipient>() {
        Ok(key) => Ok((key.to_string(), Box::new(key))),
        Err(ParseRecipientKeyError::Unsupported(kind)) => Err(unusable(&kind)),
        Err(
            ParseRecipientKeyError::RsaModulusTooSmall | ParseRecipientKeyError::RsaModulusTooLarge,
        ) => Err(unusable("ssh-rsa of this length")),
        Err(_) if is_other_ssh_key(kind) => Err(unusable(kind)),
        Err(_) => Err(no_key()),
    }
}

/// age 0.11 panics at a number that is written as zeros alone (`ssh::read_ssh::mpint`), also where the rest of the key
/// is missing.
fn has_zero(text: &str) -> bool {
    let Ok(key) = text.parse::<PublicKey>() else {
        return true;
    };
    let is_zero = |number: &[u8]| number.iter().all(|byte| *byte == 0);
    let numbers = key.key().key_data().rsa().map(|rsa| [rsa.e(), rsa.n()]);
    numbers.is_none_or(|numbers| numbers.iter().any(|one| is_zero(one.as_bytes())))
}

fn is_other_ssh_key(kind: &str) -> bool {
    kind.starts_with("ecdsa-sha2-")
        || kind.starts_with("sk-")
        || kind == "ssh-dss"
        || kind.contains("-cert-v")
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made with ssh-keygen, the private half thrown away; and a key of the tests of age itself.
    const ED25519: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFucuLfGiPO6o/7MVYEssN4oJf97OdPxncH39NUnrhLE";
    const AGE: &str = "age1t7rxyev2z3rw82stdlrrepyc39nvn86l5078zqkf5uasdy86jp6svpy7pa";

    #[test]
    fn keys_that_age_takes_are_read_and_others_named() {
        let check = |text: &str, expected: Result<&str, &str>| {
            let read = text.parse::<Recipient>();
            let read = read.map(|key| key.to_string()).map_err(|e| e.to_string());
            match (read, expected) {
                (Ok(read), Ok(expected)) => assert_eq!(read, expected),
                (Err(said), Err(words)) => assert!(said.contains(words), "{text}: {said}"),
                (read, _) => panic!("{text}: {read:?}"),
            }
        };
        check(ED25519, Ok(ED25519));
        check(&format!(" {ED25519} alice@example \n"), Ok(ED25519));
        check(AGE, Ok(AGE));
        // age itself panics at these.
        for zero in [
            "AAAAB3NzaC1yc2EAAAADAQABAAAAAQA",
            "AAAAB3NzaC1yc2EAAAADAAAA",
            "AAAAB3NzaC1yc2EAAAABAAAAAAEA",
        ] {
            for end in ["", "=", "=="] {
                assert!(format!("ssh-rsa {zero}{end}").parse::<Recipient>().is_err());
            }
        }
        let ecdsa = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBM4B/R1Q6RqICqSHOJJSYBoyFOsjPLLThPZRa7sX74owM3sfuubnpEMFYQxYQFnxMbfpivyGeLag+Ft2LrNZ/1Q=";
        check(
            ecdsa,
            Err("ecdsa-sha2-nistp256 keys cannot be encrypted to"),
        );
        check(
            "sk-ssh-ed25519@openssh.com AAAAGnNrLXNzaC1lZDI1NTE5QG9wZW5zc2guY29tAAAAIHykJ31B2wJ+3od7ySbWR1LI5ke3DHTh4Ep+snSKoZF+AAAABHNzaDo= alice",
            Err("cannot be encrypted to"),
        );
        check("age1pq1qqqq", Err("age1pq keys cannot be encrypted to"));
        check("ssh-ed25519 AAAA", Err("is not a public key"));
        check("", Err("is not a public key"));
        check(&format!("{ED25519}\n{ED25519}"), Err("is not a public key"));
        check(&"a".repeat(10_000), Err("is not a public key"));
    }

    #[test]
    fn a_mark_tells_which_ssh_key_and_not_which_of_ages_own() {
        let mark = |text: &str| text.parse::<Recipient>().unwrap().mark();
        assert_eq!(mark(AGE), Mark::X25519);
        let Mark::Ssh(tag) = mark(ED25519) else {
            panic!("no mark of an SSH key");
        };
        // The fingerprint's first four bytes: SHA256:COiIKt… in `ssh-keygen -l`.
        assert_eq!(tag, "ssh-ed25519 COiIKg");
    }
}
