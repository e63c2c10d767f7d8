//! Files in age's format: made, opened, and looked at from outside.

use std::io::{self, Read as _, Write as _};

use age::armor::ArmoredReader;
use age::{DecryptError, Decryptor, EncryptError, Encryptor};
use thiserror::Error;
use zeroize::Zeroizing;

use super::identity::Identities;
use super::recipient::{Mark, Recipient, RecipientError};
use super::{LONGEST, LONGEST_FILE};

/// What an armoured file begins with (age.md, "ASCII armor").
const ARMOUR: &[u8] = b"-----BEGIN AGE ENCRYPTED FILE-----";
/// What every other file begins with.
const INTRO: &[u8] = b"age-encryption.org/v1\n";

/// Bytes that are wiped when nobody needs them any more.
pub type Plaintext = Zeroizing<Vec<u8>>;

/// Why a file could not be opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// It is encrypted to others.
    #[error("none of the private keys here opens it: it is encrypted to others")]
    OtherKeys,
    /// It is not a file of age's.
    #[error("it is not a file that age encrypted")]
    NoCiphertext,
    /// It is encrypted to the right key, and not whole.
    #[error("it is damaged")]
    Damaged,
    /// The private key could not be used: a passphrase was wrong, for example.
    #[error("the private key could not be used")]
    Key,
    /// It is longer than any secret.
    #[error("it is longer than {LONGEST} bytes")]
    TooLong,
}

/// Why a file could not be made.
#[derive(Debug, Error)]
pub enum SealError {
    /// Nobody could open it.
    #[error("there is no key to encrypt to")]
    NoRecipients,
    /// A key is none.
    #[error(transparent)]
    Recipient(RecipientError),
    /// The plaintext is longer than any secret.
    #[error("a secret has at most {LONGEST} bytes")]
    TooLong,
    /// It was not encrypted.
    #[error("cannot encrypt")]
    Encrypt(#[source] Box<EncryptError>),
    /// It was not written to memory.
    #[error("cannot encrypt")]
    Write(#[source] io::Error),
}

/// Encrypts to all recipients; each of them can open it.
///
/// # Errors
/// There is no recipient, or one whose key cannot be encrypted to.
pub fn seal(plaintext: &[u8], recipients: &[Recipient]) -> Result<Vec<u8>, SealError> {
    if recipients.is_empty() {
        return Err(SealError::NoRecipients);
    }
    if plaintext.len() > LONGEST {
        return Err(SealError::TooLong);
    }
    let keys: Vec<Box<dyn age::Recipient>> = recipients
        .iter()
        .map(|recipient| recipient.for_age().map_err(SealError::Recipient))
        .collect::<Result<_, _>>()?;
    let encryptor = Encryptor::with_recipients(keys.iter().map(|key| &**key as _))
        .map_err(|error| SealError::Encrypt(Box::new(error)))?;
    let mut sealed = Vec::new();
    let mut writer = encryptor
        .wrap_output(&mut sealed)
        .map_err(SealError::Write)?;
    writer
        .write_all(plaintext)
        .and_then(|()| writer.finish())
        .map_err(SealError::Write)?;
    Ok(sealed)
}

/// Opens a file, armoured or not, with the first key that fits.
///
/// # Errors
/// It is not such a file, is damaged or too long, or none of the keys fits.
pub fn open(file: &[u8], identities: &Identities) -> Result<Plaintext, OpenError> {
    let plain = without_armour(file)?;
    let decryptor = Decryptor::new_buffered(plain.as_slice()).map_err(|error| of_age(&error))?;
    let mut reader = decryptor
        .decrypt(identities.for_age())
        .map_err(|error| of_age(&error))?;
    // Grown once: what a vector leaves behind when it grows is not wiped.
    let mut opened = Zeroizing::new(Vec::with_capacity(plain.len().min(LONGEST + 1)));
    reader
        .by_ref()
        .take(LONGEST as u64 + 1)
        .read_to_end(&mut opened)
        .map_err(|_| OpenError::Damaged)?;
    if opened.len() > LONGEST {
        return Err(OpenError::TooLong);
    }
    Ok(opened)
}

/// Who a file says that it is encrypted to. Whether it is whole only its plaintext shows.
///
/// # Errors
/// It is not such a file.
pub fn marks(file: &[u8]) -> Result<Vec<Mark>, OpenError> {
    let plain = without_armour(file)?;
    let rest = plain.strip_prefix(INTRO).ok_or(OpenError::NoCiphertext)?;
    let mut marks = Vec::new();
    for line in rest.split(|byte| *byte == b'\n') {
        if line.starts_with(b"---") {
            marks.sort();
            return Ok(marks);
        }
        let line = std::str::from_utf8(line).map_err(|_| OpenError::NoCiphertext)?;
        let Some(stanza) = line.strip_prefix("-> ") else {
            continue;
        };
        let mut words = stanza.split(' ');
        let kind = words.next().unwrap_or_default();
        match (kind, words.next()) {
            ("ssh-ed25519" | "ssh-rsa", Some(tag)) => {
                marks.push(Mark::Ssh(format!("{kind} {tag}")));
            }
            ("X25519", _) => marks.push(Mark::X25519),
            // Meant for nobody, so that readers bear what they do not know (age.md, "grease").
            (kind, _) if kind.ends_with("-grease") => {}
            (kind, _) => marks.push(Mark::Other(kind.chars().take(40).collect())),
        }
    }
    Err(OpenError::NoCiphertext)
}

fn without_armour(file: &[u8]) -> Result<Vec<u8>, OpenError> {
    if file.len() > LONGEST_FILE {
        return Err(OpenError::TooLong);
    }
    if !file.trim_ascii_start().starts_with(ARMOUR) {
        return Ok(file.to_vec());
    }
    let mut plain = Vec::new();
    ArmoredReader::new(file.trim_ascii_start())
        .take(LONGEST_FILE as u64)
        .read_to_end(&mut plain)
        .map_err(|_| OpenError::NoCiphertext)?;
    Ok(plain)
}

/// What age says of a failure is in the language of the environment and of age's own programs.
fn of_age(error: &DecryptError) -> OpenError {
    match error {
        DecryptError::NoMatchingKeys => OpenError::OtherKeys,
        DecryptError::DecryptionFailed | DecryptError::InvalidMac => OpenError::Damaged,
        DecryptError::KeyDecryptionFailed => OpenError::Key,
        _ => OpenError::NoCiphertext,
    }
}

#[cfg(test)]
pub(super) mod tests;
