//! The ways from this host to those whom it needs, and the interfaces that they begin at.
//!
//! At the first boot three things look alike from above, and are not: an interface that is missing (a kernel
//! without its driver), one without a carrier (a cable, a switch that still starts), and one with a carrier
//! and no route (late DHCP, or a network that this system does not make).

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

use nix::sys::socket::SockProtocol;

use crate::state::network::Ways;

use super::{DONE, GET_ADDRESS, all_addresses, attributes, dump, messages, number};

// linux/rtnetlink.h, linux/if_link.h, linux/if.h
const GET_LINK: u16 = 18;
const NEW_LINK: u16 = 16;
const NAME: u16 = 3;
const LOWER: u16 = 5;
const MASTER: u16 = 10;
const LINK_INFO: u16 = 18;
const INFO_KIND: u16 = 1;
const LOWER_UP: u32 = 1 << 16;
const LOOPBACK: u32 = 1 << 3;
/// Port "discard": nothing is sent by connecting a socket of UDP.
const PORT: u16 = 9;
/// What a program makes in place of a card: the cable of a container.
const CABLES: [&str; 3] = ["veth", "macvlan", "ipvlan"];

/// An interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub(super) index: u32,
    pub(super) name: String,
    /// What it belongs to (a bridge, a bond), or lies on (a VLAN).
    pub(super) beside: Vec<(Beside, u32)>,
    pub(super) has_carrier: bool,
    /// No program makes it.
    pub(super) is_hardware: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Beside {
    Master,
    Lower,
}

/// Where this host can go now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Paths {
    /// Whom it has a route to, and the interface by which.
    pub(super) routes: Vec<(IpAddr, Option<u32>)>,
    /// All interfaces.
    pub(super) links: Vec<Link>,
}

/// What there is of the ways that there were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Connection {
    /// All of them, as far as this host can see.
    Open,
    /// These interfaces are not there.
    Missing(Vec<String>),
    /// These interfaces have no carrier, and somebody cannot be reached.
    NoCarrier(Vec<String>),
    /// All interfaces have a carrier, and there is no route to these.
    NoRoute(Vec<IpAddr>),
}

impl fmt::Display for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Open => f.write_str("the network is there"),
            Self::Missing(links) => write!(f, "there is no interface {}", links.join(", ")),
            Self::NoCarrier(links) => write!(f, "no carrier on {}", links.join(", ")),
            Self::NoRoute(to) => {
                let to: Vec<String> = to.iter().map(ToString::to_string).collect();
                write!(f, "a carrier, but no route to {}", to.join(", "))
            }
        }
    }
}

impl Paths {
    /// What this host has now of the ways to these.
    ///
    /// # Errors
    /// The kernel cannot be asked for its interfaces and routes.
    pub fn now(to: &[IpAddr]) -> io::Result<Self> {
        let links = links(&dump(SockProtocol::NetlinkRoute, GET_LINK, &[0; 16])?);
        let addresses = all_addresses(&dump(SockProtocol::NetlinkRoute, GET_ADDRESS, &[0; 16])?);
        let routes = to
            .iter()
            .filter_map(|to| {
                let own = own_address(*to)?;
                let index = addresses.iter().find(|(ip, _)| *ip == own);
                Some((*to, index.map(|(_, index)| *index)))
            })
            .collect();
        Ok(Self { routes, links })
    }

    /// The ways that are open, to be missed later.
    pub fn to_be_missed(&self) -> Ways {
        let mut to: Vec<IpAddr> = self.routes.iter().map(|(to, _)| *to).collect();
        to.sort_unstable();
        to.dedup();
        let mut below: Vec<u32> = self.routes.iter().filter_map(|(_, index)| *index).collect();
        // A bridge on a bond on two cards: no more levels than interfaces.
        for _ in 0..self.links.len() {
            below.sort_unstable();
            below.dedup();
            for link in &self.links {
                let belongs =
                    |(how, index): &(Beside, u32)| *how == Beside::Master && below.contains(index);
                let carries = link.is_hardware || self.is_above_hardware(link);
                if carries && link.beside.iter().any(belongs) {
                    below.push(link.index);
                }
                if below.contains(&link.index) {
                    let lower = link.beside.iter().filter(|(how, _)| *how == Beside::Lower);
                    below.extend(lower.map(|(_, index)| *index));
                }
            }
        }
        let links = self.links.iter();
        let mut links: Vec<String> = links
            .filter(|link| link.is_hardware && below.contains(&link.index))
            .map(|link| link.name.clone())
            .collect();
        links.sort();
        Ways { to, links }
    }

