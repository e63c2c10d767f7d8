//! One connection for all that a pass asks of one server.
//!
//! Who asks first makes the connection, and holds its session open; the others go through its control socket
//! (ssh_config(5), `ControlMaster`), where another key, account or server has another one. Nothing stays in
//! the background: the session is a child of the pass, and sees the end of its input when the pass ends, in
//! whatever way. Whatever cannot go through the socket makes a connection of its own.

use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use futures_util::future::join_all;

use crate::config::Remote;
use crate::host::process::{Invocation, Session};

/// A process makes one pass.
static FOLDER: OnceLock<PathBuf> = OnceLock::new();
static HELD: Mutex<Vec<Session>> = Mutex::new(Vec::new());

/// The longest name of a socket (unix(7)), without what ssh appends while it makes one.
const LONGEST: usize = 107 - 17;
/// The length of ssh's own part of the name: a SHA-1 in hexadecimal digits (ssh_config(5), `%C`).
const HASH: usize = 40;

/// Lets all connections of this process be shared, by sockets in a folder that nobody else uses. What an
/// earlier process left there is removed.
///
/// # Errors
/// The folder cannot be made. Then each connection is made anew.
pub fn begin(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)?;
    FOLDER.get_or_init(|| folder.to_owned());
    Ok(())
}

/// Keeps a session, and with it its connection, until [`end`].
pub fn hold(session: Session) {
    HELD.lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(session);
}

/// Ends all connections; who asks after that makes new ones.
pub async fn end() {
    let held = std::mem::take(&mut *HELD.lock().unwrap_or_else(PoisonError::into_inner));
    // At the same time: the session that made the connection ends after those that go through it.
    join_all(held.into_iter().map(Session::end)).await;
}

/// How a server is asked over a shared connection.
#[derive(Debug)]
pub struct Shared<'a> {
    remote: &'a Remote,
    socket: OsString,
}

/// The shared connection of a server; nothing where each is made anew.
pub fn of(remote: &Remote) -> Option<Shared<'_>> {
    socket(FOLDER.get()?, remote).map(|socket| Shared { remote, socket })
}

/// ssh puts account, server and port in; the key decides what the server does for an account.
fn socket(folder: &Path, remote: &Remote) -> Option<OsString> {
    let mut hash = DefaultHasher::new();
    (&remote.ssh_key, &remote.known_hosts).hash(&mut hash);
    let name = format!("{:016x}-", hash.finish());
    // A `%` would be ssh's, and it refuses a name that is too long.
    let whole = folder.to_str().filter(|folder| {
        !folder.contains(['%', '$', '"', ' ']) && folder.len() + 1 + name.len() + HASH <= LONGEST
    });
    whole.map(|folder| OsString::from(format!("{folder}/{name}%C")))
}

impl Shared<'_> {
    /// Where others find the connection.
    pub fn socket(&self) -> &OsString {
        &self.socket
    }

    /// ssh that makes the connection, where there is none yet.
    pub fn first(&self) -> Invocation {
        // A server that lost its power says nothing: others would wait for it as long as for an answer.
        super::invocation_with(self.remote, Some(&self.socket)).args([
            "-o",
            "ServerAliveInterval=2",
            "-o",
            "ServerAliveCountMax=3",
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Authorities;
    use std::time::Duration;

    fn remote(key: &str, known_hosts: &str) -> Remote {
        Remote {
            url: "ssh://git@git.example/deploy.git".into(),
            ssh_key: Some(key.into()),
            known_hosts: Some(known_hosts.into()),
            token_file: None,
            authorities: Authorities::System,
            timeout: Duration::from_secs(1),
        }
    }

    #[test]
    fn another_key_has_another_connection() {
        let of = |key: &str, known: &str| socket(Path::new("/run/nixus/ssh"), &remote(key, known));
        assert_eq!(of("/a", "/known"), of("/a", "/known"));
        assert_ne!(of("/a", "/known"), of("/b", "/known"));
        assert_ne!(of("/a", "/known"), of("/a", "/other"));
        let name = of("/a", "/known").unwrap();
        let name = name.to_str().unwrap();
        assert!(
            name.starts_with("/run/nixus/ssh/") && name.ends_with("-%C"),
            "{name}"
        );
    }

    #[test]
    fn a_folder_that_ssh_would_not_take_shares_nothing() {
        let check = |folder: &str, expected: bool| {
            let found = socket(Path::new(folder), &remote("/a", "/known"));
            assert_eq!(found.is_some(), expected, "{folder}");
        };
        check("/run/nixus/ssh", true);
        check("/run/nixus/%h", false);
        check("/run/my nixus", false);
        check(&format!("/{}", "x".repeat(31)), true);
        check(&format!("/{}", "x".repeat(32)), false);
    }
}
