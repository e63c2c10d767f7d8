//! What an operator meets at the door after the key was accepted: sshd's settings for that account from
//! there, the options on the key's own line, the account itself and PAM's rules for it. A question about
//! a key shows none of this.
//!
//! An obstacle is not a failure by itself: a host may have had it for years. A new one is.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::unistd::{Group, User, getgrouplist};
use nixus_switcher::protocol::{Access, CheckOutcome, Obstacle};

use crate::config::health::{Health, Operator};
use crate::decide::verdict::Lasts;
use crate::health::protocol::Found;
use crate::host::files::read_bounded;
use crate::host::process::{Invocation, ProcessError, in_words};
use settings::{Account, Settings};

pub(crate) mod lines;
pub mod patterns;
pub(crate) mod settings;

/// How long sshd may take to say what its settings are, or PAM to say what it makes of an account.
const LIMIT: Duration = Duration::from_secs(10);
/// The most places that logins are looked at from.
const MOST_PLACES: usize = 16;
/// The longest file of keys that is read, in bytes.
const LONGEST: u64 = 1 << 20;
/// sshd's settings.
const SSHD_CONFIG: &str = "/etc/ssh/sshd_config";
/// What has the account rules of sshd, and begins no session.
const PAM_SERVICE: &str = "nixus-account";

/// What was found of all operators' logins.
#[derive(Debug, Default)]
pub struct Looked {
    /// What is in the way.
    pub access: Access,
    /// The operators whose keys sshd can find nowhere.
    pub keyless: Vec<Operator>,
}

/// Looks at what each operator meets. `at` is an own address, for those who come from nowhere in
/// particular.
///
/// # Errors
/// sshd does not print its settings in time.
pub async fn look(health: &Health, at: &str) -> Result<Looked, ProcessError> {
    let mut looked = Looked::default();
    let mut users: Vec<&str> = health
        .operators
        .iter()
        .map(|one| one.user.as_str())
        .collect();
    users.sort_unstable();
    users.dedup();
    for user in users {
        let operators: Vec<&Operator> =
            health.operators.iter().filter(|o| o.user == user).collect();
        let places = places(health, &operators, at);
        let account = account(user);
        for place in &places {
            let settings = sshd_settings(user, place, at, health.ssh.port).await?;
            let mut obstacles = settings.obstacles(&account, place);
            let (of_lines, keyless) = look_at_keys(&settings, &account, &operators, place);
            obstacles.extend(of_lines);
            looked.keyless.extend(keyless);
            looked
                .access
                .obstacles
                .extend(obstacles.into_iter().map(|what| Obstacle {
                    what: format!("{user}: {what}"),
                    at: Some(place.clone()),
                }));
        }
        let everywhere = account.obstacles().into_iter();
        let everywhere = everywhere.chain(pam_obstacle(user).await);
        looked
            .access
            .obstacles
            .extend(everywhere.map(|what| Obstacle {
                what: format!("{user}: {what}"),
                at: None,
            }));
        looked.access.from.extend(places);
    }
    Ok(looked)
}

/// What is in the way and was not before, or is in the way of more.
pub fn worse(before: &Access, now: &Access) -> Vec<Found> {
    let was = |obstacle: &Obstacle| {
        let same = before
            .obstacles
            .iter()
            .filter(|one| one.what == obstacle.what);
        match &obstacle.at {
            // Where nobody looked before, the same obstacle elsewhere is not another.
            Some(at) if !before.from.contains(at) => same.count() > 0,
            at => same.filter(|one| one.at == *at).count() > 0,
        }
    };
    let mut new: Vec<(&str, Vec<&str>)> = Vec::new();
    for obstacle in now.obstacles.iter().filter(|one| !was(one)) {
        let at = obstacle.at.as_deref();
        match new.iter_mut().find(|(what, _)| *what == obstacle.what) {
            Some((_, places)) => places.extend(at),
            None => new.push((&obstacle.what, at.into_iter().collect())),
        }
    }
    new.into_iter()
        .map(|(what, places)| {
            let from = if places.is_empty() {
                String::new()
            } else {
                format!(", from {}", places.join(", "))
            };
            let reason = format!("worse than before for {what}{from}");
            // PAM may ask who knows whom; the rest is as the generation's files say.
            let lasts = if places.is_empty() {
                Lasts::Perhaps
            } else {
                Lasts::UntilACommit
            };
            Found::new(CheckOutcome::Fail, reason).lasting(lasts)
        })
        .collect()
}

