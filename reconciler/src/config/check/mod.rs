//! From the configuration as written to the one that is needed: the rules that hold between keys.

use std::path::Path;
use std::time::Duration;

use serde::de::DeserializeOwned;
use toml::Spanned;

use super::declare::Shown;
use super::tables::RootWritten;
use super::{Config, ConfigError, Passes};
use crate::address::{Address, AddressError, Scheme};

mod closure;
mod health;
mod remote;
mod statuses;

/// Reads the text and checks every value.
pub fn check(place: &Place<'_>) -> Result<Config, ConfigError> {
    let raw: RootWritten = toml::from_str(place.text)
        .map_err(|error| place.wrong(error.span().map_or(0, |span| span.start), error.message()))?;
    let mut notes = Notes::default();
    let (root, shown) = raw.read(place)?;
    notes.add("", shown);
    let host = root.host;

    let (named, shown) = raw.repository.read(place)?;
    let repository = place.remote("repository", &raw.repository.remote(), None, &mut notes)?;
    notes.add("repository.", shown);
    let mut mirrors = Vec::new();
    for (number, mirror) in raw.repository.mirrors.iter().enumerate() {
        let table = format!("repository.mirrors.{number}");
        let mirror = mirror.remote();
        mirrors.push(place.remote(&table, &mirror, Some(&repository), &mut notes)?);
    }

    let closure = place.closure(&host, raw.closure, &mut notes)?;
    let switch_given = place.or_empty(raw.switch)?;
    let (switch, shown) = switch_given.read(place)?;
    notes.add("switch.", shown);

    let (passes, shown) = place.or_empty(raw.passes)?.read(place)?;
    notes.add("passes.", shown);
    // Two builds may be overtaken; in addition to them there is the network.
    let longest = 4 * closure.build_timeout + Duration::from_secs(60 * 60);
    let passes = Passes {
        interval: passes.interval,
        boot_delay: passes.boot_delay,
        timeout: notes.time("passes.timeout", passes.timeout.unwrap_or(longest)),
    };

    let (hooks, shown) = place.or_empty(raw.hooks)?.read(place)?;
    notes.add("hooks.", shown);

    let health_given = place.or_empty(raw.health)?;
    let (health, shown) = health_given.read(place)?;
    notes.add("health.", shown);
    if let Some(given) = &health_given.soak
        && health.soak >= switch.trial_timeout
    {
        let problem = "must be shorter than switch.trial_timeout, or nothing is ever confirmed";
        return Err(place.wrong(given.span().start, problem));
    }
    let ssh = place.or_empty(raw.ssh)?.read(place)?;
    let lists = health::Lists {
        operators: &raw.operators,
        peers: &raw.peers,
        checks: &raw.checks,
    };
    let health = place.health(health, ssh, lists, &mut notes)?;

    let mut heartbeat = HEARTBEAT;
    let mut reports = None;
    if let Some(given) = &raw.reports {
        let (table, shown) = given.read(place)?;
        heartbeat = table.heartbeat;
        let like = Some(&repository);
        reports = Some(place.remote("reports", &given.remote(), like, &mut notes)?);
        notes.add("reports.", shown);
    }
    let url = &raw.repository.url;
    let statuses = raw.statuses.as_ref();
    let statuses = statuses.map(|given| place.statuses(given, url, &mut notes));
    Ok(Config {
        host,
        repository,
        mirrors,
        mirror_after: named.mirror_after,
        branch: named.branch,
        closure,
        switch,
        passes,
        hooks,
        health,
        reports,
        heartbeat,
        statuses: statuses.transpose()?,
        settings: notes.settings,
        warnings: notes.warnings,
    })
}

/// How often a host would report that has no repository for reports: it is never asked.
const HEARTBEAT: Duration = Duration::from_secs(24 * 60 * 60);

/// What is noted on the way, for `check-config`.
#[derive(Debug, Default)]
pub(super) struct Notes {
    settings: Vec<(String, String)>,
    warnings: Vec<String>,
}

impl Notes {
    /// What a table shows, below its name with a dot.
    pub(super) fn add(&mut self, table: &str, shown: Shown) {
        for (key, value) in shown {
            self.show(&format!("{table}{key}"), value);
        }
    }

    /// One setting.
    pub(super) fn show(&mut self, key: &str, value: impl Into<String>) {
        self.settings.push((key.to_owned(), value.into()));
    }

    /// A time whose default is another setting's matter.
    pub(super) fn time(&mut self, key: &str, time: Duration) -> Duration {
        use super::declare::Kind as _;
        self.show(key, super::value::Time::shown(&time));
        time
    }

    /// Something that is understood, and is to be written in another way.
    pub(super) fn warn(&mut self, warning: String) {
        self.warnings.push(warning);
    }
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

    /// A table that need not be there: each of its keys has a default then.
    fn or_empty<T: DeserializeOwned>(&self, table: Option<T>) -> Result<T, ConfigError> {
        match table {
            Some(table) => Ok(table),
            None => toml::from_str("").map_err(|error| self.wrong(0, error.message())),
        }
    }

    pub(super) fn address(&self, url: &Spanned<String>) -> Result<Scheme, ConfigError> {
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
