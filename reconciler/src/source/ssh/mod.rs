//! The `ssh` program, as git needs it: one key, pinned host keys, no questions.
//!
//! git takes its ssh as a program (`GIT_SSH`) or as a shell string (`GIT_SSH_COMMAND`), never as an
//! argument vector. So that nothing is ever quoted for a shell, git is given this executable, which
//! finds its orders in the environment and becomes ssh.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::config::Remote;
use crate::host::files::read_bounded;
use crate::host::process::Invocation;
use crate::host::public_key::PublicKey;

/// The longest file of host keys that is looked into, in bytes.
const LONGEST_KNOWN_HOSTS: u64 = 1024 * 1024;

pub mod shared;

const CALLED_AS_SSH: &str = "NIXUS_CALLED_AS_SSH";
const KEY: &str = "NIXUS_SSH_KEY";
const KNOWN_HOSTS: &str = "NIXUS_SSH_KNOWN_HOSTS";
const CONNECT_SECONDS: &str = "NIXUS_SSH_CONNECT_SECONDS";
const CONTROL_PATH: &str = "NIXUS_SSH_CONTROL_PATH";

/// Lets a git invocation reach `remote` over SSH with the key and the host keys configured for it.
///
/// # Errors
/// The path of the own program cannot be found.
pub fn with_ssh(invocation: Invocation, remote: &Remote) -> io::Result<Invocation> {
    let mut invocation = invocation
        .env("GIT_SSH", std::env::current_exe()?)
        .env("GIT_SSH_VARIANT", "ssh")
        .env(CALLED_AS_SSH, "1")
        .env(CONNECT_SECONDS, remote.timeout.as_secs().to_string());
    if let Some(key) = &remote.ssh_key {
        invocation = invocation.env(KEY, key);
    }
    if let Some(known_hosts) = &remote.known_hosts {
        invocation = invocation.env(KNOWN_HOSTS, known_hosts);
    }
    if let Some(shared) = shared::of(remote) {
        invocation = invocation.env(CONTROL_PATH, shared.socket());
    }
    Ok(invocation)
}

/// ssh itself with the key and the host keys configured for `remote`, for a connection of its own without git.
pub fn invocation(remote: &Remote) -> Invocation {
    invocation_with(remote, None)
}

fn invocation_with(remote: &Remote, first: Option<&OsStr>) -> Invocation {
    let seconds = OsString::from(remote.timeout.as_secs().to_string());
    Invocation::new("ssh", remote.timeout).args(options(
        Some(&seconds),
        remote.known_hosts.as_deref().map(Path::as_os_str),
        remote.ssh_key.as_deref().map(Path::as_os_str),
        first.map(|socket| (socket, "auto")),
    ))
}

fn options(
    seconds: Option<&OsStr>,
    known_hosts: Option<&OsStr>,
    key: Option<&OsStr>,
    shared: Option<(&OsStr, &str)>,
) -> Vec<OsString> {
    let mut options = Vec::new();
    let mut add = |name: &str, value: &OsStr| {
        let mut option = OsString::from(name);
        option.push("=");
        option.push(value);
        options.extend([OsString::from("-o"), option]);
    };
    add("BatchMode", OsStr::new("yes"));
    add("StrictHostKeyChecking", OsStr::new("yes"));
    if let Some(seconds) = seconds {
        add("ConnectTimeout", seconds);
    }
    if let Some(known_hosts) = known_hosts {
        add("UserKnownHostsFile", known_hosts);
        add("GlobalKnownHostsFile", OsStr::new("/dev/null"));
    }
    // Where nothing listens there, ssh makes a connection of its own (ssh_config(5), ControlPath).
    let (socket, master) = shared.unwrap_or((OsStr::new("none"), "no"));
    add("ControlPath", socket);
    add("ControlMaster", OsStr::new(master));
    add("ControlPersist", OsStr::new("no"));
    if let Some(key) = key {
        add("IdentitiesOnly", OsStr::new("yes"));
        options.extend([OsString::from("-i"), key.to_owned()]);
    }
    options
}

/// Becomes ssh where git called this executable as its ssh; returns only if it was not, or with the
/// error that kept it from it.
pub fn become_ssh_if_asked() -> Option<io::Error> {
    std::env::var_os(CALLED_AS_SSH)?;
    let variable = |name: &str| std::env::var_os(name);
    let mut ssh = Command::new("ssh");
    ssh.args(options(
        variable(CONNECT_SECONDS).as_deref(),
        variable(KNOWN_HOSTS).as_deref(),
        variable(KEY).as_deref(),
        variable(CONTROL_PATH)
            .as_deref()
            .map(|socket| (socket, "no")),
    ));
    ssh.args(std::env::args_os().skip(1));
    ssh.env_remove(CALLED_AS_SSH);
    Some(ssh.exec())
}

