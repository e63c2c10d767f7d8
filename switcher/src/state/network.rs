//! What is remembered of the network: addresses, routes, and the ways to those whom a host needs.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// What stays as it is while nobody changes it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Network {
    /// `10.0.0.7/24`.
    pub addresses: Vec<String>,
    /// `10.0.0.0/24`, `default via 10.0.0.1`.
    pub routes: Vec<String>,
    /// Those whom this host needs and has a route to: its repository, its peers.
    #[serde(default)]
    pub ways: Vec<IpAddr>,
    /// What the own sshd listens on: the address and the port as the kernel writes them.
    pub ssh: Vec<String>,
}

impl Network {
    /// What was there before and is not now, in words.
    pub fn lost(&self, now: &Self) -> Vec<String> {
        let lost = |what: &str, before: &[String], now: &[String]| {
            before
                .iter()
                .filter(|one| !now.contains(one))
                .map(|one| format!("{what} {one}"))
                .collect::<Vec<_>>()
        };
        let mut all = lost("address", &self.addresses, &now.addresses);
        all.extend(lost("route", &self.routes, &now.routes));
        let ways = self.ways.iter().filter(|to| !now.ways.contains(to));
        all.extend(ways.map(|to| format!("a route to {to}")));
        all.extend(lost("sshd's socket", &self.ssh, &now.ssh));
        all
    }
}

/// The ways that a system had, and what they began at, when it was confirmed. Its first boot is judged by it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ways {
    /// Whom it reached: the addresses of the repository and of peers that it had a route to.
    pub to: Vec<IpAddr>,
    /// The interfaces below them that no program makes.
    pub links: Vec<String>,
}
