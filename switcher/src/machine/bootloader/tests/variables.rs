//! What outranks the files of systemd-boot.

use super::{A, B, Files, counting, on, toplevel, two};
use crate::machine::system::PinKind;

#[test]
fn a_variable_of_the_firmware_outranks_the_file() {
    let conf = "default nixos-generation-5.conf\n";
    let pinned = |files: Files, starts: Option<&str>, what: &str, undo: &str, kind| {
        let pin = files.pin();
        assert_eq!(pin.installed, Some(toplevel(B)));
        assert_eq!(pin.starts, starts.map(toplevel));
        assert!(pin.by.contains(what), "{}", pin.by);
        assert_eq!((pin.undo.as_str(), pin.kind), (undo, kind));
    };
    for (variable, value, undo, kind) in [
        (
            "LoaderEntryDefault",
            "nixos-generation-4.conf",
            "bootctl set-default \"\"",
            PinKind::Firmware,
        ),
        (
            "LoaderEntryDefault",
            "NixOS-generation-[4].conf",
            "bootctl set-default \"\"",
            PinKind::Firmware,
        ),
        (
            "LoaderEntryPreferred",
            "nixos-generation-4.conf",
            "bootctl set-preferred \"\"",
            PinKind::Firmware,
        ),
        (
            "LoaderEntryOneShot",
            "nixos-generation-4.conf",
            "bootctl set-oneshot \"\"",
            PinKind::Once,
        ),
    ] {
        pinned(
            two(conf).variable(variable, value),
            Some(A),
            variable,
            undo,
            kind,
        );
    }
    for value in [
        "nixos-generation-5.conf",
        "nixos-generation-9.conf",
        "nixos-*",
        "",
        "@saved",
    ] {
        two(conf)
            .variable("LoaderEntryDefault", value)
            .starts(&on(B));
    }
    let last = two(conf).variable("LoaderEntryLastBooted", "nixos-generation-4.conf");
    last.starts(&on(B));
    let last = last.variable("LoaderEntryDefault", "@saved");
    pinned(
        last,
        Some(A),
        "LoaderEntryDefault",
        "bootctl set-default \"\"",
        PinKind::Remembered,
    );
    let menu = two(conf).variable("LoaderConfigTimeout", "menu-force");
    pinned(
        menu,
        None,
        "LoaderConfigTimeout",
        "bootctl set-timeout \"\"",
        PinKind::Firmware,
    );
    two(conf)
        .variable("LoaderConfigTimeout", "30")
        .starts(&on(B));
    let elsewhere = two(conf)
        .with(
            "boot/loader/entries/memtest86.conf",
            "title MemTest86\nefi /m.efi\n",
        )
        .variable("LoaderEntryDefault", "memtest86.conf");
    pinned(
        elsewhere,
        None,
        "memtest86.conf",
        "bootctl set-default \"\"",
        PinKind::Firmware,
    );
    // What lasts is told before what is for one boot.
    let both = two(conf)
        .variable("LoaderEntryOneShot", "nixos-generation-4.conf")
        .variable("LoaderEntryDefault", "nixos-generation-4.conf");
    assert_eq!(both.pin().kind, PinKind::Firmware);
}

/// Boot Loader Interface: `preferred`, of the file too, comes before what is the default.
#[test]
fn where_boots_are_counted_the_preferred_entry_outranks_the_variable_of_the_default() {
    let files = || {
        counting("boot/loader/entries/nixos-4f+3.conf")
            .entry("boot/loader/entries/nixos-5a.conf", B, 5)
            .variable("LoaderEntryDefault", "nixos-5a.conf")
    };
    files().starts(&on(A));
    let pin = files()
        .variable("LoaderEntryPreferred", "nixos-5a.conf")
        .pin();
    assert_eq!(pin.starts, Some(toplevel(B)));
    let loader = "MZ#### LoaderInfo: systemd-boot 257 ####";
    let older = files().with("boot/EFI/systemd/systemd-bootx64.efi", loader);
    older.starts(&on(B));
}

#[test]
fn what_was_booted_last_is_the_default_where_the_file_says_so() {
    let conf = "default @saved\n";
    two(conf).starts(&on(B));
    let saved = |entry: &str| two(conf).variable("LoaderEntryLastBooted", entry);
    saved("nixos-generation-5.conf").starts(&on(B));
    saved("nixos-generation-1.conf").starts(&on(B));
    let pin = saved("nixos-generation-4.conf").pin();
    assert_eq!(pin.installed, Some(toplevel(B)));
    assert_eq!(
        (pin.starts, pin.kind),
        (Some(toplevel(A)), PinKind::Remembered)
    );
}
