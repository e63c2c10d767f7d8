//! What this host's place in the network is, to see what a deployment took from it: the addresses and
//! routes that its system declares, the ways to those whom it needs, and what its own sshd listens on.
//!
//! Nothing else can be missing. Other programs put addresses and routes on interfaces too (keepalived, docker,
//! BIRD, VPNs), and take them away again.
//!
//! A system of an earlier release declares nothing. Then what comes and goes by itself is left out: addresses
//! that were leased or announced (they are not permanent to the kernel), temporary ones of IPv6, routes from
//! DHCP, router advertisements and routing daemons, and the kernel's own routes but those of permanent
//! addresses. Interfaces are not distinguished: one that is made anew has another number.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;

use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, recv, send, setsockopt, socket,
    sockopt::ReceiveTimeout,
};
use nix::sys::time::{TimeVal, TimeValLike};

use crate::protocol::Toplevel;
use crate::state::layout::Layout;
use crate::state::network::Network;

mod declared;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzzing;
mod paths;
mod sockets;

pub use paths::{Connection, Link, Paths};

use declared::Declared;

/// More than any host has; what is beyond is not looked at.
const ENTRIES: usize = 4096;
const LIMIT: u64 = 4 << 20;

// linux/netlink.h, linux/rtnetlink.h, linux/if_addr.h
const REQUEST_DUMP: u16 = 0x301;
const GET_ADDRESS: u16 = 22;
const NEW_ADDRESS: u16 = 20;
const GET_ROUTE: u16 = 26;
const NEW_ROUTE: u16 = 24;
const DONE: u16 = 3;
const ERROR: u16 = 2;
const PERMANENT: u32 = 0x80;
const TEMPORARY: u32 = 0x01;
const UNIVERSE: u8 = 0;
const MAIN_TABLE: u32 = 254;
const UNICAST: u8 = 1;
const CLONED: u32 = 0x200;
const BY_KERNEL: u8 = 2;
const BY_ADVERTISEMENT: u8 = 9;
/// The highest that is not a routing daemon's (linux/rtnetlink.h: 17 is MROUTED's, 186 and more are BGP's,
/// OSPF's and others'), but for those that come and go by themselves.
const BY_DHCP: u8 = 16;
/// What BIRD and zebra use.
const BY_DAEMON: [u8; 4] = [10, 11, 12, 14];

/// The network now: what `system` declares of it, and the ways to `to`.
///
/// # Errors
/// The kernel cannot be asked for its interfaces, addresses and routes.
pub fn now(layout: &Layout, system: &Toplevel, to: &[IpAddr]) -> io::Result<Network> {
    let all = |kind| dump(SockProtocol::NetlinkRoute, kind, &[0; 16]);
    let declared = Declared::by(layout, system);
    let addresses = addresses(&all(GET_ADDRESS)?, declared.as_ref());
    let routes = routes(&all(GET_ROUTE)?, &addresses, declared.as_ref());
    let ways = to.iter().filter(|to| paths::own_address(**to).is_some());
    Ok(Network {
        addresses: sorted(addresses.iter().map(|(ip, bits)| format!("{ip}/{bits}"))),
        routes: sorted(routes.into_iter()),
        ways: ways.copied().collect(),
        ssh: sorted(sockets::of_sshd(layout).into_iter()),
    })
}

/// A route of the kernel's main table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Route {
    /// Nothing for anywhere.
    to: Option<IpAddr>,
    bits: u8,
    via: Option<IpAddr>,
    six: bool,
    protocol: u8,
}

impl std::fmt::Display for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.to {
            Some(to) => write!(f, "{to}/{}", self.bits)?,
            None if self.six => f.write_str("default (IPv6)")?,
            None => f.write_str("default")?,
        }
        self.via.map_or(Ok(()), |via| write!(f, " via {via}"))
    }
}

fn sorted(words: impl Iterator<Item = String>) -> Vec<String> {
    let mut words: Vec<String> = words.take(ENTRIES).collect();
    words.sort();
    words.dedup();
    words
}

