//! The `ssh` program, as git needs it: one key, pinned host keys, no questions.
//!
//! git takes its ssh as a program (`GIT_SSH`) or as a shell string (`GIT_SSH_COMMAND`), never as an
//! argument vector. So that nothing is ever quoted for a shell, git is given this executable, which
//! finds its orders in the environment and becomes ssh.

use std::ffi::OsString;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::config::Remote;
use crate::process::Invocation;

const CALLED_AS_SSH: &str = "NIXUS_CALLED_AS_SSH";
const KEY: &str = "NIXUS_SSH_KEY";
const KNOWN_HOSTS: &str = "NIXUS_SSH_KNOWN_HOSTS";
const CONNECT_SECONDS: &str = "NIXUS_SSH_CONNECT_SECONDS";

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
    Ok(invocation)
}

/// Becomes ssh where git called this executable as its ssh; returns only if it was not, or with the
/// error that kept it from it.
pub fn become_ssh_if_asked() -> Option<io::Error> {
    std::env::var_os(CALLED_AS_SSH)?;
    let option = |name: &str, value: &Path| {
        let mut option = OsString::from(name);
        option.push("=");
        option.push(value);
        option
    };
    let mut ssh = Command::new("ssh");
    ssh.args(["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"]);
    if let Some(seconds) = std::env::var_os(CONNECT_SECONDS) {
        ssh.arg("-o")
            .arg(option("ConnectTimeout", Path::new(&seconds)));
    }
    if let Some(known_hosts) = std::env::var_os(KNOWN_HOSTS) {
        ssh.arg("-o")
            .arg(option("UserKnownHostsFile", Path::new(&known_hosts)));
        ssh.args(["-o", "GlobalKnownHostsFile=/dev/null"]);
    }
    if let Some(key) = std::env::var_os(KEY) {
        ssh.args(["-o", "IdentitiesOnly=yes", "-i"]).arg(key);
    }
    ssh.args(std::env::args_os().skip(1));
    ssh.env_remove(CALLED_AS_SSH);
    Some(ssh.exec())
}
