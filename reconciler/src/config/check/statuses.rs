//! The rules of `[statuses]`.

use std::time::Duration;

use toml::Spanned;

use super::super::statuses::{Policy, Statuses};
use super::super::tables::{StatusesTable, StatusesWritten};
use super::super::{Authorities, ConfigError};
use super::Notes;
use crate::config::forge::detect;
use crate::config::forge::{Reach, TokenSource};
use crate::config::place::Place;

/// Longer than this no request is waited for.
const LONGEST: Duration = Duration::from_secs(60);

impl Place<'_> {
    pub(super) fn statuses(
        &self,
        given: &Spanned<StatusesWritten>,
        repository: &Spanned<String>,
        notes: &mut Notes,
    ) -> Result<Statuses, ConfigError> {
        let raw = given.get_ref();
        let (table, shown) = raw.read(self)?;
        let here = |problem: &str| self.wrong(given.span().start, problem);
        if let Some(given) = &raw.timeout
            && table.timeout > LONGEST
        {
            let problem = "must be at most 1m, as the forge is asked again anyway";
            return Err(self.wrong(given.span().start, problem));
        }
        let mut place = match &table.repository {
            None => detect::place(repository.get_ref()),
            Some(path) => Some(detect::Place {
                server: detect::place(repository.get_ref())
                    .map_or(String::new(), |place| place.server),
                path: path.clone(),
            }),
        };
        // The page is where the interface is.
        if let (Some(place), Some(api)) = (&mut place, &table.api)
            && let Some(at) = detect::place(&format!("{api}/x/y"))
        {
            place.server = at.server;
        }
        let Some(place) = place else {
            return Err(here(
                "needs repository, which the repository's URL does not show: owner and name, such as \"fleet/deploy\"",
            ));
        };
        let kind = match table.forge {
            Some(kind) => kind,
            None => detect::kind(&place.server).ok_or_else(|| {
                here("needs forge, which the repository's URL does not show: one of github, gitlab, gitea, forgejo, bitbucket")
            })?,
        };
        let authorities = self.authorities(
            "statuses",
            ("extra_ca_file", &raw.extra_ca_file),
            ("pinned_ca_file", &raw.pinned_ca_file),
            (("ca_file", &raw.ca_file), Authorities::Extra),
            notes,
        )?;
        let statuses = Statuses {
            repository: detect::repository(kind, table.api.as_deref(), &place),
            reach: Reach {
                token: Some(self.token(given, &table)?),
                authorities: authorities.unwrap_or_default(),
                proxy: table.proxy,
                timeout: table.timeout,
            },
            link: table.link,
            sign: table.sign,
            policy: Policy {
                hosts: table.hosts,
                canary: table.canary,
                repeats: kind.forge().takes_same_state(),
            },
        };
        notes.show("statuses.forge", statuses.repository.kind.word());
        notes.show("statuses.api", statuses.repository.api.clone());
        notes.show("statuses.repository", statuses.repository.path.clone());
        notes.authorities("statuses", &statuses.reach.authorities);
        notes.add("statuses.", shown);
        Ok(statuses)
    }

    fn token(
        &self,
        given: &Spanned<StatusesWritten>,
        table: &StatusesTable,
    ) -> Result<TokenSource, ConfigError> {
        match (&table.token_file, &table.credential) {
            (Some(path), None) => Ok(TokenSource::File(path.clone())),
            (None, Some(name)) => Ok(TokenSource::Credential(name.clone())),
            (Some(_), Some(_)) => {
                let second = given.get_ref().credential.as_ref();
                let span = second.map_or_else(|| given.span(), Spanned::span);
                let problem = "is not used together with token_file: name one of them";
                Err(self.wrong(span.start, problem))
            }
            (None, None) => Err(self.wrong(
                given.span().start,
                "needs token_file or credential: a forge takes statuses from nobody else",
            )),
        }
    }
}
