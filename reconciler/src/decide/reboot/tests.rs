use std::collections::BTreeMap;

use super::*;

fn system(kernel: &str, dbus: &str) -> Parts {
    let dbus = ("dbus-implementation".to_owned(), dbus.to_owned());
    Parts {
        inhibitors: Some(BTreeMap::from([dbus])),
        kernel: Some(format!("/nix/store/hash-linux-{kernel}/bzImage").into()),
        ..Parts::default()
    }
}

fn shown(takeover: Takeover) -> (&'static str, Vec<String>) {
    let (name, reasons) = match takeover {
        Takeover::InPlace => ("in place", Vec::new()),
        Takeover::Reboot(reasons) => ("reboot", reasons),
        Takeover::InPlaceThenReboot(reasons) => ("in place, then reboot", reasons),
    };
    (name, reasons.iter().map(Reason::to_string).collect())
}

const EVERY: [When; 4] = [When::Never, When::Needed, When::Kernel, When::Always];

#[test]
fn what_forbids_a_switch_forbids_it_whatever_the_policy() {
    let old = system("6.1", "dbus");
    let new = system("6.2", "broker");
    for when in EVERY {
        let takeover = classify(
            Systems {
                running: &old,
                booted: &old,
                candidate: &new,
            },
            when,
        );
        let reasons = [
            "dbus-implementation: dbus -> broker",
            "kernel: linux-6.1 -> linux-6.2",
        ];
        let expected = ("reboot", reasons.map(str::to_owned).to_vec());
        assert_eq!(shown(takeover), expected, "{when:?}");
    }
}

#[test]
fn a_new_kernel_is_taken_over_as_the_policy_says() {
    let old = system("6.1", "dbus");
    let new = system("6.2", "dbus");
    for (when, name) in
        EVERY
            .into_iter()
            .zip(["in place", "in place", "in place, then reboot", "reboot"])
    {
        let systems = Systems {
            running: &old,
            booted: &old,
            candidate: &new,
        };
        let (found, reasons) = shown(classify(systems, when));
        assert_eq!(found, name, "{when:?}");
        let named = reasons == ["kernel: linux-6.1 -> linux-6.2"];
        assert_eq!(named, name != "in place", "{reasons:?}");
    }
}

#[test]
fn the_kernel_is_compared_with_the_one_that_was_booted() {
    let booted = system("6.1", "dbus");
    let running = system("6.2", "dbus");
    // Back to the kernel that still runs: nothing to boot for.
    let systems = Systems {
        running: &running,
        booted: &booted,
        candidate: &booted,
    };
    assert_eq!(classify(systems, When::Kernel), Takeover::InPlace);
    // The same kernel as the last commit had, and still not booted.
    let systems = Systems {
        candidate: &running,
        ..systems
    };
    let found = shown(classify(systems, When::Kernel));
    assert_eq!(found.0, "in place, then reboot");
    assert_eq!(pending(&booted, &running).len(), 1);
    assert!(pending(&booted, &booted).is_empty());
}

#[test]
fn always_means_each_candidate() {
    let same = system("6.1", "dbus");
    let systems = Systems {
        running: &same,
        booted: &same,
        candidate: &same,
    };
    let reasons = vec!["reboot.when is \"always\"".to_owned()];
    let found = shown(classify(systems, When::Always));
    assert_eq!(found, ("reboot", reasons));
    for when in [When::Never, When::Needed, When::Kernel] {
        assert_eq!(classify(systems, when), Takeover::InPlace);
    }
}
