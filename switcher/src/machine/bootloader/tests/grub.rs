//! GRUB, and what it remembers.

use super::{A, B, Files, grub_cfg, on, toplevel, unknown};
use crate::machine::system::{BootDefault, PinKind};

fn grub_with(default: &str, environment: &str) -> Files {
    Files::default()
        .with("boot/grub/grub.cfg", grub_cfg(default))
        .with(
            "boot/grub/grubenv",
            format!("# GRUB Environment Block\n{environment}\n#####"),
        )
}

const OF_4: &str = "NixOS - All configurations>NixOS - Configuration 4 (2026-11-29 - 26.11)";

#[test]
fn grubs_default_is_a_number_a_title_or_what_was_saved() {
    for (default, expected) in [
        ("0", on(B)),
        ("\"0\"", on(B)),
        ("\"1>1\"", on(A)),
        ("\"nosuch\"", on(B)),
        ("1", unknown()),
    ] {
        grub_with(default, "").starts(&expected);
        grub_with(default, &format!("saved_entry={OF_4}")).starts(&expected);
    }
    let saved = |entry: &str| grub_with("\"${saved_entry}\"", &format!("saved_entry={entry}"));
    for entry in ["", "NixOS", "0", "gone", "1>0"] {
        saved(entry).starts(&on(B));
    }
    for entry in [OF_4, "1>1"] {
        let pin = saved(entry).pin();
        assert_eq!(pin.installed, Some(toplevel(B)));
        assert_eq!(
            (pin.starts, pin.kind),
            (Some(toplevel(A)), PinKind::Remembered)
        );
        assert!(pin.undo.contains("saved_entry"), "{}", pin.undo);
    }
    let once = grub_with("0", &format!("next_entry={OF_4}")).pin();
    assert_eq!((once.starts, once.kind), (Some(toplevel(A)), PinKind::Once));
    for text in ["menuentry \"x\" {}", "", "submenu \"x\" {"] {
        let found = Files::default()
            .with("boot/grub/grub.cfg", text)
            .read_back();
        assert!(
            matches!(found, BootDefault::Broken(_) | BootDefault::Unknown(_)),
            "{text}"
        );
    }
}
