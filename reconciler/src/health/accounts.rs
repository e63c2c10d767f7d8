//! Accounts that nobody can use although their keys are accepted: what sshd leaves to PAM and to the
//! shell, and a question about a key does not show.

use std::path::Path;

use jiff::Timestamp;
use nixus_switcher::protocol::CheckOutcome;

use crate::config::health::Operator;
use crate::decide::verdict::Lasts;
use crate::health::protocol::Found;
use crate::host::files::read_bounded;

const PASSWD: &str = "/etc/passwd";
const SHADOW: &str = "/etc/shadow";
/// While one of these is there, only root may log in (nologin(5)).
const NOLOGIN: [&str; 2] = ["/etc/nologin", "/run/nologin"];
const LIMIT: u64 = 16 << 20;

/// The operators' accounts that cannot be used, and why.
pub fn locked(operators: &[Operator]) -> Vec<Found> {
    let mut users: Vec<&str> = operators.iter().map(|one| one.user.as_str()).collect();
    users.sort_unstable();
    users.dedup();
    let text = |path: &str| {
        let bytes = read_bounded(Path::new(path), LIMIT).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    let passwd = text(PASSWD).unwrap_or_default();
    let shadow = text(SHADOW).unwrap_or_default();
    let nologin = NOLOGIN.iter().find(|path| Path::new(path).exists());
    let today = Timestamp::now().as_second() / (24 * 60 * 60);
    users
        .into_iter()
        .filter_map(|user| {
            let of_account = problem(user, &passwd, &shadow, today);
            // The file is there while a machine comes up or goes down.
            let (problem, lasts) = match (of_account, nologin) {
                (Some(problem), _) => (problem, Lasts::Perhaps),
                (None, Some(file)) if user != "root" => (
                    format!("{file} keeps everybody but root out"),
                    Lasts::Briefly,
                ),
                (None, _) => return None,
            };
            let reason = format!("nobody can log in as {user}: {problem}");
            Some(Found::new(CheckOutcome::Fail, reason).lasting(lasts))
        })
        .collect()
}

/// passwd(5) and shadow(5).
pub(crate) fn problem(user: &str, passwd: &str, shadow: &str, today: i64) -> Option<String> {
    let fields = |text: &str| {
        text.lines()
            .map(|line| line.split(':').map(str::to_owned).collect::<Vec<_>>())
            .find(|fields| fields.first().is_some_and(|name| name == user))
    };
    // An account may come from elsewhere (nsswitch.conf(5)); nothing is known of it then.
    if let Some(entry) = fields(passwd)
        && let Some(shell) = entry.get(6)
        && ["nologin", "false"]
            .iter()
            .any(|name| shell.ends_with(&format!("/{name}")))
    {
        return Some(format!("its shell is {shell}"));
    }
    let entry = fields(shadow)?;
    let number = |field: usize| entry.get(field).and_then(|text| text.parse::<i64>().ok());
    if number(7).is_some_and(|expires| expires <= today) {
        return Some("it has expired".to_owned());
    }
    if number(2) == Some(0)
        && entry
            .get(1)
            .is_some_and(|word| !word.starts_with(['*', '!']))
    {
        return Some("its password must be changed first".to_owned());
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_that_cannot_be_used_is_told_with_the_reason() {
        let passwd =
            "root:x:0:0::/root:/bin/bash\nalice:x:1:1::/:/usr/sbin/nologin\nbob:x:2:2::/:/bin/sh\n";
        let check = |user: &str, shadow: &str, expected: Option<&str>| {
            assert_eq!(problem(user, passwd, shadow, 20_000).as_deref(), expected);
        };
        check("root", "root:!:19000:0:99999:7:::\n", None);
        check("root", "root:*:19000::::::\n", None);
        check("root", "root:!:19000:0:99999:7::20001:\n", None);
        check(
            "root",
            "root:!:19000:0:99999:7::1:\n",
            Some("it has expired"),
        );
        check(
            "bob",
            "bob:$y$x:0:0:99999:7:::\n",
            Some("its password must be changed first"),
        );
        check("bob", "bob:!:0:0:99999:7:::\n", None);
        check("alice", "", Some("its shell is /usr/sbin/nologin"));
        check("from-ldap", "", None);
    }
}
