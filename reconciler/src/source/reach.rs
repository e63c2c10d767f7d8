//! Whether the hosts of the repository accept connections: asked where git did not get through, to
//! tell an outage from a host that refuses this one.

use std::io::ErrorKind;
use std::net::IpAddr;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::net::{TcpStream, lookup_host};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::address::Address;
use crate::config::Remote;

/// How long one host may take to be found and to accept a connection.
pub const LIMIT: Duration = Duration::from_secs(5);

/// What came of connecting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// One of the hosts accepts connections.
    Connected,
    /// The kernel has no route to any of them.
    NoRoute,
    /// None does, and why the last did not.
    NotConnected(String),
}

/// Connects to the host of each URL, all at once.
pub async fn reach(remotes: &[Remote]) -> Reach {
    let mut asked = JoinSet::new();
    for remote in remotes {
        match place(&remote.url) {
            Some(place) => {
                asked.spawn(connect(place));
            }
            // A repository on this host needs no network.
            None => return Reach::Connected,
        }
    }
    let mut best = Reach::NoRoute;
    while let Some(answer) = asked.join_next().await {
        match answer.unwrap_or_else(|error| Reach::NotConnected(error.to_string())) {
            Reach::Connected => return Reach::Connected,
            Reach::NoRoute => {}
            not_connected => best = not_connected,
        }
    }
    best
}

/// The addresses of the hosts of these repositories, as far as they are found in time.
pub async fn addresses(remotes: &[Remote]) -> Vec<IpAddr> {
    let places = remotes.iter().filter_map(|remote| place(&remote.url));
    found(places.collect()).await
}

/// The addresses of these names and ports, each name asked for at once.
pub async fn found(places: Vec<(String, u16)>) -> Vec<IpAddr> {
    let asked = places.into_iter().map(async |(host, port)| {
        let found = timeout(LIMIT, lookup_host((host.as_str(), port))).await;
        let found = found.ok().and_then(Result::ok);
        found.map_or_else(Vec::new, |found| found.map(|one| one.ip()).collect())
    });
    let mut all: Vec<IpAddr> = join_all(asked).await.into_iter().flatten().collect();
    all.sort_unstable();
    all.dedup();
    all
}

async fn connect((host, port): (String, u16)) -> Reach {
    let failed = |reason: String| Reach::NotConnected(format!("{host} port {port}: {reason}"));
    let tried = timeout(LIMIT, async {
        let mut last = Reach::NotConnected(format!("{host} has no address"));
        for address in lookup_host((host.as_str(), port)).await? {
            match TcpStream::connect(address).await {
                Ok(_) => return Ok(Reach::Connected),
                // ENETUNREACH comes from the own routing table; EHOSTUNREACH would not.
                Err(error) if error.kind() == ErrorKind::NetworkUnreachable => {
                    last = Reach::NoRoute;
                }
                Err(error) => last = failed(error.to_string()),
            }
        }
        Ok::<_, std::io::Error>(last)
    });
    match tried.await {
        Ok(Ok(reach)) => reach,
        Ok(Err(error)) => failed(error.to_string()),
        Err(_) => failed(format!("no answer within {} s", LIMIT.as_secs())),
    }
}

/// The host and port of a repository; nothing for one on this host.
fn place(url: &str) -> Option<(String, u16)> {
    let address = Address::parse(url).ok()?;
    let server = address.server();
    Some((server.host().to_owned(), server.port()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Authorities;
    use crate::host::testing::run;

    #[test]
    fn the_place_of_a_repository_is_read_as_git_reads_it() {
        let check = |url: &str, expected: Option<(&str, u16)>| {
            let expected = expected.map(|(host, port)| (host.to_owned(), port));
            assert_eq!(place(url), expected, "{url}");
        };
        check(
            "ssh://git@git.example.org/deploy",
            Some(("git.example.org", 22)),
        );
        check(
            "ssh://git@git.example.org:2222/a",
            Some(("git.example.org", 2222)),
        );
        check(
            "ssh://git@[2001:db8::1]:2222/a",
            Some(("2001:db8::1", 2222)),
        );
        check("ssh://[2001:db8::1]/a", Some(("2001:db8::1", 22)));
        check(
            "git@git.example.org:deploy.git",
            Some(("git.example.org", 22)),
        );
        check(
            "https://git.example.org/deploy.git",
            Some(("git.example.org", 443)),
        );
        check(
            "https://git.example.org:8443/a",
            Some(("git.example.org", 8443)),
        );
        check("file:///srv/git/deploy.git", None);
        check("/srv/git/deploy.git", None);
        check("/srv/git/a:b.git", None);
    }

    fn reached(url: &str) -> Reach {
        let remote = Remote {
            url: url.to_owned(),
            ssh_key: None,
            known_hosts: None,
            token_file: None,
            authorities: Authorities::System,
            timeout: Duration::from_secs(1),
        };
        run(reach(&[remote]))
    }

    #[test]
    fn a_host_that_listens_is_told_from_one_that_does_not() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let url = format!("ssh://git@127.0.0.1:{port}/deploy");
        assert_eq!(reached(&url), Reach::Connected);
        // Nobody else gets a port that is bound, and whoever does not listen refuses.
        let silent = tokio::net::TcpSocket::new_v4().unwrap();
        silent.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let port = silent.local_addr().unwrap().port();
        let url = format!("ssh://git@127.0.0.1:{port}/deploy");
        let Reach::NotConnected(reason) = reached(&url) else {
            unreachable!("nobody listens");
        };
        assert!(reason.contains("refused"), "{reason}");
        assert_eq!(reached("file:///srv/git"), Reach::Connected);
    }
}
