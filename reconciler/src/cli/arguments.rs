//! What several commands are given, and what each of them works with.

use std::path::PathBuf;

use clap::Args;
use jiff::{SignedDuration, Timestamp};

use super::exit_code::{CommandError, WrongInput};
use crate::activation::Switcher;
use crate::address::{Address, Scheme, without_credentials};
use crate::config::{Config, ConfigError};
use crate::decide::commit_id::CommitId;
use crate::host::files::Paths;
use crate::println;

/// The host that a command is given on.
#[derive(Debug, Default)]
pub struct Host {
    /// The file with its configuration.
    pub config: PathBuf,
    /// Where Nixus keeps its state.
    pub paths: Paths,
    /// Its switcher.
    pub switcher: Switcher,
}

impl Host {
    /// Reads the configuration of this host.
    ///
    /// # Errors
    /// The file cannot be read, or says something that cannot be.
    pub fn config(&self) -> Result<Config, ConfigError> {
        let config = Config::load(&self.config)?;
        for warning in &config.warnings {
            tracing::warn!("{}: {warning}", self.config.display());
        }
        Ok(config)
    }
}

/// Sees that a URL is one of a git repository that may be sent to. It is repeated without credentials.
///
/// # Errors
/// It is not a URL, or of another scheme.
pub fn repository_url(url: &str) -> Result<(), WrongInput> {
    let wrong = |why: String| WrongInput(format!("{}: {why}", without_credentials(url)));
    let address = Address::parse(url).map_err(|why| wrong(format!("the URL {why}")))?;
    match address.scheme() {
        Scheme::Ssh | Scheme::Https | Scheme::File => Ok(()),
        _ => Err(wrong(
            "expected a repository with ssh://, https:// or file://".to_owned(),
        )),
    }
}

/// How to print.
#[derive(Debug, Args)]
pub struct Output {
    /// Print JSON for machines.
    #[arg(long)]
    pub json: bool,
}

/// Prints a value as JSON.
///
/// # Errors
/// The value has no form in JSON.
pub fn print_json(value: &impl serde::Serialize) -> Result<(), CommandError> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}

/// A whole commit id.
pub(super) fn parse_commit(text: &str) -> Result<CommitId, String> {
    CommitId::try_from(text.to_owned()).map_err(|problem| format!("{problem}: give all its digits"))
}

/// A length of time, such as `30m`, `2h` or `3d`.
pub(super) fn parse_duration(text: &str) -> Result<SignedDuration, String> {
    // A day is a length of time here, not a date in a zone.
    let days = text.strip_suffix('d').and_then(|days| days.parse().ok());
    days.and_then(|days: i64| days.checked_mul(24))
        .and_then(SignedDuration::try_from_hours)
        .or_else(|| text.parse().ok())
        .filter(SignedDuration::is_positive)
        .ok_or_else(|| "expected a time such as 30m, 2h or 3d".to_owned())
}

/// A date and time, local unless it names its zone.
pub(super) fn parse_until(text: &str) -> Result<Timestamp, String> {
    let local = |text: &str| {
        let time: jiff::civil::DateTime = text.parse().ok()?;
        Some(time.in_tz(&zone_name()?).ok()?.timestamp())
    };
    text.parse::<Timestamp>()
        .ok()
        .or_else(|| local(text))
        .ok_or_else(|| "expected a date and time such as 2026-12-24T18:00".to_owned())
}

fn zone_name() -> Option<String> {
    let zone = jiff::tz::TimeZone::system();
    Some(zone.iana_name().unwrap_or("UTC").to_owned())
}
