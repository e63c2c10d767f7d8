//! Who asks, as far as the kernel and sudo show: for evidence, history and reports. No directory
//! service is asked: it may be what is broken.

use std::env;
use std::path::Path;

use crate::state::bounded::read_bounded;

/// What the kernel says where nobody has logged in (proc(5), `/proc/pid/loginuid`).
const UNSET: u32 = u32::MAX;

/// The person at this terminal, as `alice (uid 1000)`.
pub fn name() -> String {
    let text = |path: &str| {
        let bytes = read_bounded(Path::new(path), 1 << 20).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    let login = text("/proc/self/loginuid").and_then(|text| text.trim().parse().ok());
    let sudo = env::var("SUDO_UID")
        .ok()
        .and_then(|text| text.parse().ok())
        .zip(env::var("SUDO_USER").ok());
    let passwd = text("/etc/passwd").unwrap_or_default();
    let real = nix::unistd::getuid().as_raw();
    named(login, sudo, real, &passwd)
}

/// The login that the kernel keeps through su and sudo counts most; then what sudo says.
fn named(login: Option<u32>, sudo: Option<(u32, String)>, real: u32, passwd: &str) -> String {
    let of = |uid: u32| match user(passwd, uid) {
        Some(name) => format!("{name} (uid {uid})"),
        None => format!("uid {uid}"),
    };
    match (login.filter(|uid| *uid != UNSET), sudo) {
        (Some(uid), _) => of(uid),
        (None, Some((uid, name))) => format!("{name} (uid {uid})"),
        (None, None) => of(real),
    }
}

/// A user's name by passwd(5).
pub(crate) fn user(passwd: &str, uid: u32) -> Option<&str> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_named_by_login_then_by_sudo_then_by_user() {
        let passwd = "root:x:0:0::/root:/bin/sh\nbroken\nalice:x:1000:100::/:/bin/sh\n";
        let bob = || Some((1001, "bob".to_owned()));
        for (login, sudo, real, expected) in [
            (Some(1000), bob(), 0, "alice (uid 1000)"),
            (Some(1002), None, 0, "uid 1002"),
            (Some(UNSET), bob(), 0, "bob (uid 1001)"),
            (None, bob(), 0, "bob (uid 1001)"),
            (Some(UNSET), None, 0, "root (uid 0)"),
            (None, None, 7, "uid 7"),
        ] {
            assert_eq!(named(login, sudo, real, passwd), expected);
        }
    }
}
