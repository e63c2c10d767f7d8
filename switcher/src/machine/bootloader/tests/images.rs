//! Unified kernel images.

use super::{A, B, Files, on, toplevel};

/// A PE file with these sections, as objcopy adds them to lanzaboote's stub.
fn image(sections: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = vec![0; 0x40];
    bytes[..2].copy_from_slice(b"MZ");
    bytes[0x3c] = 0x40;
    bytes.extend(b"PE\0\0\x64\x86");
    bytes.extend(u16::try_from(sections.len()).unwrap().to_le_bytes());
    bytes.extend([0; 16]);
    let start = bytes.len() + sections.len() * 40;
    let mut contents = Vec::new();
    for (name, text) in sections {
        let mut header = [0; 40];
        header[..name.len()].copy_from_slice(name.as_bytes());
        let mut put = |at: usize, value: usize| {
            header[at..at + 4].copy_from_slice(&u32::try_from(value).unwrap().to_le_bytes());
        };
        put(8, text.len());
        put(16, text.len().next_multiple_of(512));
        put(20, start + contents.len());
        bytes.extend(header);
        contents.extend(text.as_bytes());
        contents.resize(contents.len().next_multiple_of(512), 0);
    }
    bytes.extend(contents);
    bytes
}

#[test]
fn unified_kernel_images_are_entries() {
    let stub = |system: &str, version: &str| {
        let release = format!("ID=lanza\nPRETTY_NAME=NixOS ({version})\nVERSION_ID={version}\n");
        let command = format!("init={system}/init loglevel=4");
        image(&[(".text", "x"), (".osrel", &release), (".cmdline", &command)])
    };
    let files = || {
        Files::default()
            .with("boot/loader/loader.conf", "default nixos-*\ntimeout 5\n")
            .with(
                "nix/var/nix/profiles/system/boot.json",
                r#"{"org.nix-community.lanzaboote":{"sort_key":"lanza"}}"#,
            )
            .with(
                "boot/grub/grub.cfg",
                format!("menuentry \"old\" {{ linux k init={A}/init }}"),
            )
            .with(
                "boot/EFI/Linux/nixos-generation-9-x.efi",
                stub(A, "Generation 9, 2026-11-29"),
            )
            .with(
                "boot/EFI/Linux/nixos-generation-10-y.efi",
                stub(B, "Generation 10, 2026-11-30"),
            )
    };
    files().starts(&on(B));
    files()
        .with("boot/EFI/Linux/nixos-generation-11-z.efi", "MZ cut short")
        .with(
            "boot/EFI/Linux/nixos-generation-12-z.efi.tmp",
            stub(A, "Generation 12, 2026-12-01"),
        )
        .starts(&on(B));
    let tries = stub(A, "Generation 11, 2026-12-01");
    files()
        .with(
            "boot/EFI/Linux/nixos-generation-11-z+0-3.efi",
            tries.clone(),
        )
        .starts(&on(B));
    files()
        .with("boot/EFI/Linux/nixos-generation-11-z+2-1.efi", tries)
        .starts(&on(A));
    let special = stub(A, "Generation 10-fast, 2026-11-30");
    files()
        .with(
            "boot/EFI/Linux/nixos-generation-10-specialisation-fast-z.efi",
            special,
        )
        .starts(&on(B));
    let pin = files()
        .variable("LoaderEntryDefault", "nixos-generation-9-x.efi")
        .pin();
    assert_eq!(pin.starts, Some(toplevel(A)));
}