/// Where these operators may come from, as far as anybody has said: the peers' addresses, and what is
/// named for their keys.
fn places(health: &Health, operators: &[&Operator], at: &str) -> Vec<String> {
    let peers = health.peers.iter().flat_map(|peer| &peer.addresses);
    let named = operators.iter().flat_map(|operator| &operator.from);
    let mut places: Vec<String> = Vec::new();
    for text in named.chain(peers) {
        if let Some(address) = patterns::example(text)
            && !places.contains(&address)
        {
            places.push(address);
        }
    }
    if places.is_empty() {
        places.push(at.to_owned());
    }
    places.truncate(MOST_PLACES);
    places
}

fn account(user: &str) -> Account {
    let found = User::from_name(user).ok().flatten();
    let groups = found.as_ref().and_then(|found| {
        let name = std::ffi::CString::new(user).ok()?;
        let ids = getgrouplist(&name, found.gid).ok()?;
        let names = ids
            .into_iter()
            .filter_map(|id| Group::from_gid(id).ok().flatten());
        Some(names.map(|group| group.name).collect())
    });
    Account {
        user: user.to_owned(),
        groups: groups.unwrap_or_default(),
        home: found.map(|found| found.dir),
    }
}

/// sshd's settings for one login (sshd(8), `-C`), which is not tried.
async fn sshd_settings(
    user: &str,
    from: &str,
    at: &str,
    port: u16,
) -> Result<Settings, ProcessError> {
    let mut whose = format!("user={user},host={from},addr={from}");
    // Names are nothing that it takes here.
    if at.parse::<IpAddr>().is_ok() {
        whose.push_str(&format!(",laddr={at},lport={port}"));
    }
    let said = Invocation::new(sshd(), LIMIT)
        .args(["-T", "-f", SSHD_CONFIG, "-C", &whose])
        .output()
        .await?;
    Ok(Settings::parse(&String::from_utf8_lossy(&said)))
}

/// It wants to be called by its path.
fn sshd() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin".into()]);
    let mut programs = folders.map(|folder| folder.join("sshd"));
    programs
        .find(|program| program.is_absolute() && program.is_file())
        .unwrap_or_else(|| "sshd".into())
}

/// What the lines of these operators' keys say, and the operators who have none.
fn look_at_keys(
    settings: &Settings,
    account: &Account,
    operators: &[&Operator],
    place: &str,
) -> (Vec<String>, Vec<Operator>) {
    let mut obstacles = Vec::new();
    let mut keyless = Vec::new();
    let mut text = String::new();
    for path in settings.key_files(account) {
        if let Ok(bytes) = read_bounded(Path::new(&path), LONGEST) {
            text.push_str(&String::from_utf8_lossy(&bytes));
            text.push('\n');
        }
    }
    for operator in operators {
        match lines::options(&text, &operator.key, place) {
            None if settings.knows_keys_elsewhere() => {}
            None => keyless.push((*operator).clone()),
            Some(options) => {
                let name = operator.key.fingerprint();
                let of_key = |what| format!("key {name} {what}");
                obstacles.extend(lines::obstacles(&options).into_iter().map(of_key));
            }
        }
    }
    (obstacles, keyless)
}

/// What PAM's account rules for sshd make of an account: asked by the service manager, in a unit that
/// does nothing else (systemd.exec(5), `PAMName=`). Where the login comes from is not told to them.
async fn pam_obstacle(user: &str) -> Option<String> {
    if !Path::new("/etc/pam.d").join(PAM_SERVICE).exists() {
        return None;
    }
    let unit = format!("nixus-account-{}", std::process::id());
    let asked = Invocation::new("systemd-run", LIMIT)
        .args(["--quiet", "--wait", "--collect", "--pipe"])
        .arg(format!("--unit={unit}"))
        .arg(format!("--property=PAMName={PAM_SERVICE}"))
        .arg(format!("--property=User={user}"))
        .arg(format!("--property=RuntimeMaxSec={}", LIMIT.as_secs()))
        .args(["--property=WorkingDirectory=/", "--", "/bin/sh", "-c", ":"])
        .output()
        .await;
    match asked {
        Err(ProcessError::Failed { status, .. }) if status.code() == Some(EXIT_PAM) => {
            Some("PAM's account rules refuse it".to_owned())
        }
        Err(error) => {
            tracing::info!("cannot ask PAM about {user}: {}", in_words(&error));
            None
        }
        Ok(_) => None,
    }
}

/// What systemd ends a unit with that PAM refuses (systemd.exec(5), "Process Exit Codes").
const EXIT_PAM: i32 = 224;

#[cfg(test)]
mod tests;
