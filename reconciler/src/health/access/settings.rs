//! sshd's settings for one login, as `sshd -T` prints them: what of them is in an operator's way.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::patterns;

/// An account, as the system knows it.
#[derive(Debug, Clone, Default)]
pub struct Account {
    /// Its name.
    pub user: String,
    /// Its groups.
    pub groups: Vec<String>,
    /// Its home; nothing where there is no such account.
    pub home: Option<PathBuf>,
}

impl Account {
    /// What is in the way of whoever has this account, wherever he comes from.
    pub fn obstacles(&self) -> Vec<String> {
        match &self.home {
            None => vec!["there is no such account".to_owned()],
            Some(home) if !home.is_dir() => {
                vec![format!("its home {} is not there", home.display())]
            }
            Some(_) => Vec::new(),
        }
    }
}

/// The settings by their names, in lower case.
#[derive(Debug, Default)]
pub struct Settings(BTreeMap<String, Vec<String>>);

impl Settings {
    /// Reads what `sshd -T` prints: a setting each line, some of them on several.
    pub fn parse(text: &str) -> Self {
        let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in text.lines() {
            if let Some((name, value)) = line.trim().split_once(' ') {
                let values = all.entry(name.to_ascii_lowercase()).or_default();
                values.push(value.trim().to_owned());
            }
        }
        Self(all)
    }

    fn value(&self, name: &str) -> Option<&str> {
        let value = self.0.get(name)?.first()?;
        (value != "none").then_some(value)
    }

    fn words(&self, name: &str) -> Vec<&str> {
        let values = self.0.get(name).into_iter().flatten();
        let words = values.flat_map(|value| value.split_whitespace());
        words.filter(|word| *word != "none").collect()
    }

    /// The files that have the account's keys (sshd_config(5), AuthorizedKeysFile).
    pub fn key_files(&self, account: &Account) -> Vec<String> {
        let home = account.home.as_ref();
        let home = home.map_or_else(|| "/".to_owned(), |home| home.display().to_string());
        self.words("authorizedkeysfile")
            .into_iter()
            .map(|word| {
                let path = word
                    .replace("%%", "\0")
                    .replace("%h", &home)
                    .replace("%u", &account.user)
                    .replace('\0', "%");
                if path.starts_with('/') {
                    path
                } else {
                    format!("{home}/{path}")
                }
            })
            .collect()
    }

    /// Whether keys may come from elsewhere than from these files.
    pub fn knows_keys_elsewhere(&self) -> bool {
        ["authorizedkeyscommand", "trustedusercakeys"]
            .iter()
            .any(|name| self.value(name).is_some())
    }

    /// What keeps the account's owner out, or from a shell, who comes from this address with a key.
    pub fn obstacles(&self, account: &Account, from: &str) -> Vec<String> {
        let mut all = Vec::new();
        if account.user == "root"
            && let Some(value @ ("no" | "forced-commands-only")) = self.value("permitrootlogin")
        {
            all.push(format!("sshd has PermitRootLogin {value}"));
        }
        for (name, shown) in [
            ("forcecommand", "ForceCommand"),
            ("chrootdirectory", "ChrootDirectory"),
        ] {
            if let Some(value) = self.value(name) {
                all.push(format!("sshd has {shown} {value}"));
            }
        }
        for (name, bad, shown) in [
            ("pubkeyauthentication", "no", "PubkeyAuthentication no"),
            ("maxsessions", "0", "MaxSessions 0"),
            ("permittty", "no", "PermitTTY no"),
            ("refuseconnection", "yes", "RefuseConnection yes"),
        ] {
            if self.value(name) == Some(bad) {
                all.push(format!("sshd has {shown}"));
            }
        }
        let methods = self.words("authenticationmethods");
        let key_is_enough = |method: &&str| matches!(*method, "any" | "publickey");
        if !methods.is_empty() && !methods.iter().any(key_is_enough) {
            let methods = methods.join(" ");
            all.push(format!("sshd has AuthenticationMethods {methods}"));
        }
        let user = |pattern: &&str| patterns::user_is(pattern, &account.user, from);
        let group = |pattern: &&str| {
            let mut groups = account.groups.iter();
            groups.any(|group| patterns::is_like(pattern, group))
        };
        type Fits<'a> = &'a dyn Fn(&&str) -> bool;
        for (deny, allow, of, fits) in [
            ("denyusers", "allowusers", "Users", &user as Fits<'_>),
            ("denygroups", "allowgroups", "Groups", &group),
        ] {
            if let Some(pattern) = self.words(deny).into_iter().find(fits) {
                all.push(format!("sshd has Deny{of} {pattern}"));
            }
            let allowed = self.words(allow);
            if !allowed.is_empty() && !allowed.iter().any(fits) {
                all.push(format!("it is not in sshd's Allow{of}"));
            }
        }
        all
    }
}
