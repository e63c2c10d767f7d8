//! What a system itself says of its network, in the file that Nixus' module puts into it.
//!
//! Whatever else is on an interface was put there by other programs (keepalived, docker, BIRD, a VPN), which
//! take it away again as they like; it is nobody's damage.

use std::fs;
use std::net::IpAddr;

use serde::Deserialize;

use super::Route;
use crate::protocol::Toplevel;
use crate::state::bounded::read_bounded;
use crate::state::layout::Layout;

/// The file, below a toplevel.
const FILE: &str = "etc/nixus/network.json";
const LIMIT: u64 = 1 << 20;

/// What a system declares.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub(super) struct Declared {
    /// `10.0.0.7/24`, as people write them.
    #[serde(default)]
    addresses: Vec<String>,
    #[serde(default)]
    routes: Vec<DeclaredRoute>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
struct DeclaredRoute {
    /// `10.0.0.0/24`; `0.0.0.0/0` and `::/0` lead anywhere. Without it the gateway's family says where.
    #[serde(default)]
    to: Option<String>,
    #[serde(default)]
    via: Option<String>,
}

impl Declared {
    /// What this system declares; nothing where it does not say, as one of an earlier release.
    pub(super) fn by(layout: &Layout, system: &Toplevel) -> Option<Self> {
        let file = layout.at(system.path()).join(FILE);
        // A link in `etc` of a toplevel leads into the store, absolute.
        let file = fs::canonicalize(&file).ok()?;
        serde_json::from_slice(&read_bounded(&file, LIMIT).ok()?).ok()
    }

    pub(super) fn has_address(&self, ip: IpAddr, bits: u8) -> bool {
        self.addresses
            .iter()
            .any(|text| network(text) == Some((ip, bits)))
    }

    pub(super) fn has_route(&self, route: &Route) -> bool {
        self.routes.iter().any(|one| {
            let via = one
                .via
                .as_deref()
                .and_then(|text| text.parse::<IpAddr>().ok());
            let to = match (one.to.as_deref(), via) {
                (None, None) => None,
                (None | Some("default"), via) => Some((None, via.is_some_and(|ip| ip.is_ipv6()))),
                (Some(text), _) => network(text).map(|(ip, bits)| {
                    let anywhere = bits == 0;
                    ((!anywhere).then_some((ip, bits)), ip.is_ipv6())
                }),
            };
            let is_there = match to {
                Some((None, six)) => route.to.is_none() && route.six == six,
                Some((Some((ip, bits)), _)) => {
                    route.bits == bits && route.to.is_some_and(|to| super::is_within(ip, to, bits))
                }
                None => false,
            };
            is_there && (via.is_none() || via == route.via)
        })
    }
}

/// `10.0.0.7/24`; an address alone is one of its own.
fn network(text: &str) -> Option<(IpAddr, u8)> {
    let text = text.trim();
    let (ip, bits) = match text.split_once('/') {
        Some((ip, bits)) => (ip.parse::<IpAddr>().ok()?, bits.parse().ok()?),
        None => {
            let ip = text.parse::<IpAddr>().ok()?;
            (ip, if ip.is_ipv4() { 32 } else { 128 })
        }
    };
    Some((ip, bits))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn declared(text: &str) -> Declared {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn an_address_is_declared_however_it_is_written() {
        let declared = declared(
            r#"{ "version": 1, "addresses": ["10.0.0.7/24", "FD77:0::11/64", "10.0.0.9"] }"#,
        );
        let check = |ip: &str, bits, expected| {
            assert_eq!(
                declared.has_address(ip.parse().unwrap(), bits),
                expected,
                "{ip}/{bits}"
            );
        };
        check("10.0.0.7", 24, true);
        check("fd77::11", 64, true);
        check("10.0.0.9", 32, true);
        // What keepalived and docker hold.
        check("10.0.0.200", 32, false);
        check("172.18.0.1", 16, false);
        check("10.0.0.7", 32, false);
    }

    #[test]
    fn a_route_is_declared_by_where_it_leads() {
        let declared = declared(
            r#"{ "routes": [ { "via": "10.0.0.1" }, { "to": "10.8.0.0/16" }, { "to": "::/0", "via": "fd77::1" } ] }"#,
        );
        let check = |to: Option<(&str, u8)>, via: Option<&str>, six, expected| {
            let route = Route {
                to: to.map(|(ip, _)| ip.parse().unwrap()),
                bits: to.map_or(0, |(_, bits)| bits),
                via: via.map(|ip| ip.parse().unwrap()),
                six,
                protocol: 4,
            };
            assert_eq!(declared.has_route(&route), expected, "{route:?}");
        };
        check(None, Some("10.0.0.1"), false, true);
        check(None, Some("10.0.0.2"), false, false);
        check(None, Some("fd77::1"), true, true);
        check(None, None, true, false);
        check(Some(("10.8.0.0", 16)), Some("10.0.0.9"), false, true);
        check(Some(("10.8.0.0", 24)), None, false, false);
        check(Some(("10.99.0.0", 24)), Some("10.0.0.12"), false, false);
    }

    #[test]
    fn a_system_that_does_not_say_declares_nothing_known() {
        let root = tempfile::tempdir().unwrap();
        let layout = Layout::below(root.path().canonicalize().unwrap());
        let system = crate::testing::toplevel("old");
        assert_eq!(Declared::by(&layout, &system), None);
        let dir = layout.at(system.path()).join("etc/nixus");
        fs::create_dir_all(&dir).unwrap();
        fs::write(dir.join("network.json"), "{").unwrap();
        assert_eq!(Declared::by(&layout, &system), None);
        fs::write(dir.join("network.json"), "{}").unwrap();
        assert_eq!(Declared::by(&layout, &system), Some(Declared::default()));
    }
}
