//! HTTPS, as git needs it: a token that is in no argument, environment or log, and a pinned CA.
//!
//! git asks a program for user and password (`GIT_ASKPASS`). It is given this executable, which is
//! told in the environment where the token's file is and which server it belongs to, and reads it only
//! when it is asked for that server. git asks for a proxy's password in the same way.

use std::io::{self, Write};
use std::path::Path;

use crate::address::{Address, without_credentials};
use crate::config::{Authorities, Remote};
use crate::host::files::{RUN, read_bounded};
use crate::host::http;
use crate::host::process::Invocation;

const CALLED_AS_ASKPASS: &str = "NIXUS_CALLED_AS_ASKPASS";
const TOKEN_FILE: &str = "NIXUS_TOKEN_FILE";
const TOKEN_SERVER: &str = "NIXUS_TOKEN_SERVER";

/// Forges take any name beside a token; GitHub wants this one for the tokens of its apps.
pub const USER: &str = "x-access-token";

/// The longest token that is read, in bytes.
const MAX_TOKEN: u64 = 16 * 1024;

/// Lets a git invocation reach `remote` over HTTPS with the token and the CA configured for it.
///
/// # Errors
/// The path of the own program cannot be found, the URL cannot be parsed, or the file with the authorities cannot be
/// read.
pub fn with_https(invocation: Invocation, remote: &Remote) -> io::Result<Invocation> {
    // A redirect could lead the token to another server.
    let mut invocation = invocation.args(["-c", "http.followRedirects=false"]);
    match &remote.authorities {
        Authorities::System => {}
        Authorities::Pinned(file) => invocation = invocation.env("GIT_SSL_CAINFO", file),
        // git takes one file in the place of the system's.
        Authorities::Extra(file) => {
            let joined = http::joined(file, Path::new(RUN))?;
            invocation = invocation.env("GIT_SSL_CAINFO", joined);
        }
    }
    if let Some(token) = &remote.token_file {
        let address = Address::parse(&remote.url).map_err(io::Error::other)?;
        // Without the helpers of the system: they would keep the token elsewhere.
        invocation = invocation
            .args(["-c", "credential.helper="])
            .env("GIT_ASKPASS", std::env::current_exe()?)
            .env(CALLED_AS_ASKPASS, "1")
            .env(TOKEN_FILE, token)
            .env(TOKEN_SERVER, address.server().to_string());
    }
    Ok(invocation)
}

/// Answers git's question where git called this executable to ask it; nothing where it was not.
pub fn answer_if_asked() -> Option<io::Result<()>> {
    std::env::var_os(CALLED_AS_ASKPASS)?;
    let question = std::env::args().nth(1).unwrap_or_default();
    let file = std::env::var_os(TOKEN_FILE).unwrap_or_default();
    let server = std::env::var(TOKEN_SERVER).unwrap_or_default();
    let answer = answer(&question, Path::new(&file), &server);
    Some(answer.and_then(|answer| writeln!(io::stdout(), "{answer}")))
}

/// git's questions are `Username for '<URL>': ` and `Password for '<URL>': ` (credential.c), with
/// a path where `credential.useHttpPath` is set.
pub(crate) fn answer(question: &str, file: &Path, server: &str) -> io::Result<String> {
    let asked_by = question
        .split_once('\'')
        .and_then(|(_, rest)| rest.rsplit_once('\''))
        .and_then(|(url, _)| Address::server_of_question(url).ok());
    let belongs_to = Address::server_of_question(server).ok();
    if asked_by.is_none() || asked_by != belongs_to {
        return Err(io::Error::other(format!(
            "it belongs to {server}, and is not for who asks: {}",
            without_credentials(question).trim()
        )));
    }
    if question.starts_with("Username") {
        return Ok(USER.to_owned());
    }
    token(file)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_with_or_without_a_newline_at_its_end() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        let own = "https://git.example";
        let check = |content: &str, expected: Option<&str>| {
            std::fs::write(&file, content).unwrap();
            let found = answer("Password for 'https://git.example': ", &file, own).ok();
            assert_eq!(found.as_deref(), expected, "{content:?}");
        };
        check("s3cret", Some("s3cret"));
        check("s3cret\n", Some("s3cret"));
        check("s3cret\r\n", Some("s3cret"));
        check("", None);
        check("one\ntwo\n", None);
        let user = answer("Username for 'https://git.example': ", &file, own).unwrap();
        assert_eq!(user, USER);
    }

    #[test]
    fn a_token_is_given_to_its_own_server_alone() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("token");
        std::fs::write(&file, "s3cret").unwrap();
        let check = |server: &str, question: &str, good: bool| {
            for word in ["Username", "Password"] {
                let question = format!("{word} for '{question}': ");
                let found = answer(&question, &file, server);
                assert_eq!(found.is_ok(), good, "{server} {question}");
                if let Err(error) = found {
                    assert!(!error.to_string().contains("s3cret"), "{error}");
                }
            }
        };
        let own = "https://git.example";
        check(own, "https://git.example", true);
        check(own, "https://x-access-token@git.example", true);
        check(own, "https://git.example:443/fleet/deploy.git", true);
        check(
            "https://git.example:8443",
            "https://me@git.example:8443",
            true,
        );
        // A proxy, another server, another port, another scheme, and what can be read in two ways.
        for other in [
            "http://me@127.0.0.1:3128",
            "http://git.example:3128",
            "http://git.example",
            "https://git.example:3128",
            "https://evil.test",
            "https://evil.test?@git.example",
            "https://evil.test#@git.example",
            "https://git.example@evil.test",
            "https://git.example\\@evil.test",
            "https://git.example.evil.test",
            "",
        ] {
            check(own, other, false);
        }
        check("", "", false);
        check("", "https://git.example", false);
        // A password that the URL of a proxy has is not shown either.
        let error = answer("Password for 'http://me:s3cret@proxy': ", &file, own).unwrap_err();
        assert!(!error.to_string().contains("s3cret"), "{error}");
    }
}
