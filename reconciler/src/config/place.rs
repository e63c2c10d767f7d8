//! Where in the file a value stands, to say which one is wrong.

use std::path::Path;

use toml::Spanned;

use super::ConfigError;
use crate::address::{Address, AddressError, Scheme};

/// The file that values come from, to say where a wrong one stands.
pub struct Place<'a> {
    /// The file's path.
    pub path: &'a Path,
    /// Its text.
    pub text: &'a str,
}

impl Place<'_> {
    pub(in crate::config) fn wrong(
        &self,
        offset: usize,
        problem: impl Into<String>,
    ) -> ConfigError {
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

    pub(in crate::config) fn address(&self, url: &Spanned<String>) -> Result<Scheme, ConfigError> {
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
    pub(in crate::config) fn not_an_address(
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
