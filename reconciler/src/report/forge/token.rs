//! The token for a forge: read from a file when it is needed, and shown to nobody but the forge.

use std::fmt;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::config::forge::TokenSource;
use crate::host::files::read_bounded;

/// The longest token that is read, in bytes.
const LONGEST: u64 = 16 * 1024;
/// Where systemd puts a unit's credentials (systemd.exec(5), CREDENTIALS).
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// Why there is no token.
#[derive(Debug, Error)]
pub enum TokenError {
    /// The file could not be read.
    #[error("cannot read the token in {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{} does not hold one token", path.display())]
    NotOne {
        /// The file.
        path: PathBuf,
    },
    /// This process has no credentials.
    #[error(
        "there is no credential {name:?} here: systemd gives it to units that say LoadCredential={name}:..."
    )]
    NoCredential {
        /// The credential.
        name: String,
    },
}

/// A token. It has no words: only a request's header is made of it.
#[derive(Clone)]
pub struct Token(String);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(***)")
    }
}

impl Token {
    /// For the one header that needs it.
    pub(super) fn reveal(&self) -> &str {
        &self.0
    }

    fn of(bytes: Vec<u8>) -> Option<Self> {
        let text = String::from_utf8(bytes).ok()?;
        // Most editors end a file with a newline.
        let token = text.trim();
        let plain = token.bytes().all(|byte| (0x21..=0x7e).contains(&byte));
        (!token.is_empty() && plain).then(|| Self(token.to_owned()))
    }
}

impl TokenSource {
    /// Reads the token.
    ///
    /// # Errors
    /// The file or the variable is not there, is too long, or has something else than a token in it.
    pub fn read(&self) -> Result<Token, TokenError> {
        let path = match self {
            Self::File(path) => path.clone(),
            Self::Credential(name) => std::env::var_os(CREDENTIALS)
                .map(|directory| PathBuf::from(directory).join(name))
                .ok_or_else(|| TokenError::NoCredential { name: name.clone() })?,
        };
        let bytes = read_bounded(&path, LONGEST).map_err(|source| TokenError::Read {
            path: path.clone(),
            source,
        })?;
        Token::of(bytes).ok_or(TokenError::NotOne { path })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_word_and_is_never_shown() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let check = |content: &[u8], expected: Option<&str>| {
            std::fs::write(&path, content).unwrap();
            let read = TokenSource::File(path.clone()).read();
            let found = read.as_ref().ok().map(Token::reveal);
            assert_eq!(found, expected, "{content:?}");
            assert!(!format!("{read:?}").contains("s3cret"));
        };
        check(b"s3cret\n", Some("s3cret"));
        check(b"s3cret", Some("s3cret"));
        check(b"", None);
        check(b"s3cret two", None);
        check(b"s3cret\r\nX-Injected: 1", None);
        check(&[0xff, 0xfe], None);
        check(&vec![b'x'; 20_000], None);
        let error = TokenSource::Credential("forge".into()).read().unwrap_err();
        assert!(
            error.to_string().contains("LoadCredential=forge"),
            "{error}"
        );
    }
}
