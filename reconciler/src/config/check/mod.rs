//! From the configuration as written to the one that is needed: the rules that hold between keys.

use std::time::Duration;

use serde::de::DeserializeOwned;

use super::declare::Shown;
use super::place::Place;
use super::tables::RootWritten;
use super::{Config, ConfigError, Passes};

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
            let key = format!("{table}{key}");
            // Rules between keys may have shown it already.
            if !self.settings.iter().any(|(one, _)| *one == key) {
                self.show(&key, value);
            }
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

impl Place<'_> {
    /// A table that need not be there: each of its keys has a default then.
    fn or_empty<T: DeserializeOwned>(&self, table: Option<T>) -> Result<T, ConfigError> {
        match table {
            Some(table) => Ok(table),
            None => toml::from_str("").map_err(|error| self.wrong(0, error.message())),
        }
    }
}
