//! The rules of `[statuses]`.

use std::time::Duration;

use toml::Spanned;

use super::super::statuses::{Policy, Statuses};
use super::super::{ConfigError, written};
use super::Place;
use crate::address::{Address, AddressError, Scheme, credentials_in};
use crate::config::forge::Reach;
use crate::config::forge::TokenSource;
use crate::config::forge::detect::{self, is_name};
use crate::host::http;

/// Longer than this no request is waited for.
const LONGEST: Duration = Duration::from_secs(60);
const DEFAULT_SECONDS: u64 = 10;

impl Place<'_> {
    pub(super) fn statuses(
        &self,
        given: &Spanned<written::Statuses>,
        repository: &Spanned<String>,
    ) -> Result<Statuses, ConfigError> {
        let raw = given.get_ref();
        let here = |problem: &str| self.wrong(given.span().start, problem);
        let mut place = match &raw.repository {
            None => detect::place(repository.get_ref()),
            Some(path) => Some(self.owner_and_name(path, repository.get_ref())?),
        };
        if let (Some(place), Some(api)) = (&mut place, &raw.api) {
            self.https_url(api)?;
            // The page is where the interface is.
            if let Some(at) = detect::place(&format!("{}/x/y", api.get_ref())) {
                place.server = at.server;
            }
        }
        let Some(place) = place else {
            return Err(here(
                "needs repository, which the repository's URL does not show: owner and name, such as \"fleet/deploy\"",
            ));
        };
        let kind = match &raw.forge {
            Some(kind) => *kind.get_ref(),
            None => detect::kind(&place.server).ok_or_else(|| {
                here("needs forge, which the repository's URL does not show: one of github, gitlab, gitea, forgejo, bitbucket")
            })?,
        };
        let hosts = match &raw.hosts {
            None => 1,
            Some(hosts) => u32::try_from(*hosts.get_ref())
                .ok()
                .filter(|hosts| (1..=1_000_000).contains(hosts))
                .ok_or_else(|| {
                    let problem = format!("{} is not between 1 and 1000000", hosts.get_ref());
                    self.wrong(hosts.span().start, problem)
                })?,
        };
        let api = raw.api.as_ref().map(|api| api.get_ref().as_str());
        Ok(Statuses {
            repository: detect::repository(kind, api, &place),
            reach: Reach {
                token: Some(self.token(given)?),
                ca_file: raw
                    .ca_file
                    .as_ref()
                    .map(|path| self.absolute(path))
                    .transpose()?,
                proxy: raw
                    .proxy
                    .as_ref()
                    .map(|proxy| self.proxy(proxy))
                    .transpose()?,
                timeout: self.short(raw.timeout.as_ref())?,
            },
            link: raw.link.as_ref().map(|link| self.link(link)).transpose()?,
            sign: raw.sign.unwrap_or(false),
            policy: Policy {
                hosts,
                canary: raw.canary.unwrap_or(false),
                repeats: kind.forge().takes_same_state(),
            },
        })
    }

    fn token(&self, given: &Spanned<written::Statuses>) -> Result<TokenSource, ConfigError> {
        let raw = given.get_ref();
        match (&raw.token_file, &raw.credential) {
            (Some(path), None) => self.absolute(path).map(TokenSource::File),
            (None, Some(name)) => {
                let letters = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
                if is_name(name.get_ref()) && name.get_ref().bytes().all(letters) {
                    return Ok(TokenSource::Credential(name.get_ref().clone()));
                }
                let problem = format!("{:?} is not the name of a credential", name.get_ref());
                Err(self.wrong(name.span().start, problem))
            }
            (Some(_), Some(name)) => Err(self.wrong(
                name.span().start,
                "is not used together with token_file: name one of them",
            )),
            (None, None) => Err(self.wrong(
                given.span().start,
                "needs token_file or credential: a forge takes statuses from nobody else",
            )),
        }
    }

    fn owner_and_name(
        &self,
        path: &Spanned<String>,
        url: &str,
    ) -> Result<detect::Place, ConfigError> {
        let text = path.get_ref();
        if !text.contains('/') || !text.split('/').all(is_name) {
            let problem = format!("{text:?} is not owner and name, such as \"fleet/deploy\"");
            return Err(self.wrong(path.span().start, problem));
        }
        let server = detect::place(url).map_or(String::new(), |place| place.server);
        Ok(detect::Place {
            server,
            path: text.clone(),
        })
    }

    fn https_url(&self, url: &Spanned<String>) -> Result<(), ConfigError> {
        let parsed = Address::parse(url.get_ref());
        match parsed {
            Ok(address)
                if address.scheme() == Scheme::Https && !address.path().contains(['?', '#']) =>
            {
                Ok(())
            }
            other => Err(self.not_an_address(
                url,
                other.err(),
                "is not an https:// URL: a token is sent to it",
            )),
        }
    }

    fn proxy(&self, proxy: &Spanned<String>) -> Result<String, ConfigError> {
        let text = proxy.get_ref();
        if let Some(what) = credentials_in(text) {
            let why = AddressError::Credentials(what);
            return Err(self.wrong(proxy.span().start, why.to_string()));
        }
        if http::is_proxy(text) {
            return Ok(text.clone());
        }
        let problem = format!("{text:?} is not a proxy such as \"http://proxy.example:3128\"");
        Err(self.wrong(proxy.span().start, problem))
    }

    fn link(&self, link: &Spanned<String>) -> Result<String, ConfigError> {
        // What is put in the place of the names is a host's, a commit's or a deployment's: no part of a URL ends by it.
        let example = link.get_ref().replace(['{', '}'], "x");
        match Address::parse(&example) {
            Ok(address)
                if matches!(address.scheme(), Scheme::Http | Scheme::Https)
                    && example.contains("://") =>
            {
                Ok(link.get_ref().clone())
            }
            other => {
                let expected = "is not a http:// or https:// URL";
                Err(self.not_an_address(link, other.err(), expected))
            }
        }
    }

    fn short(&self, given: Option<&Spanned<String>>) -> Result<Duration, ConfigError> {
        let timeout = self.duration(given, DEFAULT_SECONDS)?;
        match given {
            Some(given) if timeout > LONGEST => Err(self.wrong(
                given.span().start,
                "must be at most 1m, as the forge is asked again anyway",
            )),
            _ => Ok(timeout),
        }
    }
}
