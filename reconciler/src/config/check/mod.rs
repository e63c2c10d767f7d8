//! From the configuration as written to the one that is needed: every rule stands here.

use std::path::{Path, PathBuf};
use std::time::Duration;

use nixus_switcher::protocol::carrier_seconds;
use toml::Spanned;

use super::{
    Config, ConfigError, Passes, Remote, Switch, is_host_name, same_server, span, written,
};
use crate::address::{Address, AddressError, Scheme};

mod closure;
mod health;
mod hooks;
mod statuses;

/// How often a host reports at least by default, in seconds.
const HEARTBEAT: u64 = 24 * 60 * 60;

/// How long the repository's own URL must not have answered for a mirror to be believed alone, in seconds.
const MIRROR_AFTER: u64 = 60 * 60;
/// The longest time that may be written anywhere.
const LONGEST_DAYS: u64 = 7;

/// Reads the text and checks every value.
pub fn check(place: &Place<'_>) -> Result<Config, ConfigError> {
    let raw: written::File = toml::from_str(place.text)
        .map_err(|error| place.wrong(error.span().map_or(0, |span| span.start), error.message()))?;
    let host = place.host(&raw.host)?;
    let repository = place.remote(&raw.repository.remote(), None)?;
    let mirrors = raw
        .repository
        .mirrors
        .iter()
        .map(|mirror| place.remote(mirror, Some(&repository)))
        .collect::<Result<Vec<_>, _>>()?;
    let branch = match &raw.repository.branch {
        None => "main".to_owned(),
        Some(branch) => place.branch(branch)?,
    };
    let reports = raw
        .reports
        .as_ref()
        .map(|reports| place.remote(&reports.remote(), Some(&repository)))
        .transpose()?;
    let heartbeat = raw
        .reports
        .as_ref()
        .and_then(|reports| reports.heartbeat.as_ref());
    let statuses = raw
        .statuses
        .as_ref()
        .map(|statuses| place.statuses(statuses, &raw.repository.url))
        .transpose()?;
    let seconds =
        |value: &Option<Spanned<String>>, default| place.duration(value.as_ref(), default);
    let closure = place.closure(&host, &raw.closure)?;
    // Two builds may be overtaken; beside them there is the network.
    let pass_seconds = 4 * closure.build_timeout.as_secs() + 60 * 60;
    let seconds_of = |value| place.duration(value, HEARTBEAT);
    Ok(Config {
        closure,
        switch: Switch {
            activation_timeout: seconds(&raw.switch.activation_timeout, 15 * 60)?,
            trial_timeout: seconds(&raw.switch.trial_timeout, 5 * 60)?,
            commit_timeout: seconds(&raw.switch.commit_timeout, 5 * 60)?,
            carrier_timeout: seconds(&raw.switch.carrier_timeout, carrier_seconds())?,
            failed_units: raw.switch.failed_units.unwrap_or_default(),
            drift: raw.switch.drift.unwrap_or_default(),
        },
        passes: Passes {
            interval: place.span(raw.passes.interval.as_ref(), 60)?,
            boot_delay: place.span(raw.passes.boot_delay.as_ref(), 30)?,
            timeout: seconds(&raw.passes.timeout, pass_seconds)?,
        },
        hooks: place.hooks(&raw.hooks)?,
        health: place.health(&raw)?,
        host,
        mirror_after: place.duration(raw.repository.mirror_after.as_ref(), MIRROR_AFTER)?,
        repository,
        mirrors,
        branch,
        reports,
        heartbeat: seconds_of(heartbeat)?,
        statuses,
    })
}

/// The file that values come from, to say where a wrong one stands.
pub struct Place<'a> {
    /// The file's path.
    pub path: &'a Path,
    /// Its text.
    pub text: &'a str,
}

