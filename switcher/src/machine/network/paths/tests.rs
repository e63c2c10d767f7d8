use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn link(index: u32, name: &str, beside: &[(Beside, u32)], has_carrier: bool) -> Link {
    Link {
        index,
        name: name.to_owned(),
        beside: beside.to_vec(),
        has_carrier,
        is_hardware: name.starts_with("eth"),
    }
}

/// A host whose repository is behind its first card, and whose peer is behind the second.
fn two_cards(carriers: [bool; 2], routes: &[(&str, u32)]) -> Paths {
    Paths {
        routes: routes
            .iter()
            .map(|(to, index)| (ip(to), Some(*index)))
            .collect(),
        links: vec![
            link(2, "eth0", &[], carriers[0]),
            link(3, "eth1", &[], carriers[1]),
        ],
    }
}

#[test]
fn a_missing_interface_is_told_from_a_dark_one_and_from_a_missing_route() {
    let both = [("10.0.0.2", 2), ("10.1.0.2", 3)];
    let ways = two_cards([true, true], &both).to_be_missed();
    assert_eq!(ways.links, ["eth0", "eth1"]);
    let check = |now: Paths, expected: Connection| {
        assert_eq!(now.connection(&ways), expected, "{now:?}");
    };
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    check(two_cards([true, true], &both), Connection::Open);
    let mut without = two_cards([true, true], &both[..1]);
    without.links.pop();
    check(without.clone(), Connection::Missing(names(&["eth1"])));
    // Whatever else is wrong: no carrier comes to an interface that is not there.
    without.links[0].has_carrier = false;
    check(without, Connection::Missing(names(&["eth1"])));
    check(
        two_cards([false, true], &both[1..]),
        Connection::NoCarrier(names(&["eth0"])),
    );
    check(
        two_cards([false, false], &[]),
        Connection::NoCarrier(names(&["eth0", "eth1"])),
    );
    // A route that is kept without a carrier leads nowhere.
    check(
        two_cards([false, true], &both),
        Connection::NoCarrier(names(&["eth0"])),
    );
    check(
        two_cards([true, true], &both[..1]),
        Connection::NoRoute(vec![ip("10.1.0.2")]),
    );
    check(
        two_cards([true, true], &[]),
        Connection::NoRoute(vec![ip("10.0.0.2"), ip("10.1.0.2")]),
    );
}

#[test]
fn a_dark_interface_does_not_matter_while_there_is_a_way_to_everybody() {
    let bond = |carriers: [bool; 2]| Paths {
        routes: vec![(ip("10.0.0.2"), Some(9))],
        links: vec![
            link(2, "eth0", &[(Beside::Master, 9)], carriers[0]),
            link(3, "eth1", &[(Beside::Master, 9)], carriers[1]),
            link(9, "bond0", &[], true),
        ],
    };
    let ways = bond([true, true]).to_be_missed();
    assert_eq!(ways.links, ["eth0", "eth1"]);
    assert_eq!(bond([true, false]).connection(&ways), Connection::Open);
}

#[test]
fn what_is_missed_at_boot_are_the_cards_below_and_nothing_that_programs_make() {
    let host = Paths {
        routes: vec![
            (ip("10.0.0.2"), Some(20)),
            (ip("10.7.0.1"), Some(30)),
            (ip("10.9.0.1"), None),
        ],
        links: vec![
            link(2, "eth0", &[(Beside::Master, 10)], true),
            link(3, "eth1", &[(Beside::Master, 10)], true),
            link(4, "eth2", &[], true),
            link(10, "bond0", &[(Beside::Master, 19)], true),
            link(19, "br0", &[], true),
            link(20, "vlan7", &[(Beside::Lower, 19)], true),
            // A virtual machine's, a tunnel's, docker's.
            link(21, "vnet0", &[(Beside::Master, 19)], true),
            link(30, "wg0", &[], true),
            link(31, "docker0", &[], false),
        ],
    };
    let ways = host.to_be_missed();
    assert_eq!(ways.links, ["eth0", "eth1"]);
    assert_eq!(ways.to, [ip("10.0.0.2"), ip("10.7.0.1"), ip("10.9.0.1")]);
    assert_eq!(host.connection(&ways), Connection::Open);
    assert_eq!(Paths::default().to_be_missed(), Ways::default());
}

#[test]
fn who_missed_nothing_has_all_that_was() {
    assert_eq!(
        Paths::default().connection(&Ways::default()),
        Connection::Open
    );
}