/// Asks the kernel for all entries of a kind (netlink(7)); gives its messages one after the other.
/// Of addresses and routes a family that is unspecified has both told.
fn dump(protocol: SockProtocol, kind: u16, what: &[u8]) -> io::Result<Vec<u8>> {
    let kernel = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        protocol,
    )?;
    setsockopt(&kernel, ReceiveTimeout, &TimeVal::seconds(5))?;
    let length = u32::try_from(16 + what.len()).map_err(io::Error::other)?;
    let mut request = Vec::from(length.to_ne_bytes());
    request.extend(kind.to_ne_bytes());
    request.extend(REQUEST_DUMP.to_ne_bytes());
    request.resize(16, 0);
    request.extend(what);
    send(kernel.as_raw_fd(), &request, MsgFlags::empty())?;
    let mut all = Vec::new();
    let mut part = vec![0; 64 << 10];
    loop {
        let length = recv(kernel.as_raw_fd(), &mut part, MsgFlags::empty())?;
        let part = &part[..length];
        if messages(part).any(|(kind, _)| kind == ERROR) {
            return Err(io::Error::other(
                "the kernel does not show its addresses and routes",
            ));
        }
        all.extend_from_slice(part);
        let is_done = messages(part).any(|(kind, _)| kind == DONE);
        if is_done || length == 0 || all.len() as u64 > LIMIT {
            return Ok(all);
        }
    }
}

/// The messages in what the kernel sent: kind and content.
fn messages(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    chunks(bytes, 16, |head| {
        let length = u32::from_ne_bytes(head.get(..4)?.try_into().ok()?);
        let kind = u16::from_ne_bytes(head.get(4..6)?.try_into().ok()?);
        Some((length as usize, kind))
    })
}

/// The attributes of a message: kind and content.
fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    chunks(bytes, 4, |head| {
        let length = u16::from_ne_bytes(head.get(..2)?.try_into().ok()?);
        let kind = u16::from_ne_bytes(head.get(2..4)?.try_into().ok()?);
        Some((usize::from(length), kind))
    })
}

/// Pieces that begin with a header that says how long they are, each padded to four bytes.
fn chunks(
    bytes: &[u8],
    header: usize,
    read: impl Fn(&[u8]) -> Option<(usize, u16)>,
) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let (length, kind) = read(rest)?;
        let content = rest.get(header..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, content))
    })
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(four).into());
    }
    let sixteen = <[u8; 16]>::try_from(bytes).ok()?;
    Some(Ipv6Addr::from(sixteen).into())
}

