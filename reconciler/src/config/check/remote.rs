//! How a git repository is reached.

use std::path::PathBuf;

use toml::Spanned;

use super::Notes;
use crate::address::Scheme;
use crate::config::declare::Kind as _;
use crate::config::place::Place;
use crate::config::tables::RemoteKeys;
use crate::config::value::{File, Time};
use crate::config::{Authorities, ConfigError, Remote, same_server};

/// How long one network operation may take.
const TIMEOUT: std::time::Duration = std::time::Duration::from_secs(60);

/// A key that names a file with authorities.
pub(super) type Named<'a> = (&'static str, &'a Option<Spanned<PathBuf>>);

impl Place<'_> {
    /// The repository of a table; what is not written is as in `like`, as far as that is safe.
    pub(super) fn remote(
        &self,
        table: &str,
        given: &RemoteKeys<'_>,
        like: Option<&Remote>,
        notes: &mut Notes,
    ) -> Result<Remote, ConfigError> {
        let address = given.url.get_ref();
        let scheme = self.address(given.url)?;
        let ssh = scheme == Scheme::Ssh;
        let https = scheme == Scheme::Https;
        for (needed, scheme, given) in [
            (ssh, "ssh", given.ssh_key),
            (ssh, "ssh", given.known_hosts),
            (https, "https", given.token_file),
            (https, "https", given.extra_ca_file),
            (https, "https", given.pinned_ca_file),
            (https, "https", given.ca_file),
        ] {
            if let (false, Some(given)) = (needed, given) {
                let problem = format!("is only used with {scheme}://, but the URL is {address:?}");
                return Err(self.wrong(given.span().start, problem));
            }
        }
        let path = |given: &Option<Spanned<PathBuf>>, inherited: Option<&PathBuf>| match given {
            Some(given) => File::read(self, given).map(Some),
            None => Ok(inherited.cloned()),
        };
        let over_ssh = like.filter(|_| ssh);
        let over_https = like.filter(|_| https);
        let known_hosts = path(
            given.known_hosts,
            over_ssh.and_then(|like| like.known_hosts.as_ref()),
        )?;
        if ssh && known_hosts.is_none() {
            let problem = "needs known_hosts as well: host keys are never trusted on first use";
            return Err(self.wrong(given.url.span().start, problem));
        }
        // A token is for one server; only that one is shown it.
        let same_server = over_https.filter(|like| same_server(&like.url, address));
        let authorities = self.authorities(
            table,
            ("extra_ca_file", given.extra_ca_file),
            ("pinned_ca_file", given.pinned_ca_file),
            (("ca_file", given.ca_file), Authorities::Pinned),
            notes,
        )?;
        let inherited = over_https.map(|like| like.authorities.clone());
        let remote = Remote {
            url: address.clone(),
            ssh_key: path(
                given.ssh_key,
                over_ssh.and_then(|like| like.ssh_key.as_ref()),
            )?,
            known_hosts,
            token_file: path(
                given.token_file,
                same_server.and_then(|like| like.token_file.as_ref()),
            )?,
            authorities: authorities.or(inherited).unwrap_or_default(),
            timeout: match given.timeout {
                Some(given) => Time::read(self, given)?,
                None => like.map_or(TIMEOUT, |like| like.timeout),
            },
        };
        notes.remote(table, &remote);
        Ok(remote)
    }

    /// Who vouches for a server: by one of the two keys, or by the former name of one of them.
    pub(super) fn authorities(
        &self,
        table: &str,
        extra: Named<'_>,
        pinned: Named<'_>,
        (former, means): (Named<'_>, fn(PathBuf) -> Authorities),
        notes: &mut Notes,
    ) -> Result<Option<Authorities>, ConfigError> {
        let all = [extra, pinned, former];
        let mut given = all
            .into_iter()
            .filter_map(|(key, given)| Some((key, given.as_ref()?)));
        let Some((key, one)) = given.next() else {
            return Ok(None);
        };
        if let Some((_, other)) = given.next() {
            let problem = format!("is not used together with {key}: name one of them");
            return Err(self.wrong(other.span().start, problem));
        }
        let path = File::read(self, one)?;
        Ok(Some(if key == extra.0 {
            Authorities::Extra(path)
        } else if key == pinned.0 {
            Authorities::Pinned(path)
        } else {
            let authorities = means(path);
            let (does, name) = match authorities {
                Authorities::Pinned(_) => ("replaces the system's authorities", pinned.0),
                _ => ("adds to the system's authorities", extra.0),
            };
            notes.warn(format!("{table}.{key} {does}: write {name} in its place"));
            authorities
        }))
    }
}

impl Notes {
    fn remote(&mut self, table: &str, remote: &Remote) {
        self.show(&format!("{table}.url"), remote.url.clone());
        for (key, path) in [
            ("ssh_key", &remote.ssh_key),
            ("known_hosts", &remote.known_hosts),
            ("token_file", &remote.token_file),
        ] {
            if let Some(path) = path {
                self.show(&format!("{table}.{key}"), File::shown(path));
            }
        }
        self.authorities(table, &remote.authorities);
        self.time(&format!("{table}.timeout"), remote.timeout);
    }

    /// Under the name of today, whatever is written.
    pub(super) fn authorities(&mut self, table: &str, authorities: &Authorities) {
        let (key, path) = match authorities {
            Authorities::System => return,
            Authorities::Extra(path) => ("extra_ca_file", path),
            Authorities::Pinned(path) => ("pinned_ca_file", path),
        };
        self.show(&format!("{table}.{key}"), File::shown(path));
    }
}
