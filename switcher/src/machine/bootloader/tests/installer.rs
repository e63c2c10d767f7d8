//! Which of the boot loaders that lie there is the one of the system, and leftovers.

use super::{A, B, Files, broken, grub_cfg, on, two, unknown};
use crate::machine::bootloader::leftovers;

#[test]
fn a_loader_conf_that_was_left_over_is_not_what_grub_starts() {
    for (described, expected) in [
        (r#"{"org.nixos.bootspec.v1":{}}"#, B),
        (r#"{"org.nixos.systemd-boot":{"sortKey":"nixos"}}"#, A),
        ("damaged", A),
    ] {
        two("default nixos-generation-4.conf\n")
            .with("boot/grub/grub.cfg", grub_cfg("0"))
            .with("nix/var/nix/profiles/system/boot.json", described)
            .starts(&on(expected));
    }
}

/// With a system whose wrapper names this installer.
fn installs(files: Files, installer: &str) -> Files {
    files.with(
        "nix/var/nix/profiles/system/bin/switch-to-configuration",
        format!("#! /nix/store/s-bash/bin/bash -e\nexport OUT='/nix/store/x'\nexport INSTALL_BOOTLOADER='/nix/store/{installer}'\nexec /nix/store/y \"$@\"\n"),
    )
}

#[test]
fn the_files_of_the_systems_own_installer_are_read_wherever_they_are() {
    let script = "nix/store/i-install-systemd-boot.sh";
    let builder = "EFI_SYS_MOUNT_POINT = Path(\"/esp\")\nBOOT_MOUNT_POINT = Path(\"/xbootldr\")\n";
    let files = || {
        installs(two("default nixos-generation-4.conf\n"), "i-install-systemd-boot.sh")
            .with(script, "#!/nix/store/b-bash/bin/bash\nset -euo pipefail\n/nix/store/c-systemd-boot/bin/systemd-boot \"$@\"\n\n")
            .with("nix/store/c-systemd-boot/bin/systemd-boot", builder)
    };
    let here = files()
        .with(
            "esp/loader/loader.conf",
            "default nixos-generation-6.conf\n",
        )
        .entry("xbootldr/loader/entries/nixos-generation-6.conf", B, 6);
    here.starts(&on(B));
    let grub = "nix/store/g-install-grub.pl";
    let written = "<?xml version='1.0' encoding='utf-8'?>\n<expr>\n  <attrs>\n    <attr name=\"bootPath\">\n      <string value=\"/boot1\" />\n    </attr>\n";
    let files = || {
        installs(two("default nixos-generation-4.conf\n"), "i-install-grub.sh")
            .with("nix/store/i-install-grub.sh", format!("#!/nix/store/b-bash/bin/bash\nset -e\n\n/nix/store/p-perl/bin/perl /{grub} /nix/store/g-grub-config.xml $@\n"))
            .with("nix/store/g-grub-config.xml", written)
    };
    files().starts(&broken());
    files()
        .with("boot1/grub/grub.cfg", grub_cfg("0"))
        .starts(&on(B));
    installs(
        two("default nixos-generation-4.conf\n"),
        "l-limine-install.py",
    )
    .starts(&unknown());
    let lanzaboote = installs(Files::default(), "l-lzbt/bin/lzbt")
        .with("nix/store/l-lzbt/bin/lzbt", "PATH=/nix/store/s/lib/systemd:$PATH\n/nix/store/t-lzbt/bin/lzbt install \\\n --configuration-limit 8 \\\n--public-key=/k.pem /esp /nix/var/nix/profiles/system-*-link\n")
        .with("esp/loader/loader.conf", "default nixos-*\n")
        .entry("esp/loader/entries/nixos-generation-1.conf", A, 1);
    lanzaboote.starts(&on(A));
}

#[test]
fn what_a_builder_left_at_a_power_cut_means_nothing_and_is_found() {
    let files = two("default nixos-generation-4.conf\n")
        .with("boot/loader/loader.tmp", "timeout 5\ndefault nixos-gen")
        .with(
            "boot/loader/entries/nixos-generation-9.confq2b1.tmp",
            "title",
        )
        .with("efi/loader/loader.tmp", "");
    files.starts(&on(A));
    let (_dir, layout) = files.write();
    let found = [
        layout.at("/boot/loader/loader.tmp"),
        layout.at("/efi/loader/loader.tmp"),
    ];
    assert_eq!(leftovers(&layout), found);
}
