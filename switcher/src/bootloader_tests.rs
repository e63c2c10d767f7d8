//! Boot loaders as their real installers leave them.

use std::fs;

use super::*;

const A: &str = "/nix/store/aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-nixos-system-web1";

fn check(files: &[(&str, String)], expected: BootDefault) {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let found = default(&Layout::below(dir.path()));
    match (&found, &expected) {
        (BootDefault::Broken(_), BootDefault::Broken(_)) => {}
        _ => assert_eq!(found, expected),
    }
}

fn a() -> BootDefault {
    BootDefault::System(Toplevel::try_from(PathBuf::from(A)).unwrap())
}

#[test]
fn the_default_of_each_boot_loader_is_read_back() {
    let entry = format!("title NixOS\nlinux /k\noptions init={A}/init loglevel=4\n");
    check(&[], BootDefault::Unknown);
    for conf in [
        "timeout 5\ndefault nixos-generation-4.conf\n",
        "default nixos-generation-4\n",
        "preferred nixos-generation-4\ndefault nixos-*\n",
    ] {
        check(
            &[
                ("boot/loader/loader.conf", conf.to_owned()),
                ("boot/loader/entries/nixos-generation-4.conf", entry.clone()),
            ],
            a(),
        );
        check(
            &[("boot/loader/loader.conf", conf.to_owned())],
            BootDefault::Broken(String::new()),
        );
    }
    check(
        &[("efi/loader/loader.conf", "default nixos-*\n".to_owned())],
        BootDefault::Unknown,
    );
    let grub = format!(
        "if x; then set default=\"${{next_entry}}\"\nset default=\"0\"\nmenuentry \"NixOS\" {{\n  linux ($drive1)//kernels/k init={A}/init x=y\n}}\nsubmenu \"All\" {{ menuentry \"old\" {{ linux k init=/x/init }} }}\n"
    );
    check(&[("boot/grub/grub.cfg", grub.clone())], a());
    check(
        &[(
            "boot/grub/grub.cfg",
            grub.replace("default=\"0\"", "default=\"saved\""),
        )],
        BootDefault::Unknown,
    );
    check(
        &[("boot/grub/grub.cfg", "menuentry \"x\" {}".to_owned())],
        BootDefault::Broken(String::new()),
    );
}

/// With a `loader.conf` as nixpkgs' builder writes it where boots are counted, an entry in this file, and
/// these files.
fn check_counting(entry: &str, more: &[(&str, String)], expected: BootDefault) {
    let conf = "timeout 5\npreferred nixos-4f.conf\ndefault nixos-*\n";
    let entry = (entry, format!("options init={A}/init\n"));
    let first = [("boot/loader/loader.conf", conf.to_owned()), entry];
    let files: Vec<(&str, String)> = first.into_iter().chain(more.iter().cloned()).collect();
    check(&files, expected);
}

#[test]
fn an_entry_that_counts_boots_is_found_on_either_partition() {
    let broken = || BootDefault::Broken(String::new());
    for (file, expected) in [
        ("boot/loader/entries/nixos-4f.conf", a()),
        ("boot/loader/entries/nixos-4f+3.conf", a()),
        ("boot/loader/entries/nixos-4f+2-1.conf", a()),
        ("efi/loader/entries/nixos-4f+3.conf", a()),
        ("boot/loader/entries/nixos-4f+0-3.conf", broken()),
        ("boot/loader/entries/nixos-4f0+3.conf", broken()),
        ("boot/loader/entries/nixos-4f+x.conf", broken()),
        ("boot/loader/entries/nixos-4f+1-x.conf", broken()),
    ] {
        check_counting(file, &[], expected);
    }
}

#[test]
fn a_loader_that_does_not_know_preferred_starts_what_cannot_be_told() {
    for (version, expected) in [
        ("262-1", a()),
        ("260", a()),
        ("257.13-1~deb13u1", BootDefault::Unknown),
        ("", a()),
    ] {
        let text = format!("MZ#### LoaderInfo: systemd-boot {version} ####");
        let loader = ("boot/EFI/systemd/systemd-bootx64.efi", text);
        check_counting("boot/loader/entries/nixos-4f+3.conf", &[loader], expected);
    }
}

#[test]
fn a_loader_conf_that_was_left_over_is_not_what_grub_starts() {
    let b = A.replace("web1", "b");
    let on_b = BootDefault::System(Toplevel::try_from(PathBuf::from(&b)).unwrap());
    let menu = format!("menuentry \"NixOS\" {{\n linux k init={b}/init\n}}\n");
    for (described, expected) in [
        (r#"{"org.nixos.bootspec.v1":{}}"#, on_b),
        (r#"{"org.nixos.systemd-boot":{"sortKey":"nixos"}}"#, a()),
        ("damaged", a()),
    ] {
        let described = (
            "nix/var/nix/profiles/system/boot.json",
            described.to_owned(),
        );
        let more = [("boot/grub/grub.cfg", menu.clone()), described];
        check_counting("boot/loader/entries/nixos-4f.conf", &more, expected);
    }
}