/// What ssh says of a server with another host key than the known one, in one sentence with both fingerprints and
/// the way out; nothing where it says something else.
pub fn changed_host_key(said: &str, known_hosts: Option<&Path>) -> Option<String> {
    if !said.contains("REMOTE HOST IDENTIFICATION HAS CHANGED") {
        return None;
    }
    let after = |words: &str| said.split_once(words).map(|(_, rest)| rest);
    let word = |text: &str| {
        let word = text.split_whitespace().next().unwrap_or_default();
        word.trim_end_matches('.').to_owned()
    };
    // The fingerprint stands at the end of a line or at the beginning of the next.
    let shown = after("key sent by the remote host is").map_or_else(String::new, word);
    let host = after("Host key for ").map_or_else(|| "the git server".to_owned(), word);
    let place = said
        .lines()
        .find(|line| line.starts_with("Offending "))
        .and_then(|line| line.rsplit_once(' '))
        .map(|(_, place)| place.trim());
    let known = place.and_then(|place| known_in(place, known_hosts));
    let known = known.map_or_else(String::new, |known| format!(" and not {known}"));
    let file = known_hosts.map_or_else(
        || "known_hosts".to_owned(),
        |file| file.display().to_string(),
    );
    Some(format!(
        "the host key of {host} has changed: it is {shown}{known}. If whoever runs {host} confirms the new one, commit it \
         (nixus.knownHosts, or what {file} is made of), and on each host replace {file} by a file with the new key and \
         run `nixus retry`; the next kept commit puts its own in that place again"
    ))
}

/// The fingerprint of the key in a line of a file, `file:line`.
fn known_in(place: &str, known_hosts: Option<&Path>) -> Option<String> {
    let (file, line) = place.rsplit_once(':')?;
    // ssh read this one; no other is opened for what a server made it say.
    let file = known_hosts.filter(|known| known.as_os_str() == file)?;
    let text = read_bounded(file, LONGEST_KNOWN_HOSTS).ok()?;
    let text = String::from_utf8(text).ok()?;
    let number: usize = line.parse().ok()?;
    let line = text.lines().nth(number.checked_sub(1)?)?;
    let key = line.split_once(char::is_whitespace)?.1;
    Some(key.trim().parse::<PublicKey>().ok()?.fingerprint())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What OpenSSH 10.0 says; `FILE` stands for the file.
    const SAID: &str = "@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@\r
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\r
@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@\r
IT IS POSSIBLE THAT SOMEONE IS DOING SOMETHING NASTY!\r
Someone could be eavesdropping on you right now (man-in-the-middle attack)!\r
It is also possible that a host key has just been changed.\r
The fingerprint for the ED25519 key sent by the remote host is\r
SHA256:uNiVztksCsDhcc0u9e8BrgJXVGcg0chiY0TrpAGJtbE.\r
Please contact your system administrator.\r
Add correct host key in FILE to get rid of this message.\r
Offending ED25519 key in FILE:2\r
Host key for 10.77.0.2 has changed and you have requested strict checking.\r
Host key verification failed.\r
fatal: Could not read from remote repository.\n";

    #[test]
    fn a_changed_host_key_is_one_sentence_with_both_fingerprints_and_the_way_out() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("known_hosts");
        let key =
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFucuLfGiPO6o/7MVYEssN4oJf97OdPxncH39NUnrhLE";
        std::fs::write(&file, format!("# the git server\n10.77.0.2 {key}\n")).unwrap();
        let known = key.parse::<PublicKey>().unwrap().fingerprint();
        let said = SAID.replace("FILE", &file.display().to_string());
        let words = changed_host_key(&said, Some(&file)).unwrap();
        let begin = format!(
            "the host key of 10.77.0.2 has changed: it is SHA256:uNiVztksCsDhcc0u9e8BrgJXVGcg0chiY0TrpAGJtbE and not {known}. "
        );
        assert!(words.starts_with(&begin), "{words}");
        assert!(
            words.contains("nixus.knownHosts") && words.contains("`nixus retry`"),
            "{words}"
        );
        assert!(
            !words.contains(['\n', '\r', '@']) && words.len() < 500,
            "{words}"
        );
        // A server that says so itself makes no other file be read.
        let words = changed_host_key(&SAID.replace("FILE", "/etc/shadow"), Some(&file)).unwrap();
        assert!(!words.contains(" and not "), "{words}");
        assert_eq!(
            changed_host_key("Permission denied (publickey).", Some(&file)),
            None
        );
    }
}