    /// Whether something belongs to this interface that no program makes.
    fn is_above_hardware(&self, link: &Link) -> bool {
        let mut links = self.links.iter();
        links.any(|one| one.is_hardware && one.beside.contains(&(Beside::Master, link.index)))
    }

    /// What there is now of these ways.
    pub fn connection(&self, ways: &Ways) -> Connection {
        let there = |name: &&String| self.links.iter().any(|link| link.name == **name);
        let missing: Vec<String> = ways
            .links
            .iter()
            .filter(|one| !there(one))
            .cloned()
            .collect();
        if !missing.is_empty() {
            return Connection::Missing(missing);
        }
        // A route may be kept over an interface without a carrier.
        let is_open = |to: &IpAddr| {
            self.routes.iter().any(|(one, index)| {
                let link = self.links.iter().find(|link| Some(link.index) == *index);
                one == to && link.is_none_or(|link| link.has_carrier)
            })
        };
        let shut: Vec<IpAddr> = ways.to.iter().filter(|to| !is_open(to)).copied().collect();
        if shut.is_empty() {
            return Connection::Open;
        }
        let dark: Vec<String> = self
            .links
            .iter()
            .filter(|link| ways.links.contains(&link.name) && !link.has_carrier)
            .map(|link| link.name.clone())
            .collect();
        if dark.is_empty() {
            Connection::NoRoute(shut)
        } else {
            Connection::NoCarrier(dark)
        }
    }
}

#[cfg(any(test, feature = "simulation"))]
impl Paths {
    /// A machine with one card, or without; with the ways to all of these, or to none.
    pub fn of_one_card(is_there: bool, has_carrier: bool, to: &[IpAddr]) -> Self {
        let card = Link {
            index: 2,
            name: "eth0".to_owned(),
            beside: Vec::new(),
            has_carrier,
            is_hardware: true,
        };
        Self {
            routes: to.iter().map(|to| (*to, Some(2))).collect(),
            links: is_there.then_some(card).into_iter().collect(),
        }
    }
}

/// The own address from which the kernel would go there; nothing where it knows of no way.
pub(super) fn own_address(to: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = match to {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((to, PORT)).ok()?;
    Some(socket.local_addr().ok()?.ip())
}

pub(super) fn links(dumped: &[u8]) -> Vec<Link> {
    messages(dumped)
        .take_while(|(kind, _)| *kind != DONE)
        .filter(|(kind, _)| *kind == NEW_LINK)
        .filter_map(|(_, body)| {
            let index = number(body.get(4..8)?)?;
            let flags = number(body.get(8..12)?)?;
            let (mut name, mut kind, mut beside) = (None, None, Vec::new());
            for (attribute, content) in attributes(body.get(16..)?) {
                // The kernel marks what has parts of its own.
                match attribute & 0x3fff {
                    NAME => name = text(content),
                    LOWER => beside.extend(number(content).map(|index| (Beside::Lower, index))),
                    MASTER => beside.extend(number(content).map(|index| (Beside::Master, index))),
                    LINK_INFO => {
                        let mut parts = attributes(content);
                        kind = parts
                            .find(|(attribute, _)| *attribute == INFO_KIND)
                            .and_then(|(_, content)| text(content));
                    }
                    _ => {}
                }
            }
            let is_cable = kind.as_deref().is_none_or(|kind| CABLES.contains(&kind));
            // The other end of a cable is in another namespace, and its number there is none here.
            if kind.is_some() && is_cable {
                beside.retain(|(how, _)| *how != Beside::Lower);
            }
            // A cable in a bridge is that of a container on this host.
            let is_hardware = is_cable && (kind.is_none() || beside.is_empty());
            Some(Link {
                index,
                name: name?,
                beside,
                has_carrier: flags & LOWER_UP != 0,
                is_hardware: is_hardware && flags & LOOPBACK == 0,
            })
        })
        .collect()
}

fn text(bytes: &[u8]) -> Option<String> {
    let end = bytes
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(bytes.len());
    std::str::from_utf8(&bytes[..end]).ok().map(str::to_owned)
}

#[cfg(test)]
mod tests;
