//! The firmware's variables by which systemd-boot's default is set beside its files (Boot Loader
//! Interface), from efivarfs: four bytes of attributes, then the value, here UTF-16 that ends with NUL.

use crate::state::bounded::read_bounded;
use crate::state::layout::Layout;

const FOLDER: &str = "/sys/firmware/efi/efivars";
const VENDOR: &str = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
const LIMIT: u64 = 64 << 10;

/// The values that are set.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Variables {
    /// `LoaderEntryOneShot`: for the next boot alone.
    pub one_shot: Option<String>,
    /// `LoaderEntryPreferred`, since systemd-boot 260: not where the entry has no tries left.
    pub preferred: Option<String>,
    /// `LoaderEntryDefault`: by `bootctl set-default`, or the key `d` in the menu.
    pub default: Option<String>,
    /// `LoaderEntryLastBooted`: what `@saved` stands for.
    pub last_booted: Option<String>,
    /// `LoaderConfigTimeout`.
    pub timeout: Option<String>,
}

/// Reads them. One that cannot be read counts as not set: most machines have none of them.
pub fn read(layout: &Layout) -> Variables {
    let folder = layout.at(FOLDER);
    let get = |name: &str| {
        let bytes = read_bounded(&folder.join(format!("{name}-{VENDOR}")), LIMIT).ok()?;
        text(&bytes).filter(|value| !value.is_empty())
    };
    Variables {
        one_shot: get("LoaderEntryOneShot"),
        preferred: get("LoaderEntryPreferred"),
        default: get("LoaderEntryDefault"),
        last_booted: get("LoaderEntryLastBooted"),
        timeout: get("LoaderConfigTimeout"),
    }
}

pub(super) fn text(bytes: &[u8]) -> Option<String> {
    let units: Vec<u16> = bytes
        .get(4..)?
        .chunks_exact(2)
        .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
        .take_while(|unit| *unit != 0)
        .collect();
    String::from_utf16(&units).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_utf_16_after_its_attributes() {
        assert_eq!(text(b"\x07\0\0\0n\0x\0\0\0"), Some("nx".to_owned()));
        assert_eq!(text(b"\x07\0\0\0n\0x\0"), Some("nx".to_owned()));
        assert_eq!(text(b"\x07\0\0\0"), Some(String::new()));
        assert_eq!(text(b"\x07\0\0"), None);
        assert_eq!(text(b"\x07\0\0\0\0\xd8x\0"), None);
    }
}
