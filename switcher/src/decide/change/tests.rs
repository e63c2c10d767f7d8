use super::*;

fn with(inhibitors: &[(&str, &str)]) -> Parts {
    let all = inhibitors
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Parts {
        inhibitors: Some(all.collect()),
        ..Parts::default()
    }
}

fn older(dbus: &str) -> Parts {
    Parts {
        dbus: Some(dbus.to_owned()),
        ..Parts::default()
    }
}

fn forbidden(running: &Parts, candidate: &Parts) -> Vec<String> {
    let changes = forbids_switch(running, candidate);
    changes.iter().map(Change::to_string).collect()
}

const NOTHING: [&str; 0] = [];

#[test]
fn an_inhibitor_that_both_systems_have_and_that_changed_forbids_a_switch() {
    let old = with(&[("dbus-implementation", "dbus"), ("init", "1")]);
    assert_eq!(forbidden(&old, &old), NOTHING);
    assert_eq!(forbidden(&old, &with(&[])), NOTHING);
    assert_eq!(forbidden(&with(&[]), &old), NOTHING);
    let new = with(&[
        ("dbus-implementation", "broker"),
        ("init", "2"),
        ("more", "x"),
    ]);
    assert_eq!(
        forbidden(&old, &new),
        ["dbus-implementation: dbus -> broker", "init: 1 -> 2"]
    );
}

#[test]
fn dbus_counts_as_well_where_a_system_is_older_than_inhibitors() {
    let changed = ["dbus-implementation: dbus -> broker"];
    let named = with(&[("dbus-implementation", "broker")]);
    assert_eq!(forbidden(&older("dbus"), &named), changed);
    assert_eq!(forbidden(&older("broker"), &named), NOTHING);
    assert_eq!(forbidden(&older("dbus"), &older("broker")), changed);
    assert_eq!(forbidden(&older("dbus"), &older("dbus")), NOTHING);
    // Whoever has the file and does not name D-Bus has said so.
    assert_eq!(forbidden(&older("dbus"), &with(&[])), NOTHING);
    assert_eq!(forbidden(&Parts::default(), &named), NOTHING);
}

#[test]
fn another_interface_of_the_first_process_forbids_a_switch() {
    let of = |version: &str| Parts {
        init_interface: Some(version.to_owned()),
        ..Parts::default()
    };
    assert_eq!(forbidden(&of("systemd 2"), &of("systemd 2")), NOTHING);
    assert_eq!(
        forbidden(&of("systemd 2"), &of("systemd 3")),
        ["init interface: systemd 2 -> systemd 3"]
    );
}

#[test]
fn what_only_a_boot_brings_is_named_and_forbids_no_switch() {
    let booted = Parts {
        kernel: Some("/nix/store/aaaa-linux-6.12.1/bzImage".into()),
        modules: Some("/nix/store/aaaa-linux-6.12.1-modules".into()),
        initrd: Some("/nix/store/aaaa-initrd-linux-6.12.1/initrd".into()),
        parameters: vec!["quiet".into(), "loglevel=4".into()],
        ..Parts::default()
    };
    let shown = |candidate: &Parts| -> Vec<String> {
        assert_eq!(forbidden(&booted, candidate), NOTHING);
        let changes = needs_boot(&booted, candidate);
        changes.iter().map(Change::to_string).collect()
    };
    assert_eq!(shown(&booted), NOTHING);
    let kernel = Parts {
        kernel: Some("/nix/store/bbbb-linux-6.12.8/bzImage".into()),
        modules: Some("/nix/store/bbbb-linux-6.12.8-modules".into()),
        initrd: Some("/nix/store/bbbb-initrd-linux-6.12.1/initrd".into()),
        ..booted.clone()
    };
    assert_eq!(
        shown(&kernel),
        [
            "kernel: linux-6.12.1 -> linux-6.12.8",
            "kernel modules: linux-6.12.1-modules -> linux-6.12.8-modules",
            "initrd: another build of initrd-linux-6.12.1",
        ]
    );
    let of = |parameters: &[&str]| Parts {
        parameters: parameters.iter().map(|one| (*one).to_owned()).collect(),
        ..booted.clone()
    };
    assert_eq!(
        shown(&of(&["quiet", "panic=30"])),
        ["kernel parameters: +panic=30 -loglevel=4"]
    );
    assert_eq!(
        shown(&of(&["loglevel=4", "quiet"])),
        ["kernel parameters: in another order"]
    );
    assert_eq!(
        shown(&of(&["1", "2", "3", "4\u{1b}[2J"])),
        ["kernel parameters: +1 +2 +3 +4 [2J -quiet and 1 more"]
    );
    // A container has no kernel of its own.
    let none = Parts {
        kernel: None,
        ..booted.clone()
    };
    assert_eq!(shown(&none), ["kernel: linux-6.12.1 -> none"]);
}
