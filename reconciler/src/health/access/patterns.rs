//! sshd's patterns for names and addresses (ssh_config(5), PATTERNS; sshd_config(5), AllowUsers).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether a text is like a pattern with `*` and `?`.
pub fn is_like(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut position) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while position < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, position));
                at += 1;
            }
            Some(letter) if *letter == b'?' || Some(letter) == text.get(position) => {
                at += 1;
                position += 1;
            }
            _ => match star {
                // The last star takes one letter more.
                Some((from, taken)) => {
                    star = Some((from, taken + 1));
                    at = from + 1;
                    position = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(at).all(|letter| *letter == b'*')
}

/// Whether an address is like a pattern or within a network.
pub fn address_is(pattern: &str, address: &str) -> bool {
    let same = || Some(pattern.parse::<IpAddr>().ok()? == address.parse::<IpAddr>().ok()?);
    // sshd compares addresses, however they are written (OpenSSH, addr_match_list).
    is_like(pattern, address) || is_within(pattern, address) || same() == Some(true)
}

fn is_within(network: &str, address: &str) -> bool {
    let parse = || {
        let (base, length) = network.split_once('/')?;
        let length: u32 = length.parse().ok()?;
        let (base, whole) = bits(base.parse().ok()?);
        let (address, of_address) = bits(address.parse().ok()?);
        let rest = whole.checked_sub(length)?;
        let same = (base ^ address).checked_shr(rest).unwrap_or(0) == 0;
        Some(whole == of_address && same)
    };
    parse().unwrap_or(false)
}

/// An address as a number, and how long such addresses are.
fn bits(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(address) => (u32::from(address).into(), 32),
        IpAddr::V6(address) => (address.into(), 128),
    }
}

/// Whether `from="…"` lets in from an address: one pattern must fit, and none with a `!`.
pub fn list_has(list: &str, address: &str) -> bool {
    let mut fits = false;
    for pattern in list.split(',').map(str::trim) {
        match pattern.strip_prefix('!') {
            Some(pattern) if address_is(pattern, address) => return false,
            Some(_) => {}
            None => fits |= address_is(pattern, address),
        }
    }
    fits
}

/// Whether `user` or `user@host` is a pattern of this account from this address.
pub fn user_is(pattern: &str, user: &str, from: &str) -> bool {
    match pattern.rsplit_once('@') {
        Some((name, host)) => is_like(name, user) && address_is(host, from),
        None => is_like(pattern, user),
    }
}

/// An address that is like a pattern; nothing where it is about names.
pub fn example(pattern: &str) -> Option<String> {
    let pattern = pattern.trim();
    if let Some((base, length)) = pattern.split_once('/') {
        let length: u32 = length.parse().ok()?;
        let (number, whole) = bits(base.parse().ok()?);
        let inside = if length < whole { number | 1 } else { number };
        return (length <= whole).then(|| match whole {
            32 => Ipv4Addr::from(u32::try_from(inside).unwrap_or_default()).to_string(),
            _ => Ipv6Addr::from(inside).to_string(),
        });
    }
    let filled = pattern.replace(['*', '?'], "1");
    let address: IpAddr = filled.parse().ok()?;
    // Patterns are about how addresses are written, and some fit none.
    Some(address.to_string()).filter(|address| address_is(pattern, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_sshd_has_them() {
        for (pattern, text, expected) in [
            ("root", "root", true),
            ("root", "toor", false),
            ("*", "", true),
            ("r*t", "root", true),
            ("r*t", "roots", false),
            ("a*b*c", "a1b2bc", true),
            ("?oot", "root", true),
            ("?", "", false),
        ] {
            assert_eq!(is_like(pattern, text), expected, "{pattern} {text}");
        }
        for (pattern, address, expected) in [
            ("10.77.0.0/24", "10.77.0.12", true),
            ("10.77.0.0/24", "10.77.1.12", false),
            ("10.77.0.12/32", "10.77.0.12", true),
            ("0.0.0.0/0", "192.0.2.1", true),
            ("10.0.0.0/8", "fd77::1", false),
            ("fd77::/64", "fd77::12", true),
            ("fd77::/64", "fd78::12", false),
            ("10.77.0.*", "10.77.0.12", true),
            ("10.77.0.0/99", "10.77.0.12", false),
            ("fd77:0::1", "fd77::1", true),
            ("FD77::1", "fd77::1", true),
        ] {
            assert_eq!(
                address_is(pattern, address),
                expected,
                "{pattern} {address}"
            );
        }
        assert!(list_has("10.0.0.0/8, !10.1.0.0/16", "10.2.0.1"));
        assert!(!list_has("10.0.0.0/8,!10.1.0.0/16", "10.1.0.1"));
        assert!(!list_has("!10.1.0.0/16", "10.2.0.1"));
        assert!(user_is("root@10.77.0.*", "root", "10.77.0.1"));
        assert!(!user_is("root@10.77.0.*", "root", "10.78.0.1"));
        assert!(user_is("ro*", "root", "10.78.0.1"));
    }

    #[test]
    fn an_address_stands_for_all_that_a_pattern_names() {
        for (pattern, expected) in [
            ("192.0.2.7", Some("192.0.2.7")),
            ("192.0.2.0/24", Some("192.0.2.1")),
            ("192.0.2.7/32", Some("192.0.2.7")),
            ("2001:db8::/32", Some("2001:db8::1")),
            ("192.0.2.*", Some("192.0.2.1")),
            ("::0*", None),
            ("*.example.org", None),
            ("web1", None),
            ("192.0.2.0/40", None),
        ] {
            assert_eq!(example(pattern).as_deref(), expected, "{pattern}");
        }
    }
}