impl Place<'_> {
    pub(super) fn wrong(&self, offset: usize, problem: impl Into<String>) -> ConfigError {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line = before.matches('\n').count();
        ConfigError::Wrong {
            path: self.path.to_owned(),
            line: line + 1,
            key: self.key_at(line),
            problem: problem.into(),
        }
    }

    fn key_at(&self, line: usize) -> String {
        let header = |text: &str| {
            let name = text.trim().strip_prefix('[')?.split(']').next()?;
            Some(name.trim_matches('[').trim().to_owned())
        };
        let mut before = self.text.lines().take(line + 1).collect::<Vec<_>>();
        // An item of a list that stands on a line of its own has its key on a line above.
        let is_item = |text: &str| text.trim_start().starts_with(['"', '\'', '{']);
        while before.last().is_some_and(|text| is_item(text)) && before.len() > 1 {
            before.pop();
        }
        let here = before.pop().unwrap_or_default();
        if let Some(table) = header(here) {
            return format!("[{table}]");
        }
        let Some((key, _)) = here.split_once('=') else {
            return "the file".to_owned();
        };
        let table = before.iter().rev().find_map(|text| header(text));
        let key = key.trim().to_owned();
        table.map_or(key.clone(), |table| format!("{table}.{key}"))
    }

    pub(super) fn host(&self, host: &Spanned<String>) -> Result<String, ConfigError> {
        let name = host.get_ref();
        if is_host_name(name) {
            return Ok(name.clone());
        }
        let problem = format!("{name:?} is not a host name");
        Err(self.wrong(host.span().start, problem))
    }

    fn branch(&self, branch: &Spanned<String>) -> Result<String, ConfigError> {
        let name = branch.get_ref();
        let full = format!("refs/heads/{name}");
        if git2::Reference::is_valid_name(&full) && !name.starts_with('-') {
            return Ok(name.clone());
        }
        let problem = format!("{name:?} is not a branch name");
        Err(self.wrong(branch.span().start, problem))
    }

    fn remote(
        &self,
        given: &written::Remote,
        like: Option<&Remote>,
    ) -> Result<Remote, ConfigError> {
        let address = given.url.get_ref();
        let scheme = self.address(&given.url)?;
        let ssh = scheme == Scheme::Ssh;
        let https = scheme == Scheme::Https;
        for (needed, scheme, given) in [
            (ssh, "ssh", &given.ssh_key),
            (ssh, "ssh", &given.known_hosts),
            (https, "https", &given.token_file),
            (https, "https", &given.ca_file),
        ] {
            if let (false, Some(given)) = (needed, given) {
                let problem = format!("is only used with {scheme}://, but the URL is {address:?}");
                return Err(self.wrong(given.span().start, problem));
            }
        }
        let path = |given: Option<&Spanned<PathBuf>>, inherited: Option<PathBuf>| match given {
            Some(given) => self.absolute(given).map(Some),
            None => Ok(inherited),
        };
        let over_ssh = like.filter(|_| ssh);
        let over_https = like.filter(|_| https);
        let known_hosts = path(
            given.known_hosts.as_ref(),
            over_ssh.and_then(|like| like.known_hosts.clone()),
        )?;
        if ssh && known_hosts.is_none() {
            let problem = "needs known_hosts as well: host keys are never trusted on first use";
            return Err(self.wrong(given.url.span().start, problem));
        }
        // A token is for one server; only that one is shown it.
        let same_server = over_https.filter(|like| same_server(&like.url, address));
        Ok(Remote {
            url: address.clone(),
            ssh_key: path(
                given.ssh_key.as_ref(),
                over_ssh.and_then(|like| like.ssh_key.clone()),
            )?,
            known_hosts,
            token_file: path(
                given.token_file.as_ref(),
                same_server.and_then(|like| like.token_file.clone()),
            )?,
            ca_file: path(
                given.ca_file.as_ref(),
                over_https.and_then(|like| like.ca_file.clone()),
            )?,
            timeout: self.duration(
                given.timeout.as_ref(),
                like.map_or(60, |like| like.timeout.as_secs()),
            )?,
        })
    }

    fn address(&self, url: &Spanned<String>) -> Result<Scheme, ConfigError> {
        let text = url.get_ref();
        if let Some((parameter, instead)) = flake_parameter(text) {
            let problem = format!(
                "has a flake's parameter {parameter:?} in it, which git does not know: {instead}"
            );
            return Err(self.wrong(url.span().start, problem));
        }
        let whole = ["ssh://", "https://", "file://"]
            .iter()
            .any(|scheme| text.starts_with(scheme));
        match Address::parse(text) {
            // To git a query is a part of the path, and to a forge it may be one more token.
            Ok(address)
                if whole && !(address.scheme() == Scheme::Https && text.contains(['?', '#'])) =>
            {
                Ok(address.scheme())
            }
            Err(why @ AddressError::Credentials(_)) => {
                let problem = format!("{why}: put it into a file and name that as token_file");
                Err(self.wrong(url.span().start, problem))
            }
            parsed => Err(self.not_an_address(
                url,
                parsed.err(),
                "is not a repository URL: expected ssh://, https:// or file://",
            )),
        }
    }

    /// That a text is not what `expected` says. One that carries credentials is not repeated.
    pub(super) fn not_an_address(
        &self,
        given: &Spanned<String>,
        why: Option<AddressError>,
        expected: &str,
    ) -> ConfigError {
        let text = given.get_ref();
        let problem = match why {
            Some(why @ AddressError::Credentials(_)) => why.to_string(),
            Some(why @ AddressError::Strange(_)) if text.contains("://") => {
                format!("{text:?} {expected} (it {why})")
            }
            _ => format!("{text:?} {expected}"),
        };
        self.wrong(given.span().start, problem)
    }

    pub(super) fn absolute(&self, path: &Spanned<PathBuf>) -> Result<PathBuf, ConfigError> {
        if path.get_ref().is_absolute() {
            return Ok(path.get_ref().clone());
        }
        let problem = format!("{:?} is not an absolute path", path.get_ref());
        Err(self.wrong(path.span().start, problem))
    }

    pub(super) fn duration(
        &self,
        value: Option<&Spanned<String>>,
        default_seconds: u64,
    ) -> Result<Duration, ConfigError> {
        match value {
            None => Ok(Duration::from_secs(default_seconds)),
            Some(value) => self.time(value, Duration::from_secs(1)),
        }
    }

    /// A time that is not shorter than `least`.
    pub(super) fn time(
        &self,
        value: &Spanned<String>,
        least: Duration,
    ) -> Result<Duration, ConfigError> {
        let longest = Duration::from_secs(LONGEST_DAYS * 24 * 60 * 60);
        value
            .get_ref()
            .parse::<jiff::SignedDuration>()
            .ok()
            .and_then(|duration| Duration::try_from(duration).ok())
            .filter(|duration| (least..=longest).contains(duration))
            .ok_or_else(|| {
                let problem = format!(
                    "{:?} is not a time between {least:?} and {LONGEST_DAYS} days, such as \"90s\" or \"15m\"",
                    value.get_ref()
                );
                self.wrong(value.span().start, problem)
            })
    }

    /// A time as systemd's units have it.
    fn span(
        &self,
        value: Option<&Spanned<String>>,
        default_seconds: u64,
    ) -> Result<Duration, ConfigError> {
        let Some(value) = value else {
            return Ok(Duration::from_secs(default_seconds));
        };
        // A host that looks for a commit less often than that has as good as no passes.
        let longest = Duration::from_secs(LONGEST_DAYS * 24 * 60 * 60);
        span::parse(value.get_ref())
            .filter(|span| (Duration::from_millis(1)..=longest).contains(span))
            .ok_or_else(|| {
                let problem = format!(
                    "{:?} is not a time of at most {LONGEST_DAYS} days, such as \"1min\" (systemd.time(7))",
                    value.get_ref()
                );
                self.wrong(value.span().start, problem)
            })
    }

    pub(super) fn soak(&self, raw: &written::File) -> Result<Duration, ConfigError> {
        let soak = self.duration(raw.health.soak.as_ref(), 10)?;
        let trial = self.duration(raw.switch.trial_timeout.as_ref(), 5 * 60)?;
        match &raw.health.soak {
            Some(given) if soak >= trial => Err(self.wrong(
                given.span().start,
                "must be shorter than switch.trial_timeout, or nothing is ever confirmed",
            )),
            _ => Ok(soak),
        }
    }
}

/// What a flake's URL may have in its query (nix3-flake(1), "Git") and a repository's has in no server that is
/// known: each with the setting that does it.
const FLAKE_PARAMETERS: [(&str, &str); 10] = [
    ("dir", "set closure.directory instead"),
    ("ref", "set repository.branch instead"),
    ("submodules", "set closure.submodules instead"),
    ("lfs", "see closure.lfs"),
    ("rev", "leave it out"),
    ("revCount", "leave it out"),
    ("shallow", "leave it out"),
    ("allRefs", "leave it out"),
    ("narHash", "leave it out"),
    ("exportIgnore", "leave it out"),
];

fn flake_parameter(url: &str) -> Option<(&'static str, &'static str)> {
    let (_, query) = url.split_once('?')?;
    let mut names = query
        .split('&')
        .filter_map(|pair| Some(pair.split_once('=')?.0));
    names.find_map(|name| FLAKE_PARAMETERS.into_iter().find(|(one, _)| *one == name))
}
