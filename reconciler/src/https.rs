//! HTTPS, as git needs it: a token that is in no argument, environment or log, and a pinned CA.
//!
//! git asks a program for user and password (`GIT_ASKPASS`). It is given this executable, which is
//! told in the environment where the token's file is, and reads it only when it is asked.

use std::io::{self, Write};
use std::path::Path;

use crate::config::Remote;
use crate::process::Invocation;
use crate::state::read_bounded;

const CALLED_AS_ASKPASS: &str = "NIXUS_CALLED_AS_ASKPASS";
const TOKEN_FILE: &str = "NIXUS_TOKEN_FILE";

/// Forges take any name beside a token; GitHub wants this one for the tokens of its apps.
pub const USER: &str = "x-access-token";

/// The longest token that is read, in bytes.
const MAX_TOKEN: u64 = 16 * 1024;

/// Lets a git invocation reach `remote` over HTTPS with the token and the CA configured for it.
pub fn with_https(invocation: Invocation, remote: &Remote) -> io::Result<Invocation> {
    // A redirect could lead the token to another server.
    let mut invocation = invocation.args(["-c", "http.followRedirects=false"]);
    if let Some(authority) = &remote.ca_file {
        invocation = invocation.env("GIT_SSL_CAINFO", authority);
    }
    if let Some(token) = &remote.token_file {
        // Without the helpers of the system: they would keep the token elsewhere.
        invocation = invocation
            .args(["-c", "credential.helper="])
            .env("GIT_ASKPASS", std::env::current_exe()?)
            .env(CALLED_AS_ASKPASS, "1")
            .env(TOKEN_FILE, token);
    }
    Ok(invocation)
}

/// Answers git's question where git called this executable to ask it; nothing where it was not.
pub fn answer_if_asked() -> Option<io::Result<()>> {
    std::env::var_os(CALLED_AS_ASKPASS)?;
    let question = std::env::args().nth(1).unwrap_or_default();
    let file = std::env::var_os(TOKEN_FILE).unwrap_or_default();
    Some(answer(&question, Path::new(&file)).and_then(|answer| writeln!(io::stdout(), "{answer}")))
}

fn answer(question: &str, file: &Path) -> io::Result<String> {
    match question.starts_with("Username") {
        true => Ok(USER.to_owned()),
        false => token(file),
    }
}

/// The token in a file.
///
/// # Errors
/// It cannot be read, or holds something else.
pub fn token(file: &Path) -> io::Result<String> {
    let token = String::from_utf8(read_bounded(file, MAX_TOKEN)?)
        .map_err(|_| io::Error::other("the token is not text"))?;
    // Most editors end a file with a newline.
    let token = token.trim();
    if token.is_empty() || token.chars().any(char::is_control) {
        return Err(io::Error::other("the file does not hold one token"));
    }
    Ok(token.to_owned())
}

/// A text with the passwords of all URLs in it left out.
pub fn without_passwords(text: &str) -> String {
    let mut told = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("://") {
        told.push_str(before);
        told.push_str("://");
        rest = after;
        let end = after
            .find(|letter: char| letter.is_whitespace() || "/'\"".contains(letter))
            .unwrap_or(after.len());
        if let Some((user, _)) = password_in(&after[..end]) {
            told.push_str(user);
            told.push_str(":***");
            rest = &after[after[..end].rfind('@').unwrap_or(0)..];
        }
    }
    told.push_str(rest);
    told
}

/// User and password in the authority of a URL, where it has a password.
fn password_in(authority: &str) -> Option<(&str, &str)> {
    authority.rsplit_once('@')?.0.split_once(':')
}

/// Whether a URL carries a password, which would be seen by everyone who lists processes.
pub fn has_password(url: &str) -> bool {
    without_passwords(url) != url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_with_or_without_a_newline_at_its_end() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        let check = |content: &str, expected: Option<&str>| {
            std::fs::write(&file, content).unwrap();
            let found = answer("Password for 'https://git.example': ", &file).ok();
            assert_eq!(found.as_deref(), expected, "{content:?}");
        };
        check("s3cret", Some("s3cret"));
        check("s3cret\n", Some("s3cret"));
        check("s3cret\r\n", Some("s3cret"));
        check("", None);
        check("one\ntwo\n", None);
        let user = answer("Username for 'https://git.example': ", &file).unwrap();
        assert_eq!(user, USER);
    }

    #[test]
    fn passwords_are_told_to_nobody() {
        let check = |text: &str, expected: &str| assert_eq!(without_passwords(text), expected);
        check(
            "fatal: unable to access 'https://me:s3cret@git.example/x.git/': refused",
            "fatal: unable to access 'https://me:***@git.example/x.git/': refused",
        );
        check(
            "https://a:p@ss@b https://:x@c",
            "https://a:***@b https://:***@c",
        );
        let harmless = "ssh://git@git.example:22/x.git at 10:30 a@b file:///x:y@z";
        check(harmless, harmless);
        assert!(has_password("https://me:s3cret@git.example/x"));
        assert!(!has_password("https://me@git.example:8443/x"));
    }
}