fn number(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

/// The permanent addresses, of which those count that are declared, where that is known.
fn addresses(dumped: &[u8], declared: Option<&Declared>) -> Vec<(IpAddr, u8)> {
    let mut found: Vec<(IpAddr, u8)> = told_addresses(dumped)
        .filter(|one| one.stays)
        .map(|one| (one.ip, one.bits))
        .collect();
    found.retain(|(ip, bits)| declared.is_none_or(|declared| declared.has_address(*ip, *bits)));
    found
}

/// All addresses, each with the number of its interface.
fn all_addresses(dumped: &[u8]) -> Vec<(IpAddr, u32)> {
    told_addresses(dumped)
        .map(|one| (one.ip, one.link))
        .collect()
}

struct Told {
    ip: IpAddr,
    bits: u8,
    link: u32,
    stays: bool,
}

fn told_addresses(dumped: &[u8]) -> impl Iterator<Item = Told> {
    messages(dumped)
        .filter(|(kind, _)| *kind == NEW_ADDRESS)
        .filter_map(|(_, body)| {
            let (bits, mut flags, scope) = (*body.get(1)?, u32::from(*body.get(2)?), *body.get(3)?);
            let link = number(body.get(4..8)?)?;
            let mut address = None;
            for (kind, content) in attributes(body.get(8..)?) {
                match kind {
                    1 => address = address.or_else(|| ip(content)),
                    // What is local, where the other end of a line has an address too.
                    2 => address = ip(content),
                    8 => flags = number(content)?,
                    _ => {}
                }
            }
            let stays = flags & PERMANENT != 0 && flags & TEMPORARY == 0 && scope == UNIVERSE;
            address.map(|ip| Told {
                ip,
                bits,
                link,
                stays,
            })
        })
}

fn routes(dumped: &[u8], addresses: &[(IpAddr, u8)], declared: Option<&Declared>) -> Vec<String> {
    messages(dumped)
        .filter(|(kind, _)| *kind == NEW_ROUTE)
        .filter_map(|(_, body)| {
            let (bits, protocol, kind) = (*body.get(1)?, *body.get(5)?, *body.get(7)?);
            let mut table = u32::from(*body.get(4)?);
            let flags = number(body.get(8..12)?)?;
            let (mut to, mut via) = (None, None);
            for (kind, content) in attributes(body.get(12..)?) {
                match kind {
                    1 => to = ip(content),
                    5 => via = ip(content),
                    15 => table = number(content)?,
                    _ => {}
                }
            }
            let route = Route {
                to,
                bits,
                via,
                six: body.first() == Some(&10),
                protocol,
            };
            let counts = table == MAIN_TABLE && kind == UNICAST && flags & CLONED == 0;
            (counts && stays(&route, addresses, declared)).then(|| route.to_string())
        })
        .collect()
}

/// Whether a route is there while nobody changes it.
fn stays(route: &Route, addresses: &[(IpAddr, u8)], declared: Option<&Declared>) -> bool {
    let of_address = || {
        route.to.is_some_and(|to| {
            addresses
                .iter()
                .any(|(address, _)| is_within(*address, to, route.bits))
        })
    };
    match (route.protocol, declared) {
        (BY_KERNEL, _) => of_address(),
        (_, Some(declared)) => declared.has_route(route),
        (BY_ADVERTISEMENT, None) => false,
        (protocol, None) => protocol < BY_DHCP && !BY_DAEMON.contains(&protocol),
    }
}

fn is_within(address: IpAddr, network: IpAddr, bits: u8) -> bool {
    let shift = |width: u32| width.saturating_sub(u32::from(bits));
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            let both = address.to_bits() ^ network.to_bits();
            both.checked_shr(shift(32)).unwrap_or(0) == 0
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => {
            let both = address.to_bits() ^ network.to_bits();
            both.checked_shr(shift(128)).unwrap_or(0) == 0
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::toplevel;

    fn attribute(kind: u16, content: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::from((4 + content.len() as u16).to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(content);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn message(kind: u16, body: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::from((16 + body.len() as u32).to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.resize(16, 0);
        bytes.extend(body);
        bytes
    }

    fn address(bits: u8, flags: u32, scope: u8, ip: &[u8]) -> Vec<u8> {
        let mut body = vec![
            if ip.len() == 4 { 2 } else { 10 },
            bits,
            0,
            scope,
            1,
            0,
            0,
            0,
        ];
        body.extend(attribute(1, ip));
        body.extend(attribute(8, &flags.to_ne_bytes()));
        message(NEW_ADDRESS, &body)
    }

    fn route(bits: u8, protocol: u8, to: Option<[u8; 4]>, via: Option<[u8; 4]>) -> Vec<u8> {
        let mut body = vec![2, bits, 0, 0, 254, protocol, 0, UNICAST, 0, 0, 0, 0];
        body.extend(to.map(|to| attribute(1, &to)).unwrap_or_default());
        body.extend(via.map(|via| attribute(5, &via)).unwrap_or_default());
        message(NEW_ROUTE, &body)
    }

    #[test]
    fn only_what_stays_by_itself_is_missed() {
        let mut six = [0; 16];
        six[0] = 0xfd;
        six[15] = 1;
        let dumped = [
            address(24, PERMANENT, UNIVERSE, &[10, 0, 0, 7]),
            // A lease, a temporary address, one of the link only.
            address(24, 0, UNIVERSE, &[10, 9, 9, 9]),
            address(64, PERMANENT | TEMPORARY, UNIVERSE, &six),
            address(8, PERMANENT, 254, &[127, 0, 0, 1]),
            message(DONE, &[0; 4]),
        ]
        .concat();
        let found = addresses(&dumped, None);
        assert_eq!(found, [("10.0.0.7".parse().unwrap(), 24)]);
        let dumped = [
            route(24, BY_KERNEL, Some([10, 0, 0, 0]), None),
            route(24, BY_KERNEL, Some([10, 9, 9, 0]), None),
            route(0, 4, None, Some([10, 0, 0, 1])),
            route(0, BY_DHCP, None, Some([10, 9, 9, 1])),
            route(16, 3, Some([10, 8, 0, 0]), Some([10, 0, 0, 2])),
            // BIRD's, zebra's, BGP's.
            route(16, 12, Some([10, 7, 0, 0]), Some([10, 0, 0, 2])),
            route(16, 11, Some([10, 6, 0, 0]), Some([10, 0, 0, 2])),
            route(16, 186, Some([10, 5, 0, 0]), Some([10, 0, 0, 2])),
        ]
        .concat();
        assert_eq!(
            routes(&dumped, &found, None),
            [
                "10.0.0.0/24",
                "default via 10.0.0.1",
                "10.8.0.0/16 via 10.0.0.2"
            ]
        );
    }

    #[test]
    fn what_is_cut_off_is_not_read_beyond_its_end() {
        let whole = address(24, PERMANENT, UNIVERSE, &[10, 0, 0, 7]);
        for length in 0..whole.len() {
            assert!(addresses(&whole[..length], None).is_empty(), "{length}");
        }
        // A length of nothing would go round for ever.
        assert_eq!(messages(&[0; 64]).count(), 0);
    }

    #[test]
    fn what_was_there_and_is_not_is_named() {
        let before = Network {
            addresses: vec!["10.0.0.7/24".into()],
            routes: vec!["default via 10.0.0.1".into()],
            ways: vec!["10.9.0.2".parse().unwrap()],
            ssh: vec!["00000000:0016".into()],
        };
        assert!(before.lost(&before).is_empty());
        assert!(Network::default().lost(&before).is_empty());
        assert_eq!(
            before.lost(&Network::default()),
            [
                "address 10.0.0.7/24",
                "route default via 10.0.0.1",
                "a route to 10.9.0.2",
                "sshd's socket 00000000:0016"
            ]
        );
    }

    #[test]
    fn listening_sockets_are_told_by_their_inodes() {
        let text = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
                    0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1\n\
                    1: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4712 1\n\
                    2: 0B004D0A:0016 01004D0A:C001 01 00000000:00000000 00:00000000 00000000     0        0 4711 1\n";
        assert_eq!(
            sockets::in_text(text, &["4711".to_owned()]),
            ["00000000:0016"]
        );
    }

    #[test]
    fn this_machine_tells_its_network() {
        let to = ["127.0.0.1".parse().unwrap()];
        let now = now(&Layout::host(), &toplevel("none"), &to).unwrap();
        assert_eq!(now.ways, to);
        let paths = Paths::now(&to).unwrap();
        assert_eq!(paths.connection(&paths.to_be_missed()), Connection::Open);
    }

    #[test]
    fn only_what_the_system_declares_is_missed() {
        let dumped = [
            address(24, PERMANENT, UNIVERSE, &[10, 0, 0, 7]),
            // keepalived's, docker's.
            address(32, PERMANENT, UNIVERSE, &[10, 0, 0, 200]),
            address(16, PERMANENT, UNIVERSE, &[172, 18, 0, 1]),
        ]
        .concat();
        let text = r#"{ "addresses": ["10.0.0.7/24"], "routes": [ { "via": "10.0.0.1" } ] }"#;
        let declared: Declared = serde_json::from_str(text).unwrap();
        let found = addresses(&dumped, Some(&declared));
        assert_eq!(found, [("10.0.0.7".parse().unwrap(), 24)]);
        let dumped = [
            route(24, BY_KERNEL, Some([10, 0, 0, 0]), None),
            route(16, BY_KERNEL, Some([172, 18, 0, 0]), None),
            route(0, 4, None, Some([10, 0, 0, 1])),
            route(24, 3, Some([10, 99, 0, 0]), Some([10, 0, 0, 12])),
        ]
        .concat();
        assert_eq!(
            routes(&dumped, &found, Some(&declared)),
            ["10.0.0.0/24", "default via 10.0.0.1"]
        );
    }
}
