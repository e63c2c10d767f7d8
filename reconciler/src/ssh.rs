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
use crate::process::Invocation;

pub mod shared;

const CALLED_AS_SSH: &str = "NIXUS_CALLED_AS_SSH";
const KEY: &str = "NIXUS_SSH_KEY";
const KNOWN_HOSTS: &str = "NIXUS_SSH_KNOWN_HOSTS";
const CONNECT_SECONDS: &str = "NIXUS_SSH_CONNECT_SECONDS";
const CONTROL_PATH: &str = "NIXUS_SSH_CONTROL_PATH";

/// Lets a git invocation reach `remote` over SSH with the key and the host keys configured for it.
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
