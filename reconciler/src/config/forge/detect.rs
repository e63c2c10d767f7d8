//! Which forge a repository's URL leads to: pure.

use super::{Kind, Repository};
use crate::address::{Address, Scheme};

/// Hosts whose forge is known.
const KNOWN: [(&str, Kind); 5] = [
    ("github.com", Kind::GitHub),
    ("gitlab.com", Kind::GitLab),
    ("bitbucket.org", Kind::Bitbucket),
    ("codeberg.org", Kind::Forgejo),
    ("gitea.com", Kind::Gitea),
];

/// What a repository's URL says of its forge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The forge's host, with the port where one is to be used over HTTPS.
    pub server: String,
    /// Owner and name.
    pub path: String,
}

/// Server and path of a repository's URL; nothing where there is no server in it.
pub fn place(url: &str) -> Option<Place> {
    let address = Address::parse(url).ok()?;
    let server = address.server();
    let server = match address.scheme() {
        Scheme::Https | Scheme::Http => server.authority(),
        // The port of sshd says nothing of the one for HTTPS.
        Scheme::Ssh => server.name(),
        Scheme::File => return None,
    };
    let path = address.path();
    let path = path.trim_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    let whole = path.contains('/') && path.split('/').all(is_name);
    whole.then(|| Place {
        server,
        path: path.to_owned(),
    })
}

/// Whether this can be the name of an owner, a group or a repository.
pub fn is_name(part: &str) -> bool {
    !part.is_empty()
        && part != "."
        && part != ".."
        && !part
            .bytes()
            .any(|byte| byte.is_ascii_control() || b" ?#%\\".contains(&byte))
}

/// The kind of forge on a server, where its name shows it.
pub fn kind(server: &str) -> Option<Kind> {
    let name = server.split(':').next().unwrap_or(server);
    // GitHub and GitLab have names of their own for SSH over port 443.
    let name = match name {
        "ssh.github.com" => "github.com",
        "altssh.gitlab.com" => "gitlab.com",
        "altssh.bitbucket.org" => "bitbucket.org",
        other => other,
    };
    if let Some((_, kind)) = KNOWN.iter().find(|(known, _)| *known == name) {
        return Some(*kind);
    }
    // A label of its own, as in gitlab.example.org.
    let label = |kind: &Kind| name.split('.').any(|label| label == kind.word());
    let found: Vec<Kind> = Kind::ALL.into_iter().filter(label).collect();
    match found.as_slice() {
        // Bitbucket under another name is Bitbucket Data Center, which is another thing.
        [kind] if *kind != Kind::Bitbucket => Some(*kind),
        _ => None,
    }
}

/// The URL of the interface on a server.
pub fn api(kind: Kind, server: &str) -> String {
    match kind {
        Kind::GitHub if is_public(server, "github.com") => "https://api.github.com".to_owned(),
        // docs.github.com/en/enterprise-server/rest: under /api/v3.
        Kind::GitHub => format!("https://{server}/api/v3"),
        Kind::GitLab if is_public(server, "gitlab.com") => "https://gitlab.com/api/v4".to_owned(),
        Kind::GitLab => format!("https://{server}/api/v4"),
        Kind::Gitea | Kind::Forgejo => format!("https://{server}/api/v1"),
        Kind::Bitbucket => "https://api.bitbucket.org/2.0".to_owned(),
    }
}

fn is_public(server: &str, name: &str) -> bool {
    server == name || server == format!("ssh.{name}") || server == format!("altssh.{name}")
}

/// The repository at a place.
pub fn repository(kind: Kind, api_url: Option<&str>, place: &Place) -> Repository {
    Repository {
        kind,
        api: api_url.map_or_else(
            || api(kind, &place.server),
            |url| url.trim_end_matches('/').to_owned(),
        ),
        path: place.path.clone(),
        page: format!("https://{}/{}", place.server, place.path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forge_is_found_from_the_repositorys_url() {
        let check = |url: &str, expected: Option<(Kind, &str, &str)>| {
            let found = place(url).and_then(|place| {
                let kind = kind(&place.server)?;
                let repository = repository(kind, None, &place);
                Some((kind, repository.api, repository.path))
            });
            let found = found
                .as_ref()
                .map(|(kind, api, path)| (*kind, api.as_str(), path.as_str()));
            assert_eq!(found, expected, "{url}");
        };
        let hub = "https://api.github.com";
        check(
            "https://github.com/o/r.git",
            Some((Kind::GitHub, hub, "o/r")),
        );
        check(
            "ssh://git@github.com/o/r.git",
            Some((Kind::GitHub, hub, "o/r")),
        );
        check(
            "ssh://git@ssh.github.com:443/o/r.git",
            Some((Kind::GitHub, hub, "o/r")),
        );
        check(
            "https://github.corp.example/o/r",
            Some((Kind::GitHub, "https://github.corp.example/api/v3", "o/r")),
        );
        check(
            "https://gitlab.com/g/sub/r.git/",
            Some((Kind::GitLab, "https://gitlab.com/api/v4", "g/sub/r")),
        );
        check(
            "ssh://git@gitlab.example:2222/g/r.git",
            Some((Kind::GitLab, "https://gitlab.example/api/v4", "g/r")),
        );
        check(
            "https://gitlab.example:8443/g/r.git",
            Some((Kind::GitLab, "https://gitlab.example:8443/api/v4", "g/r")),
        );
        check(
            "https://codeberg.org/o/r",
            Some((Kind::Forgejo, "https://codeberg.org/api/v1", "o/r")),
        );
        check(
            "https://gitea.lan/o/r",
            Some((Kind::Gitea, "https://gitea.lan/api/v1", "o/r")),
        );
        check(
            "https://bitbucket.org/w/r",
            Some((Kind::Bitbucket, "https://api.bitbucket.org/2.0", "w/r")),
        );
        for unknown in [
            "https://git.example/o/r",
            "https://bitbucket.corp.example/o/r",
            "https://notgithub.com/o/r",
            "https://github.com/only-one",
            "https://github.com/o/../r",
            "file:///srv/git/deploy.git",
        ] {
            check(unknown, None);
        }
    }

    #[test]
    fn a_path_that_no_repository_can_have_is_no_place() {
        let place = place("https://gitlab.com/g/sub group/r");
        assert_eq!(place, None);
    }
}
